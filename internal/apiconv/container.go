package apiconv

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// TerminationLine returns the line of the termination message of a container that describes why
// its program ended: the line of a panic, which a stack trace follows, or else the last line.
// Empty: there is no message.
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
