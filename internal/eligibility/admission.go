package eligibility

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Refusal is an address that Services hold, but that speakers do not begin to announce.
type Refusal struct {
	// Address that is refused.
	Address netip.Addr
	// Why it is refused, as the part of a sentence that follows the address and a colon.
	Why string
}

// admission decides which held addresses may be announced at all: addresses that the pool of their claim
// lists and that neither are special nor belong to a node. An address stays admitted while its claim
// names a Service. So neither an edit of a pool nor the report of a node takes away an address that is
// in use.
//
// A claim alone does not admit an address. The controller writes claims, but administrators write pools,
// so a compromised controller cannot have arbitrary addresses announced.
type admission struct {
	pools map[lb.PoolName]*Pool
	nodes map[netip.Addr]lb.NodeName // nodes by their own addresses
	// admitted are the held addresses that may be announced.
	admitted map[netip.Addr]struct{}
	// refused are the other held addresses, with the reason.
	refused map[netip.Addr]string
	// before are the addresses that were admitted before the process started; nil after EndRestore.
	before map[netip.Addr]struct{}
}

func newAdmission() admission {
	return admission{admitted: map[netip.Addr]struct{}{}, refused: map[netip.Addr]string{}}
}

// configure replaces the pools and the addresses of the nodes.
func (a *admission) configure(pools map[lb.PoolName]*Pool, nodes []Node) {
	a.pools, a.nodes = pools, nodesByAddress(nodes)
}

// nodesByAddress returns the node of each address that belongs to a node itself.
func nodesByAddress(nodes []Node) map[netip.Addr]lb.NodeName {
	of := map[netip.Addr]lb.NodeName{}
	for i := range nodes {
		for _, address := range nodes[i].Addresses {
			if other, has := of[address]; !has || nodes[i].Name < other {
				of[address] = nodes[i].Name
			}
		}
	}
	return of
}

// check admits or refuses an address with the claim c. If c is nil, the address has no claim.
func (a *admission) check(address netip.Addr, c *Claim) {
	if c == nil || len(c.Holders) == 0 {
		delete(a.admitted, address)
		delete(a.refused, address)
		return
	}
	if _, is := a.admitted[address]; is {
		return
	}
	why := whyRefused(address, c.Pool, a.pools, a.nodes)
	if _, was := a.before[address]; why == "" || was {
		a.admitted[address] = struct{}{}
		delete(a.refused, address)
		return
	}
	a.refused[address] = why
}

func (a *admission) admits(address netip.Addr) bool {
	_, is := a.admitted[address]
	return is
}

// whyRefused returns why an address of the pool must not be announced; empty: it may be announced.
func whyRefused(address netip.Addr, pool lb.PoolName, pools map[lb.PoolName]*Pool, nodes map[netip.Addr]lb.NodeName) string {
	if why := whySpecial(address); why != "" {
		return why
	}
	p := pools[pool]
	if p == nil {
		return fmt.Sprintf("its pool %q does not exist", pool)
	}
	if _, listed := lb.FindRange(p.Listed, address); !listed {
		return fmt.Sprintf("its pool %q does not list it", pool)
	}
	if _, excluded := lb.FindRange(p.Excluded, address); excluded {
		return fmt.Sprintf("its pool %q excludes it", pool)
	}
	if node, is := nodes[address]; is {
		return fmt.Sprintf("it is an address of the node %q", node)
	}
	return ""
}

var broadcastIPv4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// whySpecial returns why an address cannot be announced for any Service; empty: it can. It
// allows IPv4 link-local addresses: some networks use no other addresses (RFC 3927).
func whySpecial(address netip.Addr) string {
	switch {
	case address.IsUnspecified():
		return "it is the unspecified address"
	case address.IsLoopback():
		return "it is a loopback address"
	case address.IsMulticast():
		return "it is a multicast address"
	case address == broadcastIPv4:
		return "it is the broadcast address"
	case address.Is6() && address.IsLinkLocalUnicast():
		return "it is a link-local address"
	}
	return ""
}

// RestoreAdmitted sets the addresses that were admitted before the process started. Such an address is
// admitted again if a claim that names a Service is set for it before EndRestore.
func (h *Holdings) RestoreAdmitted(addresses []netip.Addr) {
	h.before = make(map[netip.Addr]struct{}, len(addresses))
	for _, address := range addresses {
		h.before[address] = struct{}{}
	}
}

// EndRestore ends the restoration of admitted addresses. Call it once all existing claims are set.
func (h *Holdings) EndRestore() { h.before = nil }

// SetConfig replaces the pools and the addresses of the nodes. It checks the refused
// addresses again. Admitted addresses stay admitted.
func (h *Holdings) SetConfig(pools map[lb.PoolName]*Pool, nodes []Node) {
	h.configure(pools, nodes)
	for address := range h.refused {
		h.check(address, h.claims[address])
	}
}

// RefusedAddresses returns how many held addresses are refused, and the first of these addresses, up
// to the given number.
func (h *Holdings) RefusedAddresses(most int) (count int, first []Refusal) {
	for address, why := range h.refused {
		first = append(first, Refusal{Address: address, Why: why})
	}
	slices.SortFunc(first, func(x, y Refusal) int { return x.Address.Compare(y.Address) })
	return len(first), first[:min(len(first), most)]
}

// AdmittedOutsidePool returns, sorted, the admitted addresses that would be refused if they were new, for
// example because their pool no longer lists them.
func (h *Holdings) AdmittedOutsidePool() (list []netip.Addr) {
	for address := range h.admitted {
		if whyRefused(address, h.claims[address].Pool, h.pools, h.nodes) != "" {
			list = append(list, address)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}
