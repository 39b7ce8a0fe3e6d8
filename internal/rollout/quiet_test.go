package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// replaced is a rollout of some nodes, each with three addresses, whose canary n1 was
// replaced a minute ago and announces nothing since: n2 has its addresses.
func replaced(nodes int, edits ...func(*State)) State {
	first := step("n1", 60)
	first.Addresses, first.Others = 3, 3*(nodes-1)
	s := at(PhaseCanary, nodes, first)
	for name := range s.Nodes {
		s.Nodes[name].Report.Addresses = 3
	}
	s.runs(two, "n1")
	s.Nodes["n1"].Pod.Since = start.Add(-40 * time.Second)
	s.Nodes["n1"].Report.Addresses = 0
	if nodes > 1 {
		s.Nodes["n2"].Report.Addresses = 6
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func TestDecide_CanaryThatAnnouncesNothing(t *testing.T) {
	readyFor := func(long time.Duration) func(*State) {
		return func(s *State) { s.Nodes["n1"].Pod.Since = start.Add(-long) }
	}
	report := func(edit func(*Report)) func(*State) { return func(s *State) { edit(s.Nodes["n1"].Report) } }
	before := func(edit func(*Step)) func(*State) { return func(s *State) { edit(&s.Stored.Steps[0]) } }
	const (
		waits, next, passes = "Canary c2/s2 step n1", "Canary c2/s2 step n3 delete n3/s1", "Speakers c2/s2 step n3 delete n3/s1"
		back                = "RollingBack c1/s1"
		why                 = " failed n1: the speaker announced 3 addresses on the local network before it was replaced, and has announced none since, although other speakers do"
	)
	moved := func(nodes int, edits ...func(*State)) State {
		return replaced(nodes, append(edits, before(func(s *Step) { s.Moved = true }))...)
	}
	has2 := func(name lb.NodeName) func(*State) { return func(s *State) { s.runs(two, name) } }
	routes := before(func(s *Step) { s.Addresses, s.Routes, s.Sessions = 0, 1, nil })
	unseen := func(s *State) { s.Template = "s1" } // the DaemonSet has what is wanted next
	run(t, []test{
		{"a node with a taint has its addresses", replaced(4), func(s *State) {
			s.Stored.Quiet = "n4"
			s.change("n2", func(n *Node) { n.Skip = "has a taint" })
			unseen(s)
		}, back + " step n1 delete n1/s2" + why + "; the speaker on n4 failed in the same way"},
		{"it may still resume", replaced(4, readyFor(resumeTimeout-1)), nil, waits},
		{"the next canary is tried", replaced(4), nil, next},
		{"a second one fails the revision", replaced(4, unseen), func(s *State) { s.Stored.Quiet = "n4" }, back + " step n1 delete n1/s2" + why + "; the speaker on n4 failed in the same way"},
		{"the first one fails it where a second would leave addresses to nobody", replaced(2, unseen), nil, back + " step n1 delete n1/s2" + why},
		{"it has an address again", replaced(4, report(func(r *Report) { r.Addresses = 1 })), nil, passes},
		{"it had none before", replaced(4, before(func(s *Step) { s.Addresses = 0 })), nil, passes},
		{"nobody has its addresses, as of Services that were deleted", replaced(4), func(s *State) { s.Nodes["n2"].Report.Addresses = 5 }, next},
		{"others took them before it ran", moved(4), nil, next},
		{"others took them before it ran, and it has one again", moved(4, report(func(r *Report) { r.Addresses = 1 })), nil, passes},
		{"others took them before it ran, and another one of the revision has some", moved(4, has2("n4")), nil, "Speakers c2/s2 step n3 delete n3/s1"},
		{"others took them before a second one ran", moved(4), func(s *State) { s.Stored.Quiet = "n4" }, next},
		{"others took them before it ran, and it is the last", moved(1), nil, "Complete c2/s2"},
		{"it announced nothing before, and another canary announces nothing any more", replaced(4, before(func(s *Step) { s.Addresses = 0 })), func(s *State) { s.Stored.Quiet = "n4" }, next},
		{"it announced routes alone, and announces none rightly", replaced(4, routes, report(func(r *Report) { r.Sessions = nil })), func(s *State) { s.Nodes["n2"].Report.Routes, s.Nodes["n4"].Report.Routes = 1, 1 }, next},
		{"it announces routes again", replaced(4, routes, report(func(r *Report) { r.Routes = 1 })), nil, passes},
		{"the spec has changed since", replaced(4), func(s *State) { s.edited(-50 * time.Second) }, next},
		{"it receives nothing from the network", replaced(4, report(func(r *Report) { r.Isolated = true })), nil, next},
		{"another one proved the revision", replaced(4, func(s *State) { s.Stored.Phase, s.Stored.Proven = PhaseSpeakers, true }), nil, passes},
		{"only the controller changes", replaced(4, func(s *State) {
			s.Stored.Good.Speaker = two.Speaker
			s.runs(two, "n2", "n3", "n4")
		}), nil, "Complete c2/s2"},
		{"its node drains", replaced(4, report(func(r *Report) { r.Draining = true })), nil, next},
	})
}

// The canary n1 announced nothing any more when its step passed, and no other node is left for another canary.
func TestDecide_RevisionShowsAfterTheLastStep(t *testing.T) {
	waits := func(edit func(n1, n2 *Node)) State {
		s := at(PhaseCanary, 2)
		s.runs(two, "n1")
		s.change("n1", func(n *Node) { n.Report.Started = start.Add(-50 * time.Second) })
		s.change("n2", func(n *Node) { n.Skip, n.Down = "NotReady", true })
		s.change("n1", func(n1 *Node) { s.change("n2", func(n2 *Node) { edit(n1, n2) }) })
		return s
	}
	const still, proven = "Canary c2/s2", "Complete c2/s2"
	run(t, []test{
		{"it announces nothing", waits(func(_, _ *Node) {}), nil, still},
		{"it announces an address by now", waits(func(n1, _ *Node) { n1.Report.Addresses = 1 }), nil, proven},
		{"it announces a route by now, and no speaker an address", waits(func(n1, _ *Node) { n1.Report.Routes = 1 }), nil, proven},
		{"it announces a route alone, and another one an address", waits(func(n1, n2 *Node) {
			n1.Report.Routes, n2.Report.Addresses = 1, 1
			n2.Skip, n2.Down = "has a taint", false
		}), nil, still},
		{"it ran before the rollout", waits(func(n1, _ *Node) { n1.Report.Addresses, n1.Report.Started = 1, start.Add(-time.Hour) }), nil, still},
		{"it has just become ready", waits(func(n1, _ *Node) { n1.Report.Addresses, n1.Pod.Since = 1, start }), nil, still},
		{"the other node has a taint and no speaker", waits(func(_, n2 *Node) { n2.Skip, n2.Down, n2.Pod, n2.Report = "has a taint", false, nil, nil }), nil, proven},
		{"the other node has a taint and a former speaker", waits(func(_, n2 *Node) { n2.Skip, n2.Down = "has a taint", false }), nil, still},
	})
}

func TestDecide_AddressesThatMoveBeforeTheNewSpeakerRuns(t *testing.T) {
	starting := func(seconds int, edits ...func(*State)) State {
		s := replaced(4, func(s *State) {
			s.Stored.Steps[0].Since = start.Add(-time.Duration(seconds) * time.Second)
			s.Nodes["n2"].Report.Addresses = 3
			s.change("n1", func(n *Node) { n.Report = nil })
		})
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
		{"new speaker has not reported yet", starting(10), false},
		{"others have more addresses meanwhile", starting(10, func(s *State) { s.Nodes["n4"].Report.Addresses = 4 }), true},
		{"new speaker does not come for as long as others wait", starting(20), true},
		{"operator did not see all of the step", starting(10, func(s *State) { s.SeenSince = start.Add(-5 * time.Second) }), true},
		{"operator did not see all of the step, and the new speaker reports", starting(10, func(s *State) {
			s.SeenSince, s.Nodes["n1"].Pod.Since = start.Add(-5*time.Second), start
			s.change("n1", func(n *Node) { n.Report = &Report{} })
		}), true},
		{"operator saw the step from the second on in which it began", starting(10, func(s *State) { s.SeenSince = start.Add(-9500 * time.Millisecond) }), false},
		{"pod is not deleted yet", starting(30, func(s *State) { s.runs(one, "n1") }), false},
		{"new speaker reports", starting(30, func(s *State) {
			s.Nodes["n1"].Pod.Since = start
			s.change("n1", func(n *Node) { n.Report = &Report{} })
		}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := settled(t, tt.state).Next.Steps[0].Moved; got != tt.want {
				t.Errorf("moved: got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestDecide_RequeuesWhenTheCanaryMayNotResumeAnyMore(t *testing.T) {
	s := replaced(4, func(s *State) { s.Nodes["n1"].Pod.Since = start.Add(-20 * time.Second) })
	if got := settled(t, s).Again; got != 10*time.Second {
		t.Errorf("again after %s, want 10s", got)
	}
}

func TestDecide_EditIsFollowedBeforeTheCanary(t *testing.T) {
	edited := func(ago time.Duration, edits ...func(*State)) State {
		s := at(PhaseCanary, 2)
		s.edited(-ago)
		for name := range s.Nodes {
			s.Nodes[name].Report.Routes = 1
		}
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	const begins = "Canary c2/s2 step n1 delete n1/s1"
	run(t, []test{
		{"what is reported is of before", edited(reportDelay - 1), nil, "Canary c2/s2"},
		{"what is reported is of after", edited(reportDelay), nil, begins},
		{"speaker that announces nothing is no canary while another one announces", edited(0), func(s *State) { s.Nodes["n1"].Report.Routes = 0 }, "Canary c2/s2"},
		{"canary that is waited for is one that announces", edited(reportDelay), func(s *State) { s.Nodes["n1"].Report.Routes = 0 }, "Canary c2/s2 step n2 delete n2/s1"},
		{"where no speaker announces anything one is replaced at once", edited(0), func(s *State) { s.Nodes["n1"].Report.Routes = 0; s.Nodes["n2"].Report.Routes = 0 }, begins},
		{"once the revision is proven a speaker that announces nothing is replaced at once", edited(0), func(s *State) {
			s.Stored.Phase, s.Stored.Proven = PhaseSpeakers, true
			s.Nodes["n1"].Report.Routes = 0
		}, "Speakers c2/s2 step n1 delete n1/s1"},
		{"change that may be the correction goes on at once", edited(0), func(s *State) { s.Outages = []Outage{{}} }, begins},
	})
	if p := settled(t, edited(4*time.Second)); p.Again != 6*time.Second || p.Progress.Blocked == "" {
		t.Errorf("again after %s, blocked by %q; want 6s and a reason", p.Again, p.Progress.Blocked)
	}
}

// Steps begin at full seconds, and edits are seen at any time.
func TestDecide_StepThatWaitedForAnEditIsCompared(t *testing.T) {
	for edit := time.Duration(0); edit < time.Second; edit += 100 * time.Millisecond {
		begun, stored := playEdits(t, edit, 1, 0)
		if begun <= reportDelay-time.Second || begun > reportDelay {
			t.Errorf("edit %s after a full second: the step begins after %s, want %s in full seconds", edit, begun, reportDelay)
		}
		if d := (decision{next: stored}); d.isEdited(stored.Steps[0]) {
			t.Errorf("edit %s after a full second: the step that waited for it counts as before", edit)
		}
	}
}

func TestDecide_EditsThatFollowEachOtherAreWaitedForTogether(t *testing.T) {
	for _, tt := range []struct {
		name         string
		edits        int
		every, want  time.Duration
		wantCompared bool
	}{
		{"a few", 4, 9 * time.Second, 27*time.Second + reportDelay, true},
		{"more than are waited for", 100, 3 * time.Second, maxEditDelay, false},
		{"each at the end of the wait for the one before it", 100, reportDelay, maxEditDelay, false},
		{"each after the wait for the one before it", 100, reportDelay + time.Second, reportDelay, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begun, stored := playEdits(t, 0, tt.edits, tt.every)
			if begun != tt.want {
				t.Errorf("the step begins after %s, want %s", begun, tt.want)
			}
			if d := (decision{next: stored}); d.isEdited(stored.Steps[0]) == tt.wantCompared {
				t.Errorf("compared with what was before: got %t, want %t", !tt.wantCompared, tt.wantCompared)
			}
		})
	}
}

// playEdits has the spec edited some times, each some time after the one before it, in a rollout whose
// canary announces something. It returns how long after the first edit its step begins, and what is stored.
func playEdits(t *testing.T, first time.Duration, edits int, every time.Duration) (time.Duration, Stored) {
	t.Helper()
	s := at(PhaseCanary, 2)
	for name := range s.Nodes {
		s.Nodes[name].Report.Routes = 1
	}
	for begin := start.Add(first); s.Now.Sub(begin) < 2*maxEditDelay; s.Now = s.Now.Add(100 * time.Millisecond) {
		if since := s.Now.Sub(begin); since >= 0 && int(s.Generation) < edits && since >= time.Duration(s.Generation)*every {
			s.Generation++
		}
		if s.Now.Before(begin) {
			continue
		}
		if s.Stored = settled(t, s).Next; len(s.Stored.Steps) > 0 {
			return s.Now.Sub(begin), s.Stored
		}
	}
	t.Fatal("no step begins")
	return 0, Stored{}
}

// No process decides while the stack is paused, and a process that begins afterwards has seen no edit.
func TestDecide_EditBeforeTheFirstDecisionCounts(t *testing.T) {
	s := at(PhaseCanary, 2)
	for name := range s.Nodes {
		s.Nodes[name].Report.Routes = 1
	}
	s.Stored.Edits = Edits{Generation: 3, First: start.Add(-time.Hour), Last: start.Add(-time.Hour)}
	s.Generation, s.SeenSince = 5, start
	p := settled(t, s)
	if want := (Edits{Generation: 5, First: start, Last: start}); !p.Next.Edits.Equal(want) || len(p.Next.Steps) > 0 {
		t.Errorf("got %+v and steps %v, want %+v and no step", p.Next.Edits, p.Next.Steps, want)
	}
}

// An operator that ended, or a request that failed, leaves a spec that is not applied. Its effect is still to come.
func TestDecide_EditThatIsNotAppliedIsOfNow(t *testing.T) {
	stored := func(p Phase, first, last time.Duration, unapplied bool) State {
		s := at(p, 2)
		s.Stored.Edits = Edits{First: start.Add(-first), Last: start.Add(-last)}
		s.SeenSince = start.Add(-10 * time.Minute)
		for name := range s.Nodes {
			s.Nodes[name].Report.Routes = 1
		}
		s.Unapplied = unapplied
		return s
	}
	for _, tt := range []struct {
		name        string
		state       State
		first, last time.Duration // before now
		steps       int
	}{
		{"it was applied", stored(PhaseCanary, reportDelay, reportDelay, false), reportDelay, reportDelay, 1},
		{"it is not applied yet", stored(PhaseCanary, reportDelay, reportDelay, true), reportDelay, 0, 0},
		{"it was noted a moment ago", stored(PhaseCanary, 2*time.Second, 2*time.Second, true), 2 * time.Second, 2 * time.Second, 0},
		{"it is not applied for as long as edits are waited for", stored(PhaseCanary, maxEditDelay, reportDelay, true), maxEditDelay, reportDelay, 1},
		{"a process before noted it", stored(PhaseCanary, time.Hour, time.Hour, true), 0, 0, 0},
		{"nothing is compared outside of a rollout", stored(PhaseComplete, time.Hour, time.Hour, true), time.Hour, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.state.Stored.Phase == PhaseComplete {
				tt.state.Wanted, tt.state.Stored.Revision = one, one
			}
			p := settled(t, tt.state)
			if want := (Edits{First: start.Add(-tt.first), Last: start.Add(-tt.last)}); !p.Next.Edits.Equal(want) || len(p.Next.Steps) != tt.steps {
				t.Errorf("got %+v and steps %v, want %+v and %d", p.Next.Edits, p.Next.Steps, want, tt.steps)
			}
		})
	}
}

// A process that led before had another clock.
func TestDecide_EditsOfTheFutureAreOfNow(t *testing.T) {
	for _, tt := range []struct {
		name                string
		first, last         time.Duration // from now
		wantFirst, wantLast time.Duration
	}{
		{"series that began in the future", time.Hour, time.Hour + 9*time.Second, 0, 0},
		{"series that ended in the future", -30 * time.Second, time.Hour, -30 * time.Second, 0},
		{"edit of now", 0, 0, 0, 0},
		{"edit of before", -time.Hour, -time.Hour, -time.Hour, -time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := at(PhaseCanary, 2)
			s.Stored.Edits = Edits{First: start.Add(tt.first), Last: start.Add(tt.last)}
			want := Edits{First: start.Add(tt.wantFirst), Last: start.Add(tt.wantLast)}
			if diff := cmp.Diff(want, settled(t, s).Next.Edits); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecide_StepHasTheAddressesAnnouncedBefore(t *testing.T) {
	s := at(PhaseCanary, 3)
	for name := range s.Nodes {
		s.Nodes[name].Report.Addresses, s.Nodes[name].Report.Routes = 2, 7
	}
	got := settled(t, s).Next.Steps[0]
	if got.Addresses != 2 || got.Routes != 7 || got.Others != 4 || got.Moved {
		t.Errorf("got %+v, want 2 addresses, 7 routes and 4 addresses of others, not moved", got)
	}
}

func TestDecide_FailureThatTheGoodRevisionHasAsWell(t *testing.T) {
	failed := func(p Phase, edits ...func(*State)) State {
		s := at(p, 3)
		s.Stored.Failure, s.Stored.Unverified = Failure{Node: "n1", Why: "why", Unreceived: true}, true
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	run(t, []test{
		{"it is tried again on the way back", failed(PhaseRollingBack), nil, "Controller c2/s1"},
		{"it is tried again after that", failed(PhaseRolledBack), nil, "Controller c2/s1"},
		{"while announcements of the good one are received it is not", failed(PhaseRolledBack), func(s *State) { s.Stored.Unverified = false }, "RolledBack c1/s1 failed n1: why"},
		{"revision that failed for another reason is not", failed(PhaseRolledBack), func(s *State) { s.Stored.Failure.Unreceived = false }, "RolledBack c1/s1 failed n1: why"},
		{"what was halted waits for a person", failed(PhaseHalted), func(s *State) { s.Settings.Halt = true }, "Halted / failed n1: why"},
	})
}

func TestDecide_WayBackThatStandsStill(t *testing.T) {
	// The way back began some time ago; the speaker of n2 has been back for some time, that of n1 does not start.
	back := func(ready time.Duration, edits ...func(*State)) State {
		s := at(PhaseRollingBack, 3)
		s.Stored.Since, s.Retry = start.Add(-4*timeout+1), "again"
		s.runs(two, "n3")
		s.Nodes["n1"].Pod.Ready, s.Nodes["n1"].Pod.Since = false, start.Add(-time.Second)
		s.Nodes["n2"].Pod.Since = start.Add(-ready)
		for _, edit := range edits {
			edit(&s)
		}
		return s
	}
	const goesOn, again = "RollingBack c1/s1", "Controller c2/s1"
	run(t, []test{
		{"it goes on while a speaker came back within the time of a step", back(timeout - 1), nil, goesOn},
		{"it stands still after that", back(timeout), nil, again},
		{"time in which the operator did not see the cluster does not count", back(timeout), func(s *State) { s.SeenSince = start.Add(-timeout + 1) }, goesOn},
		{"speaker on the failed revision that becomes ready is no progress", back(timeout), func(s *State) { s.Nodes["n3"].Pod.Since = start }, again},
		{"node that came up since is no progress", back(timeout - 1), func(s *State) { s.change("n2", func(n *Node) { n.UpSince = start.Add(-time.Minute) }) }, again},
		{"container that was started again is no progress", back(timeout - 1), func(s *State) { s.Nodes["n2"].Pod.Restarts = 1 }, again},
		{"it ends once each node has had the time of a step, and one more", back(1), func(s *State) { s.Stored.Since = start.Add(-4 * timeout) }, again},
		{"it is not complete before", back(timeout-1, func(s *State) { s.runs(one, "n3") }), func(s *State) { s.Retry = "" }, goesOn},
		{"it is complete after that", back(timeout, func(s *State) { s.runs(one, "n3") }), func(s *State) { s.Retry = "" }, "RolledBack c1/s1"},
	})
}

func TestDecide_FailureIsOfAnnouncementsAlone(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*State)
		want bool
	}{
		{"others receive no announcements", func(s *State) { s.Nodes["n3"].Report.Unannounced = append(s.Nodes["n3"].Report.Unannounced, "n1") }, true},
		{"pod that is not ready", func(s *State) { s.Nodes["n1"].Pod.Ready = false }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := onCanary(120, tt.edit)
			if got := settled(t, s).Next.Failure; got.Unreceived != tt.want || got.Why == "" {
				t.Errorf("got %+v, want a reason, unreceived %t", got, tt.want)
			}
		})
	}
}
