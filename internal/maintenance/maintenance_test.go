package maintenance

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// node has an annotation, a label and a taint of each key that is not empty.
func node(annotation, label, taint string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", Annotations: map[string]string{"other": "1"}, Labels: map[string]string{"other": "1"}}}
	if annotation != "" {
		n.Annotations[annotation] = ""
	}
	if label != "" {
		n.Labels[label] = ""
	}
	if taint != "" {
		n.Spec.Taints = []corev1.Taint{{Key: taint, Effect: corev1.TaintEffectPreferNoSchedule}}
	}
	return n
}

func drainBy(annotations, labels, taints []v1beta1.DrainKey) *v1beta1.LoadBalancerStack {
	return &v1beta1.LoadBalancerStack{Spec: v1beta1.LoadBalancerStackSpec{Drain: v1beta1.DrainSpec{Annotations: annotations, Labels: labels, Taints: taints}}}
}

type keys = []v1beta1.DrainKey

func TestDrain(t *testing.T) {
	tests := []struct {
		name      string
		node      *corev1.Node
		stack     *v1beta1.LoadBalancerStack
		want      *corev1.Node // nil: an error
		unchanged bool
	}{
		{"the default is an annotation", node("", "", ""), drainBy(nil, nil, nil), node("lbstack.io/drain", "", ""), false},
		{"the key of lbstack goes first", node("", "", ""), drainBy(keys{"a.example/b", "lbstack.io/drain"}, nil, nil), node("lbstack.io/drain", "", ""), false},
		{"a key of the stack", node("", "", ""), drainBy(keys{"a.example/b"}, nil, nil), node("a.example/b", "", ""), false},
		{"a label where there is no annotation", node("", "", ""), drainBy(keys{}, keys{"a.example/b"}, nil), node("", "a.example/b", ""), false},
		{"a taint where there is neither", node("", "", ""), drainBy(keys{}, keys{}, keys{"a.example/b"}), node("", "", "a.example/b"), false},
		{"no key at all", node("", "", ""), drainBy(keys{}, keys{}, keys{}), nil, false},
		{"keys of Kubernetes are not set", node("", "", ""), drainBy(keys{}, keys{corev1.LabelNodeExcludeBalancers}, keys{corev1.TaintNodeUnschedulable, "a.example/b"}), node("", "", "a.example/b"), false},
		{"no other key", node("", "", ""), drainBy(keys{}, keys{}, keys{corev1.TaintNodeUnschedulable}), nil, false},
		{"a node that shuts down", shutsDown(node("", "", "")), drainBy(nil, nil, nil), shutsDown(node("lbstack.io/drain", "", "")), false},
		{"drained by something else already", node("", "", "a.example/b"), drainBy(nil, nil, keys{"a.example/b"}), node("", "", "a.example/b"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.node.DeepCopy()
			got, err := Drain(tt.node, tt.stack)
			if (tt.want == nil) != (err != nil) {
				t.Fatalf("got the error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.node); diff != "" {
				t.Errorf("the argument was changed:\n%s", diff)
			}
			if got != nil && (got == tt.node) != tt.unchanged {
				t.Errorf("returned the same node: %v, want %v", got == tt.node, tt.unchanged)
			}
			if got != nil && !apiconv.ParseNode(got, apiconv.ParseDrainPolicy(tt.stack)).Draining {
				t.Error("the speakers do not take the node for one that drains")
			}
		})
	}
}

// shutsDown has the node shut down, as its kubelet reports it.
func shutsDown(n *corev1.Node) *corev1.Node {
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: "node is shutting down"}}
	return n
}

func TestUndrain(t *testing.T) {
	tests := []struct {
		name  string
		node  *corev1.Node
		stack *v1beta1.LoadBalancerStack
		want  *corev1.Node // nil: not compared
		left  string       // empty: nothing drains it
	}{
		{"all marks go", node("lbstack.io/drain", "lbstack.io/drain", "lbstack.io/drain"), drainBy(nil, nil, nil), node("", "", ""), ""},
		{"a node that is not drained", node("", "", ""), drainBy(nil, nil, nil), node("", "", ""), ""},
		{"marks that drain nothing stay", node("a.example/b", "", ""), drainBy(nil, nil, nil), node("a.example/b", "", ""), ""},
		{"cordoned", node("", "", corev1.TaintNodeUnschedulable), drainBy(nil, nil, keys{corev1.TaintNodeUnschedulable}), node("", "", corev1.TaintNodeUnschedulable), "kubectl uncordon worker-1"},
		{"tainted by Kubernetes", node("", "", "node.kubernetes.io/not-ready"), drainBy(nil, nil, keys{"node.kubernetes.io/not-ready"}), nil, "which Kubernetes removes"},
		{"shutting down", shutsDown(node("lbstack.io/drain", "", "")), drainBy(nil, nil, nil), nil, "shutdown"},
		{"a label of Kubernetes stays", node("", corev1.LabelNodeExcludeBalancers, ""), drainBy(nil, keys{corev1.LabelNodeExcludeBalancers}, nil), node("", corev1.LabelNodeExcludeBalancers, ""), "kubectl label node worker-1 " + corev1.LabelNodeExcludeBalancers + "-"},
		{"an annotation of Kubernetes stays", node("a.kubernetes.io/b", "", ""), drainBy(keys{"a.kubernetes.io/b"}, nil, nil), node("a.kubernetes.io/b", "", ""), "kubectl annotate node worker-1 a.kubernetes.io/b-"},
		{"excluded from load balancers", node("lbstack.io/drain", corev1.LabelNodeExcludeBalancers, ""), drainBy(nil, nil, nil), node("", corev1.LabelNodeExcludeBalancers, ""), "still gets no addresses: it has the label " + corev1.LabelNodeExcludeBalancers},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, still := Undrain(tt.node, tt.stack)
			if tt.want != nil {
				ignore := cmp.Transformer("length", func(list []corev1.Taint) int { return len(list) })
				if diff := cmp.Diff(tt.want, got, ignore); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
			if (tt.left == "") != (still == "") || !strings.Contains(still, tt.left) {
				t.Errorf("still: %q, want %q", still, tt.left)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	state := func(phase v1beta1.SpeakerPhase, routes int32, addresses ...string) *v1beta1.SpeakerState {
		s := &v1beta1.SpeakerState{}
		s.Status.Phase, s.Status.RouteCount, s.Status.AddressCount = phase, routes, int32(len(addresses))
		for _, a := range addresses {
			s.Status.Addresses = append(s.Status.Addresses, v1beta1.SpeakerAddress{Address: a})
		}
		return s
	}
	current := func(s *v1beta1.SpeakerState, reason string) *v1beta1.SpeakerState {
		s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: reason}}
		return s
	}
	tests := []struct {
		name  string
		state *v1beta1.SpeakerState
		done  bool
		words string
	}{
		{"no speaker", nil, true, "no speaker runs on the node"},
		{"stopped", state(v1beta1.SpeakerStopped, 0), true, "no speaker runs on the node"},
		{"stopped with addresses", state(v1beta1.SpeakerStopped, 0, "192.0.2.1"), false, "other speakers answer for its 1 addresses"},
		{"stopped with routes", state(v1beta1.SpeakerStopped, 2), false, "routers keep its 2 routes"},
		{"stopped with addresses just now", current(state(v1beta1.SpeakerStopped, 0, "192.0.2.1"), v1beta1.ReasonStopped), false, "traffic still goes to the node"},
		{"stopped with addresses, and gone", current(state(v1beta1.SpeakerStopped, 0, "192.0.2.1"), v1beta1.ReasonSpeakerEnded), true, "no speaker runs on the node"},
		{"ended without a word", current(state(v1beta1.SpeakerActive, 0, "192.0.2.1"), v1beta1.ReasonSpeakerEnded), false, "has not reported yet that the node drains"},
		{"not seen yet", state(v1beta1.SpeakerActive, 0), false, "has not reported yet that the node drains"},
		{"addresses are left", state(v1beta1.SpeakerDraining, 0, "192.0.2.1", "192.0.2.2"), false, "2 addresses and 0 routes are left: 192.0.2.1, 192.0.2.2"},
		{"many are left", state(v1beta1.SpeakerDraining, 0, "1", "2", "3", "4", "5", "6"), false, "1, 2, 3, 4, 5, ..."},
		{"routes are left", state(v1beta1.SpeakerDraining, 3), false, "0 addresses and 3 routes are left"},
		{"done", state(v1beta1.SpeakerDraining, 0), true, "announces nothing any more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if done, words := DrainProgress(tt.state); done != tt.done || !strings.Contains(words, tt.words) {
				t.Errorf("got %v, %q, want %v, %q", done, words, tt.done, tt.words)
			}
		})
	}
}

func TestReserveAndRelease(t *testing.T) {
	address, web := netip.MustParseAddr("2001:db8::1"), lb.ServiceKey{Namespace: "shop", Name: "web"}
	claim := func(state v1beta1.ClaimState, holders ...string) *v1beta1.IPAddressClaim {
		c := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "2001-0db8-0000-0000-0000-0000-0000-0001"}}
		c.Spec = v1beta1.IPAddressClaimSpec{Address: "2001:db8::1", Pool: "first", State: state}
		for _, name := range holders {
			c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: "shop", Name: name})
		}
		return c
	}
	tests := []struct {
		name             string
		existing         *v1beta1.IPAddressClaim
		pool             lb.PoolName
		service          lb.ServiceKey
		want             *v1beta1.IPAddressClaim // nil: reserve refuses
		reserve, release string                  // parts of the refusals; empty: it is done
	}{
		{"a free address, for nobody", nil, "first", lb.ServiceKey{}, claim("Reserved"), "", "neither reserved nor retained"},
		{"a free address, for a Service", nil, "first", web, claim("Reserved", "web"), "", "neither reserved nor retained"},
		{"an address of no pool", nil, "", web, nil, "no pool gives this address", "neither reserved nor retained"},
		{"reserved for nobody already", claim("Reserved"), "first", lb.ServiceKey{}, claim("Reserved"), "", ""},
		{"reserved for the Service already", claim("Reserved", "web"), "first", web, claim("Reserved", "web"), "", ""},
		{"reserved for another one", claim("Reserved", "api"), "first", web, nil, "is already reserved for the Service shop/api: run kubectl lbstack release 2001:db8::1 first", ""},
		{"retained for another one", claim("Retained", "api"), "first", web, nil, "is already retained for the Service shop/api", ""},
		{"in use by another one", claim("InUse", "api", "admin"), "first", web, nil, "in use by the Service shop/api and 1 others", "the controller would create a deleted claim again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Reserve(address, tt.pool, tt.service, tt.existing)
			if (tt.reserve == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.reserve) {
				t.Errorf("reserve: got the error %v, want %q", err, tt.reserve)
			}
			if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if err := CheckRelease(address, tt.existing); (tt.release == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.release) {
				t.Errorf("release: got the error %v, want %q", err, tt.release)
			}
		})
	}
}

func TestMove_ChangesOneAnnotation(t *testing.T) {
	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "192.0.2.1", Annotations: map[string]string{"other": "x"}}}
	moved := Move(claim, "node-1")
	want := map[string]string{"other": "x", v1beta1.AnnotationAnnounceFrom: "node-1"}
	if diff := cmp.Diff(want, moved.Annotations); diff != "" || len(claim.Annotations) != 1 {
		t.Errorf("asked for node-1 (-want +got):\n%s\nand the claim that was passed has %v", diff, claim.Annotations)
	}
	if again := Move(moved, "node-1"); again != moved {
		t.Errorf("asked for again: got another claim, with %v", again.Annotations)
	}
	if reset := Move(moved, ""); len(reset.Annotations) != 1 {
		t.Errorf("asked for no more: got %v", reset.Annotations)
	}
	if bare := Move(&v1beta1.IPAddressClaim{}, "node-1"); bare.Annotations[v1beta1.AnnotationAnnounceFrom] != "node-1" {
		t.Errorf("a claim without annotations: got %v", bare.Annotations)
	}
}
