package manager

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

const (
	// memoryLimitEnv is the name of the environment variable with the memory limit of the container, in
	// bytes. The manifests set it from the resources of the container. For a container without a limit
	// Kubernetes sets it to the memory of the node.
	memoryLimitEnv = "MEMORY_LIMIT"
	// goMemoryPercent is the part of the limit that Go may use, in percent. The rest is for memory that Go
	// does not count, such as buffers of sockets and pages of the program.
	goMemoryPercent = 90
)

// BoundMemory makes the garbage collector run more often when the program comes near to the memory limit of
// its container, at which the kernel would kill it. If $GOMEMLIMIT is set, that value takes precedence.
// Outside of a container BoundMemory does nothing.
func BoundMemory() error {
	text := os.Getenv(memoryLimitEnv)
	if text == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("the environment variable %s is %q: it must be a positive number of bytes", memoryLimitEnv, text)
	}
	debug.SetMemoryLimit(limit / 100 * goMemoryPercent)
	return nil
}
