package main

import (
	"runtime"
	"runtime/debug"

	"github.com/lbstack/lbstack/internal/manager"
)

// beFrugal has the process take little of a node that it is not alone on.
func beFrugal() error {
	// One processor does all that a speaker has to do, and the scheduler does not wake
	// up others for each of the beats (decision 0007).
	runtime.GOMAXPROCS(1)
	// It keeps little and drops little: to collect sooner costs nothing.
	debug.SetGCPercent(30)
	// Nobody reads profiles of it, and to note who allocates takes memory too.
	runtime.MemProfileRate = 0
	return manager.BoundMemory()
}
