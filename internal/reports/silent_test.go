package reports

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

func misses(node lb.NodeName, missing ...lb.NodeName) Report {
	return Report{Node: node, Missing: missing}
}

func stopped(r Report) Report {
	r.Stopped = true
	return r
}

func TestSilent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		want    []lb.NodeName
	}{
		{"all receive from each other", []Report{misses("a"), misses("b"), misses("c")}, nil},
		{"one was killed", []Report{misses("a"), misses("b", "a"), misses("c", "a")}, []lb.NodeName{"a"}},
		{"one of two reports alone that it misses the other", []Report{misses("a"), misses("b", "a")}, nil},
		{"one of two died", []Report{confirmed(misses("a")), misses("b", "a")}, []lb.NodeName{"a"}},
		{"two of three died at once", []Report{confirmed(misses("a")), confirmed(misses("b")), misses("c", "a", "b")}, []lb.NodeName{"a", "b"}},
		{"two of three died at once, and one of them may run", []Report{confirmed(misses("a")), misses("b"), misses("c", "a", "b")}, nil},
		{"one is confirmed, and nobody misses it any more", []Report{confirmed(misses("a")), misses("b")}, nil},
		{"one is confirmed, and another one receives from it", []Report{confirmed(misses("a")), misses("b", "a"), misses("c")}, nil},
		{"one is dead, and another one receives from it", []Report{dead(misses("a")), misses("b", "a"), misses("c")}, []lb.NodeName{"a"}},
		{"one is dead, and no other one misses it", []Report{dead(misses("a")), misses("b"), misses("c")}, nil},
		{"one is dead, and it and the only one that misses it miss each other", []Report{dead(misses("a", "b")), misses("b", "a"), misses("c")}, nil},
		{"two that miss each other are confirmed", []Report{confirmed(misses("a", "b")), confirmed(misses("b", "a"))}, nil},
		{"two of four were killed, together or one after the other", []Report{misses("a"), misses("b", "a"), misses("c", "a", "b"), misses("d", "a", "b")}, []lb.NodeName{"a", "b"}},
		{"a node that another still receives from", []Report{misses("a"), misses("b", "a"), misses("c")}, nil},
		{"one that is cut off and knows it", []Report{misses("a", "b", "c"), misses("b", "a"), misses("c", "a")}, nil},
		{"two halves", []Report{misses("a", "c", "d"), misses("b", "c", "d"), misses("c", "a", "b"), misses("d", "a", "b")}, nil},
		{"one that never reported", []Report{misses("b", "a"), misses("c", "a")}, nil},
		{"healthy one, which one misses while a third one restarts", []Report{misses("a"), misses("b", "a"), stopped(misses("c"))}, nil},
		{"a stopped speaker is no witness", []Report{confirmed(misses("a")), misses("b", "a"), stopped(misses("c"))}, []lb.NodeName{"a"}},
		{"nor for what it missed last", []Report{misses("a"), misses("b"), stopped(misses("c", "a"))}, nil},
		{"a node that misses itself does not count", []Report{misses("a", "a"), misses("b")}, nil},
		{"a single one", []Report{misses("a")}, nil},
		{"one of three reports alone that it misses both others", []Report{misses("a", "b", "c"), misses("b"), misses("c")}, nil},
		{"one of four reports alone that it misses all others", []Report{misses("a", "b", "c", "d"), misses("b"), misses("c"), misses("d")}, nil},
		{"the only one has ended", []Report{ended(misses("a"))}, []lb.NodeName{"a"}},
		{"one is not on lists that are full", []Report{misses("a"), full(misses("b", "c")), full(misses("d", "c")), full(misses("e", "c"))}, nil},
		{"one that is on all lists, which are full", []Report{misses("a"), full(misses("b", "a")), full(misses("c", "a"))}, []lb.NodeName{"a"}},
		{"one dead speaker of many, which is on no list, is no witness", []Report{misses("a"), misses("z"), full(misses("b", "a")), full(misses("c", "a"))}, []lb.NodeName{"a"}},
		{"two of three have ended at once", []Report{ended(misses("a")), ended(misses("b")), misses("c", "a", "b")}, []lb.NodeName{"a", "b"}},
		{"one has ended, and what it misses does not count", []Report{ended(misses("a", "b")), misses("b"), misses("c")}, []lb.NodeName{"a"}},
		{"one was killed while it missed one that started", []Report{misses("a", "b"), misses("b", "a"), misses("c", "a")}, []lb.NodeName{"a"}},
		{"two miss one and a third receives from it, which it is cut from", []Report{misses("a", "b"), misses("b", "a"), misses("c", "a"), misses("d")}, nil},
		{"one that was killed is no third one", []Report{misses("a", "b", "c"), misses("b"), confirmed(misses("c", "b"))}, []lb.NodeName{"b", "c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ask(SilentNodes, tt.reports)); diff != "" {
				t.Errorf("silent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeft(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		want    []lb.NodeName
	}{
		{"all run", []Report{misses("a"), misses("b")}, nil},
		{"one was stopped, and nobody expects it", []Report{stopped(misses("a")), misses("b"), misses("c", "d")}, []lb.NodeName{"a"}},
		{"one was stopped, and should be back", []Report{stopped(misses("a")), misses("b", "a"), misses("c", "a")}, nil},
		{"one that was stopped does not know who else was", []Report{stopped(misses("a", "b")), stopped(misses("b")), misses("c")}, []lb.NodeName{"a", "b"}},
		{"all were stopped", []Report{stopped(misses("a")), stopped(misses("b"))}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ask(NodesWithoutSpeaker, tt.reports)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// full is a report whose list of speakers that it misses is full.
func full(r Report) Report { r.MissingBounded = true; return r }

// ended is the report of a speaker whose container does not run.
func ended(r Report) Report { r.Ended = true; return r }

// confirmed is a report that a second witness calls old, besides one speaker.
func confirmed(r Report) Report { r.Confirmed = true; return r }

// dead is the report of a speaker whose node is not ready and whose kubelet does not answer.
func dead(r Report) Report { r.Confirmed, r.Dead = true, true; return r }

func among(list []lb.NodeName) func(lb.NodeName) bool {
	return func(node lb.NodeName) bool { return slices.Contains(list, node) }
}

// TestStale_KubeletIsAsked has the whole decision: which kubelets are asked, and what follows.
func TestStale_KubeletIsAsked(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		down    []lb.NodeName
		answers map[lb.NodeName]bool
		asked   map[lb.NodeName]lb.NodeName
		want    map[lb.NodeName]Staleness
	}{
		{"speaker of another node cannot write that it misses the dead one", []Report{misses("a"), misses("b"), misses("c", "a")}, []lb.NodeName{"a"},
			map[lb.NodeName]bool{"a": false, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c"}, map[lb.NodeName]Staleness{"a": SpeakerDead}},
		{"one of three others cannot", []Report{misses("a"), misses("b"), misses("c", "a"), misses("d", "a")}, []lb.NodeName{"a"},
			map[lb.NodeName]bool{"a": false, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c"}, map[lb.NodeName]Staleness{"a": SpeakerDead}},
		{"the first that misses it is on a node that is not ready", []Report{misses("a"), misses("b"), misses("c", "a"), misses("d", "a")}, []lb.NodeName{"a", "c"},
			map[lb.NodeName]bool{"a": false, "d": true}, map[lb.NodeName]lb.NodeName{"a": "d"}, map[lb.NodeName]Staleness{"a": SpeakerDead}},
		{"node is ready", []Report{misses("a"), misses("b"), misses("c", "a")}, nil,
			map[lb.NodeName]bool{"a": false, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c"}, map[lb.NodeName]Staleness{}},
		{"node is ready, and two miss it", []Report{misses("a"), misses("b"), misses("c", "a"), misses("d", "a")}, nil,
			nil, map[lb.NodeName]lb.NodeName{}, map[lb.NodeName]Staleness{}},
		{"kubelet of the node answers", []Report{misses("a"), misses("b"), misses("c", "a")}, []lb.NodeName{"a"},
			map[lb.NodeName]bool{"a": true, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c"}, map[lb.NodeName]Staleness{}},
		{"no kubelet answers", []Report{misses("a"), misses("b"), misses("c", "a")}, []lb.NodeName{"a"},
			map[lb.NodeName]bool{"a": false, "c": false}, map[lb.NodeName]lb.NodeName{"a": "c"}, map[lb.NodeName]Staleness{}},
		{"no speaker misses it", []Report{misses("a"), misses("b"), misses("c")}, []lb.NodeName{"a"}, nil, map[lb.NodeName]lb.NodeName{}, map[lb.NodeName]Staleness{}},
		{"all others miss it", []Report{misses("a"), misses("b", "a"), misses("c", "a")}, []lb.NodeName{"a"}, nil, map[lb.NodeName]lb.NodeName{}, map[lb.NodeName]Staleness{"a": SpeakerMissed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, down := byNode(tt.reports), among(tt.down)
			doubts := NodesToConfirm(all, down)
			if diff := cmp.Diff(tt.asked, doubts); diff != "" {
				t.Errorf("doubts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, StaleReports(Confirm(all, doubts, tt.answers, down), down)); diff != "" {
				t.Errorf("stale (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		answers map[lb.NodeName]bool // of the kubelets
		doubts  map[lb.NodeName]lb.NodeName
		want    []lb.NodeName // confirmed
	}{
		{"no speaker is missed", []Report{misses("a"), misses("b")}, nil, map[lb.NodeName]lb.NodeName{}, nil},
		{"two miss one: no doubt", []Report{misses("a"), misses("b", "a"), misses("c", "a")}, nil, map[lb.NodeName]lb.NodeName{}, nil},
		{"nothing is known yet", []Report{misses("a"), misses("b", "a")}, nil, map[lb.NodeName]lb.NodeName{"a": "b"}, nil},
		{"node does not answer", []Report{misses("a"), misses("b", "a")}, map[lb.NodeName]bool{"a": false, "b": true}, map[lb.NodeName]lb.NodeName{"a": "b"}, []lb.NodeName{"a"}},
		{"node answers", []Report{misses("a"), misses("b", "a")}, map[lb.NodeName]bool{"a": true, "b": true}, map[lb.NodeName]lb.NodeName{"a": "b"}, nil},
		{"no kubelet answers, so that none may be reachable", []Report{misses("a"), misses("b", "a")}, map[lb.NodeName]bool{"a": false, "b": false}, map[lb.NodeName]lb.NodeName{"a": "b"}, nil},
		{"node of the witness was not asked yet", []Report{misses("a"), misses("b", "a")}, map[lb.NodeName]bool{"a": false}, map[lb.NodeName]lb.NodeName{"a": "b"}, nil},
		{"two of three die at once", []Report{misses("a"), misses("b"), misses("c", "a", "b")}, map[lb.NodeName]bool{"a": false, "b": false, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c", "b": "c"}, []lb.NodeName{"a", "b"}},
		{"one misses all others alone, which answer", []Report{misses("a"), misses("b"), misses("c", "a", "b")}, map[lb.NodeName]bool{"a": true, "b": true, "c": true}, map[lb.NodeName]lb.NodeName{"a": "c", "b": "c"}, nil},
		{"a stopped speaker is neither witness nor missed", []Report{misses("a"), stopped(misses("b", "a")), misses("c", "b")}, nil, map[lb.NodeName]lb.NodeName{}, nil},
		{"a speaker that has ended is no witness", []Report{misses("a"), ended(misses("b", "a"))}, nil, map[lb.NodeName]lb.NodeName{}, nil},
		{"a node that never reported is none", []Report{misses("b", "a")}, nil, map[lb.NodeName]lb.NodeName{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []lb.NodeName
			all := byNode(tt.reports)
			doubts := NodesToConfirm(all, among(nil))
			if diff := cmp.Diff(tt.doubts, doubts); diff != "" {
				t.Errorf("doubts (-want +got):\n%s", diff)
			}
			for node, r := range Confirm(all, doubts, tt.answers, among(nil)) {
				if r.Confirmed {
					got = append(got, node)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("confirmed (-want +got):\n%s", diff)
			}
			for node, r := range all {
				if r.Confirmed {
					t.Errorf("the report of %s was changed in place, want a copy", node)
				}
			}
		})
	}
}

func byNode(list []Report) map[lb.NodeName]Report {
	all := map[lb.NodeName]Report{}
	for _, r := range list {
		all[r.Node] = r
	}
	return all
}

// ask returns the nodes that a question about all reports is answered with, by name.
func ask(question func(map[lb.NodeName]Report) map[lb.NodeName]bool, list []Report) []lb.NodeName {
	return slices.Sorted(maps.Keys(question(byNode(list))))
}

func TestStale(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		down    []lb.NodeName
		want    map[lb.NodeName]Staleness
	}{
		{"all run", []Report{misses("a"), misses("b")}, nil, map[lb.NodeName]Staleness{}},
		{"one was stopped, and one was killed", []Report{stopped(misses("a")), misses("b"), misses("c", "b"), misses("d", "b")}, nil, map[lb.NodeName]Staleness{"a": SpeakerStopped, "b": SpeakerMissed}},
		{"node is not ready, and the others do not miss its speaker", []Report{misses("a"), misses("b")}, []lb.NodeName{"a"}, map[lb.NodeName]Staleness{}},
		{"the only node is not ready", []Report{misses("a")}, []lb.NodeName{"a"}, map[lb.NodeName]Staleness{"a": NodeDown}},
		{"node is not ready, and it and the only other speaker miss each other", []Report{misses("a", "b"), misses("b", "a")}, []lb.NodeName{"a"}, map[lb.NodeName]Staleness{"a": SpeakerMissed}},
		{"no node is ready", []Report{misses("a"), misses("b"), misses("c")}, []lb.NodeName{"a", "b", "c"}, map[lb.NodeName]Staleness{"a": NodeDown, "b": NodeDown, "c": NodeDown}},
		{"the only node that is ready has a speaker that was stopped", []Report{misses("a"), stopped(misses("b"))}, []lb.NodeName{"a"}, map[lb.NodeName]Staleness{"a": NodeDown, "b": SpeakerStopped}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := StaleReports(byNode(tt.reports), among(tt.down))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("stale (-want +got):\n%s", diff)
			}
		})
	}
}
