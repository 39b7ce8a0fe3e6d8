package validity

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestL2Advertisement(t *testing.T) {
	on := func(names ...string) nodeLinks {
		l := nodeLinks{names: map[string]bool{}}
		for _, name := range names {
			l.names[name] = true
		}
		return l
	}
	node := func(name lb.NodeName, rack string) eligibility.Node {
		return eligibility.Node{Name: name, Labels: map[string]string{"rack": rack}}
	}
	excluded := node("n3", "1")
	excluded.Excluded = "has a label"
	around := l2Input{
		pools: []eligibility.Pool{{Name: "a"}, listing("near", "192.168.1.0/28"), listing("far", "192.168.77.0/28")},
		nodes: []eligibility.Node{node("n2", "2"), node("n1", "1"), excluded, node("n4", "4"), node("n5", "5")},
		links: map[lb.NodeName]nodeLinks{"n1": on("eth0", "bond0"), "n2": on("eth0", "ens3"), "n3": on("eth3"), "n5": {names: map[string]bool{"eth0": true}, truncated: true}},
	}
	inRack := func(racks ...string) []eligibility.Selector {
		var list []eligibility.Selector
		for _, rack := range racks {
			list = append(list, func(labels map[string]string) bool { return labels["rack"] == rack })
		}
		return list
	}
	asked := func(nodes []eligibility.Selector, names ...string) eligibility.Advertisement {
		return eligibility.Advertisement{Scope: eligibility.Scope{Name: "x", NodeSelectors: nodes}, Interfaces: names}
	}
	inSubnet := func(nodes []eligibility.Selector, pools ...lb.PoolName) eligibility.Advertisement {
		return eligibility.Advertisement{Scope: eligibility.Scope{Name: "x", NodeSelectors: nodes, Pools: pools}, RequireSubnet: true}
	}
	n1 := around.links["n1"]
	n1.subnets = []lb.Range{lb.RangeOf(netip.MustParsePrefix("192.168.1.0/24"))}
	around.links["n1"] = n1
	for _, tt := range []struct {
		name   string
		ad     eligibility.Advertisement
		reason string
		part   string
	}{
		{"one about everything", asked(nil), v1beta1.ReasonAdvertisementValid, "in effect"},
		{"a pool that is not there", eligibility.Advertisement{Scope: eligibility.Scope{Pools: []lb.PoolName{"nope"}}}, v1beta1.ReasonUnknownPool, `"nope", which does not exist`},
		{"each interface is on some node", asked(inRack("1", "2"), "bond0", "ens3"), v1beta1.ReasonAdvertisementValid, ""},
		{"one is on none", asked(inRack("1", "2"), "eth0", "eth7"), v1beta1.ReasonUnknownInterface, `spec.interfaces names "eth7", but none of the selected nodes can announce on such an interface (checked: n1 and n2)`},
		{"one is on other nodes only", asked(inRack("1"), "ens3"), v1beta1.ReasonUnknownInterface, `"ens3"`},
		{"one is on a node only that may not announce", asked(inRack("1", "2"), "eth3"), v1beta1.ReasonUnknownInterface, `"eth3"`},
		{"nobody has reported", asked(inRack("4"), "eth7"), v1beta1.ReasonAdvertisementValid, ""},
		{"a node may have more than it reports", asked(nil, "eth7"), v1beta1.ReasonAdvertisementValid, ""},
		{"a subnet is required that no selected node has", inSubnet(inRack("1", "2"), "far"), v1beta1.ReasonNoSubnet, `none of the selected nodes has an interface in a subnet of the pool "far" (checked: n1 and n2)`},
		{"a subnet is required that one selected node has", inSubnet(inRack("1", "2"), "near"), v1beta1.ReasonAdvertisementValid, ""},
		{"a subnet is required that another node has", inSubnet(inRack("2"), "near"), v1beta1.ReasonNoSubnet, `"near" (checked: n2)`},
		{"a subnet is required of all pools, and one is enough", inSubnet(inRack("1", "2")), v1beta1.ReasonAdvertisementValid, ""},
		{"a subnet is required of all pools, and no node has one", inSubnet(inRack("2")), v1beta1.ReasonNoSubnet, `"far"`},
		{"a subnet is required, and nobody has reported", inSubnet(inRack("4"), "far"), v1beta1.ReasonAdvertisementValid, ""},
		{"labels that no node has", asked(inRack("9"), "eth0"), v1beta1.ReasonNoNodes, "match none of the 5 nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := around.check(&tt.ad)
			if got.Reason != tt.reason || got.Ready != (tt.reason == v1beta1.ReasonAdvertisementValid) || !strings.Contains(got.Message, tt.part) {
				t.Errorf("got %+v, want %s and %q", got, tt.reason, tt.part)
			}
		})
	}
}

func listing(name lb.PoolName, prefix string) eligibility.Pool {
	return eligibility.Pool{Name: name, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix(prefix))}}
}
