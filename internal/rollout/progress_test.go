package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestDecide_Progress(t *testing.T) {
	s := at(PhaseSpeakers, 4, step("n2", 30))
	s.runs(two, "n1", "n2")
	s.Nodes["n2"].Pod.Ready, s.Nodes["n2"].Pod.Problem = false, "the image cannot be pulled"
	s.change("n4", func(n *Node) { n.Skip, n.Down = "NotReady", true })
	want := Progress{
		Updated: 1, Total: 4, Target: two,
		Waiting:   []NodeNote{{Node: "n2", Text: "the speaker is not ready: the image cannot be pulled"}},
		Following: []lb.NodeName{"n3"},
		Skipped:   []NodeNote{{Node: "n4", Text: "NotReady"}},
	}
	if diff := cmp.Diff(want, Decide(s).Progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestDecide_NodesThatReportNothingAreNamed(t *testing.T) {
	joined := at(PhaseCanary, 3, step("n1", 5))
	joined.runs(two, "n1", "n3")
	joined.Nodes["n1"].Pod.Ready = false
	joined.change("n3", func(n *Node) { n.UpSince = start.Add(-30 * time.Second) })
	controller := at(PhaseCanary, 3)
	controller.Stored.Good.Speaker = two.Speaker
	controller.runs(two, "n1", "n2", "n3")
	for name := range controller.Nodes {
		controller.Nodes[name].Pod.Since = start // the operator has just begun
	}
	for _, tt := range []struct {
		name  string
		state State
		want  []lb.NodeName
	}{
		{"canary that announces nothing", replaced(4), []lb.NodeName{"n1"}},
		{"canary that is waited for", replaced(4, func(s *State) { s.Nodes["n1"].Pod.Since = start }), nil},
		{"speaker of the revision that announces something", replaced(4, func(s *State) {
			s.runs(two, "n4")
		}), []lb.NodeName{"n1"}},
		{"node that came up since", joined, nil},
		{"change of the controller alone", controller, nil},
		{"revision that is proven", at(PhaseSpeakers, 4), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, settled(t, tt.state).Progress.Unproven); diff != "" {
				t.Errorf("unproven (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecide_Blocked(t *testing.T) {
	tests := []struct {
		name  string
		state State
		edit  func(*State)
		want  string
	}{
		{"controller comes first", at(PhaseController, 2), func(s *State) { s.Controller.Ready = false }, "the new controller must be ready first"},
		{"DaemonSet without the template", at(PhaseSpeakers, 2), func(s *State) { s.Template = "" }, "the DaemonSet does not have the pod template of this revision yet"},
		{"controller that is not ready", at(PhaseSpeakers, 2), func(s *State) { s.Controller = Workload{Problem: "it crashes"} }, "the controller is not ready: it crashes"},
		{"speaker of the target that is not ready", at(PhaseRollingBack, 2), func(s *State) {
			s.runs(two, "n2")
			s.Nodes["n1"].Pod.Ready, s.Nodes["n1"].Pod.Problem = false, "it crashes"
		}, "the speaker on n1 is not ready: it crashes"},
		{"no node to try the revision on", at(PhaseCanary, 1), func(s *State) {
			s.change("n1", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, "no node is up on which the revision can be tried"},
		{"step under way blocks nothing", at(PhaseSpeakers, 2), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit != nil {
				tt.edit(&tt.state)
			}
			if got := settled(t, tt.state).Progress.Blocked; got != tt.want {
				t.Errorf("blocked by %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDecide_Again(t *testing.T) {
	tests := []struct {
		name  string
		state State
		edit  func(*State)
		want  time.Duration
	}{
		{"complete rollout waits for nothing", cluster(3, one), nil, 0},
		{"controller is waited for as long as a step may take", at(PhaseController, 3), func(s *State) { s.Controller.Ready = false }, timeout - time.Minute},
		{"step is waited for", onCanary(70), func(s *State) { s.Nodes["n1"].Pod.Ready = false }, timeout - 70*time.Second},
		{"pod that has just become ready", onCanary(70), func(s *State) { s.Nodes["n1"].Pod.Since = start.Add(-4 * time.Second) }, minReadyTime - 4*time.Second},
		{"Service that is not announced", onCanary(30), func(s *State) {
			s.Nodes["n1"].Pod.Since = start.Add(-15 * time.Second)
			s.Outages = []Outage{{Service: lb.ServiceKey{Name: "web"}, Since: start.Add(-9 * time.Second)}}
		}, maxOutageTime - 9*time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit != nil {
				tt.edit(&tt.state)
			}
			if got := settled(t, tt.state).Again; got != tt.want {
				t.Errorf("again after %s, want %s", got, tt.want)
			}
		})
	}
}
