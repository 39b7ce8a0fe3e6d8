package stack

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestRestraintOf(t *testing.T) {
	pause := func(value string) map[string]string { return map[string]string{v1beta1.AnnotationPause: value} }
	tests := []struct {
		name        string
		annotations map[string]string
		state       v1beta1.ManagementState
		deleted     bool
		want        string // the reason; empty: no restraint
	}{
		{name: "state that is unset restrains nothing"},
		{name: "managed stack", state: v1beta1.StackManaged},
		{name: "removed stack", state: v1beta1.StackRemoved},
		{name: "unmanaged stack", state: v1beta1.StackUnmanaged, want: v1beta1.ReasonUnmanaged},
		{name: "annotation without a value pauses", annotations: pause(""), want: v1beta1.ReasonPaused},
		{name: "annotation false does not pause", annotations: pause("false")},
		{name: "annotation on an unmanaged stack comes first", annotations: pause("x"), state: v1beta1.StackUnmanaged, want: v1beta1.ReasonPaused},
		{name: "annotation holds up a removal", annotations: pause("x"), state: v1beta1.StackRemoved, want: v1beta1.ReasonPaused},
		{name: "deletion waits", state: v1beta1.StackUnmanaged, deleted: true, want: v1beta1.ReasonUnmanaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Annotations: tt.annotations}, Spec: v1beta1.LoadBalancerStackSpec{ManagementState: tt.state}}
			if tt.deleted {
				stack.DeletionTimestamp = &metav1.Time{Time: metav1.Now().Time}
			}
			got := observeReasonOf(stack)
			if got == nil {
				got = &observeReason{}
			}
			if got.reason != tt.want || strings.Contains(got.message, "until then, the LoadBalancerStack is not deleted") != tt.deleted {
				t.Errorf("got %+v, want the reason %q, with the deletion: %v", *got, tt.want, tt.deleted)
			}
		})
	}
}

func TestForced(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct{ name, value, last, want string }{
		{name: "no annotation asks for nothing"},
		{name: "new value asks for a pass", value: "2", last: "1", want: "2"},
		{name: "same value asks for nothing", value: "2", last: "2"},
		{name: "annotation that is gone asks for nothing", last: "2"},
		{name: "long value is cut", value: long, want: long[:maxHandledBytes-3] + "..."},
		{name: "long value that was handled asks for nothing", value: long, last: long[:maxHandledBytes-3] + "..."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.AnnotationReconcile: tt.value}}}
			stack.Status.LastHandledReconcile = tt.last
			if got := reconcileRequest(stack); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
