package stack

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestLeftBehind(t *testing.T) {
	state := func(phase v1beta1.SpeakerPhase, current metav1.ConditionStatus, reported time.Duration) v1beta1.SpeakerState {
		s := v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		s.Status.Phase = phase
		s.Status.Conditions = []metav1.Condition{
			{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(began.Add(-reported))}, {Type: v1beta1.ConditionCurrent, Status: current},
		}
		return *stripState(&s)
	}
	const no, yes = metav1.ConditionFalse, metav1.ConditionTrue
	out := labelled("edge", "no")
	stopped := state(v1beta1.SpeakerStopped, no, time.Hour)
	for _, tt := range []struct {
		name  string
		node  corev1.Node
		pods  []corev1.Pod
		state v1beta1.SpeakerState
		want  int
		again time.Duration
	}{
		{"node that the selector leaves out now, speaker stopped long ago", node("a", out), nil, stopped, 1, 0},
		{"node with a taint that evicts speakers", node("a", tainted("gpu", corev1.TaintEffectNoExecute)), nil, stopped, 1, 0},
		{"speaker that was killed and whose pod is gone", node("a", out), nil, state(v1beta1.SpeakerActive, no, 0), 1, 0},
		{"speaker that was stopped a minute ago stays for another one", node("a", out), nil, state(v1beta1.SpeakerStopped, no, time.Minute), 0, time.Minute},
		{"speaker that was stopped in the future of the operator's clock stays", node("a", out), nil, state(v1beta1.SpeakerStopped, no, -time.Hour), 0, vacatedLifetime},
		{"speaker that runs as far as the controller knows stays", node("a", out), nil, state(v1beta1.SpeakerActive, yes, time.Hour), 0, 0},
		{"pod that has not ended", node("a", out), []corev1.Pod{speakerPod("a", corev1.ConditionFalse, ending)}, stopped, 0, 0},
		{"node that is not ready may run it although the pod is gone", node("a", out, dead), nil, stopped, 0, 0},
		{"node that is to have a speaker", node("a"), nil, stopped, 0, 0},
		{"node that is ready again, of which the taint is not removed yet", node("a", tainted(taintNotReady, corev1.TaintEffectNoSchedule)), nil, stopped, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := clusterState{states: []v1beta1.SpeakerState{tt.state}}
			s.placement = newPlacement([]corev1.Node{tt.node}, tt.pods, s.states, corev1.PodSpec{NodeSelector: map[string]string{"edge": "yes"}})
			list, again := s.vacatedStates(began)
			if diff := cmp.Diff([]any{tt.want, tt.again}, []any{len(list), again}); diff != "" {
				t.Errorf("states that go, and when the next does (-want +got):\n%s", diff)
			}
		})
	}
}

// A node can get a speaker again while what the one before it reported is deleted.
func TestForgetVacated_LeavesNewerReports(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	routes := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "a-0"}, Node: "a"}
	for _, tt := range []struct {
		name    string
		written client.Object // after it was read
		want    []bool        // which of routes and state is left
	}{
		{"nobody writes", nil, []bool{false, false}},
		{"slice is written", routes, []bool{true, true}},
		{"state is written", state, []bool{false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(state.DeepCopy(), routes.DeepCopy()).WithIndex(routes, "node", func(o client.Object) []string {
				return []string{"a"}
			}).WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if err := c.List(ctx, list, options...); err != nil || tt.written == nil {
					return err
				}
				again := tt.written.DeepCopyObject().(client.Object)
				if err := c.Get(ctx, client.ObjectKeyFromObject(again), again); err != nil {
					return err
				}
				again.SetLabels(map[string]string{"written": "again"})
				return c.Update(ctx, again)
			}}).Build()
			read := &v1beta1.SpeakerState{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(state), read); err != nil {
				t.Fatal(err)
			}
			r := &Reconciler{Client: c, Reader: c}
			if err := r.deleteSpeakerReports(t.Context(), read); apierrors.IsConflict(err) != (tt.written != nil) {
				t.Fatalf("got %v, want a conflict: %t", err, tt.written != nil)
			}
			var left []bool
			for _, object := range []client.Object{routes.DeepCopy(), state.DeepCopy()} {
				left = append(left, c.Get(t.Context(), client.ObjectKeyFromObject(object), object) == nil)
			}
			if diff := cmp.Diff(tt.want, left); diff != "" {
				t.Errorf("slice and state that are left (-want +got):\n%s", diff)
			}
		})
	}
}
