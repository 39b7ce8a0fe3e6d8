package stack

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/internal/manifests"
)

// sized is anything of Kubernetes, with how many bytes it takes encoded.
type sized interface {
	client.Object
	Size() int
}

// transformed returns what the cache of the operator keeps of an object.
func transformed(t *testing.T, object client.Object) any {
	t.Helper()
	scheme, err := manager.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	options, err := CacheOptions(scheme, "lbstack-system")
	if err != nil {
		t.Fatal(err)
	}
	for kind, by := range options.ByObject {
		if fmt.Sprintf("%T", kind) != fmt.Sprintf("%T", object) {
			continue
		}
		kept, err := by.Transform(object)
		if err != nil {
			t.Fatal(err)
		}
		again, err := by.Transform(kept.(client.Object).DeepCopyObject())
		if diff := cmp.Diff(kept, again); err != nil || diff != "" {
			t.Errorf("the second time, %v (-first +second):\n%s", err, diff)
		}
		return kept
	}
	t.Fatalf("%T is not watched", object)
	return nil
}

// TestCacheOptions_LargeObjectsOfTenants has an object of each kind of Kubernetes that is
// watched, as large as a tenant can make it.
func TestCacheOptions_LargeObjectsOfTenants(t *testing.T) {
	scheme, err := manager.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{&corev1.Pod{}, &corev1.Service{}}
	for _, kind := range manifests.Kinds() {
		if kind.Group != v1beta1.GroupVersion.Group {
			object, err := emptyObject(scheme, kind)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, object)
		}
	}
	large := strings.Repeat("x", 1<<20)
	for _, object := range objects {
		for name, grow := range map[string]func(){
			"labels": func() {
				labels := map[string]string{}
				for i := range 100_000 {
					labels[fmt.Sprint(i)] = ""
				}
				object.SetLabels(labels)
			},
			"annotations":     func() { object.SetAnnotations(map[string]string{"a": large}) },
			"finalizers":      func() { object.SetFinalizers([]string{large}) },
			"ownerReferences": func() { object.SetOwnerReferences([]metav1.OwnerReference{{Name: large}}) },
			"content":         func() { fill(object, large) },
		} {
			object.SetLabels(map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator})
			object.SetAnnotations(nil)
			object.SetFinalizers(nil)
			object.SetOwnerReferences(nil)
			object.SetName("n")
			grow()
			kept := transformed(t, object.DeepCopyObject().(client.Object)).(sized)
			if kept.GetName() != "n" || kept.Size() > 32<<10 {
				t.Errorf("%T with large %s: keeps %d bytes under the name %q, want at most 32 KiB", object, name, kept.Size(), kept.GetName())
			}
		}
	}
}

// fill writes a text where an object of a tenant can have one.
func fill(object client.Object, text string) {
	switch o := object.(type) {
	case *corev1.Pod:
		state := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: text}}
		o.Spec = corev1.PodSpec{Affinity: affinityToNode(text), Containers: []corev1.Container{{Image: text}}}
		for range 100 {
			o.Status.ContainerStatuses = append(o.Status.ContainerStatuses, corev1.ContainerStatus{Image: text, State: state})
		}
	case *corev1.Service:
		o.Spec.Selector = map[string]string{"a": text}
	case *corev1.Secret:
		o.Data = map[string][]byte{"a": []byte(text)}
	case *appsv1.Deployment:
		o.Spec.Template.Spec.Containers = []corev1.Container{{Image: text}}
		o.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Message: text}, {Type: appsv1.DeploymentProgressing, Message: text}}
	case *appsv1.DaemonSet:
		o.Spec.Template.Spec.Containers = []corev1.Container{{Image: text}}
		o.Status.Conditions = []appsv1.DaemonSetCondition{{Message: text}}
	}
}

func TestCacheOptions_StoreFieldsThatAreRead(t *testing.T) {
	meta := metav1.ObjectMeta{
		Namespace: "n", Name: "o", UID: "u", ResourceVersion: "7", Generation: 3, Labels: map[string]string{v1beta1.LabelComponent: "speaker"},
		Annotations: map[string]string{"a": "b"}, Finalizers: []string{"f"}, OwnerReferences: []metav1.OwnerReference{{Name: "o"}},
	}
	refusal := appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "no"}
	counts := appsv1.DaemonSetStatus{DesiredNumberScheduled: 5, CurrentNumberScheduled: 4, UpdatedNumberScheduled: 3, NumberReady: 2, NumberAvailable: 1, ObservedGeneration: 3}
	pod := speakerPod("", corev1.ConditionFalse)
	pod.Spec.Affinity = affinityToNode("n1")
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "panic: x"}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 3, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: ended}}
	podBefore := pod.DeepCopy()
	pod.Labels["a"], pod.Spec.HostNetwork = "b", true
	for _, tt := range []struct{ object, want client.Object }{
		{object: &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"a": nil}}, want: &corev1.Secret{ObjectMeta: meta}},
		{
			object: &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Paused: true},
				Status: appsv1.DeploymentStatus{Replicas: 5, UpdatedReplicas: 4, ReadyReplicas: 3, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{{Type: "Other"}, refusal}}},
			want: &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))},
				Status: appsv1.DeploymentStatus{Replicas: 5, UpdatedReplicas: 4, ReadyReplicas: 3, AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{refusal}}},
		},
		{object: &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{MinReadySeconds: 1}, Status: counts}, want: &appsv1.DaemonSet{ObjectMeta: meta, Status: counts}},
		{object: &pod, want: podBefore},
	} {
		if diff := cmp.Diff(any(tt.want), transformed(t, tt.object)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", tt.object, diff)
		}
	}
}

func TestStripState_LeavesFieldsThatARolloutReads(t *testing.T) {
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: v1beta1.SpeakerStateStatus{
		StartedAt:       &metav1.Time{Time: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)},
		MissingSpeakers: []v1beta1.NodeName{"n2"}, CoveredNodes: []v1beta1.CoveredNode{{Name: "n3", AddressCount: 1}}, AddressCount: 4, RouteCount: 5,
		BGPPeers: []v1beta1.SpeakerBGPPeer{{Name: "tor-a", State: v1beta1.BGPEstablished}, {Name: "tor-b", State: v1beta1.BGPActive}},
	}}
	given := map[string]bool{}
	for _, phase := range []v1beta1.SpeakerPhase{v1beta1.SpeakerIsolated, v1beta1.SpeakerDraining} {
		state.Status.Phase = phase
		want := apiconv.RolloutReport(state)
		for i, of := 0, reflect.ValueOf(*want); i < of.NumField(); i++ {
			name := of.Type().Field(i).Name
			given[name] = given[name] || !of.Field(i).IsZero()
		}
		if diff := cmp.Diff(want, apiconv.RolloutReport(stripState(state))); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
	for name, is := range given {
		if !is {
			t.Errorf("the test gives no %s", name)
		}
	}
}
