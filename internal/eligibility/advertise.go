// Package eligibility decides who may announce an address, and returns why nobody
// may. The speakers act on its answers and the controller reports them to the
// owners of Services: since both ask here, they cannot disagree.
package eligibility

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Kind is the kind of the objects that advertisements are read from, as sentences
// name it.
type Kind string

// The kinds of advertisements.
const (
	// L2 announces by ARP and NDP.
	L2 Kind = "L2Advertisement"
	// BGP announces routes.
	BGP Kind = "BGPAdvertisement"
)

// Selector reports whether it selects an object with these labels.
type Selector func(labels map[string]string) bool

// Scope is what an advertisement of any kind is about. Empty, it means all pools,
// Services and nodes. Of the selectors of a list one that matches is enough.
type Scope struct {
	// Name of the object.
	Name string
	// Pools that it is about, by name, in addition to those that PoolSelectors
	// select by label. Both empty: all.
	Pools         []lb.PoolName
	PoolSelectors []Selector
	// ServiceSelectors select the Services that it is about, and NamespaceSelectors their
	// namespaces; empty: all.
	ServiceSelectors, NamespaceSelectors []Selector
	// NodeSelectors select the nodes that may announce; empty: all.
	NodeSelectors []Selector
}

// Advertisement selects which addresses are announced, and from where. Empty, it
// means all, on all interfaces.
type Advertisement struct {
	Scope
	// Preferred prefer some of the nodes that may announce.
	Preferred []Preference
	// Interfaces to announce on; empty: all.
	Interfaces []string
	// RequireSubnet: only on interfaces of a subnet that the address is in.
	RequireSubnet bool
}

// Preference prefers nodes.
type Preference struct {
	// Weight is added to the preference of the nodes that are selected.
	Weight int32
	// Selector selects nodes.
	Selector Selector
}

// Node is a node of the cluster.
type Node struct {
	// Name and labels of the node.
	Name   lb.NodeName
	Labels map[string]string
	// Excluded is why the node may not announce, as what follows its name in a
	// sentence, such as "has the label x"; empty: it may.
	Excluded string
	// KeepsAnnounced means that the node, though excluded, goes on announcing what it has while no
	// other node may: it is handled as one that drains.
	KeepsAnnounced bool
	// Draining nodes hand over what they own. They stay candidates: they announce
	// until others do.
	Draining bool
	// Down nodes are those that the cluster reports as not ready. They stay
	// candidates: the speakers detect themselves which of them are alive.
	Down bool
	// Addresses of the node itself, which are announced for no Service.
	Addresses []netip.Addr
}

// Pool is where addresses are from.
type Pool struct {
	// Name and labels of the pool.
	Name   lb.PoolName
	Labels map[string]string
	// Listed are the addresses that the pool lists, excluded ones included, and Excluded
	// those that it excludes; both sorted and disjoint.
	Listed, Excluded []lb.Range
}

// Service is a Service that may hold addresses.
type Service struct {
	// Key and labels of the Service.
	Key    lb.ServiceKey
	Labels map[string]string
	// NamespaceLabels are the labels of its namespace.
	NamespaceLabels map[string]string
	// Local means that its traffic is served only on the nodes that it reaches
	// (externalTrafficPolicy Local).
	Local bool
	// Endpoints that serve it, by the family of their addresses: traffic to an
	// address goes to endpoints of its family only.
	Endpoints map[lb.Family]Endpoints
}

// Endpoints are the endpoints of a Service that serve.
type Endpoints struct {
	// Serving is how many are known, also those that are on no node. Only whether it is 0
	// matters: not all endpoints need be counted.
	Serving int
	// Nodes have at least one of them.
	Nodes map[lb.NodeName]bool
}

// Address is an address that Services hold.
type Address struct {
	// Address that is held.
	Address netip.Addr
	// Pool that it is from, which may be gone.
	Pool lb.PoolName
	// Holders are the Services that hold it, in the order of the claim: the one that has
	// had it longest comes first, and advertisements select by that one.
	Holders []lb.ServiceKey
	// AnnounceFrom is the node that an administrator asks for; empty: none.
	AnnounceFrom lb.NodeName
}

// Input is all that decides who may announce.
type Input struct {
	// Kind of the advertisements; empty: L2.
	Kind           Kind
	Advertisements []Advertisement
	Pools          []Pool
	Nodes          []Node
	Services       []Service
	Addresses      []Address
}

// Candidate is a node that may announce an address: one that may own it.
type Candidate = ownership.Candidate

// Reason is why nobody may announce an address. The words are those of the
// Service condition lbstack.io/Announced.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	// NoAdvertisement: no advertisement is about the address.
	NoAdvertisement Reason = "NoAdvertisement"
	// NoEndpoints: no holder has an endpoint that serves.
	NoEndpoints Reason = "NoEndpoints"
	// NoNode: the advertisements leave no node that may announce and, where traffic
	// is served locally, has an endpoint.
	NoNode Reason = "NoNode"
)

// Standby reports whether the node takes no address, and keeps what it has while no other
// node may announce it.
func (n *Node) Standby() bool { return n.Draining || n.Excluded != "" && n.KeepsAnnounced }

// barred reports whether the node announces nothing at all.
func (n *Node) barred() bool { return n.Excluded != "" && !n.KeepsAnnounced }

// SameCandidates reports whether two states of a node make it a candidate for the same
// addresses.
func SameCandidates(x, y Node) bool {
	return x.Name == y.Name && x.barred() == y.barred() && maps.Equal(x.Labels, y.Labels) && slices.Equal(x.Addresses, y.Addresses)
}

// Result is who may announce an address, or why nobody may.
type Result struct {
	// Address is the one of the input.
	Address netip.Addr
	// Candidates ordered by node, without the excluded nodes that may keep the address.
	// Results share the slice where they can: never change it.
	Candidates []Candidate
	// Reason why there are none; empty if there are.
	Reason Reason
	// Why is the reason in a sentence: what is wrong, where, and what to do.
	Why string
	// Refused is why no speaker begins to announce the address, on any node, as what follows
	// the address and a colon in a sentence; empty: speakers do. One that was announced
	// before goes on.
	Refused string
}
