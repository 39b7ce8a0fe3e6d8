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
	degraded := func(status metav1.ConditionStatus, reason string) metav1.Condition {
		return condition(v1beta1.ConditionDegraded, status, reason, "degraded: "+reason)
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	type list = []metav1.Condition
	tests := []struct {
		name        string
		before, now list
		want        []change
	}{
		{name: "a stack that waits for its first pods is nothing bad", now: list{ready(no, "ComponentsNotReady"), degraded(no, "AsExpected")},
			want: []change{{"Normal", "ComponentsNotReady", "ready: ComponentsNotReady"}}},
		{name: "a stack that becomes ready says so", before: list{ready(no, "ComponentsNotReady")}, now: list{ready(yes, "Ready"), degraded(no, "AsExpected")},
			want: []change{{"Normal", "Ready", "ready: Ready"}}},
		{name: "nothing new is no event", before: list{ready(yes, "Ready"), degraded(no, "AsExpected")}, now: list{ready(yes, "Ready"), degraded(no, "AsExpected")}},
		{name: "other words for the same are no event", before: list{condition("Ready", no, "ComponentsNotReady", "1 of 3")}, now: list{condition("Ready", no, "ComponentsNotReady", "2 of 3")}},
		{name: "a fault is a warning, and one is enough", before: list{ready(yes, "Ready"), degraded(no, "AsExpected")}, now: list{ready(no, "PoolNotReady"), degraded(yes, "PoolNotReady")},
			want: []change{{"Warning", "PoolNotReady", "ready: PoolNotReady"}}},
		{name: "another fault is another event", before: list{ready(no, "PoolNotReady"), degraded(yes, "PoolNotReady")}, now: list{ready(no, "ApplyFailed"), degraded(yes, "ApplyFailed")},
			want: []change{{"Warning", "ApplyFailed", "ready: ApplyFailed"}}},
		{name: "a fault that Ready does not tell is told", before: list{ready(no, "ComponentsNotReady")}, now: list{ready(no, "ComponentsNotReady"), degraded(yes, "PoolNotReady")},
			want: []change{{"Warning", "PoolNotReady", "degraded: PoolNotReady"}}},
		{name: "a fault is told when there is no Ready", now: list{degraded(yes, "PoolNotReady")}, want: []change{{"Warning", "PoolNotReady", "degraded: PoolNotReady"}}},
		{name: "that a fault is over is told by Ready", before: list{ready(no, "PoolNotReady"), degraded(yes, "PoolNotReady")}, now: list{ready(yes, "Ready"), degraded(no, "AsExpected")},
			want: []change{{"Normal", "Ready", "ready: Ready"}}},
		{name: "a removal is nothing bad", before: list{ready(yes, "Ready"), degraded(no, "AsExpected")}, now: list{ready(no, "Removing"), degraded(no, "AsExpected")},
			want: []change{{"Normal", "Removing", "ready: Removing"}}},
		{name: "a status that turns under one reason is an event", before: list{ready(yes, "Odd")}, now: list{ready(no, "Odd")}, want: []change{{"Warning", "Odd", "ready: Odd"}}},
		{name: "what is no longer said is no event", before: list{ready(yes, "Ready")}},
		{name: "other conditions make no events", now: list{condition(v1beta1.ConditionStalled, yes, "PoolNotReady", "p"), condition(v1beta1.ConditionAvailable, no, "ComponentsNotReady", "c")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, changes(tt.before, tt.now), cmp.AllowUnexported(change{})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotesOfEventsAreBounded(t *testing.T) {
	now := []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ApplyFailed", Message: strings.Repeat("x", 2*maxNote)}}
	got := changes(nil, now)
	if len(got) != 1 || len(got[0].note) != maxNote {
		t.Errorf("got %+v, want one event with a note of %d bytes", got, maxNote)
	}
}
