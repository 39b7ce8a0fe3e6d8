package controllers

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

func TestStripNode(t *testing.T) {
	kept := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "uid", ResourceVersion: "7", Labels: map[string]string{"zone": "a"}, CreationTimestamp: metav1.NewTime(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24"}, Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "R"}},
		},
	}
	kept.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	whole := kept.DeepCopy()
	whole.Annotations = map[string]string{"large": "one"}
	whole.Spec.ProviderID = "x"
	whole.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
	whole.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	whole.Status.Conditions = append(whole.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeDiskPressure})
	got, err := typedTransform(stripNode)(whole)
	if diff := cmp.Diff(any(&kept), got); err != nil || diff != "" {
		t.Errorf("node (-want +got), %v:\n%s", err, diff)
	}
}

func TestStripNamespace(t *testing.T) {
	kept := metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "uid", ResourceVersion: "7", Labels: map[string]string{"team": "a"}},
	}
	for i := range 100 { // selectors see all
		kept.Labels[fmt.Sprint("label-", i)] = ""
	}
	whole := kept.DeepCopy()
	whole.Annotations = map[string]string{"large": "one"}
	by := CacheOptions("lbstack-system").ByObject
	for object := range by {
		if _, is := object.(*corev1.Namespace); !is {
			continue
		}
		got, err := by[object].Transform(whole)
		if diff := cmp.Diff(any(&kept), got); err != nil || diff != "" {
			t.Errorf("namespace (-want +got), %v:\n%s", err, diff)
		}
		return
	}
	t.Error("namespaces are kept whole")
}

func TestCacheOptions_SpeakerReports(t *testing.T) {
	keeps := metav1.ObjectMeta{Name: "n1", UID: "uid", ResourceVersion: "7"}
	whole := *keeps.DeepCopy()
	whole.Annotations = map[string]string{"large": "one"}
	whole.OwnerReferences = []metav1.OwnerReference{{Kind: "Node", Name: "n1"}}
	status := v1beta1.SpeakerStateStatus{Phase: v1beta1.SpeakerActive, LiveSpeakers: 3}
	routes := []v1beta1.SpeakerBGPRoute{{Prefix: "192.0.2.1/32", Peers: []v1beta1.ObjectName{"tor"}}}
	for _, tt := range []struct {
		name     string
		in, want any
	}{
		{"state", &v1beta1.SpeakerState{ObjectMeta: whole, Status: status}, &v1beta1.SpeakerState{ObjectMeta: keeps, Status: status}},
		{"slice", &v1beta1.SpeakerRouteSlice{ObjectMeta: whole, Node: "n1", Routes: routes}, &v1beta1.SpeakerRouteSlice{ObjectMeta: keeps, Node: "n1", Routes: routes}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for object, by := range CacheOptions("lbstack-system").ByObject {
				if reflect.TypeOf(object) != reflect.TypeOf(tt.in) {
					continue
				}
				got, err := by.Transform(tt.in)
				if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
					t.Errorf("cached object (-want +got), %v:\n%s", err, diff)
				}
				return
			}
			t.Error("the cache has the whole object")
		})
	}
}

func TestStrip_OtherObjectsPass(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	for name, strip := range map[string]func(any) (any, error){"node": typedTransform(stripNode), "endpoints": typedTransform(apiconv.PackEndpoints)} {
		if got, err := strip(pod); err != nil || got != any(pod) {
			t.Errorf("%s: got %v, %v, want it as it is", name, got, err)
		}
	}
}
