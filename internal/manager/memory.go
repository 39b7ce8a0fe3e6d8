package manager

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

const (
	// memoryLimitVariable has the memory limit of the container, in bytes. The manifests fill it
	// from the container's own resources, default or configured; without a limit Kubernetes
	// gives the memory of the node.
	memoryLimitVariable = "MEMORY_LIMIT"
	// goMemoryPercent of the limit is what Go may use: the rest is for memory that Go does not
	// count, such as buffers of sockets and pages of the program.
	goMemoryPercent = 90
)

// BoundMemory makes the garbage collector work harder as the program comes near to the memory
// limit of its container, where the kernel would kill it. $GOMEMLIMIT, if it is set, takes
// precedence. Outside of a container BoundMemory does nothing.
func BoundMemory() error {
	text := os.Getenv(memoryLimitVariable)
	if text == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("$%s is %q: it must be a number of bytes", memoryLimitVariable, text)
	}
	debug.SetMemoryLimit(limit / 100 * goMemoryPercent)
	return nil
}
