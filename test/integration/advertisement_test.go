package integration

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestAdvertisementOnTheLocalNetworkReportsItsFailures(t *testing.T) {
	b := newBed(t)
	b.machine("node1", map[string]string{"rack": "1"})
	b.controller()
	hasReason := func(reason string, parts ...string) {
		t.Helper()
		b.hasCondition("ad", &v1beta1.L2Advertisement{}, v1beta1.ConditionReady, reason, parts...)
	}
	inRack := func(rack string) []metav1.LabelSelector {
		return []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": rack}}}
	}
	b.advertise("ad", func(spec *v1beta1.L2AdvertisementSpec) {
		spec.IPAddressPools, spec.NodeSelectors, spec.Interfaces = []v1beta1.ObjectName{"pool"}, inRack("2"), []v1beta1.InterfaceName{"eth0"}
	})
	hasReason(v1beta1.ReasonUnknownPool, `spec.ipAddressPools names the IPAddressPool "pool", which does not exist`)
	b.warned("ad", v1beta1.ReasonUnknownPool, `"pool"`)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	hasReason(v1beta1.ReasonNoNodes, "spec.nodeSelectors match none of the 1 nodes")
	b.machine("node2", map[string]string{"rack": "2"})
	hasReason(v1beta1.ReasonAdvertisementValid) // nobody has reported yet
	node2 := b.speaker("node2")
	links := func(names ...v1beta1.InterfaceName) {
		t.Helper()
		node2.status.Interfaces = nil
		for _, name := range names {
			node2.status.Interfaces = append(node2.status.Interfaces, v1beta1.SpeakerInterface{Name: name, HardwareAddress: "02:00:00:00:00:01"})
		}
		node2.write()
	}
	links("eth1")
	hasReason(v1beta1.ReasonUnknownInterface, `spec.interfaces names "eth0", but none of the selected nodes can announce on such an interface`, "node2")
	b.warned("ad", v1beta1.ReasonUnknownInterface, `"eth0"`)
	links("eth0", "eth1")
	hasReason(v1beta1.ReasonAdvertisementValid)
	b.event("ad", v1beta1.ReasonAdvertisementValid)

	edited := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "ad"}}
	err := b.Client.Status().Patch(context.Background(), edited, client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":[]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	hasReason(v1beta1.ReasonAdvertisementValid) // it was put right

	b.advertise("wrong", func(spec *v1beta1.L2AdvertisementSpec) {
		spec.NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}}
	})
	b.hasCondition("wrong", &v1beta1.L2Advertisement{}, v1beta1.ConditionReady, v1beta1.ReasonInvalidSelector, "spec.nodeSelectors[0]", "the advertisement has no effect")
	hasReason(v1beta1.ReasonAdvertisementValid)
}
