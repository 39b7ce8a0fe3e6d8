package app

import (
	"runtime/debug"

	"github.com/lbstack/lbstack/internal/manager"
)

// boundMemory bounds the memory of the process, and makes the garbage collector run earlier than Go does by
// default. Objects that tenants create, such as large Services, pass through the memory of each speaker. With
// early collection, a fifth of the container's memory limit stays free even when many large objects arrive
// (decision 0031). It costs nothing while no object changes.
func boundMemory() error {
	debug.SetGCPercent(30)
	return manager.BoundMemory()
}
