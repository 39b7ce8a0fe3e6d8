package app

import (
	"runtime/debug"

	"github.com/lbstack/lbstack/internal/manager"
)

// boundMemory has garbage collected sooner than Go does by default. What tenants create passes
// through the memory of each speaker: this keeps a fifth of the container's limit free, and
// costs nothing at rest (decision 0031).
func boundMemory() error {
	debug.SetGCPercent(30)
	return manager.BoundMemory()
}
