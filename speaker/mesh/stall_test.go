package mesh

import (
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

func TestRunner_SuspendedMachineDoesNotAnswerBeforeItHasAsked(t *testing.T) {
	timing := Default.timing()
	r := newRunner("self", timing, wire.Instance{1}, randomBytes, func(lb.NodeName, []byte) {}, func(machine.View) {})
	var now time.Duration
	r.clock = func() time.Duration { return now }
	r.alive.Store(int64(now))
	if now += timing.Interval; !r.MayAnswer() {
		t.Errorf("it does not answer %s after it ran last", timing.Interval)
	}
	// Go's clock has not moved at all.
	if now += time.Hour; r.MayAnswer() {
		t.Error("it answers although an hour has passed since it ran last")
	}
	r.recheck()
	r.alive.Store(int64(now))
	if r.MayAnswer() {
		t.Error("it answers before it has asked the others")
	}
}

func TestBootTime_GoesOn(t *testing.T) {
	before := bootTime()
	if after := bootTime(); before <= 0 || after < before {
		t.Errorf("the clock went from %s to %s", before, after)
	}
}

func TestUnansweredProbes(t *testing.T) {
	const answered, stall = 'a', 'x' // others are silent; stall: and this process stood still
	for _, tt := range []struct {
		name, probes string
		dead         bool
	}{
		{"three in a row: the node is dead", "sss", true},
		{"two: it is not", "ss", false},
		{"one of them is answered", "ssass", false},
		{"this process stood still during one of them", "ssxss", false},
		{"it always does", "xxxxx", false},
		{"three since it ran again", "sxsss", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			probes, dead := unansweredProbes{}, false
			for _, probe := range tt.probes {
				dead = probes.note("n1", probe == answered, probe == stall)
			}
			if dead != tt.dead {
				t.Errorf("the node is dead: %v, want %v", dead, tt.dead)
			}
		})
	}
}
