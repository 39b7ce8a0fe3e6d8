package speakerstate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func state(name string, edits ...func(*v1beta1.SpeakerStateStatus)) v1beta1.SpeakerState {
	s := v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.Status.Phase = v1beta1.SpeakerActive
	for _, edit := range edits {
		edit(&s.Status)
	}
	return s
}

func misses(nodes ...v1beta1.NodeName) func(*v1beta1.SpeakerStateStatus) {
	return func(s *v1beta1.SpeakerStateStatus) { s.MissingSpeakers = nodes }
}

// was is the reason of the condition Current before.
func was(reason string) func(*v1beta1.SpeakerStateStatus) {
	return func(s *v1beta1.SpeakerStateStatus) {
		s.Conditions = append(s.Conditions, metav1.Condition{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: reason})
	}
}

func stops(s *v1beta1.SpeakerStateStatus) { s.Phase = v1beta1.SpeakerStopped }

func decideOf(states []v1beta1.SpeakerState, nodes []eligibility.Node, absent map[lb.NodeName]string, unready ...lb.NodeName) []writtenConditions {
	stuck := map[lb.NodeName]bool{}
	for _, node := range unready {
		stuck[node] = true
	}
	all := speakerReports(states, absent, stuck)
	return decideConditions(states, all, notReadyChecker(all, nodes), absent)
}

func TestDecide(t *testing.T) {
	nodes := func(names ...string) (list []eligibility.Node) {
		for _, name := range names {
			list = append(list, eligibility.Node{Name: lb.NodeName(name)})
		}
		return list
	}
	down := func(list []eligibility.Node) []eligibility.Node {
		list[0].Down = true
		return list
	}
	const ok, stopped, missing, gone = "True Reporting", "False Stopped", "False SpeakerMissing", "False NodeNotReady"
	for name, tt := range map[string]struct {
		states []v1beta1.SpeakerState
		nodes  []eligibility.Node
		want   []string
	}{
		"all run":                              {[]v1beta1.SpeakerState{state("a"), state("b")}, nodes("a", "b"), []string{ok, ok}},
		"one was stopped":                      {[]v1beta1.SpeakerState{state("a", stops), state("b")}, nodes("a", "b"), []string{stopped, ok}},
		"two of three miss one":                {[]v1beta1.SpeakerState{state("a"), state("b", misses("a")), state("c", misses("a"))}, nodes("a", "b", "c"), []string{missing, ok, ok}},
		"one of two is missed by the other":    {[]v1beta1.SpeakerState{state("a"), state("b", misses("a"))}, nodes("a", "b"), []string{ok, ok}},
		"Current has no effect on itself":      {[]v1beta1.SpeakerState{state("a", was(v1beta1.ReasonSpeakerMissing)), state("b", misses("a"))}, nodes("a", "b"), []string{ok, ok}},
		"node is not ready, its speaker runs":  {[]v1beta1.SpeakerState{state("a"), state("b")}, down(nodes("a", "b")), []string{ok, ok}},
		"the only node is not ready":           {[]v1beta1.SpeakerState{state("a")}, down(nodes("a")), []string{gone}},
		"the only node does not exist anymore": {[]v1beta1.SpeakerState{state("a")}, nil, []string{gone}},
	} {
		var got []string
		for _, c := range decideOf(tt.states, tt.nodes, nil) {
			got = append(got, string(c.current.Status)+" "+c.current.Reason)
			if c.current.Message == "" {
				t.Errorf("%s: got no message, want one", name)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecide_SpeakerThatIsCutFromALargerGroup(t *testing.T) {
	since := metav1.NewTime(time.Unix(1000, 0))
	inMinority := func(s *v1beta1.SpeakerStateStatus) { s.MinoritySince = &since }
	states := []v1beta1.SpeakerState{state("a", misses("b", "c"), inMinority), state("b", misses("a")), state("c", misses("a"))}
	nodes := []eligibility.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	list := decideOf(states, nodes, nil)
	want := &metav1.Condition{
		Type: v1beta1.ConditionPartitioned, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonLargerGroup, LastTransitionTime: since,
		Message: "the speaker of the node a and a group of other speakers, such as the speaker of the node b, receive nothing from each other. The group is larger, or this speaker is not ready. " +
			"This speaker therefore gives up the addresses that the missing speakers may announce. Look at the network between these nodes, and at the mesh port (UDP, spec.speaker.ports of the LoadBalancerStack)",
	}
	if diff := cmp.Diff(want, list[0].partitioned); diff != "" {
		t.Errorf("condition of a (-want +got):\n%s", diff)
	}
	for i := range states {
		if c := list[i]; c.current.Status != metav1.ConditionTrue || i > 0 && c.partitioned.Status != metav1.ConditionFalse {
			t.Errorf("state %d: got %v and %v, want one that is current, and only the first one partitioned", i, c.current, c.partitioned)
		}
	}
	again := metav1.NewTime(since.Add(time.Minute))
	states[0].Status.Conditions = []metav1.Condition{*list[0].current, *want}
	states[0].Status.MinoritySince = &again
	if next := decideOf(states, nodes, nil)[0]; next.equal(conditionsOf(&states[0])) || !next.partitioned.LastTransitionTime.Equal(&again) {
		t.Errorf("a is in a minority again: got %v, want a condition that is to be written, since %s", next.partitioned, again)
	}
}

// A speaker that stands still reports what it reported before, and cannot be asked. That its kubelet
// gets no answer is a second witness.
func TestDecide_SpeakerThatStandsStill(t *testing.T) {
	since := metav1.NewTime(time.Unix(1000, 0))
	inMinority := func(s *v1beta1.SpeakerStateStatus) { s.MinoritySince = &since }
	nodes := []eligibility.Node{{Name: "a"}, {Name: "b"}}
	for name, tt := range map[string]struct {
		states      []v1beta1.SpeakerState
		unready     []lb.NodeName
		current     string // reason of the condition of a
		partitioned string // of b
	}{
		"it answers, and the other one gives way":              {[]v1beta1.SpeakerState{state("a", misses("b"), inMinority), state("b", misses("a"), inMinority)}, nil, v1beta1.ReasonReporting, v1beta1.ReasonLargerGroup},
		"it does not, and the other one does not give way":     {[]v1beta1.SpeakerState{state("a", misses("b"), inMinority), state("b", misses("a"), inMinority)}, []lb.NodeName{"a"}, v1beta1.ReasonReporting, v1beta1.ReasonNotPartitioned},
		"it does not, and the only other one misses it":        {[]v1beta1.SpeakerState{state("a"), state("b", misses("a"), inMinority)}, []lb.NodeName{"a"}, v1beta1.ReasonSpeakerMissing, v1beta1.ReasonNotPartitioned},
		"it does not answer its kubelet, and no one misses it": {[]v1beta1.SpeakerState{state("a"), state("b")}, []lb.NodeName{"a"}, v1beta1.ReasonReporting, v1beta1.ReasonNotPartitioned},
	} {
		list := decideOf(tt.states, nodes, nil, tt.unready...)
		if current, partitioned := list[0].current.Reason, list[1].partitioned.Reason; current != tt.current || partitioned != tt.partitioned {
			t.Errorf("%s: got %s for a and %s for b, want %s and %s", name, current, partitioned, tt.current, tt.partitioned)
		}
	}
}

func TestChanged(t *testing.T) {
	forged := func(s *v1beta1.SpeakerStateStatus) {
		s.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionTrue}}
	}
	for name, tt := range map[string]struct {
		edit func(*v1beta1.SpeakerStateStatus)
		want bool
	}{
		"nothing":                   {func(*v1beta1.SpeakerStateStatus) {}, false},
		"an address":                {func(s *v1beta1.SpeakerStateStatus) { s.AddressCount = 7 }, false},
		"the speaker stops":         {stops, true},
		"it misses another one":     {misses("b"), true},
		"it is in a minority":       {func(s *v1beta1.SpeakerStateStatus) { s.MinoritySince = &metav1.Time{Time: time.Unix(1, 0)} }, true},
		"it is isolated":            {func(s *v1beta1.SpeakerStateStatus) { s.Phase = v1beta1.SpeakerIsolated }, true},
		"somebody set Current":      {forged, true},
		"the first report is there": {func(s *v1beta1.SpeakerStateStatus) { s.Phase = "" }, true},
	} {
		before, now := state("a"), state("a", tt.edit)
		if got := reportsChanged.Update(event.UpdateEvent{ObjectOld: &before, ObjectNew: &now}); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
