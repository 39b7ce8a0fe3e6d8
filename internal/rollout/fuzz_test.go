package rollout

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// source makes values of bytes.
type source []byte

func (s *source) below(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b) % n
}

func (s *source) bit() bool { return s.below(2) == 1 }

func (s *source) time() time.Time {
	if n := s.below(60); n > 0 {
		return start.Add(time.Duration(n-50) * 7 * time.Second)
	}
	return time.Time{}
}

func (s *source) hash() Hash { return []Hash{"", "a", "b", "c"}[s.below(4)] }

func (s *source) revision() Revision { return Revision{Controller: s.hash(), Speaker: s.hash()} }

func (s *source) name() lb.NodeName { return lb.NodeName(fmt.Sprintf("n%d", s.below(6))) }

// state makes one of whatever can be stored and reported, also of what no operator would store.
func (s *source) state() State {
	state := State{
		Stored: Stored{
			Phase:    []Phase{"", PhaseInstalling, PhaseController, PhaseCanary, PhaseSpeakers, PhaseComplete, PhaseRollingBack, PhaseRolledBack, PhaseHalted, "Other"}[s.below(10)],
			Revision: s.revision(), Good: s.revision(), Since: s.time(), Lost: s.below(3), Proven: s.bit(), Unverified: s.bit(), Quiet: []lb.NodeName{"", s.name()}[s.below(2)], Failure: Failure{Unreceived: s.bit()}, Edits: Edits{Generation: int64(s.below(3)), First: s.time(), Last: s.time()}, Retry: string(s.hash()),
		},
		Wanted: s.revision(), Retry: string(s.hash()), GoodStored: s.bit(), Template: s.hash(), Now: start, SeenSince: s.time(), Generation: int64(s.below(3)), Unapplied: s.bit(),
		Settings:   Settings{MaxUnavailable: MaxUnavailable{Count: s.below(5) - 1, Percent: s.below(130) - 10}, StepTimeout: time.Duration(s.below(5)) * time.Minute, Halt: s.bit()},
		Controller: Workload{Template: s.hash(), Ready: s.bit()},
		Nodes:      map[lb.NodeName]Node{},
	}
	for range s.below(5) {
		step := Step{Node: s.name(), Since: s.time(), Tries: s.below(5), Broken: s.bit(), Gap: s.below(3), Addresses: s.below(3), Routes: s.below(3), Others: s.below(3), Moved: s.bit(), CoveredBy: []lb.NodeName{"", s.name()}[s.below(2)], CoveredByStarted: s.time()}
		if step.Pod = ""; s.bit() {
			step.Pod = fmt.Sprintf("%s/%d", step.Node, s.below(2))
		}
		if s.bit() {
			step.Sessions = []bgp.PeerName{"tor", "other"}
		}
		state.Stored.Steps = append(state.Stored.Steps, step)
	}
	for range s.below(6) {
		name := s.name()
		node := Node{Skip: []string{"", "", "", "down"}[s.below(4)], UpSince: s.time(), Silent: s.bit()}
		node.Down = node.Skip != "" && s.bit()
		if s.below(5) > 0 {
			node.Pod = &Pod{ID: fmt.Sprintf("%s/%d", name, s.below(3)), Revision: s.hash(), Mesh: s.below(2), Ready: s.bit(), Since: s.time(), Restarts: s.below(100), Ending: s.below(4) == 0}
		}
		if s.bit() {
			node.Report = &Report{Misses: []lb.NodeName{s.name()}, Sessions: map[bgp.PeerName]bool{"tor": s.bit()}, Addresses: s.below(3), Routes: s.below(3), Draining: s.bit(), Unannounced: []lb.NodeName{s.name()}, Started: s.time(), Isolated: s.below(4) == 0}
		}
		state.Nodes[name] = node
	}
	for range s.below(3) {
		state.Outages = append(state.Outages, Outage{Service: lb.ServiceKey{Name: string(s.name())}, Since: s.time(), Changed: s.time()})
	}
	return state
}

func FuzzDecide(f *testing.F) {
	for i := range 16 {
		seed := make([]byte, 120)
		for j := range seed {
			seed[j] = byte(j*j*(2*i+1) + i)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, same := source(data), source(data)
		state, before := in.state(), same.state()
		plan := Decide(state)
		if diff := cmp.Diff(before, state); diff != "" {
			t.Fatalf("Decide changed its input (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(plan, Decide(state)); diff != "" {
			t.Fatalf("Decide is no function of its input (-first +second):\n%s", diff)
		}
		for _, d := range plan.Delete {
			if !slices.ContainsFunc(state.Stored.Steps, func(s Step) bool { return s.Node == d.Node && s.Pod == d.Pod && d.Pod != "" }) {
				t.Errorf("%v is deleted without a step that is stored", d)
			}
		}
		for _, r := range []Revision{plan.Controller, plan.Speaker} {
			if r != (Revision{}) && r != state.Wanted && (r != plan.Next.Good || !state.GoodStored) {
				t.Errorf("%s is planned, and its templates cannot be had", r)
			}
		}
		phases := []Phase{state.Stored.Phase}
		for state.Stored = plan.Next; ; state.Stored = plan.Next {
			phases = append(phases, state.Stored.Phase)
			if plan = Decide(state); plan.Next.Equal(state.Stored) {
				break
			}
			if len(phases) > 10 {
				t.Fatalf("the decision does not settle: %v, nodes %v", phases, slices.Sorted(maps.Keys(state.Nodes)))
			}
		}
	})
}
