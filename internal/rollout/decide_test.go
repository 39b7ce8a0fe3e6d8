package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

var (
	start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	one   = Revision{Controller: "c1", Speaker: "s1"}
	two   = Revision{Controller: "c2", Speaker: "s2"}
	three = Revision{Controller: "c3", Speaker: "s3"}
)

const timeout = 2 * time.Minute

// pod returns a pod that has been ready for long.
func pod(name lb.NodeName, r Revision) *Pod {
	return &Pod{ID: string(name) + "/" + string(r.Speaker), Revision: r.Speaker, Mesh: 7575, Ready: true, Since: start.Add(-time.Hour)}
}

// cluster returns a cluster of some nodes in which the good revision runs everywhere.
func cluster(nodes int, r Revision) State {
	s := State{
		Stored: Stored{Phase: PhaseComplete, Revision: r, Good: r, Since: start.Add(-time.Hour)}, Wanted: r, GoodStored: true,
		Settings:   Settings{MaxUnavailable: MaxUnavailable{Count: 1}, StepTimeout: timeout},
		Controller: Workload{Template: r.Controller, Ready: true}, Template: r.Speaker,
		Nodes: map[lb.NodeName]Node{}, SeenSince: start.Add(-time.Hour), Now: start,
	}
	for i := range nodes {
		name := lb.NodeName(fmt.Sprintf("n%d", i+1))
		s.Nodes[name] = Node{UpSince: start.Add(-24 * time.Hour), Pod: pod(name, r), Report: &Report{Sessions: map[bgp.PeerName]bool{"tor": true}}}
	}
	return s
}

// at returns a cluster in which a phase of the rollout from one to two began a minute ago.
func at(p Phase, nodes int, steps ...Step) State {
	s := cluster(nodes, one)
	s.Stored = Stored{Phase: p, Revision: two, Good: one, Since: start.Add(-time.Minute), Proven: p == PhaseSpeakers, Steps: steps}
	s.Wanted = two
	target := s.Stored.targetRevision()
	s.Controller.Template, s.Template = target.Controller, target.Speaker
	if p == PhaseController {
		s.Template = one.Speaker
	}
	return s
}

// step returns a step that began some seconds ago.
func step(name lb.NodeName, seconds int) Step {
	return Step{Node: name, Pod: string(name) + "/" + string(one.Speaker), Since: start.Add(-time.Duration(seconds) * time.Second), Sessions: []bgp.PeerName{"tor"}}
}

// change edits a node.
func (s State) change(name lb.NodeName, edit func(*Node)) {
	node := s.Nodes[name]
	edit(&node)
	s.Nodes[name] = node
}

// runs gives nodes a pod of a revision.
func (s State) runs(r Revision, names ...lb.NodeName) {
	for _, name := range names {
		s.change(name, func(n *Node) { n.Pod = pod(name, r) })
	}
}

// edited has the spec changed some time after the start.
func (s *State) edited(after time.Duration) {
	s.Stored.Edits.First, s.Stored.Edits.Last = start.Add(after), start.Add(after)
}

// settled decides until there is nothing more to store, and returns the last plan.
func settled(t *testing.T, s State) Plan {
	t.Helper()
	for range 8 {
		p := Decide(s)
		if p.Next.Equal(s.Stored) {
			return p
		}
		s.Stored = p.Next
	}
	t.Fatalf("the decision does not settle: %+v", s.Stored)
	return Plan{}
}

// short describes a plan in a line.
func short(p Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s", p.Next.Phase, p.Controller.Controller, p.Speaker.Speaker)
	for _, step := range p.Next.Steps {
		fmt.Fprintf(&b, " step %s", step.Node)
	}
	for _, d := range p.Delete {
		fmt.Fprintf(&b, " delete %s", d.Pod)
	}
	if why := p.Next.Failure; why != (Failure{}) {
		fmt.Fprintf(&b, " failed %s: %s", why.Node, why.Why)
	}
	return b.String()
}

type test struct {
	name  string
	state State
	edit  func(*State)
	want  string
}

func run(t *testing.T, tests []test) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit != nil {
				tt.edit(&tt.state)
			}
			if diff := cmp.Diff(tt.want, short(settled(t, tt.state))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecide_Phases(t *testing.T) {
	run(t, []test{
		{"unchanged revision does nothing", cluster(3, one), nil, "Complete c1/s1"},
		{"new revision starts with the controller", cluster(3, one), func(s *State) { s.Wanted = two }, "Controller c2/s1"},
		{"controller that is not ready holds the speakers", at(PhaseController, 3), func(s *State) { s.Controller.Ready = false }, "Controller c2/s1"},
		{"controller of the former template holds the speakers", at(PhaseController, 3), func(s *State) { s.Controller.Template = "c1" }, "Controller c2/s1"},
		{"speaker that has just stopped being ready is no canary", at(PhaseCanary, 1), func(s *State) {
			s.Nodes["n1"].Pod.Ready, s.Nodes["n1"].Pod.Since = false, start.Add(-unreadyDelay+1)
		}, "Canary c2/s2"},
		{"canary that did not work before proves nothing", at(PhaseCanary, 3, Step{Node: "n1", Pod: "n1/s1", Since: start, Broken: true}), func(s *State) {
			s.runs(two, "n1")
		}, "Canary c2/s2 step n2 delete n2/s1"},
		{"speaker that had the revision before a retry proves nothing", at(PhaseCanary, 3), func(s *State) { s.runs(two, "n1") }, "Canary c2/s2 step n2 delete n2/s1"},
		{"revision is not good while only skipped former speakers announce", at(PhaseSpeakers, 2), func(s *State) {
			s.runs(two, "n1")
			s.change("n2", func(n *Node) { n.Skip, n.Report = "tainted", &Report{Addresses: 1} })
		}, "Speakers c2/s2"},
		{"revision is not good while no speaker announces a Service", at(PhaseSpeakers, 2), func(s *State) {
			s.runs(two, "n1", "n2")
			s.Outages = []Outage{{Service: lb.ServiceKey{Namespace: "shop", Name: "web"}, Since: start.Add(-time.Hour)}}
		}, "Speakers c2/s2"},
		{"revision is good when one of its speakers announces", at(PhaseSpeakers, 2), func(s *State) {
			s.runs(two, "n1")
			s.change("n1", func(n *Node) { n.Report = &Report{Addresses: 1} })
			s.change("n2", func(n *Node) { n.Skip, n.Report = "tainted", &Report{Addresses: 1} })
		}, "Complete c2/s2"},
		{"speaker that had the revision before proves nothing while others are down", at(PhaseCanary, 2), func(s *State) {
			s.runs(two, "n1")
			s.change("n2", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, "Canary c2/s2"},
		{"controller that is ready ends its phase, and the DaemonSet gets the template first", at(PhaseController, 3), nil, "Canary c2/s2"},
		{"canary is the first by name", at(PhaseCanary, 3), nil, "Canary c2/s2 step n1 delete n1/s1"},
		{"canary announces the fewest addresses", at(PhaseCanary, 3), func(s *State) {
			s.Nodes["n1"].Report.Addresses, s.Nodes["n2"].Report.Addresses, s.Nodes["n3"].Report.Addresses = 2, 1, 3
		}, "Canary c2/s2 step n2 delete n2/s1"},
		{"canary announces an address where any node does", at(PhaseCanary, 3), func(s *State) {
			s.Nodes["n1"].Report.Routes, s.Nodes["n2"].Report.Addresses, s.Nodes["n3"].Report.Addresses = 1, 5, 4
		}, "Canary c2/s2 step n3 delete n3/s1"},
		{"canary announces a route where no node announces an address", at(PhaseCanary, 3), func(s *State) {
			s.Nodes["n2"].Report.Routes, s.Nodes["n3"].Report.Routes = 7, 6
		}, "Canary c2/s2 step n3 delete n3/s1"},
		{"canary announces nothing while a Service is not announced", at(PhaseCanary, 3), func(s *State) {
			s.Nodes["n1"].Report.Addresses = 1
			s.Outages = []Outage{{Service: lb.ServiceKey{Namespace: "shop", Name: "web"}, Since: start.Add(-time.Hour)}}
		}, "Canary c2/s2 step n2 delete n2/s1"},
		{"canary of a correction announces nothing", at(PhaseCanary, 3), func(s *State) {
			s.runs(three, "n2")
			s.Nodes["n1"].Report.Addresses = 1
		}, "Canary c2/s2 step n2 delete n2/s3"},
		{"canary works, and is not one that does not", at(PhaseCanary, 3), func(s *State) {
			s.Settings.MaxUnavailable.Count = 2
			s.Nodes["n1"].Pod.Ready = false
		}, "Canary c2/s2 step n2 delete n2/s1"},
		{"speaker that does not work is the canary where no other may be replaced", at(PhaseCanary, 3), func(s *State) { s.Nodes["n2"].Pod.Ready = false }, "Canary c2/s2 step n2 delete n2/s1"},
		{"canary that passed ends its phase", at(PhaseCanary, 3, step("n1", 20)), func(s *State) { s.runs(two, "n1") }, "Speakers c2/s2 step n2 delete n2/s1"},
		{"change of the controller alone replaces no speaker", cluster(3, one), func(s *State) {
			s.Wanted = Revision{Controller: "c2", Speaker: "s1"}
			s.Controller.Template = "c2"
		}, "Complete c2/s1"},
		{"change of the controller alone passes while another speaker answers for a node", cluster(3, one), func(s *State) {
			s.Wanted = Revision{Controller: "c2", Speaker: "s1"}
			s.Controller.Template = "c2"
			s.Nodes["n3"].Report.Unannounced = []lb.NodeName{"n1"}
		}, "Complete c2/s1"},
		{"change of the speakers alone leaves the controller", cluster(3, one), func(s *State) {
			s.Wanted = Revision{Controller: "c1", Speaker: "s2"}
			s.Template = "s2"
		}, "Canary c1/s2 step n1 delete n1/s1"},
		{"last speaker completes the rollout", at(PhaseSpeakers, 3, step("n3", 20)), func(s *State) { s.runs(two, "n1", "n2", "n3") }, "Complete c2/s2"},
		{"node that is down does not hold the rollout", at(PhaseSpeakers, 3), func(s *State) {
			s.runs(two, "n1", "n2")
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, "Complete c2/s2"},
		{"node that is back is changed", cluster(3, two), func(s *State) { s.runs(one, "n3") }, "Speakers c2/s2 step n3 delete n3/s1"},
		{"canary without any node that is up waits", at(PhaseCanary, 2), func(s *State) {
			for _, n := range []lb.NodeName{"n1", "n2"} {
				s.change(n, func(n *Node) { n.Skip, n.Down = "NotReady", true })
			}
		}, "Canary c2/s2"},
		{"cluster without nodes completes", at(PhaseCanary, 0), nil, "Complete c2/s2"},
		{"one node is its own canary", at(PhaseCanary, 1), nil, "Canary c2/s2 step n1 delete n1/s1"},
	})
}

func TestDecide_Installation(t *testing.T) {
	first := func(nodes int) State {
		s := cluster(nodes, one)
		s.Stored = Stored{}
		return s
	}
	run(t, []test{
		{"pods that are ready make the first good revision", first(3), nil, "Complete c1/s1"},
		{"pod that is not ready is waited for", first(3), func(s *State) { s.Nodes["n2"].Pod.Ready = false }, "Installing c1/s1"},
		{"pod that is not ready is not waited for longer than a step", first(3), func(s *State) {
			s.Stored = Stored{Phase: PhaseInstalling, Revision: one, Since: start.Add(-timeout)}
			s.Nodes["n2"].Pod.Ready = false
		}, "Complete c1/s1"},
		{"no pod that is ready is no installation", first(2), func(s *State) {
			s.Stored = Stored{Phase: PhaseInstalling, Revision: one, Since: start.Add(-timeout)}
			s.Nodes["n1"].Pod.Ready, s.Nodes["n2"].Pod.Ready = false, false
		}, "Installing c1/s1"},
		{"controller that is not ready is waited for", first(3), func(s *State) { s.Controller.Ready = false }, "Installing c1/s1"},
		{"change before any revision was good replaces what does not work at once", first(3), func(s *State) {
			s.Wanted, s.Template, s.Controller.Template = two, "s2", "c2"
			s.Nodes["n1"].Pod.Ready, s.Nodes["n3"].Pod.Ready = false, false
		}, "Installing c2/s2 step n1 step n3 delete n1/s1 delete n3/s1"},
		{"change before any revision was good replaces what works one by one", first(3), func(s *State) {
			s.Wanted, s.Template, s.Controller.Template = two, "s2", "c2"
		}, "Installing c2/s2 step n1 delete n1/s1"},
	})
}

func TestDecide_Steps(t *testing.T) {
	at5 := func(edit func(*State)) func(*State) {
		return func(s *State) {
			s.runs(two, "n1")
			edit(s)
		}
	}
	run(t, []test{
		{"maxUnavailable of two replaces two", at(PhaseSpeakers, 5), at5(func(s *State) { s.Settings.MaxUnavailable.Count = 2 }),
			"Speakers c2/s2 step n2 step n3 delete n2/s1 delete n3/s1"},
		{"share is rounded up", at(PhaseSpeakers, 5), at5(func(s *State) { s.Settings.MaxUnavailable = MaxUnavailable{Percent: 21} }),
			"Speakers c2/s2 step n2 step n3 delete n2/s1 delete n3/s1"},
		{"100 % replaces all that are left", at(PhaseSpeakers, 3), at5(func(s *State) { s.Settings.MaxUnavailable = MaxUnavailable{Percent: 100} }),
			"Speakers c2/s2 step n2 step n3 delete n2/s1 delete n3/s1"},
		{"speaker that is not ready counts, whichever revision it has", at(PhaseSpeakers, 5), at5(func(s *State) {
			s.Settings.MaxUnavailable.Count = 2
			s.Nodes["n1"].Pod.Restarts = 1
			s.change("n5", func(n *Node) { n.Pod = nil })
		}), "Speakers c2/s2 step n2 step n5 delete n2/s1"},
		{"node that is down does not count", at(PhaseSpeakers, 5), at5(func(s *State) {
			s.change("n5", func(n *Node) { n.Skip, n.Down, n.Pod.Ready = "NotReady", true, false })
		}), "Speakers c2/s2 step n2 delete n2/s1"},
		{"speaker that is not ready goes first", at(PhaseSpeakers, 5), at5(func(s *State) { s.Nodes["n4"].Pod.Ready = false }),
			"Speakers c2/s2 step n4 delete n4/s1"},
		{"former speaker that has not ended is waited for", at(PhaseSpeakers, 5, step("n2", 5)), at5(func(s *State) { s.Nodes["n2"].Pod.Ending = true }),
			"Speakers c2/s2 step n2"},
		{"step that was stored and not begun is begun", at(PhaseSpeakers, 5, step("n3", 100)), at5(func(*State) {}),
			"Speakers c2/s2 step n3 delete n3/s1"},
		{"step that was not begun is dropped when another speaker fails", at(PhaseSpeakers, 5, step("n3", 0)), at5(func(s *State) { s.Nodes["n1"].Pod.Ready = false }),
			"Speakers c2/s2 step n1"},
		{"step that was not begun is never late", at(PhaseSpeakers, 5, step("n3", 1000)), at5(func(*State) {}),
			"Speakers c2/s2 step n3 delete n3/s1"},
		{"pod made from the former template is deleted as well", at(PhaseSpeakers, 5, step("n2", 5)), at5(func(s *State) { s.Nodes["n2"].Pod.ID = "again" }),
			"Speakers c2/s2 step n2 delete again"},
		{"pods made from the former template are not deleted without end", at(PhaseSpeakers, 5, Step{Node: "n2", Pod: "last", Since: start, Tries: maxTries}),
			at5(func(s *State) { s.Nodes["n2"].Pod.ID = "again" }), "Speakers c2/s2 step n2"},
		{"nothing is deleted before the DaemonSet has the template", at(PhaseSpeakers, 5, step("n3", 1)), at5(func(s *State) { s.Template = "" }),
			"Speakers c2/s2"},
		{"speaker that somebody replaced is a step", at(PhaseSpeakers, 5), at5(func(s *State) {
			s.runs(two, "n5")
			s.Nodes["n5"].Pod.Ready = false
		}), "Speakers c2/s2 step n5"},
		{"speaker that somebody replaced by the former revision is changed", at(PhaseSpeakers, 5, Step{Node: "n5", Since: start}), at5(func(*State) {}),
			"Speakers c2/s2 step n2 delete n2/s1"},
		{"speaker that was replaced passes its gate also where no other could start", at(PhaseSpeakers, 5, step("n2", 30)), at5(func(s *State) {
			s.runs(two, "n2")
			s.change("n2", func(n *Node) { n.Skip, n.Report = "has a taint", nil })
		}), "Speakers c2/s2 step n2"},
		{"nothing begins while the controller is not ready", at(PhaseSpeakers, 5), at5(func(s *State) { s.Controller.Ready = false }), "Speakers c2/s2"},
		{"node that cannot run a speaker is left alone", at(PhaseSpeakers, 2), at5(func(s *State) { s.change("n2", func(n *Node) { n.Skip = "has a taint" }) }),
			"Complete c2/s2"},
		{"node that is gone ends its step", at(PhaseSpeakers, 3, step("n3", 5)), at5(func(s *State) { delete(s.Nodes, "n3") }), "Speakers c2/s2 step n2 delete n2/s1"},
	})
}
