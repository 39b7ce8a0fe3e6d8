package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

var (
	forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "x", errors.New("the policy"))
	broken    = apierrors.NewInternalError(errors.New("no quorum"))
)

func TestFail(t *testing.T) {
	terminating := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "x", errors.New("it ends"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	tests := []struct {
		name  string
		err   error
		want  faultResolver
		words string
	}{
		{name: "403", err: forbidden, want: endsByPerson, words: "the policy: grant the operator the right, or change the policy"},
		{name: "422", err: apierrors.NewInvalid(schema.GroupKind{Kind: "Thing"}, "x", nil), want: endsByPerson, words: "is invalid"},
		{name: "500", err: broken, want: endsByRetry, words: "no quorum"},
		{name: "namespace that is being deleted", err: terminating, want: endsByRetry, words: "it ends"},
		{name: "no connection", err: errors.New("connection refused"), want: endsByRetry, words: "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f findings
			again := f.addFailure("Why", fmt.Errorf("writing x: %w", tt.err))
			if len(f.failures) != 1 || f.failures[0].stance != tt.want || f.failures[0].reason != "Why" || !strings.Contains(f.failures[0].message, tt.words) {
				t.Errorf("got %+v, want %d with %q", f.failures, tt.want, tt.words)
			}
			if (again == nil) != (tt.want == endsByPerson) {
				t.Errorf("error: got %v, want one only if another try can end it", again)
			}
		})
	}
	var f findings
	if err := f.addFailure("Why", nil); err != nil || f.failures != nil {
		t.Errorf("no error: got %v, %+v", err, f.failures)
	}
}

func TestReasonOfEnd(t *testing.T) {
	if got := earlyEndReason(fmt.Errorf("x: %w", stackWriteError{forbidden})); got != v1beta1.ReasonApplyFailed {
		t.Errorf("failed write to the stack: got %s", got)
	}
	if got := earlyEndReason(forbidden); got != v1beta1.ReasonReadFailed {
		t.Errorf("failed read: got %s", got)
	}
}

// stackIn returns a client of a cluster with a stack, in which requests fail, and the stack.
func stackIn(t *testing.T, stack *v1beta1.LoadBalancerStack, funcs interceptor.Funcs) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1beta1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	stack.Name = v1beta1.LoadBalancerStackName
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stack).WithStatusSubresource(stack).WithInterceptorFuncs(funcs).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(stack), stack); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReport_OperatorConditionThatCannotBeWritten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		found findings
		want  map[string]string
	}{
		{"refusal", forbidden, findings{}, map[string]string{"Ready": "False ReportFailed", "Degraded": "True ReportFailed", "Stalled": "True ReportFailed"}},
		{"failure", broken, findings{}, map[string]string{"Ready": "False ReportFailed", "Degraded": "True ReportFailed", "Reconciling": "True ReportFailed"}},
		{"refusal at the end of a removal", forbidden, findings{removed: true}, map[string]string{"Ready": "False Removing", "Degraded": "True Removing", "Stalled": "True Removing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{}
			c := stackIn(t, stack, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if object.GetObjectKind().GroupVersionKind().Kind == "OperatorCondition" {
					return tt.err
				}
				return c.Get(ctx, key, object, options...)
			}})
			r := &Reconciler{Client: c, Reader: c, Events: &events.FakeRecorder{}, OperatorCondition: "olm"}
			tt.found.components = []componentState{workload("controller", 2), workload("speaker", 2)}
			if err := r.writeReport(t.Context(), stack, &tt.found); (err == nil) != apierrors.IsForbidden(tt.err) {
				t.Errorf("got %v, want an error only if another try can end it", err)
			}
			got := conditionTexts(stack.Status)
			for kind, want := range tt.want {
				if got[kind] != want {
					t.Errorf("%s: got %q, want %q", kind, got[kind], want)
				}
			}
			ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
			if ready == nil || !strings.Contains(ready.Message, "reading the OperatorCondition olm") || !strings.Contains(ready.Message, tt.err.Error()) {
				t.Errorf("Ready: got %+v, want the words of the API server", ready)
			}
		})
	}
}

func TestExamine_EventsThatCannotBeRead(t *testing.T) {
	c := stackIn(t, &v1beta1.LoadBalancerStack{}, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken }})
	r := &Reconciler{Client: c, Reader: c}
	lacks := func(name string) componentState {
		return componentState{ComponentStatus: v1beta1.ComponentStatus{Name: name, Kind: "DaemonSet"}, missing: 1}
	}
	f := findings{components: []componentState{lacks("first"), lacks("speaker"), failing(workload("third", 1), "before")}}
	pod := speakerPod("a", corev1.ConditionFalse)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no image"}}}}
	err := r.examineProblems(t.Context(), &v1beta1.LoadBalancerStack{}, &clusterState{pods: []corev1.Pod{pod}}, &f)
	if !apierrors.IsInternalError(err) || len(f.failures) != 1 || f.failures[0].reason != v1beta1.ReasonReportFailed || f.endedEarly() {
		t.Errorf("got %v, %+v, want the error once, as ReportFailed in a pass that went on", err, f.failures)
	}
	if len(f.components[1].failing) != 1 || len(f.components[2].failing) != 0 {
		t.Errorf("got %+v, want the components after the first one examined", f.components)
	}
}

func TestRemove_FailuresAreReported(t *testing.T) {
	refs := []v1beta1.ObjectReference{ref("", "v1", "ConfigMap", "n", "it")}
	for _, tt := range []struct {
		name    string
		step    string // the request that fails
		err     error
		deleted bool
		want    map[string]string
		words   string
	}{
		{"deletion that is refused", "delete", forbidden, true, map[string]string{"Ready": "False Removing", "Stalled": "True Removing", "Degraded": "True Removing"}, "deleting the ConfigMap n/it"},
		{"deletion that fails", "delete", broken, true, map[string]string{"Ready": "False Removing", "Reconciling": "True Removing", "Degraded": "False Removing"}, "deleting the ConfigMap n/it"},
		{"finalizer that may not be removed", "patch", forbidden, true, map[string]string{"Ready": "False Removing", "Stalled": "True Removing"}, "removing the finalizer"},
		{"finalizer that is not removed", "patch", broken, false, map[string]string{"Ready": "False Removing", "Reconciling": "True Removing"}, "removing the finalizer"},
		{"nothing", "", nil, false, map[string]string{"Ready": "True Removed"}, "the controller and the speakers do not run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{v1beta1.StackFinalizer, "example.com/other"}}, Status: v1beta1.LoadBalancerStackStatus{Inventory: refs}}
			c := stackIn(t, stack, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
					if _, services := list.(*corev1.ServiceList); services {
						return nil // the fake has no field selectors
					}
					return c.List(ctx, list, options...)
				},
				Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
					if tt.step == "delete" && object.GetName() == "it" {
						return tt.err
					}
					return c.Delete(ctx, object, options...)
				},
				Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
					if tt.step == "patch" {
						return tt.err
					}
					return c.Patch(ctx, object, patch, options...)
				},
			})
			made := objectOf(refs[0])
			made.SetLabels(map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator})
			if err := c.Create(t.Context(), made); err != nil {
				t.Fatal(err)
			}
			if tt.deleted {
				if err := c.Delete(t.Context(), stack); err != nil {
					t.Fatal(err)
				}
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(stack), stack); err != nil {
					t.Fatal(err)
				}
			}
			r := &Reconciler{Client: c, Reader: c, Events: &events.FakeRecorder{}, Namespace: "n"}
			result, err := r.remove(t.Context(), stack)
			if apierrors.IsForbidden(tt.err) && (err != nil || result.RequeueAfter != foreignRetryInterval) || apierrors.IsInternalError(tt.err) && err == nil {
				t.Errorf("got %+v, %v, want another try after 10 s, or an error if that can end by itself", result, err)
			}
			got := conditionTexts(stack.Status)
			for kind, want := range tt.want {
				if got[kind] != want {
					t.Errorf("%s: got %q, want %q; %v", kind, got[kind], want, got)
				}
			}
			if _, both := got[v1beta1.ConditionReconciling]; both && got[v1beta1.ConditionStalled] != "" {
				t.Errorf("got %v, want Stalled or Reconciling", got)
			}
			ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
			if ready == nil || !strings.Contains(ready.Message, tt.words) {
				t.Errorf("Ready: got %+v, want %q in it", ready, tt.words)
			}
		})
	}
}

func TestFaultsOf_HaveTheProblemOfAFailedRevisionOnce(t *testing.T) {
	const cause = `its image cannot be pulled: "x" not found`
	sentence := func(why string) string {
		return "the revision b (v2) failed on n2: " + why + ": the components go back to the revision a (v1)"
	}
	speaker := componentState{ComponentStatus: v1beta1.ComponentStatus{Name: "speaker"}, failing: []podProblem{{cause, []string{"n2"}}}}
	for _, tt := range []struct {
		name       string
		failure    string
		components []componentState
		want       []string
	}{
		{"pod that still fails", sentence("the pod p: the speaker is not ready: " + cause), []componentState{speaker},
			[]string{sentence("the pod p: the speaker is not ready"), "the speaker fails on n2: " + cause}},
		{"controller that still fails", sentence("the controller is not ready: on n1: a; on n2: b"),
			[]componentState{{ComponentStatus: v1beta1.ComponentStatus{Name: "controller"}, failing: []podProblem{{"a", []string{"n1"}}, {"b", []string{"n2"}}}}},
			[]string{sentence("the controller is not ready"), "the controller fails on n1: a; on n2: b"}},
		{"pod that was replaced", sentence("the pod p: the speaker is not ready: " + cause), nil, []string{sentence("the pod p: the speaker is not ready: " + cause)}},
		{"another problem", sentence("the pod p: its session is down"), []componentState{speaker}, []string{sentence("the pod p: its session is down"), "the speaker fails on n2: " + cause}},
	} {
		for _, reason := range []string{v1beta1.ReasonRollingBack, v1beta1.ReasonHalted} {
			t.Run(tt.name+" "+reason, func(t *testing.T) {
				var got []string
				for _, fault := range faultsOf(findings{components: tt.components, rollout: &rolloutFinding{reason: reason, failure: tt.failure}}) {
					got = append(got, fault.message)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("sentences (-want +got):\n%s", diff)
				}
			})
		}
	}
}
