package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// reported has MetalLB run on nodes, and report that they announce a Service.
func reported(service string, nodes ...string) func(*Cluster) {
	return func(c *Cluster) {
		for _, node := range nodes {
			c.Pods = append(c.Pods, corev1.Pod{Spec: corev1.PodSpec{NodeName: node}})
			c.AddAnnouncer(&unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"node": node, "serviceNamespace": "shop", "serviceName": service}}})
		}
	}
}

func TestFrom_IsWhereMetalLBAnnounces(t *testing.T) {
	endpoints := []discoveryv1.EndpointSlice{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, Endpoints: []discoveryv1.Endpoint{{NodeName: new("node-1")}}},
	}
	web := map[string]string{"192.0.2.1": "node-1"}
	whole := map[string]string{"192.0.2.1": "node-1", "192.0.2.2": "node-1", "2001:db8::2": "node-1"}
	selects := announces(func(s *v1beta1.LoadBalancerStack) {
		s.Spec.L2Advertisements[0].ServiceSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"app": "other"}}}
	})
	excluded := func(c *Cluster) { c.Nodes[0].Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} }
	ended := func(c *Cluster) {
		for i := range c.Pods {
			if c.Pods[i].Spec.NodeName == "node-2" {
				c.Pods[i].DeletionTimestamp = &metav1.Time{}
			}
		}
	}
	shared := func(c *Cluster) {
		c.Nodes = append(c.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-2"}})
		c.Services[1] = showing("api", "192.0.2.1")
	}
	for _, tt := range []struct {
		name  string
		c     *Cluster
		stack *v1beta1.LoadBalancerStack
		want  map[string]string
		why   string
	}{
		{"one Service, and one without endpoints", running(t, reported("web", "node-1")), announces(), web, ""},
		{"reported twice from one node", running(t, reported("web", "node-1", "node-1")), announces(), web, ""},
		{"both", running(t, reported("web", "node-1"), reported("api", "node-1")), announces(), whole, ""},
		{"not reported", running(t), announces(), nil, "MetalLB does not report which node announces Service shop/web"},
		{"not reported, and maybe not announced", running(t), selects, map[string]string{}, ""},
		{"from two nodes", running(t, reported("web", "node-1", "node-2")), announces(), nil, "MetalLB reports that 2 nodes announce Service shop/web, instead of one"},
		{"from another one, where it has ended", running(t, reported("web", "node-1", "node-2"), ended), announces(), web, ""},
		{"from one where it has ended", running(t, reported("web", "node-2"), ended), announces(), nil, "MetalLB does not report which node announces Service shop/web"},
		{"one address from two nodes", running(t, reported("web", "node-1"), reported("api", "node-2"), shared), announces(), nil, "MetalLB announces 192.0.2.1 from node node-2 for one Service, and from node node-1 for another"},
		{"from a node that may not", running(t, reported("web", "node-1"), excluded), announces(), nil, "MetalLB announces Service shop/web from node node-1, but the stack does not let lbstack announce it from this node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, why := tt.c.AnnouncedFrom(tt.stack, endpoints)
			if !strings.HasPrefix(why, tt.why) || (why == "") != (tt.why == "") {
				t.Errorf("got the reason %q, want %q", why, tt.why)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAsk_LeavesNoRequestBehind, and leaves those of administrators as they are at the end.
func TestAsk_LeavesNoRequestBehind(t *testing.T) {
	asks := func(node string) map[string]string {
		return map[string]string{v1beta1.AnnotationAnnounceFrom: node}
	}
	mine := func(node, asked string) map[string]string {
		return map[string]string{v1beta1.AnnotationAnnounceFrom: node, AnnotationRequestedNode: asked}
	}
	for _, tt := range []struct {
		name                  string
		before, during, after map[string]string
		moved                 string // by an administrator meanwhile
	}{
		{"no request", nil, mine("node-1", "node-1"), nil, ""},
		{"the same node", asks("node-1"), asks("node-1"), asks("node-1"), ""},
		{"another node", asks("node-3"), mine("node-1", "node-1,node-3"), asks("node-3"), ""},
		{"a run before asked", mine("node-2", "node-2"), mine("node-1", "node-1"), nil, ""},
		{"a run before asked, in place of another", mine("node-2", "node-2,node-3"), mine("node-1", "node-1,node-3"), asks("node-3"), ""},
		{"moved since a run before", mine("node-3", "node-2"), mine("node-1", "node-1,node-3"), asks("node-3"), ""},
		{"moved meanwhile", nil, mine("node-1", "node-1"), asks("node-3"), "node-3"},
		{"moved meanwhile, again", asks("node-2"), mine("node-1", "node-1,node-2"), asks("node-3"), "node-3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := running(t)
			c.Claims = c.Claims[:1]
			claim := &c.Claims[0]
			claim.Annotations = tt.before
			look := func(when string, want map[string]string) {
				t.Helper()
				if diff := cmp.Diff(want, claim.Annotations, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("annotations %s (-want +got):\n%s", when, diff)
				}
			}
			change := func(changes [][2]*v1beta1.IPAddressClaim) {
				for _, change := range changes {
					*claim = *change[1]
				}
			}
			from := map[string]string{"192.0.2.1": "node-1"}
			change(c.RequestNodes(from))
			look("during the switch", tt.during)
			if again := c.RequestNodes(from); len(again) > 0 {
				t.Error("the claim changes when it asks for the node already")
			}
			if tt.moved != "" {
				claim.Annotations[v1beta1.AnnotationAnnounceFrom] = tt.moved
			}
			change(c.EndNodeRequests())
			look("after the switch", tt.after)
		})
	}
}

func TestApart_NamesAddressesAnnouncedFromAnotherNode(t *testing.T) {
	from := map[string]string{"192.0.2.1": "node-1"}
	owns := func(c *Cluster) {
		c.States[0].Status.Addresses = []v1beta1.SpeakerAddress{{Address: "192.0.2.1"}}
	}
	for _, tt := range []struct {
		name string
		c    *Cluster
		want string
	}{
		{"announced", running(t, owns), ""},
		{"not announced", running(t), "lbstack does not announce 192.0.2.1 from node node-1"},
		{"from another node", running(t, owns, func(c *Cluster) { c.States[0].Name = "node-2" }), "lbstack does not announce 192.0.2.1 from node node-1"},
		{"by a speaker that has ended", running(t, owns, func(c *Cluster) {
			c.States[0].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: "False"}}
		}), "lbstack does not announce 192.0.2.1 from node node-1"},
		{"while another host answers", running(t, owns, func(c *Cluster) {
			c.States[0].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.1", HardwareAddress: "02:00:00:00:00:02"}}
		}), "node node-1 reports that a host with the hardware address 02:00:00:00:00:02 answers for 192.0.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.c.UnannouncedAddressMessage(from); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSpread_TakesAddressesFromANodeThatHasMany, and leaves those of an even distribution, and of administrators, where they are.
func TestSpread_TakesAddressesFromANodeThatHasMany(t *testing.T) {
	endpoints := []discoveryv1.EndpointSlice{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "local"}}, Endpoints: []discoveryv1.Endpoint{{NodeName: new("node-1")}}}}
	addresses := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	bed := func(nodes ...string) *Cluster {
		c := running(t)
		c.Services, c.Claims = nil, nil
		for _, name := range []string{"node-2", "gone"} {
			c.Nodes = append(c.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		c.States = append(c.States, v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node-2"}})
		for i, node := range nodes {
			c.Services = append(c.Services, showing("web-"+addresses[i], addresses[i]))
			claim := claimed(addresses[i], "web-"+addresses[i])
			claim.Annotations = map[string]string{v1beta1.AnnotationAnnounceFrom: node, AnnotationRequestedNode: node}
			c.Claims = append(c.Claims, claim)
		}
		return c
	}
	local := bed("node-1", "node-1", "node-1", "node-1")
	for i := range local.Services {
		local.Services[i].Name, local.Services[i].Spec.ExternalTrafficPolicy = "local", corev1.ServiceExternalTrafficPolicyLocal
	}
	shared := bed("node-1", "node-1")
	shared.Services = append(shared.Services, local.Services[0])
	mine := bed("node-1", "node-1", "node-1", "node-1")
	for i := range mine.Claims {
		delete(mine.Claims[i].Annotations, AnnotationRequestedNode)
	}
	drains := bed("node-1", "node-1", "node-1", "node-1")
	drains.States[1].Status.Phase = v1beta1.SpeakerDraining
	theirs := bed("node-1", "node-1", "node-1", "node-1")
	theirs.Claims[0].Annotations[AnnotationRequestedNode] = "node-1,node-2"
	theirs.Claims[1].Annotations[v1beta1.AnnotationAnnounceFrom] = "node-3"
	for _, tt := range []struct {
		name string
		c    *Cluster
		want map[string]string
	}{
		{"all on one node", bed("node-1", "node-1", "node-1", "node-1"), map[string]string{"192.0.2.1": "node-2", "192.0.2.2": "node-2"}},
		{"one more on one node", bed("node-1", "node-1", "node-2"), nil},
		{"one address", bed("node-1"), nil},
		{"one node may", local, nil},
		{"the other node drains", drains, nil},
		{"one node may for another Service of the address", shared, map[string]string{"192.0.2.2": "node-2"}},
		{"those of administrators", mine, nil},
		{"without those of administrators", theirs, map[string]string{"192.0.2.3": "node-2"}},
		{"none", bed(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.c.SpreadNodes(announces(), endpoints), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
