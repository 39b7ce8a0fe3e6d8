package speaker

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// Announced is an address that the cluster wants announced on the local
// network.
type Announced struct {
	// Address to announce.
	Address netip.Addr
	// Candidates are the nodes that may own it, in order.
	Candidates []lb.NodeName
	// Interfaces to announce on, in order; none means all of the node's.
	Interfaces []string
}

// Snapshot is what the cluster wants, at one moment. It is never changed after
// it was handed over.
type Snapshot struct {
	// Addresses to announce, ordered by address.
	Addresses []Announced
	// Problems are sentences about objects that mean nothing and were left out.
	Problems []string
}

// Owned is an address that this node owns.
type Owned struct {
	// Interfaces that it is announced on, in order.
	Interfaces []string
}

func sameOwned(x, y Owned) bool { return slices.Equal(x.Interfaces, y.Interfaces) }

// view is all that a decision depends on.
type view struct {
	self  lb.NodeName
	want  Snapshot
	live  []lb.NodeName
	links []Link
}

// decide returns the addresses that this node owns: of the candidates of each,
// those that are alive elect one. An address that the node could announce on no
// interface is not announced.
func decide(v view) map[netip.Addr]Owned {
	owned := map[netip.Addr]Owned{}
	for _, a := range v.want.Addresses {
		alive := slices.DeleteFunc(slices.Clone(a.Candidates), func(n lb.NodeName) bool { return !slices.Contains(v.live, n) })
		if owner, ok := election.Owner(a.Address, alive); !ok || owner != v.self {
			continue
		}
		if on := usable(v.links, a.Interfaces); len(on) > 0 {
			owned[a.Address] = Owned{Interfaces: on}
		}
	}
	return owned
}

// usable returns the names of the links that are among the wanted ones. A link
// that holds pods only is used when it is wanted by name.
func usable(links []Link, wanted []string) []string {
	var names []string
	for _, link := range links {
		if slices.Contains(wanted, link.Name) || (len(wanted) == 0 && !link.Internal) {
			names = append(names, link.Name)
		}
	}
	slices.Sort(names)
	return names
}
