package mesh

import (
	"maps"
	"slices"
	"time"

	machine "github.com/lbstack/lbstack/internal/mesh"
)

// Profile is how soon the death of a speaker is detected.
type Profile string

// The profiles, with the values of the command line.
const (
	ProfileRelaxed Profile = "relaxed"
	ProfileDefault Profile = "default"
	ProfileFast    Profile = "fast"
)

// timings has the interval and the timeout of heartbeats in each profile. The time from a death to its
// detection is the timeout, less up to one interval, plus some milliseconds until another watcher confirms
// the death.
var timings = map[Profile]machine.Timing{
	ProfileRelaxed: {Interval: 300 * time.Millisecond, Timeout: 1200 * time.Millisecond},
	ProfileDefault: {Interval: 90 * time.Millisecond, Timeout: 300 * time.Millisecond},
	ProfileFast:    {Interval: 30 * time.Millisecond, Timeout: 150 * time.Millisecond},
}

// Profiles returns all profiles, sorted.
func Profiles() []Profile { return slices.Sorted(maps.Keys(timings)) }

func (p Profile) timing() machine.Timing { return timings[p] }
