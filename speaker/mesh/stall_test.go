package mesh

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestRunner_SuspendedMachineDoesNotAnswerBeforeItHasAsked(t *testing.T) {
	timing := ProfileDefault.timing()
	r := newRunner("self", timing, wire.Instance{1}, randomBytes, func(lb.NodeName, []byte) {}, func(machine.View) {})
	var now time.Duration
	r.clock = func() time.Duration { return now }
	r.alive.Store(int64(now))
	if now += timing.Interval; !r.MayAnswer() {
		t.Errorf("it does not answer %s after it ran last", timing.Interval)
	}
	// A suspended machine does not move Go's monotonic clock.
	if now += time.Hour; r.MayAnswer() {
		t.Error("it answers although an hour has passed since it ran last")
	}
	r.recheck(time.Hour)
	r.alive.Store(int64(now))
	if r.MayAnswer() {
		t.Error("it answers before it has asked the others")
	}
}

// Heartbeats of others are gathered after each own one, while no peer is suspected.
func TestRunner_GathersHeartbeats(t *testing.T) {
	for _, tt := range []struct {
		name     string
		suspects bool
		want     []string
	}{
		{"no peer is suspected: they wait for a moment", false, []string{"hold true", "wait 2ms", "hold false"}},
		{"a peer is suspected: they do not", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timing := ProfileDefault.timing()
				r := newRunner("self", timing, wire.Instance{1}, randomBytes, func(lb.NodeName, []byte) {}, func(machine.View) {})
				if tt.suspects {
					receive := func(node lb.NodeName, kind wire.Kind) {
						msg := &wire.Message{Kind: kind, Interval: timing.Interval, Sequence: 1, Piece: wire.Piece{Count: 1, Data: wire.SplitState(&wire.State{Phase: ownership.Active})[0]}}
						r.withMachine(func(now time.Time) []machine.OutgoingMessage {
							return r.machine.Receive(now, node, wire.Instance{2}, msg)
						})
					}
					r.withMachine(func(now time.Time) []machine.OutgoingMessage {
						r.machine.SetPeers(now, []lb.NodeName{"silent", "other"})
						return nil
					})
					receive("silent", wire.KindState)
					receive("other", wire.KindState)
					for begun := time.Now(); time.Since(begun) <= timing.Timeout; time.Sleep(timing.Interval) {
						receive("other", wire.KindHeartbeat)
						r.withMachine(r.machine.Tick)
					}
					r.withMachine(r.machine.Tick)
					if !r.machine.HasSuspects() {
						t.Fatal("the peer is not suspected")
					}
				}
				var got []string
				passes := 0
				r.hold = func(is bool) { got = append(got, fmt.Sprintf("hold %v", is)) }
				r.keepRunning(func(d time.Duration) bool {
					time.Sleep(d)
					if d == gatherTime {
						got = append(got, fmt.Sprintf("wait %s", d))
						return true
					}
					passes++
					return passes <= 1
				})
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("what it does in one interval (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestBootTime_GoesOn(t *testing.T) {
	before := bootTime()
	if after := bootTime(); before <= 0 || after < before {
		t.Errorf("the clock went from %s to %s", before, after)
	}
}

func TestUnansweredProbes(t *testing.T) {
	const answered, stall = 'a', 'x' // other probes have no answer; stall: this process stood still during the probe
	for _, tt := range []struct {
		name, probes string
		dead         bool
	}{
		{"three in a row: the node is dead", "sss", true},
		{"two in a row: the node is not dead", "ss", false},
		{"one probe is answered", "ssass", false},
		{"this process stood still during one probe", "ssxss", false},
		{"this process stood still during each probe", "xxxxx", false},
		{"three in a row since this process ran again", "sxsss", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			probes, dead := unansweredProbes{}, false
			for _, probe := range tt.probes {
				dead = probes.noteResult("n1", probe == answered, probe == stall)
			}
			if dead != tt.dead {
				t.Errorf("the node is dead: %v, want %v", dead, tt.dead)
			}
		})
	}
}
