package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestServiceReportsThatItsPoolDoesNotListItsAddress(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNotAnnounced)
	b.editPool("pool", func(s *v1beta1.IPAddressPoolSpec) { s.Addresses = []v1beta1.AddressRange{"10.9.0.5-10.9.0.9"} })
	b.announced("web", v1beta1.ReasonAddressRefused, `10.9.0.1 is not announced: its pool "pool" does not list it`)
	b.speaker("node1").owns(1, "10.9.0.1") // it announced the address before
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by node1")
}

func TestServiceReportsMissingInterfaces(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all", func(s *v1beta1.L2AdvertisementSpec) { s.RequireSubnet = true })
	b.controller()
	node1 := b.speaker("node1")
	node1.status.Interfaces[0].Subnets = []string{"192.168.1.0/24"}
	node1.write()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNoInterface, "node1 (has no interface in a subnet of 10.9.0.1, only eth0 (192.168.1.0/24))")
	ad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	if err := b.Patch(context.Background(), ad, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"requireSubnet":false,"interfaces":["eth7"]}}`))); err != nil {
		t.Fatal(err)
	}
	b.announced("web", v1beta1.ReasonNoInterface, "node1 (has no interface eth7 to announce on, only eth0 (192.168.1.0/24))")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "no node has an interface in a subnet that contains the address")
	pool := b.poolReady("pool", v1beta1.ReasonNoSubnet)
	if c := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionReady); c.Status != metav1.ConditionTrue {
		t.Errorf("the pool without a subnet: got %+v, want it Ready", c)
	}
	node1.status.Interfaces[0].Subnets = []string{"10.9.0.0/24"}
	node1.write()
	b.poolReady("pool", v1beta1.ReasonPoolReady)
	eventually.Succeed(t, within, "the Service does not name subnets any more", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced); c == nil || strings.Contains(c.Message, "subnet") {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

func TestServiceReportsWhyItsAddressStaysOnAnExcludedNode(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", map[string]string{corev1.LabelNodeExcludeBalancers: ""})
	b.machine("node2", map[string]string{corev1.LabelNodeExcludeBalancers: ""})
	b.advertise("all")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNoNode, "node1 has the label", "node2 has the label")
	node1 := b.speaker("node1")
	node1.status.Conditions = []metav1.Condition{{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonStandby, LastTransitionTime: metav1.Now(),
		Message: "the node has the label x: it takes no address",
	}}
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1 on eth0", "and stays on that node, since no other node may announce the address", "node2 has the label")

	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	stack.Spec.Nodes.IgnoreExcludeLabel = true
	create(b.T, b.Client, stack)
	b.service("dns", asking("10.9.0.2"))
	b.endpoints("dns", "node1")
	b.announced("dns", v1beta1.ReasonNotAnnounced, "nodes that may announce it: ", "node2 (its speaker has not reported)")
}

func TestServiceIsSelectedByTheLabelsOfItsNamespace(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("tenant", func(s *v1beta1.L2AdvertisementSpec) {
		s.NamespaceSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"tenant": "a"}}}
	})
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNoAdvertisement, `spec.namespaceSelectors of the L2Advertisement "tenant"`, "do not match the labels of the namespace of the Service")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	if err := b.Patch(context.Background(), namespace, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"tenant":%q}}}`, "a"))); err != nil {
		t.Fatal(err)
	}
	b.announced("web", v1beta1.ReasonNotAnnounced, "node1")
}
