package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/rollout"
)

var began = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)

func revisionOfTest(t *testing.T, image, restart string) (rollout.Revision, podTemplates) {
	t.Helper()
	template := func(name string) map[string]any {
		return map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": name, "image": image, "priority": int64(1)}}}}
	}
	s := podTemplates{Controller: template("controller"), Speaker: template("speaker"), Restart: restart, version: image}
	r, err := s.revision()
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func TestRevision_IsNamedByItsTemplates(t *testing.T) {
	one, _ := revisionOfTest(t, "one", "")
	again, _ := revisionOfTest(t, "one", "")
	two, _ := revisionOfTest(t, "two", "")
	restarted, _ := revisionOfTest(t, "one", "now")
	if one != again || one.Controller == two.Controller || one.Speaker == two.Speaker {
		t.Errorf("got %s, %s and %s, want the first two alone equal", one, again, two)
	}
	if restarted.Controller != one.Controller || restarted.Speaker == one.Speaker {
		t.Errorf("a restart of the speakers: got %s after %s, want another speaker alone", restarted, one)
	}
}

func TestRestartOf(t *testing.T) {
	_, last := revisionOfTest(t, "one", "at eight")
	for _, tt := range []struct {
		name string
		uid  types.UID
		mark string
		want string
	}{
		{"DaemonSet with another mark is another revision", "uid", "at nine", "at nine"},
		{"DaemonSet without a mark is another revision", "uid", "", ""},
		{"absent DaemonSet is none", "", "", "at eight"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{UID: tt.uid}}
			d.Spec.Template.Annotations = map[string]string{annotationRestarted: tt.mark}
			if got := restartOf(d, last); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppliedOf(t *testing.T) {
	for _, tt := range []struct {
		name  string
		found findings
		want  int64
	}{
		{"all objects were applied", findings{}, 3},
		{"pools are wrong as they are applied", findings{pools: []string{"p"}}, 3},
		{"an object was refused", findings{failures: []fault{{v1beta1.ReasonApplyFailed, "o", endsByPerson}}, pools: []string{"p"}}, 0},
		{"a request failed", findings{failures: []fault{{v1beta1.ReasonApplyFailed, "o", endsByRetry}}}, 0},
		{"only a report failed", findings{failures: []fault{{v1beta1.ReasonReportFailed, "o", endsByRetry}}}, 3},
		{"nothing could be read", findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "no", endsByRetry}}}, 0},
		{"the spec is not valid", findings{invalid: []string{"f"}}, 0},
		{"the spec cannot be rendered", findings{renderFailed: "no"}, 0},
		{"the CRDs are too old", findings{unfit: &unfitReason{v1beta1.ReasonCRDsOutdated, "no"}}, 0},
		{"the stack is paused", findings{restraint: &observeReason{reason: v1beta1.ReasonPaused}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.found.generation, tt.found.components = 3, []componentState{{ComponentStatus: v1beta1.ComponentStatus{Name: "speaker"}, settled: true, available: 1}}
			status := buildStatus(v1beta1.LoadBalancerStackStatus{}, tt.found)
			if got := appliedGeneration(status.Conditions); got != tt.want {
				t.Errorf("generation: got %d, want %d; %+v", got, tt.want, status.Conditions)
			}
		})
	}
	if got := appliedGeneration(nil); got != 0 {
		t.Errorf("without conditions: got %d, want 0", got)
	}
}

func TestTemplateFor(t *testing.T) {
	one, first := revisionOfTest(t, "one", "")
	two, second := revisionOfTest(t, "two", "")
	for _, tt := range []struct {
		name     string
		planned  rollout.Revision
		live     rollout.Hash
		want     rollout.Hash
		template map[string]any
	}{
		{"planned revision", two, one.Speaker, two.Speaker, second.Speaker},
		{"workload that stays has the template that it has", rollout.Revision{}, one.Speaker, one.Speaker, first.Speaker},
		{"template that is gone leaves the workload alone", rollout.Revision{}, "gone", "", nil},
		{"workload that does not exist gets the wanted one", rollout.Revision{}, "", two.Speaker, second.Speaker},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := changePlan{revisions: map[rollout.Revision]podTemplates{one: first, two: second}}
			c.Speaker, c.Next = tt.planned, rollout.Stored{Revision: two, Good: one}
			got, hash := c.templateFor("DaemonSet", rollout.Revision{Speaker: tt.live})
			if hash != tt.want {
				t.Errorf("hash: got %q, want %q", hash, tt.want)
			}
			if diff := cmp.Diff(tt.template, got); diff != "" {
				t.Errorf("template (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGive_LabelsTheTemplateAlone(t *testing.T) {
	r, s := revisionOfTest(t, "one", "")
	object := &unstructured.Unstructured{Object: map[string]any{"kind": "DaemonSet"}}
	if err := setTemplate(object, s.Speaker, r.Speaker); err != nil {
		t.Fatal(err)
	}
	got, _, err := unstructured.NestedString(object.Object, "spec", "template", "metadata", "labels", v1beta1.LabelRevision)
	if err != nil || got != string(r.Speaker) {
		t.Errorf("label: got %q, %v, want %q", got, err, r.Speaker)
	}
	if now, err := s.revision(); err != nil || now != r {
		t.Errorf("the template of the revision: got %s, %v, want it unchanged", now, err)
	}
}

func TestIsReportOf(t *testing.T) {
	pod := func(started time.Time) *corev1.Pod {
		p := speakerPod("a", corev1.ConditionTrue)
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started)}}}}
		return &p
	}
	state := func(phase v1beta1.SpeakerPhase, started time.Time) *v1beta1.SpeakerState {
		at := metav1.NewTime(started)
		return &v1beta1.SpeakerState{Status: v1beta1.SpeakerStateStatus{Phase: phase, StartedAt: &at}}
	}
	for _, tt := range []struct {
		name  string
		state *v1beta1.SpeakerState
		want  bool
	}{
		{"report of the process that runs", state(v1beta1.SpeakerActive, began.Add(time.Second)), true},
		{"report of the second in which the container started", state(v1beta1.SpeakerActive, began), true},
		{"report of the process before", state(v1beta1.SpeakerActive, began.Add(-time.Minute)), false},
		{"speaker that has ended", state(v1beta1.SpeakerStopped, began.Add(time.Second)), false},
		{"state that nobody has written yet", &v1beta1.SpeakerState{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := isReportOf(tt.state, pod(began)); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestObserved_Since(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{}, "default", errors.New("another writer was faster"))
	for _, tt := range []struct {
		name  string
		since time.Time
		err   error
		want  time.Time
	}{
		{"API server that goes on to answer", began, nil, began},
		{"one that answers again", time.Time{}, nil, began.Add(time.Hour)},
		{"one that does not answer", began, errors.New("connection refused"), time.Time{}},
		{"another writer was faster, which is an answer", began, fmt.Errorf("storing: %w", conflict), began},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := rolloutObservations{since: tt.since}
			if o.noteAnswer(tt.err, began.Add(time.Hour)); o.since != tt.want {
				t.Errorf("the cluster is observed since: got %v, want %v", o.since, tt.want)
			}
		})
	}
}

func TestObserved_ReadySince(t *testing.T) {
	o := rolloutObservations{pods: map[types.UID]podReadiness{}}
	pod := speakerPod("a", corev1.ConditionTrue)
	look := func(at time.Duration) time.Duration {
		is := o.readinessOf(&pod, began.Add(at))
		o.pods[pod.UID] = is
		return is.since.Sub(began)
	}
	if first, later := look(0), look(time.Minute); first != 0 || later != 0 {
		t.Errorf("pod that stays ready: since %s and %s, want 0 s", first, later)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}}
	if got := look(2 * time.Minute); got != 2*time.Minute {
		t.Errorf("pod that was restarted between two looks: since %s, want 2m0s", got)
	}
}

func TestOutages(t *testing.T) {
	svc := func(reason string, edits ...metav1.ManagedFieldsEntry) corev1.Service {
		return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", CreationTimestamp: metav1.NewTime(began), ManagedFields: edits},
			Status: corev1.ServiceStatus{Conditions: []metav1.Condition{{Type: v1beta1.ServiceAnnounced, Status: metav1.ConditionFalse, Reason: reason, LastTransitionTime: metav1.NewTime(began.Add(time.Hour))}}}}
	}
	edit := func(manager, subresource string, at time.Duration) metav1.ManagedFieldsEntry {
		when := metav1.NewTime(began.Add(at))
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &when}
	}
	outage := func(changed time.Duration) []rollout.Outage {
		return []rollout.Outage{{Service: lb.ServiceKey{Namespace: "shop", Name: "web"}, Since: began.Add(time.Hour), Changed: began.Add(changed)}}
	}
	for _, tt := range []struct {
		name string
		svc  corev1.Service
		want []rollout.Outage
	}{
		{"Service that nobody announces", svc(v1beta1.ReasonNotAnnounced), outage(0)},
		{"Service without endpoints", svc(v1beta1.ReasonNoEndpoints), nil},
		{"edit of the owner counts as a change", svc(v1beta1.ReasonNotAnnounced, edit("kubectl", "", time.Minute)), outage(time.Minute)},
		{"writes of lbstack and to the status do not", svc(v1beta1.ReasonNotAnnounced, edit("lbstack-controller", "", time.Minute), edit("kubectl", "status", time.Minute)), outage(0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stripped := stripService(&tt.svc)
			if diff := cmp.Diff(tt.want, outagesOf([]corev1.Service{*stripped})); diff != "" {
				t.Errorf("outages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControllerFacts(t *testing.T) {
	d := func(edit func(*appsv1.Deployment)) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 1}}
		d.Spec.Template.Labels = map[string]string{v1beta1.LabelRevision: "c1"}
		if edit != nil {
			edit(d)
		}
		return d
	}
	for _, tt := range []struct {
		name string
		d    *appsv1.Deployment
		want rollout.Workload
	}{
		{"one pod of the template serves, and no other is left", d(nil), rollout.Workload{Template: "c1", Ready: true}},
		{"change that is not observed yet", d(func(d *appsv1.Deployment) { d.Generation++ }), rollout.Workload{}},
		{"pod of the former template", d(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 }), rollout.Workload{Template: "c1"}},
		{"no pod serves", d(func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 0 }), rollout.Workload{Template: "c1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, controllerFacts(tt.d, "")); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChangePlan_Words(t *testing.T) {
	one, first := revisionOfTest(t, "v0.1.0", "")
	two, second := revisionOfTest(t, "v0.2.0", "")
	c := changePlan{revisions: map[rollout.Revision]podTemplates{one: first, two: second}}
	c.Next = rollout.Stored{Phase: rollout.PhaseSpeakers, Revision: two, Good: one}
	c.Progress = rollout.Progress{Updated: 3, Total: 7, Target: two, Waiting: []rollout.NodeNote{{Node: "node4", Text: "the speaker is not ready"}},
		Following: []lb.NodeName{"node5"}, Skipped: []rollout.NodeNote{{Node: "node9", Text: "NotReady"}}}
	f := c.finding()
	if want := "3 of 7 speakers run v0.2.0 and are ready; waiting for node4: the speaker is not ready; next to be replaced: the speaker on node5; the node node9 is skipped: it is NotReady"; f.status.Message != want || !f.moving || f.version != "v0.2.0" {
		t.Errorf("got %q, moving %t to %q, want %q, moving to v0.2.0", f.status.Message, f.moving, f.version, want)
	}
	if c.Next.Unverified = true; !strings.Contains(c.finding().status.Message, "the rollout does not check whether speakers announce") {
		t.Errorf("announcements that are no evidence: got %q, want that they are not checked", c.finding().status.Message)
	}
	c.Progress.Unproven = []lb.NodeName{"node2"}
	if !strings.Contains(c.finding().status.Message, "no address is announced by the speaker on node2, so nothing shows yet that the revision works: the speaker of one more node is replaced before the others") {
		t.Errorf("canary that shows nothing: got %q, want that it does not show", c.finding().status.Message)
	}
	c.Progress.Waiting, c.Progress.Following = nil, nil
	if got := c.finding().status.Message; !strings.Contains(got, "no address is announced by the speaker on node2") || strings.Contains(got, "one more node") {
		t.Errorf("canary that shows nothing, and no other node: got %q, want that it does not show, and no other node", got)
	}
	c.Next = rollout.Stored{Phase: rollout.PhaseRollingBack, Revision: two, Good: one, Failure: rollout.Failure{Node: "node4", Why: "why", Unreceived: true}}
	if f := c.finding(); f.reason != v1beta1.ReasonRollingBack || !strings.Contains(f.failure, "if nodes do not receive the announcements of that revision either, the operator tries the failed revision again") {
		t.Errorf("failure of announcements alone: got %s, %q, want that it may be tried again", f.reason, f.failure)
	}
	c.Next = rollout.Stored{Phase: rollout.PhaseRolledBack, Revision: two, Good: one, Failure: rollout.Failure{Node: "node4", Why: "the pod p: it keeps ending"}}
	c.Progress = rollout.Progress{Updated: 7, Total: 7, Target: one}
	f = c.finding()
	if f.reason != v1beta1.ReasonRolledBack || f.moving || f.version != "v0.1.0" {
		t.Errorf("got %s, moving %t, %q, want RolledBack at rest on v0.1.0", f.reason, f.moving, f.version)
	}
	for _, words := range []string{"v0.2.0", "node4", "the pod p", "it keeps ending", "v0.1.0", v1beta1.AnnotationRetry} {
		if !strings.Contains(f.failure, words) {
			t.Errorf("got %q, want %q in it", f.failure, words)
		}
	}
	c.Next.Phase = rollout.PhaseHalted
	if f := c.finding(); f.reason != v1beta1.ReasonHalted || f.moving || !strings.Contains(f.failure, "nothing is replaced any more") || !strings.Contains(f.failure, "set spec.speaker.rollout.onFailure to Rollback") {
		t.Errorf("got %s, moving %t, %q, want Halted, that nothing is replaced, and what to do", f.reason, f.moving, f.failure)
	}
}

func TestRollout_TimeWithRestraintDoesNotCount(t *testing.T) {
	r := Reconciler{observed: rolloutObservations{since: began}}
	if err := r.observeOnly(t.Context(), nil, &clusterState{}, &findings{restraint: &observeReason{}}); err != nil {
		t.Fatal(err)
	}
	if r.observed.noteAnswer(nil, began.Add(time.Hour)); r.observed.since != began.Add(time.Hour) {
		t.Errorf("the cluster is observed since: got %v, want the first pass after the restraint", r.observed.since)
	}
}

func TestRollout_TimeWithoutTheAPIServerDoesNotCount(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("connection refused")
	cached := fake.NewClientBuilder().WithScheme(scheme).Build()
	read := interceptor.NewClient(cached, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return refused
	}})
	r := Reconciler{Client: cached, Reader: read, fits: true, observed: rolloutObservations{since: began}}
	if err := r.runPass(t.Context(), &v1beta1.LoadBalancerStack{}, &findings{}); !errors.Is(err, refused) {
		t.Fatalf("got %v, want %v", err, refused)
	}
	if !r.observed.since.IsZero() {
		t.Errorf("the cluster is observed since: got %v, want not at all", r.observed.since)
	}
}

func TestRollout_InStatusOfStack(t *testing.T) {
	waiting := "waiting"
	before := &v1beta1.RolloutStatus{Phase: v1beta1.RolloutSpeakers, Revision: "b-b", GoodRevision: "a-a"}
	now := &v1beta1.RolloutStatus{Phase: v1beta1.RolloutComplete, Revision: "b-b", GoodRevision: "b-b"}
	for _, tt := range []struct {
		name   string
		found  findings
		want   *v1beta1.RolloutStatus
		target string
	}{
		{"rollout that goes on", findings{rollout: &rolloutFinding{status: before, moving: true, version: "v2"}}, before, "v2"},
		{"rollout that is complete", findings{rollout: &rolloutFinding{status: now, version: "v2"}}, now, ""},
		{"restrained operator leaves it", findings{restraint: &observeReason{}}, before, "v1"},
		{"pass that failed leaves it", findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "no", endsByRetry}}}, before, "v1"},
		{"removal ends it", findings{removing: &waiting}, nil, ""},
		{"removed stack has none", findings{removed: true}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := buildStatus(v1beta1.LoadBalancerStackStatus{Rollout: before, TargetVersion: "v1"}, tt.found)
			if diff := cmp.Diff(tt.want, got.Rollout); diff != "" {
				t.Errorf("rollout (-want +got):\n%s", diff)
			}
			if got.TargetVersion != tt.target {
				t.Errorf("target: got %q, want %q", got.TargetVersion, tt.target)
			}
		})
	}
}

func TestStep_DeletionThatFailsIsRequestedAgain(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for _, tt := range []struct {
		name    string
		happens bool // the pod is deleted although the answer is an error
		want    map[types.UID]bool
	}{
		{"a refused deletion", false, map[types.UID]bool{}},
		{"a deletion whose answer is lost", true, map[types.UID]bool{"p1": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "speaker-1", UID: "p1", Labels: map[string]string{v1beta1.LabelComponent: "speaker", "app.kubernetes.io/name": "lbstack"}}}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pod.DeepCopy()).WithInterceptorFuncs(interceptor.Funcs{
				Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
					if tt.happens {
						return errors.Join(c.Delete(ctx, o), refused)
					}
					return refused
				},
			}).Build()
			r := Reconciler{Client: c, Reader: c, Namespace: "system", observed: rolloutObservations{ending: map[types.UID]bool{}, informed: true}}
			planned := changePlan{pods: map[string]string{"p1": pod.Name}, Plan: rollout.Plan{Delete: []rollout.Deletion{{Node: "n1", Pod: "p1"}}}}
			written := passPlan{unchanged: map[v1beta1.ObjectReference]*unstructured.Unstructured{{Kind: "DaemonSet"}: nil}}
			if err := r.deleteReplacedPods(t.Context(), &planned, written, &findings{}); !errors.Is(err, refused) {
				t.Fatalf("step: got %v, want %v", err, refused)
			}
			if err := r.readEndingPods(t.Context(), &clusterState{pods: []corev1.Pod{pod}}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, r.observed.ending); diff != "" {
				t.Errorf("pods that are ending (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFacts_SpeakerOfAFormerServiceAccountIsUnauthorized(t *testing.T) {
	for _, tt := range []struct {
		name, of string
		want     bool
	}{
		{"the present account", "new", false},
		{"an account that was made anew since", "old", true},
		{"a version that does not record the account", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "p1", Labels: map[string]string{v1beta1.LabelComponent: "speaker"}, Annotations: map[string]string{v1beta1.AnnotationServiceAccount: tt.of}}}
			pod.Spec.NodeName = "n1"
			around := &clusterState{pods: []corev1.Pod{pod}, placement: placement{hosts: map[string]rollout.Node{"n1": {}}}}
			s := (&Reconciler{}).rolloutFacts(around, &appsv1.Deployment{}, &appsv1.DaemonSet{}, "new", began)
			if got := s.Nodes["n1"].Pod.Unauthorized; got != tt.want {
				t.Errorf("unauthorized: got %t, want %t", got, tt.want)
			}
		})
	}
}
