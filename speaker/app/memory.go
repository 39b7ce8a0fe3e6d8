package app

import (
	"runtime/debug"

	"github.com/lbstack/lbstack/internal/manager"
)

// boundMemory bounds the memory of the process, and makes the garbage collector run earlier than Go does by
// default. Objects that tenants create pass through the memory of each speaker. The early collection leaves
// a fifth of the container's limit free, and costs nothing while no object changes (decision 0031).
func boundMemory() error {
	debug.SetGCPercent(30)
	return manager.BoundMemory()
}
