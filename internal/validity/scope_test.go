package validity

import (
	"strings"
	"testing"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestCheckScope(t *testing.T) {
	pools := []eligibility.Pool{{Name: "a", Labels: map[string]string{"public": "x"}}, {Name: "b"}}
	nodes := []eligibility.Node{{Name: "n1", Labels: map[string]string{"rack": "1"}}, {Name: "n2"}}
	for _, tt := range []struct {
		name   string
		scope  eligibility.Scope
		pools  []eligibility.Pool
		nodes  []eligibility.Node
		reason string
		part   string
	}{
		{name: "all of everything", pools: pools, nodes: nodes},
		{name: "all of nothing"},
		{"pools and nodes that are there", eligibility.Scope{Pools: []lb.PoolName{"a", "b"}, PoolSelectors: has("public"), NodeSelectors: has("rack")}, pools, nodes, "", ""},
		{"a pool that is not", eligibility.Scope{Pools: []lb.PoolName{"a", "c"}}, pools, nodes, v1beta1.ReasonUnknownPool, `spec.ipAddressPools names the IPAddressPool "c", which does not exist`},
		{"several pools that are not", eligibility.Scope{Pools: []lb.PoolName{"c", "a", "d"}}, pools, nodes, v1beta1.ReasonUnknownPool, `the IPAddressPools "c" and "d", which do not exist`},
		{"labels that no pool has", eligibility.Scope{PoolSelectors: has("private")}, pools, nodes, v1beta1.ReasonNoPool, "spec.ipAddressPoolSelectors match none of the 2 pools: change the selectors or the labels of the pools"},
		{"labels, and there is no pool", eligibility.Scope{PoolSelectors: has("private")}, nil, nodes, v1beta1.ReasonNoPool, "spec.ipAddressPoolSelectors select nothing: the cluster has no pool"},
		{"of two lists the one that selects nothing", eligibility.Scope{Pools: []lb.PoolName{"a"}, PoolSelectors: has("private")}, pools, nodes, v1beta1.ReasonNoPool, "none of the 2 pools"},
		{"labels that no node has", eligibility.Scope{NodeSelectors: has("row")}, pools, nodes, v1beta1.ReasonNoNodes, "spec.nodeSelectors match none of the 2 nodes: change the selectors or the labels of the nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checkScope(&tt.scope, tt.pools, tt.nodes)
			if got.Reason != tt.reason || got.Ready || !strings.Contains(got.Message, tt.part) {
				t.Errorf("got %+v, want %q and %q", got, tt.reason, tt.part)
			}
		})
	}
}
