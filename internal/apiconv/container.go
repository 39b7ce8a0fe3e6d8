package apiconv

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// LastWords returns why the program of a container ended, in one line: the last one that it left,
// or that of a panic, which a stack trace follows. Empty: it left none.
func LastWords(t *corev1.ContainerStateTerminated) string {
	lines := strings.Split(strings.TrimSpace(t.Message), "\n")
	if at := slices.IndexFunc(lines, isPanic); at >= 0 {
		return lines[at]
	}
	return lines[len(lines)-1]
}

func isPanic(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}
