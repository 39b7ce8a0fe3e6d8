package apiconv

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// TerminationLine returns the line in the termination message of a container that describes why its program
// ended. This is the line of a panic if there is one, since a stack trace follows that line, and otherwise the
// last line. It returns an empty text if there is no message.
func TerminationLine(t *corev1.ContainerStateTerminated) string {
	lines := strings.Split(strings.TrimSpace(t.Message), "\n")
	if at := slices.IndexFunc(lines, isPanic); at >= 0 {
		return lines[at]
	}
	return lines[len(lines)-1]
}

func isPanic(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}
