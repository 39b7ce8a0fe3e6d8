package pool

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
)

func node(addresses []string, podCIDRs ...string) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "uid", ResourceVersion: "7", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.NodeSpec{PodCIDRs: podCIDRs, ProviderID: "x"},
		Status:     corev1.NodeStatus{Images: []corev1.ContainerImage{{SizeBytes: 1}}},
	}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func TestTakenByNodes(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	state := func(name string, subnets ...string) *v1beta1.SpeakerState {
		return &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1beta1.SpeakerStateStatus{Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", Subnets: subnets}}}}
	}
	tests := []struct {
		name    string
		objects []client.Object
		want    []string
	}{
		{name: "a node without addresses takes none", objects: []client.Object{node(nil)}},
		{name: "a node takes its addresses and the networks of its pods", objects: []client.Object{node([]string{"10.0.0.1", "2001:db8::1"}, "10.244.0.0/24", "fd00::/120")},
			want: []string{`10.0.0.1 by the node "n1"`, `2001:db8::1 by the node "n1"`, `10.244.0.0-10.244.0.255 by the pods of the node "n1" (podCIDR 10.244.0.0/24)`, `fd00::-fd00::ff by the pods of the node "n1" (podCIDR fd00::/120)`}},
		{name: "the subnets of a node count as its speaker reports them", objects: []client.Object{node([]string{"10.0.0.9"}), state("n1", "10.0.0.8/29", "none")},
			want: []string{`10.0.0.9 by the node "n1"`, `10.0.0.8 by the subnet 10.0.0.8/29 (node "n1")`, `10.0.0.15 by the subnet 10.0.0.8/29 (node "n1")`}},
		{name: "a speaker without a node takes nothing", objects: []client.Object{node([]string{"10.0.0.9"}), state("n2", "10.0.0.8/29")}, want: []string{`10.0.0.9 by the node "n1"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadTakenRanges(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(tt.objects...).Build())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, inWords(got)); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

func inWords(list []ipam.TakenRange) (words []string) {
	for _, taken := range list {
		words = append(words, taken.Range.String()+" by "+taken.By)
	}
	return words
}

func TestWhichChangesAreLookedAt(t *testing.T) {
	before, busier, moved, more := node([]string{"10.0.0.1"}, "10.1.0.0/24"), node([]string{"10.0.0.1"}, "10.1.0.0/24"), node([]string{"10.0.0.2"}, "10.1.0.0/24"), node([]string{"10.0.0.1"}, "10.1.0.0/24", "fd00::/64")
	busier.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady}}
	onSubnet := &v1beta1.SpeakerState{Status: v1beta1.SpeakerStateStatus{Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", Subnets: []string{"10.0.0.0/24"}}}}}
	plain, counted := object("a", 1), object("a", 1)
	counted.Status.Claims = 1
	tests := []struct {
		name string
		is   bool
		want bool
	}{
		{name: "a node with a new heartbeat alone", is: nodeChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: busier})},
		{name: "a node with another address", is: nodeChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: moved}), want: true},
		{name: "a node with another network", is: nodeChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: more}), want: true},
		{name: "a node that comes", is: nodeChanged.Create(event.CreateEvent{Object: before}), want: true},
		{name: "a node that goes", is: nodeChanged.Delete(event.DeleteEvent{Object: before}), want: true},
		{name: "a pool whose status is as it was", is: statusChanged.Update(event.UpdateEvent{ObjectOld: &plain, ObjectNew: plain.DeepCopy()})},
		{name: "a pool whose status somebody edited", is: statusChanged.Update(event.UpdateEvent{ObjectOld: &plain, ObjectNew: &counted}), want: true},
		{name: "a speaker that reports other subnets", is: reportChanged.Update(event.UpdateEvent{ObjectOld: &v1beta1.SpeakerState{}, ObjectNew: onSubnet}), want: true},
		{name: "a speaker that reports the same", is: reportChanged.Update(event.UpdateEvent{ObjectOld: onSubnet, ObjectNew: onSubnet.DeepCopy()})},
		{name: "what is no pool", is: statusChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: moved})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.is != tt.want {
				t.Errorf("looked at: got %v, want %v", tt.is, tt.want)
			}
		})
	}
}

func TestWorthAnEvent(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	is := func(kind string, status metav1.ConditionStatus, words ...string) metav1.Condition {
		c := metav1.Condition{Type: kind, Status: status, Reason: "R", Message: "m"}
		if len(words) == 2 {
			c.Reason, c.Message = words[0], words[1]
		}
		return c
	}
	ready, full := v1beta1.ConditionReady, v1beta1.ConditionExhausted
	was := func(c metav1.Condition) *metav1.Condition { return &c }
	tests := []struct {
		name   string
		before *metav1.Condition
		now    metav1.Condition
		want   bool
		kind   string
	}{
		{name: "a new pool that is ready", now: is(ready, yes), want: true, kind: "Normal"},
		{name: "a new pool that is not", now: is(ready, no), want: true, kind: "Warning"},
		{name: "a new pool that is full", now: is(full, yes), want: true, kind: "Warning"},
		{name: "not a new pool that is not full", now: is(full, no), kind: "Normal"},
		{name: "a pool that is full by now", before: was(is(full, no)), now: is(full, yes), want: true, kind: "Warning"},
		{name: "a pool that is not full any more", before: was(is(full, yes)), now: is(full, no), want: true, kind: "Normal"},
		{name: "not a pool that is full for other words", before: was(is(full, yes)), now: is(full, yes, "R2", "m2"), kind: "Warning"},
		{name: "a pool that is not ready for another reason", before: was(is(ready, no)), now: is(ready, no, "R2", "m"), want: true, kind: "Warning"},
		{name: "a pool that is not ready with other words", before: was(is(ready, no)), now: is(ready, no, "R", "m2"), want: true, kind: "Warning"},
		{name: "not a pool that is as it was", before: was(is(ready, yes)), now: is(ready, yes), kind: "Normal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isWorthEvent(tt.before, tt.now); got != tt.want {
				t.Errorf("worth an event: got %v, want %v", got, tt.want)
			}
			if got := eventType(tt.now); got != tt.kind {
				t.Errorf("its type: got %s, want %s", got, tt.kind)
			}
		})
	}
}
