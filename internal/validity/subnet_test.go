package validity

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestNetwork_Unreached(t *testing.T) {
	ranges := func(texts ...string) (list []lb.Range) {
		for _, s := range texts {
			list = append(list, lb.RangeOf(netip.MustParsePrefix(s)))
		}
		return lb.Union(list...)
	}
	node := func(label string, subnets ...string) networkNode {
		return networkNode{labels: map[string]string{"rack": label}, subnets: ranges(subnets...)}
	}
	full := node("a", "192.168.1.0/24")
	full.more = true
	l2 := func(pools ...lb.PoolName) []eligibility.Advertisement {
		return []eligibility.Advertisement{{Scope: eligibility.Scope{Pools: pools}}}
	}
	rack := func(label string) []eligibility.Advertisement {
		return []eligibility.Advertisement{{Scope: eligibility.Scope{NodeSelectors: []eligibility.Selector{func(l map[string]string) bool { return l["rack"] == label }}}}}
	}
	v4 := []lb.Family{lb.IPv4}
	for name, tt := range map[string]struct {
		listed  []lb.Range
		network Network
		want    []lb.Family
	}{
		"node has an interface in the subnet":         {ranges("192.168.1.240/28"), Network{layer2: l2(), nodes: []networkNode{node("a", "192.168.1.0/24")}}, nil},
		"no node has one":                             {ranges("192.168.77.0/28"), Network{layer2: l2(), nodes: []networkNode{node("a", "192.168.1.0/24"), node("b")}}, v4},
		"one family only":                             {ranges("192.168.77.0/28", "2001:db8::/64"), Network{layer2: l2(), nodes: []networkNode{node("a", "2001:db8::/32")}}, v4},
		"both families":                               {ranges("192.168.77.0/28", "2001:db8::/64"), Network{layer2: l2(), nodes: []networkNode{node("a", "192.168.1.0/24")}}, []lb.Family{lb.IPv4, lb.IPv6}},
		"some of the addresses":                       {ranges("192.168.0.0/16"), Network{layer2: l2(), nodes: []networkNode{node("a", "192.168.1.0/24")}}, nil},
		"node that has one is not selected":           {ranges("192.168.1.240/28"), Network{layer2: rack("b"), nodes: []networkNode{node("a", "192.168.1.0/24"), node("b", "10.0.0.0/8")}}, v4},
		"no L2Advertisement is about the pool":        {ranges("192.168.77.0/28"), Network{layer2: l2("other"), nodes: []networkNode{node("a", "192.168.1.0/24")}}, nil},
		"BGPAdvertisement applies to the pool":        {ranges("192.168.77.0/28"), Network{layer2: l2(), bgp: []eligibility.Scope{{}}, nodes: []networkNode{node("a", "192.168.1.0/24")}}, nil},
		"BGPAdvertisement is about another pool":      {ranges("192.168.77.0/28"), Network{layer2: l2(), bgp: []eligibility.Scope{{Pools: []lb.PoolName{"other"}}}, nodes: []networkNode{node("a", "192.168.1.0/24")}}, v4},
		"no node has reported a subnet":               {ranges("192.168.77.0/28"), Network{layer2: l2(), nodes: []networkNode{node("a")}}, nil},
		"no node has reported":                        {ranges("192.168.77.0/28"), Network{layer2: l2()}, nil},
		"node has more interfaces than can be listed": {ranges("192.168.77.0/28"), Network{layer2: l2(), nodes: []networkNode{full}}, nil},
	} {
		got := tt.network.UnreachedFamilies(&eligibility.Pool{Name: "pool", Listed: tt.listed})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: unreached (-want +got):\n%s", name, diff)
		}
	}
}

func TestHasPeer(t *testing.T) {
	peer := func(name string) v1beta1.BGPPeer { return v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	for _, tt := range []struct {
		name  string
		asks  []v1beta1.ObjectName
		peers []v1beta1.BGPPeer
		want  bool
	}{
		{"no BGPPeer", nil, nil, false},
		{"all of those that there are", nil, []v1beta1.BGPPeer{peer("left")}, true},
		{"one that it names", []v1beta1.ObjectName{"right", "left"}, []v1beta1.BGPPeer{peer("left")}, true},
		{"none that it names", []v1beta1.ObjectName{"right"}, []v1beta1.BGPPeer{peer("left")}, false},
	} {
		ad := &v1beta1.BGPAdvertisement{Spec: v1beta1.BGPAdvertisementSpec{Peers: tt.asks}}
		if got := hasPeer(ad, tt.peers); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPool_WithSubnets(t *testing.T) {
	ready := PoolResult{Reason: v1beta1.ReasonPoolReady, Message: "given out"}
	got := ready.WithSubnetWarning([]lb.Family{lb.IPv4})
	if got.Reason != v1beta1.ReasonNoSubnet || !got.IsReady() || !strings.Contains(got.Message, "in a subnet of the pool's IPv4 addresses. Hosts reach these addresses only through a router") {
		t.Errorf("pool without a subnet: got %+v, want Ready with %s", got, v1beta1.ReasonNoSubnet)
	}
	for name, v := range map[string]PoolResult{"worse result": {Reason: v1beta1.ReasonOverlap}, "pool that drains": {Reason: v1beta1.ReasonDraining}} {
		if diff := cmp.Diff(v, v.WithSubnetWarning([]lb.Family{lb.IPv4})); diff != "" {
			t.Errorf("%s stays (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(ready, ready.WithSubnetWarning(nil)); diff != "" {
		t.Errorf("all families are reached (-want +got):\n%s", diff)
	}
}
