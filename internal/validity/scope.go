package validity

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// checkScope returns a result with a reason if an advertisement names pools that do not exist, or if its
// selectors select no pool or no node.
func checkScope(s *eligibility.Scope, pools []eligibility.Pool, nodes []eligibility.Node) Result {
	var unknown []string
	for _, name := range s.Pools {
		if !slices.ContainsFunc(pools, func(p eligibility.Pool) bool { return p.Name == name }) {
			unknown = append(unknown, string(name))
		}
	}
	if len(unknown) > 0 {
		return Result{Reason: v1beta1.ReasonUnknownPool, Message: missingObjectsMessage("spec.ipAddressPools", "IPAddressPool", unknown)}
	}
	if len(s.PoolSelectors) > 0 && !slices.ContainsFunc(pools, func(p eligibility.Pool) bool { return s.SelectsPool(p.Labels) }) {
		return Result{Reason: v1beta1.ReasonNoPool, Message: selectsNoneMessage("spec.ipAddressPoolSelectors", len(pools), "pool")}
	}
	if len(s.NodeSelectors) > 0 && !slices.ContainsFunc(nodes, func(n eligibility.Node) bool { return s.CoversNode(n.Labels) }) {
		return NoNodesResult(len(nodes))
	}
	return Result{}
}

// NoNodesResult returns the result for an object whose spec.nodeSelectors select no node. The parameter all is the
// number of nodes in the cluster.
func NoNodesResult(all int) Result {
	return Result{Reason: v1beta1.ReasonNoNodes, Message: selectsNoneMessage("spec.nodeSelectors", all, "node")}
}

func selectsNoneMessage(field string, all int, what string) string {
	if all == 0 {
		return fmt.Sprintf("%s select nothing: the cluster has no %s", field, what)
	}
	return fmt.Sprintf("%s match none of the %d %ss: change the selectors or the labels of the %[3]ss", field, all, what)
}

// missingObjectsMessage returns the message about objects that do not exist although an advertisement names them in
// a field.
func missingObjectsMessage(field, kind string, names []string) string {
	quoted := make([]string, 0, len(names))
	for _, name := range names {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if len(names) == 1 {
		return fmt.Sprintf("%s names the %s %s, which does not exist: create it, or remove its name; for the other names the advertisement is in effect", field, kind, quoted[0])
	}
	return fmt.Sprintf("%s names %s, which do not exist: create them, or remove their names; for the other names the advertisement is in effect", field, eligibility.Enumerate("the "+kind+"s", quoted))
}
