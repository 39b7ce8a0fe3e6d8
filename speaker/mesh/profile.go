package mesh

import (
	"fmt"
	"time"

	machine "github.com/lbstack/lbstack/internal/mesh"
)

// Profile is how soon the death of a speaker is noticed.
type Profile string

// The profiles, as they are called on the command line.
const (
	Relaxed Profile = "relaxed"
	Default Profile = "default"
	Fast    Profile = "fast"
)

// ParseProfile returns the profile of a name.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case Relaxed, Default, Fast:
		return p, nil
	}
	return "", fmt.Errorf("%q is no profile of failure detection: it is relaxed, default or fast", name)
}

// timing of the heartbeats. A death is noticed between the timeout less an interval and the
// timeout after it, plus some milliseconds for a second opinion.
func (p Profile) timing() machine.Timing {
	switch p {
	case Relaxed:
		return machine.Timing{Interval: 300 * time.Millisecond, Timeout: 1200 * time.Millisecond}
	case Fast:
		return machine.Timing{Interval: 30 * time.Millisecond, Timeout: 150 * time.Millisecond}
	}
	return machine.Timing{Interval: 90 * time.Millisecond, Timeout: 300 * time.Millisecond}
}
