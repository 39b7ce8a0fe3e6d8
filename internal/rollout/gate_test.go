package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// onCanary is a rollout of three nodes whose canary n1 has a pod of the new revision.
func onCanary(seconds int, edits ...func(*State)) State {
	s := at(PhaseCanary, 3, step("n1", seconds))
	s.runs(two, "n1")
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func TestDecide_Gate(t *testing.T) {
	const waits, passes, unproven = "Canary c2/s2 step n1", "Speakers c2/s2 step n2 delete n2/s1", "Canary c2/s2 step n3 delete n3/s1"
	const another = "Canary c2/s2 step n2 delete n2/s1"
	outage := func(since, changed time.Duration) func(*State) {
		return func(s *State) {
			s.Outages = []Outage{{Service: lb.ServiceKey{Namespace: "shop", Name: "web"}, Since: start.Add(since), Changed: start.Add(changed)}}
		}
	}
	readyFor := func(long time.Duration, restarts int) func(*State) {
		return func(s *State) { s.Nodes["n1"].Pod.Since, s.Nodes["n1"].Pod.Restarts = start.Add(-long), restarts }
	}
	report := func(name lb.NodeName, r *Report) func(*State) {
		return func(s *State) { s.change(name, func(n *Node) { n.Report = r }) }
	}
	sessions := func(name lb.NodeName, established map[bgp.PeerName]bool) func(*State) {
		return report(name, &Report{Sessions: established})
	}
	covers := report("n3", &Report{Unannounced: []lb.NodeName{"n1"}, Sessions: map[bgp.PeerName]bool{"tor": true}})
	before := func(routes int) func(*State) { return func(s *State) { s.Stored.Steps[0].Routes = routes } }
	tor := func(established bool) map[bgp.PeerName]bool { return map[bgp.PeerName]bool{"tor": established} }
	routes := func(name lb.NodeName, count int) func(*State) {
		return report(name, &Report{Sessions: tor(true), Routes: count})
	}
	run(t, []test{
		{"everything as before passes", onCanary(20), nil, passes},
		{"pod that is not ready waits", onCanary(20), func(s *State) { s.Nodes["n1"].Pod.Ready = false }, waits},
		{"pod that ends waits", onCanary(20), func(s *State) { s.Nodes["n1"].Pod.Ending = true }, waits},
		{"pod that is not made yet waits", onCanary(20), func(s *State) { s.change("n1", func(n *Node) { n.Pod = nil }) }, waits},
		{"pod that has just become ready waits", onCanary(20, readyFor(minReadyTime-1, 0)), nil, waits},
		{"pod that has been ready for a while passes", onCanary(20, readyFor(minReadyTime, 0)), nil, passes},
		{"pod that has just become ready when the time of its step is over waits", onCanary(120, readyFor(minReadyTime-1, 0)), nil, waits},
		{"pod that was ready for long enough when the time of its step is over, and is missed, fails", onCanary(120, readyFor(minReadyTime, 0), report("n3", &Report{Misses: []lb.NodeName{"n1"}, Sessions: tor(true)})), nil,
			"RollingBack c1/s1 failed n1: communication between the speaker and 1 other speakers fails; before the replacement it failed with 0"},
		{"pod that was restarted waits for twice as long", onCanary(30, readyFor(2*minReadyTime-1, 1)), nil, waits},
		{"pod that was restarted often waits for half of a step at most", onCanary(80, readyFor(timeout/2, 50)), nil, passes},
		{"speaker that has not reported waits", onCanary(20, report("n1", nil)), nil, waits},
		{"speaker that misses another waits", onCanary(20, report("n1", &Report{Misses: []lb.NodeName{"n3"}, Sessions: tor(true)})), nil, waits},
		{"speaker that another misses waits", onCanary(20, report("n3", &Report{Misses: []lb.NodeName{"n1"}, Sessions: tor(true)})), nil, waits},
		{"speaker that is missed as before passes", onCanary(20, report("n3", &Report{Misses: []lb.NodeName{"n1"}, Sessions: tor(true)})), func(s *State) {
			s.Stored.Steps[0].Gap = 1
		}, passes},
		{"missing a node that is down passes", onCanary(20, report("n1", &Report{Misses: []lb.NodeName{"n3"}, Sessions: tor(true)})), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, passes},
		{"missing a speaker on a node with a taint waits", onCanary(20, report("n1", &Report{Misses: []lb.NodeName{"n3"}, Sessions: tor(true)})), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip = "has a taint" })
		}, waits},
		{"missing a speaker with another port passes", onCanary(20, report("n1", &Report{Misses: []lb.NodeName{"n2", "n3"}, Sessions: tor(true)})), func(s *State) {
			s.Nodes["n1"].Pod.Mesh = 7000
		}, passes},
		{"speaker that another one answers for waits", onCanary(20, covers), nil, waits},
		{"speaker that another one answers for passes where only the controller changes", onCanary(130, covers), func(s *State) {
			s.Stored.Good.Speaker = two.Speaker
			s.runs(two, "n1", "n2", "n3")
		}, "Complete c2/s2"},
		{"speaker that another one answers for passes where that was so of the good revision", onCanary(20, covers), func(s *State) { s.Stored.Unverified = true }, passes},
		{"speaker that takes an address after its step, and does not announce it, gets another step", at(PhaseSpeakers, 3, step("n2", 20)), func(s *State) {
			s.runs(two, "n1", "n2")
			covers(s)
		}, "Speakers c2/s2 step n1"},
		{"so does one on a node with a taint", at(PhaseCanary, 3), func(s *State) {
			s.runs(two, "n1")
			covers(s)
			s.change("n1", func(n *Node) { n.Skip = "has a taint" })
		}, "Canary c2/s2 step n1"},
		{"speaker that only one that is down answers for passes", onCanary(20, covers), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, passes},
		{"speaker that one on a node with a taint answers for waits", onCanary(20, covers), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip = "has a taint" })
		}, waits},
		{"session that was established and is not waits", onCanary(20, sessions("n1", tor(false))), nil, waits},
		{"session with a router that lost all others passes", onCanary(20, sessions("n1", tor(false)), sessions("n2", tor(false)), sessions("n3", tor(false))), nil, passes},
		{"session that only this node has waits", onCanary(20, sessions("n1", tor(false)), sessions("n2", nil), sessions("n3", nil)), nil, waits},
		{"session that is not wanted any more passes", onCanary(20, sessions("n1", nil)), nil, passes},
		{"session that was not established before passes", onCanary(20, sessions("n1", map[bgp.PeerName]bool{"tor": true, "new": false})), nil, passes},
		{"speaker that announces routes no more, while others do, waits", onCanary(20, routes("n1", 0), routes("n3", 5)), before(5), waits},
		{"speaker that announces fewer routes than before passes", onCanary(20, routes("n1", 1), routes("n3", 5)), before(5), passes},
		{"speaker that announced no routes before passes", onCanary(20, routes("n1", 0), routes("n3", 5)), before(0), passes},
		{"speaker without routes passes where no other has any", onCanary(20, routes("n1", 0), routes("n2", 0), routes("n3", 0)), before(5), another},
		{"speaker without routes passes where none of the good revision has any", onCanary(20, routes("n1", 0), routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.runs(two, "n3")
		}, passes},
		{"speaker without routes passes where only a node that is down had any", onCanary(20, routes("n1", 0), routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, another},
		{"speaker that is to have no session any more passes without routes", onCanary(20, report("n1", &Report{}), routes("n3", 5)), before(5), unproven},
		{"speaker of a node that is drained passes without routes", onCanary(20, routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.change("n1", func(n *Node) { n.Report = &Report{Sessions: tor(true), Draining: true} })
		}, unproven},
		{"speaker without routes passes where the spec has changed since", onCanary(20, routes("n1", 0), routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.edited(-10 * time.Second)
		}, unproven},
		{"speaker without routes passes where the spec had just changed", onCanary(20, routes("n1", 0), routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.edited(-29 * time.Second)
		}, unproven},
		{"speaker without routes waits where the spec changed long before", onCanary(20, routes("n1", 0), routes("n3", 5)), func(s *State) {
			before(5)(s)
			s.edited(-30 * time.Second)
		}, waits},
		{"Service that is not announced since waits", onCanary(20, readyFor(maxOutageTime-1, 0), outage(-50*time.Second, -time.Hour)), nil, waits},
		{"Service that was not announced before passes", onCanary(20, outage(-61*time.Second, -time.Hour)), nil, passes},
		{"Service that its owner changed since passes", onCanary(20, outage(-5*time.Second, -6*time.Second)), nil, passes},
		{"Service that its owner changed long before it was lost waits", onCanary(40, readyFor(minReadyTime, 0), outage(-5*time.Second, -66*time.Second)), nil, waits},
		{"Service that is lost while a former speaker cannot report passes", onCanary(20, outage(-5*time.Second, -time.Hour)), func(s *State) {
			s.Nodes["n3"].Pod.Unauthorized = true
		}, passes},
		{"Service that is lost while a former speaker that cannot report is dead waits", onCanary(20, outage(-5*time.Second, -time.Hour)), func(s *State) {
			s.change("n3", func(n *Node) { n.Pod.Unauthorized, n.Silent, n.Skip, n.Down = true, true, "NotReady", true })
		}, waits},
		{"Service that is lost while a node that others receive from does not reach the API server passes", onCanary(20, outage(-5*time.Second, -time.Hour)), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, passes},
		{"Service that is lost while a node that all miss is down waits", onCanary(20, outage(-5*time.Second, -time.Hour)), func(s *State) {
			s.change("n3", func(n *Node) { n.Skip, n.Down = "NotReady", true })
			for _, name := range []lb.NodeName{"n1", "n2"} {
				s.Nodes[name].Report.Misses = []lb.NodeName{"n3"}
			}
		}, waits},
		{"Service that is lost while a former speaker does not work passes", onCanary(20, outage(-5*time.Second, -time.Hour)), func(s *State) {
			s.Settings.MaxUnavailable.Count = 2
			s.Nodes["n3"].Pod.Ready = false
		}, "Speakers c2/s2 step n2 step n3 delete n2/s1 delete n3/s1"},
		{"controller that is not ready waits", onCanary(20), func(s *State) { s.Controller.Ready = false }, waits},
	})
}

func TestDecide_Failure(t *testing.T) {
	const back = "RollingBack c1/s1"
	notReady := func(s *State) {
		s.Nodes["n1"].Pod.Ready, s.Nodes["n1"].Pod.Problem = false, "the image cannot be pulled"
	}
	unseen := func(s *State) { s.Template = "s1" } // the DaemonSet has what is wanted next
	run(t, []test{
		{"step that is late fails", onCanary(120, notReady, unseen), nil, back + " step n1 delete n1/s2 failed n1: the speaker is not ready: the image cannot be pulled"},
		{"speaker that does not announce fails", onCanary(120, unseen), func(s *State) {
			s.Nodes["n2"].Report.Unannounced = []lb.NodeName{"n1"}
		}, back + " step n1 delete n1/s2 failed n1: the speaker does not announce its addresses on the network: the speaker on n2 answers for these addresses, with the hardware address of n1"},
		{"step that is almost late does not", onCanary(119, notReady), nil, "Canary c2/s2 step n1"},
		{"time in which the operator did not see the cluster does not count", onCanary(500, notReady), func(s *State) { s.SeenSince = start.Add(-119 * time.Second) }, "Canary c2/s2 step n1"},
		{"Halt stops where it is", onCanary(120, notReady), func(s *State) { s.Settings.Halt = true },
			"Halted / failed n1: the speaker is not ready: the image cannot be pulled"},
		{"without the templates of the good revision it stops, and workloads stay", onCanary(120, notReady), func(s *State) { s.GoodStored = false },
			"Halted / failed n1: the speaker is not ready: the image cannot be pulled: the pod templates of the last good revision c1-s1 no longer exist, so no node is rolled back"},
		{"controller that is late fails", at(PhaseController, 3), func(s *State) {
			s.Stored.Since = start.Add(-timeout)
			s.Controller.Ready = false
		}, back + " failed : the controller is not ready with the new revision"},
		{"former speaker that does not end fails", onCanary(120), func(s *State) {
			s.runs(one, "n1")
			s.Nodes["n1"].Pod.Ending = true
		}, back + " failed n1: the former speaker has not ended"},
		{"speaker that did not work before does not fail", onCanary(120, notReady), func(s *State) { s.Stored.Steps[0].Broken = true }, "Canary c2/s2 step n1"},
		{"node that came up since does not fail", at(PhaseSpeakers, 3, Step{Node: "n3", Since: start.Add(-timeout), Broken: true}), func(s *State) {
			s.runs(two, "n1", "n2")
			s.change("n3", func(n *Node) { n.Pod = nil })
		}, "Complete c2/s2 step n3"},
		{"Service that stays unannounced fails before the step is late", onCanary(50, unseen), func(s *State) {
			s.Nodes["n1"].Pod.Since = start.Add(-maxOutageTime)
			s.Outages = []Outage{{Service: lb.ServiceKey{Namespace: "shop", Name: "web"}, Since: start.Add(-maxOutageTime)}}
		}, back + " step n1 delete n1/s2 failed : the Service shop/web was announced before and is not announced now"},
		{"speaker that had the revision before and has not reported is a step", at(PhaseCanary, 3), func(s *State) {
			s.runs(two, "n1", "n2", "n3")
			s.change("n1", func(n *Node) { n.Report = nil })
		}, "Canary c2/s2 step n1"},
		{"revision that all nodes had before and that reports nothing fails", at(PhaseCanary, 1, Step{Node: "n1", Since: start.Add(-timeout)}), func(s *State) {
			s.runs(two, "n1")
			s.change("n1", func(n *Node) { n.Report = nil })
		}, back + " failed n1: the speaker has not reported its state"},
		{"node that goes down in its step is skipped", onCanary(20, notReady), func(s *State) {
			s.change("n1", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, "Canary c2/s2 step n2 delete n2/s1"},
		{"second node that goes down in its step fails", onCanary(20, notReady), func(s *State) {
			s.Stored.Lost = 1
			s.change("n1", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		}, "RollingBack c1/s1 failed : 2 nodes went down while their speakers were replaced"},
	})
}

func TestDecide_Rollback(t *testing.T) {
	failed := Failure{Node: "n1", Why: "why"}
	back := func(p Phase, steps ...Step) State {
		s := at(p, 3, steps...)
		s.Stored.Failure = failed
		return s
	}
	const f = " failed n1: why"
	run(t, []test{
		{"speaker that is not ready goes back first", back(PhaseRollingBack), func(s *State) {
			s.runs(two, "n1", "n2")
			s.Nodes["n2"].Pod.Ready = false
		}, "RollingBack c1/s1 step n2 delete n2/s2" + f},
		{"speakers that are ready go back one by one, the one with the most addresses first", back(PhaseRollingBack), func(s *State) {
			s.runs(two, "n1", "n2")
			s.Nodes["n2"].Report.Addresses = 4
		}, "RollingBack c1/s1 step n2 delete n2/s2" + f},
		{"step back that is late lets the others go on", back(PhaseRollingBack, Step{Node: "n1", Pod: "n1/s2", Since: start.Add(-timeout)}), func(s *State) {
			s.runs(two, "n2")
			s.Nodes["n1"].Report.Misses = []lb.NodeName{"n3"}
		}, "RollingBack c1/s1 step n1 step n2 delete n2/s2" + f},
		{"speaker of the good revision that another one answers for passes", back(PhaseRollingBack, Step{Node: "n1", Pod: "n1/s2", Since: start.Add(-time.Minute)}), func(s *State) {
			s.Nodes["n3"].Report.Unannounced = []lb.NodeName{"n1"}
		}, "RolledBack c1/s1" + f},
		{"step back whose speaker does not get ready takes no other that is", back(PhaseRollingBack, Step{Node: "n1", Pod: "n1/s2", Since: start.Add(-timeout)}), func(s *State) {
			s.runs(two, "n2")
			s.Nodes["n1"].Pod.Ready = false
		}, "RollingBack c1/s1 step n1" + f},
		{"all that can be are back", back(PhaseRollingBack), nil, "RolledBack c1/s1" + f},
		{"controller that is not back is waited for", back(PhaseRollingBack), func(s *State) { s.Controller.Template = "c2" }, "RollingBack c1/s1" + f},
		{"failed revision is not tried again", back(PhaseRolledBack), nil, "RolledBack c1/s1" + f},
		{"retry tries it again", back(PhaseRolledBack), func(s *State) { s.Retry = "now" }, "Controller c2/s1"},
		{"retry waits until all are back", back(PhaseRollingBack, Step{Node: "n1", Pod: "n1/s2", Since: start.Add(-time.Minute)}), func(s *State) {
			s.change("n1", func(n *Node) { n.Pod = nil })
			s.Retry = "now"
		}, "RollingBack c1/s1 step n1" + f},
		{"retry while the way back stands still", back(PhaseRollingBack, Step{Node: "n1", Pod: "n1/s2", Since: start.Add(-timeout)}), func(s *State) {
			s.Nodes["n1"].Pod.Ready, s.Stored.Since = false, start.Add(-timeout)
			s.runs(two, "n2")
			s.Retry = "now"
		}, "Controller c2/s1"},
		{"retry of a rollout that stopped", back(PhaseHalted), func(s *State) { s.Retry = "now" }, "Canary c2/s2 step n1 delete n1/s1"},
		{"another revision is tried", back(PhaseRolledBack), func(s *State) { s.Wanted = three }, "Controller c3/s1"},
		{"another revision is tried from where a rollout stopped", back(PhaseHalted), func(s *State) { s.Wanted = three }, "Controller c3/s1"},
		{"change that is taken back completes", back(PhaseRolledBack), func(s *State) { s.Wanted = one }, "Complete c1/s1"},
		{"change that is taken back on the way needs no canary", at(PhaseSpeakers, 3), func(s *State) {
			s.runs(two, "n1", "n2")
			s.Wanted, s.Template, s.Controller.Template = one, "s1", "c1"
		}, "RollingBack c1/s1 step n1 delete n1/s2"},
		{"revision that changes on the way begins with the controller", at(PhaseSpeakers, 3, step("n2", 5)), func(s *State) {
			s.runs(two, "n1")
			s.change("n2", func(n *Node) { n.Pod = nil })
			s.Wanted = three
		}, "Controller c3/s1"},
		{"node that comes back with the failed revision is changed", back(PhaseRolledBack), func(s *State) { s.runs(two, "n3") },
			"RollingBack c1/s1 step n3 delete n3/s2" + f},
		{"rollout that stopped replaces nothing", back(PhaseHalted, step("n2", 5)), func(s *State) {
			s.runs(two, "n1")
			s.Settings.Halt = true
		}, "Halted /" + f},
		{"rollout that stopped is taken back when the spec asks for it", back(PhaseHalted), func(s *State) {
			s.runs(two, "n1")
			s.Template, s.Controller.Template = "s1", "c1"
		}, "RollingBack c1/s1 step n1 delete n1/s2" + f},
		{"way back stops when the spec asks for it", back(PhaseRollingBack), func(s *State) {
			s.runs(two, "n1")
			s.Settings.Halt = true
		}, "Halted /" + f},
		{"templates of the good revision that are gone leave the workloads as they are", back(PhaseRolledBack), func(s *State) {
			s.runs(two, "n3")
			s.GoodStored = false
		}, "RolledBack /" + f},
	})
}

func TestDecide_Unverified(t *testing.T) {
	covered := func(s State, revision Revision, edits ...func(*State)) State {
		s.runs(revision, "n1")
		s.Nodes["n3"].Report.Unannounced = []lb.NodeName{"n1"}
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	for _, tt := range []struct {
		name  string
		state State
		want  bool
	}{
		{"speaker of the good revision that another one covers for", covered(at(PhaseCanary, 3), one), true},
		{"the same when no rollout is under way", covered(cluster(3, one), one), true},
		{"the same after a rollout that failed", covered(at(PhaseRolledBack, 3), one), true},
		{"speaker that has just become ready", covered(cluster(3, one), one, func(s *State) { s.Nodes["n1"].Pod.Since = start.Add(1 - minReadyTime) }), false},
		{"speaker that is not ready", covered(cluster(3, one), one, func(s *State) { s.Nodes["n1"].Pod.Ready = false }), false},
		{"speaker of a revision that failed", covered(at(PhaseCanary, 3), three), false},
		{"speaker that one of another revision covers for", covered(at(PhaseSpeakers, 3), one, func(s *State) { s.runs(two, "n3") }), false},
		{"speaker that no other covers for", at(PhaseCanary, 3), false},
		{"speaker of the first revision before it is good", covered(cluster(3, one), one, func(s *State) {
			s.Stored, s.Controller.Ready = Stored{Phase: PhaseInstalling, Revision: one}, false
		}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := settled(t, tt.state).Next.Unverified; got != tt.want {
				t.Errorf("unverified: got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestDecide_UnverifiedLastsAsLongAsTheGoodRevision(t *testing.T) {
	unverified := func(s State, edits ...func(*State)) State {
		s.Stored.Unverified = true
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	for _, tt := range []struct {
		name  string
		state State
		want  bool
	}{
		{"no speaker covers any more", unverified(cluster(3, one)), true},
		{"another revision is wanted", unverified(cluster(3, one), func(s *State) { s.Wanted = two }), true},
		{"revision is tried again", unverified(at(PhaseRolledBack, 3), func(s *State) { s.Retry = "now" }), true},
		{"revision fails", unverified(onCanary(120), func(s *State) { s.Nodes["n1"].Pod.Ready = false }), true},
		{"only the controller changes", unverified(cluster(3, one), func(s *State) {
			s.Wanted, s.Controller.Template = Revision{Controller: "c2", Speaker: "s1"}, "c2"
		}), true},
		{"another revision is the good one", unverified(at(PhaseSpeakers, 3), func(s *State) { s.runs(two, "n1", "n2", "n3") }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := settled(t, tt.state).Next.Unverified; got != tt.want {
				t.Errorf("unverified: got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestDecide_SpeakerThatCoversForTheCanary(t *testing.T) {
	const waits, passes = "Canary c2/s2 step n1", "Speakers c2/s2 step n2 delete n2/s1"
	report := func(edit func(*Report)) func(*State) {
		return func(s *State) {
			s.change("n3", func(n *Node) {
				r := *n.Report
				edit(&r)
				n.Report = &r
			})
		}
	}
	started := func(at time.Time) func(*State) { return report(func(r *Report) { r.Started = at }) }
	node := func(edit func(*Node)) func(*State) { return func(s *State) { s.change("n3", edit) } }
	shown := report(func(r *Report) { r.Unannounced = nil })
	late := func(s *State) { s.Now, s.Template = s.Now.Add(timeout), "s1" }
	together := func(edits ...func(*State)) func(*State) {
		return func(s *State) {
			for _, edit := range edits {
				edit(s)
			}
		}
	}
	for _, tt := range []struct {
		name string
		then []func(*State) // the operator decides after each
		want string
	}{
		{"reports the canary no more", []func(*State){shown}, passes},
		{"is not ready", []func(*State){together(shown, node(func(n *Node) { n.Pod.Ready = false }))}, waits},
		{"is not ready for a while, and reports the canary no more", []func(*State){node(func(n *Node) { n.Pod.Ready = false }), together(node(func(n *Node) { n.Pod.Ready = true }), shown)}, passes},
		{"is missed by the others", []func(*State){together(shown, node(func(n *Node) { n.Silent = true }))}, waits},
		{"was missed by the others", []func(*State){node(func(n *Node) { n.Silent = true }), together(shown, node(func(n *Node) { n.Silent = false }))}, waits},
		{"is on a node that gets a taint", []func(*State){together(shown, node(func(n *Node) { n.Skip = "has a taint" }))}, waits},
		{"is on a node that goes down", []func(*State){node(func(n *Node) { n.Skip, n.Down = "NotReady", true })}, waits},
		{"is on a node that is deleted", []func(*State){func(s *State) { delete(s.Nodes, "n3") }}, waits},
		{"has ended", []func(*State){node(func(n *Node) { n.Report = nil })}, waits},
		{"has restarted", []func(*State){together(shown, started(start.Add(-time.Second)))}, waits},
		{"is isolated", []func(*State){report(func(r *Report) { r.Isolated, r.Unannounced = true, nil })}, waits},
		{"was isolated", []func(*State){report(func(r *Report) { r.Isolated = true }), report(func(r *Report) { r.Isolated, r.Unannounced = false, nil })}, waits},
		{"has restarted, and reports the canary again for a while", []func(*State){started(start.Add(-time.Second)), shown}, waits},
		{"is lost for the time of a step", []func(*State){together(shown, started(start.Add(-time.Second))), late},
			"RollingBack c1/s1 step n1 delete n1/s2 failed n1: the speaker on n3 reported that the speaker on n1 does not announce its addresses on the network, and has not withdrawn the report"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := onCanary(20)
			started(start.Add(-time.Hour))(&s)
			report(func(r *Report) { r.Unannounced = []lb.NodeName{"n1"} })(&s)
			p := settled(t, s)
			for _, edit := range tt.then {
				edit(&s)
				s.Stored = p.Next
				p = settled(t, s)
			}
			if diff := cmp.Diff(tt.want, short(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecide_LeavesTheSpeakerThatCoversForTheNodeOfAStep(t *testing.T) {
	s := at(PhaseSpeakers, 4, step("n2", 20))
	s.runs(two, "n1", "n2")
	s.Settings.MaxUnavailable.Count = 2
	s.Nodes["n3"].Report.Started, s.Nodes["n3"].Report.Unannounced = start.Add(-time.Hour), []lb.NodeName{"n2"}
	if diff := cmp.Diff("Speakers c2/s2 step n2 step n4 delete n4/s1", short(settled(t, s))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
