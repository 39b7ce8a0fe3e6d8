package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestHost_MayAnnounceAllAddresses that are announced now.
func TestHost_MayAnnounceAllAddresses(t *testing.T) {
	const web, api = "192.0.2.1", "192.0.2.2"
	local := []discoveryv1.EndpointSlice{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, Endpoints: []discoveryv1.Endpoint{{NodeName: new("b")}}}}
	// bed has the nodes a, b and c; a announces web, and c announces api.
	bed := func(changes ...func(*Cluster)) *Cluster {
		c := &Cluster{Services: []corev1.Service{showing("web", web), showing("api", api), showing("waits", "192.0.2.3")}}
		for _, name := range []string{"a", "b", "c"} {
			c.Nodes = append(c.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: "host-" + name}}})
			c.States = append(c.States, v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		c.States[0].Status.Addresses, c.States[0].Status.AddressCount = []v1beta1.SpeakerAddress{{Address: web}}, 1
		c.States[2].Status.Addresses, c.States[2].Status.AddressCount = []v1beta1.SpeakerAddress{{Address: api}}, 1
		for _, change := range changes {
			change(c)
		}
		return c
	}
	gone := func(node int) func(*Cluster) {
		return func(c *Cluster) {
			c.States[node].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: "False"}}
		}
	}
	where := func(name string, others ...string) *Host {
		return &Host{Node: Node{name, "host-" + name}, From: map[string]string{web: name, api: name}, Others: others}
	}
	withEndpoint := func(c *Cluster) {
		c.Services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	for _, tt := range []struct {
		name      string
		c         *Cluster
		preferred []Node
		want      *Host
		why       string
	}{
		{"the first of those with the most addresses", bed(), nil, where("a", "host-b", "host-c"), ""},
		{"one that moves first anyway", bed(), []Node{{"b", "host-b"}}, where("b", "host-a", "host-c"), ""},
		{"the one with the only endpoint", bed(withEndpoint), nil, where("b", "host-a", "host-c"), ""},
		{"none: the one with the only endpoint drains", bed(withEndpoint, func(c *Cluster) { c.States[1].Status.Phase = v1beta1.SpeakerDraining }), nil, nil, "no single node may announce all 2 addresses"},
		{"not one whose speaker has ended", bed(gone(0)), nil, &Host{Node: Node{"c", "host-c"}, From: map[string]string{api: "c"}, Others: []string{"host-a", "host-b"}}, ""},
		{"none: nothing is announced", bed(gone(0), gone(2)), nil, nil, ""},
		{"none: a hostname is not unique", bed(func(c *Cluster) { c.Nodes[1].Labels[corev1.LabelHostname] = "host-a" }), nil, nil, "nodes a and b have the same label"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stack := announces()
			stack.Spec.IPAddressPools, stack.Spec.L2Advertisements = nil, []v1beta1.StackL2Advertisement{{Name: "lan"}}
			got, why := tt.c.ChooseHost(stack, local, tt.preferred)
			if !strings.HasPrefix(why, tt.why) || (why == "") != (tt.why == "") {
				t.Errorf("got the reason %q, want %q", why, tt.why)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrder_WithoutAHost(t *testing.T) {
	a, b, c := Node{"a", "host-a"}, Node{"b", "host-b"}, Node{"c", "host-c"}
	order := Order{OneByOne: []Node{a, b}, Together: []Node{c}, Silent: []string{"shop/web"}}
	if diff := cmp.Diff(Order{OneByOne: []Node{a, b}, Together: []Node{}}, order.Without(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Order{OneByOne: []Node{b}, Together: []Node{c}}, order.Without(a)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestElsewhere_NamesAnAddress(t *testing.T) {
	from := map[string]string{"192.0.2.1": "a", "192.0.2.2": "a"}
	for _, tt := range []struct {
		name, want string
		at         map[string]string
	}{
		{"none is reported", "MetalLB does not report that node a announces 192.0.2.1", nil},
		{"one from another node", "MetalLB does not report that node a announces 192.0.2.2", map[string]string{"192.0.2.1": "a", "192.0.2.2": "b"}},
		{"all, and one more", "", map[string]string{"192.0.2.1": "a", "192.0.2.2": "a", "192.0.2.3": "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := AddressElsewhereMessage(from, tt.at); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
