package stack

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestChanges(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
	}
	ready := func(status metav1.ConditionStatus, reason string) metav1.Condition {
		return condition(v1beta1.ConditionReady, status, reason, "ready: "+reason)
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	type list = []metav1.Condition
	tests := []struct {
		name        string
		before, now list
		want        []readyEvent
	}{
		{name: "stack that waits for its first pods", now: list{ready(no, "ComponentsNotReady")}, want: []readyEvent{{"Normal", "ComponentsNotReady", "ready: ComponentsNotReady"}}},
		{name: "stack that becomes Ready", before: list{ready(no, "PoolNotReady")}, now: list{ready(yes, "Ready")}, want: []readyEvent{{"Normal", "Ready", "ready: Ready"}}},
		{name: "nothing new is no event", before: list{ready(yes, "Ready")}, now: list{ready(yes, "Ready")}},
		{name: "other words for the same are no event", before: list{condition("Ready", no, "ComponentsNotReady", "1 of 3")}, now: list{condition("Ready", no, "ComponentsNotReady", "2 of 3")}},
		{name: "fault is one warning", before: list{ready(yes, "Ready")}, now: list{ready(no, "PoolNotReady"), condition("Degraded", yes, "PoolNotReady", "")},
			want: []readyEvent{{"Warning", "PoolNotReady", "ready: PoolNotReady"}}},
		{name: "another fault is another event", before: list{ready(no, "PoolNotReady")}, now: list{ready(no, "ApplyFailed")}, want: []readyEvent{{"Warning", "ApplyFailed", "ready: ApplyFailed"}}},
		{name: "node that is down is a warning", before: list{ready(yes, "Ready")}, now: list{ready(yes, "NodesUnavailable")}, want: []readyEvent{{"Warning", "NodesUnavailable", "ready: NodesUnavailable"}}},
		{name: "removal is no warning", before: list{ready(yes, "Ready")}, now: list{ready(no, "Removing")}, want: []readyEvent{{"Normal", "Removing", "ready: Removing"}}},
		{name: "status that turns under one reason is an event", before: list{ready(yes, "Odd")}, now: list{ready(no, "Odd")}, want: []readyEvent{{"Warning", "Odd", "ready: Odd"}}},
		{name: "condition that is gone is no event", before: list{ready(yes, "Ready")}},
		{name: "other conditions make no events", now: list{condition("Stalled", yes, "PoolNotReady", "p"), condition("Degraded", yes, "PoolNotReady", "p")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readyEvents(tt.before, tt.now), cmp.AllowUnexported(readyEvent{})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotesOfEventsAreBounded(t *testing.T) {
	now := []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ApplyFailed", Message: strings.Repeat("x", 2*maxNoteBytes)}}
	got := readyEvents(nil, now)
	if len(got) != 1 || len(got[0].note) != maxNoteBytes {
		t.Errorf("got %+v, want one event with a note of %d bytes", got, maxNoteBytes)
	}
}
