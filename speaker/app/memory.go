package app

import (
	"runtime/debug"

	"github.com/lbstack/lbstack/internal/manager"
)

// boundMemory has garbage collected sooner than by default in Go. Objects that tenants create pass
// through the memory of each speaker: this leaves a fifth of the container's limit free, and costs
// nothing while nothing changes (decision 0031).
func boundMemory() error {
	debug.SetGCPercent(30)
	return manager.BoundMemory()
}
