package inspect

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// CannotAnnounce returns why a node cannot announce an address on the local network; nil if it can. The
// snapshot must have the objects that Why needs for a Service with this address.
func CannotAnnounce(s *Snapshot, address netip.Addr, name lb.NodeName) error {
	held := apiconv.HeldAddresses(s.Services, s.Claims)
	at := slices.IndexFunc(held, func(a eligibility.Address) bool { return a.Address == address })
	if at < 0 {
		return fmt.Errorf("%s: no Service of type LoadBalancer has this address, so no node announces it", address)
	}
	a := held[at]
	v := s.viewFor([]eligibility.Address{a})
	result := eligibility.Resolve(v.l2)[0]
	if result.Reason == eligibility.NoAdvertisement {
		return fmt.Errorf("%s is not announced on the local network: %s; routes to the address are announced by all nodes that may do so", address, result.Why)
	}
	n := slices.IndexFunc(v.l2.Nodes, func(n eligibility.Node) bool { return n.Name == name })
	if n < 0 {
		return fmt.Errorf("the cluster has no node %s", name)
	}
	node := &v.l2.Nodes[n]
	if node.Draining {
		return fmt.Errorf("node %s cannot announce %s: it is drained: run kubectl lbstack undrain %s first", name, address, name)
	}
	near := slices.ContainsFunc(result.Candidates, func(c eligibility.Candidate) bool { return v.states[c.Node].HasNearLink(&c, address) })
	if why, _ := v.nodeState(&v.l2, a, node, &result, near); why != "" {
		return fmt.Errorf("node %s cannot announce %s: it %s", name, address, why)
	}
	return nil
}
