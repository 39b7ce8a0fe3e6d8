package eligibility

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Refusal is an address that Services hold and that is not announced.
type Refusal struct {
	// Address that is refused.
	Address netip.Addr
	// Why, as what follows the address and a colon in a sentence.
	Why string
}

// admission decides which held addresses may be announced at all: those that the pool of
// their claim lists. An address stays admitted while it is held, so that an edit of a
// pool, and what a node reports of itself, take away nothing that is in use.
//
// The objects that it reads have different writers: pools are written by administrators,
// claims by the controller. A claim alone admits nothing.
type admission struct {
	pools map[lb.PoolName]*Pool
	nodes map[netip.Addr]lb.NodeName // by their own addresses
	// admitted are held addresses, and refused the other held ones, with the reason.
	admitted map[netip.Addr]struct{}
	refused  map[netip.Addr]string
	// before are those that were admitted before this process started.
	before map[netip.Addr]struct{}
}

func newAdmission() admission {
	return admission{admitted: map[netip.Addr]struct{}{}, refused: map[netip.Addr]string{}}
}

// configure replaces what pools list and which addresses nodes have.
func (a *admission) configure(pools map[lb.PoolName]*Pool, nodes []Node) {
	a.pools, a.nodes = pools, addressesOf(nodes)
}

func addressesOf(nodes []Node) map[netip.Addr]lb.NodeName {
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

// look decides about an address that has this claim, nil if it has none.
func (a *admission) look(address netip.Addr, c *Claim) {
	if c == nil || len(c.Holders) == 0 {
		delete(a.admitted, address)
		delete(a.refused, address)
		return
	}
	if _, is := a.admitted[address]; is {
		return
	}
	why := refuses(address, c.Pool, a.pools, a.nodes)
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

// refuses returns why an address of the pool is not to be announced, empty if it is.
func refuses(address netip.Addr, pool lb.PoolName, pools map[lb.PoolName]*Pool, nodes map[netip.Addr]lb.NodeName) string {
	if why := special(address); why != "" {
		return why
	}
	p := pools[pool]
	if p == nil {
		return fmt.Sprintf("its pool %q does not exist", pool)
	}
	if _, listed := lb.Find(p.Listed, address); !listed {
		return fmt.Sprintf("its pool %q does not list it", pool)
	}
	if _, excluded := lb.Find(p.Excluded, address); excluded {
		return fmt.Sprintf("its pool %q excludes it", pool)
	}
	if node, is := nodes[address]; is {
		return fmt.Sprintf("it is an address of the node %q", node)
	}
	return ""
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// special returns why no host at all can be reached by the address from other networks or
// nodes, empty if it is an ordinary one. IPv4 link-local addresses are left to the pool:
// a network may use nothing else (RFC 3927).
func special(address netip.Addr) string {
	switch {
	case address.IsUnspecified():
		return "it is the unspecified address"
	case address.IsLoopback():
		return "it is a loopback address"
	case address.IsMulticast():
		return "it is a multicast address"
	case address == broadcast:
		return "it is the broadcast address"
	case address.Is6() && address.IsLinkLocalUnicast():
		return "it is a link-local address"
	}
	return ""
}

// Remember has addresses admitted that were before the process started, if a Service holds
// them when all claims were read: see Settle.
func (h *Holdings) Remember(addresses []netip.Addr) {
	h.before = make(map[netip.Addr]struct{}, len(addresses))
	for _, address := range addresses {
		h.before[address] = struct{}{}
	}
}

// Settle ends what Remember began: all claims that were there were read.
func (h *Holdings) Settle() { h.before = nil }

// SetConfig replaces what pools list and which addresses nodes have. Addresses that were
// refused may be admitted by that.
func (h *Holdings) SetConfig(pools map[lb.PoolName]*Pool, nodes []Node) {
	h.configure(pools, nodes)
	for address := range h.refused {
		h.look(address, h.claims[address])
	}
}

// Refused returns how many held addresses may not be announced, and the first of them, at
// most as many as asked for.
func (h *Holdings) Refused(most int) (count int, first []Refusal) {
	for address, why := range h.refused {
		first = append(first, Refusal{Address: address, Why: why})
	}
	slices.SortFunc(first, func(x, y Refusal) int { return x.Address.Compare(y.Address) })
	return len(first), first[:min(len(first), most)]
}

// Outside returns the admitted addresses, ordered, that their pool does not list any more.
func (h *Holdings) Outside() (list []netip.Addr) {
	for address := range h.admitted {
		if refuses(address, h.claims[address].Pool, h.pools, h.nodes) != "" {
			list = append(list, address)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}
