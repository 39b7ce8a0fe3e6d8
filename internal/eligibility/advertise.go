// Package eligibility decides which nodes may announce an address, and explains why no node may.
// The speakers act on its results, and the controller reports the results to the owners of
// Services. Both use this package, so that they cannot disagree.
package eligibility

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// AdvertisementKind is the kind of the advertisements, as messages name it.
type AdvertisementKind string

// The kinds of advertisements.
const (
	// KindL2 announces by ARP and NDP.
	KindL2 AdvertisementKind = "L2Advertisement"
	// KindBGP announces routes.
	KindBGP AdvertisementKind = "BGPAdvertisement"
)

// Selector reports whether it selects an object with these labels.
type Selector func(labels map[string]string) bool

// Scope selects the pools, Services and nodes of an advertisement of any kind. The zero
// value selects all. An object is selected if one of the selectors of a list matches.
type Scope struct {
	// Name of the advertisement.
	Name string
	// Pools are the names of pools. If PoolSelectors is empty too, all pools are selected.
	Pools []lb.PoolName
	// PoolSelectors select further pools by label.
	PoolSelectors []Selector
	// ServiceSelectors select Services; empty: all.
	ServiceSelectors []Selector
	// NamespaceSelectors select the namespaces of Services; empty: all.
	NamespaceSelectors []Selector
	// NodeSelectors select the nodes that may announce; empty: all.
	NodeSelectors []Selector
}

// Advertisement is an L2Advertisement. The zero value announces all addresses, on all
// interfaces.
type Advertisement struct {
	Scope
	// Preferred selects the nodes that are preferred among the nodes that may announce.
	Preferred []Preference
	// Interfaces to announce on; empty: all.
	Interfaces []string
	// RequireSubnet: announce an address only on interfaces in its subnet.
	RequireSubnet bool
}

// Preference gives nodes a weight.
type Preference struct {
	// Weight is added to the preference of the selected nodes.
	Weight int32
	// Selector selects nodes.
	Selector Selector
}

// Node is a node of the cluster.
type Node struct {
	// Name and labels of the node.
	Name   lb.NodeName
	Labels map[string]string
	// Excluded is why the node must not announce, as the part of a sentence that follows its name, such
	// as "has the label x"; empty: the node may announce.
	Excluded string
	// KeepsAnnounced means that the node, though excluded, keeps announcing an address while no
	// other node may. It is handled like a draining node.
	KeepsAnnounced bool
	// Draining nodes hand over their addresses. They stay candidates, since they
	// announce an address until another node does.
	Draining bool
	// Down nodes are not ready according to the API server. They stay candidates, since
	// the speakers themselves detect which nodes are alive.
	Down bool
	// Addresses of the node itself. They are never announced for a Service.
	Addresses []netip.Addr
}

// Pool has the fields of an IPAddressPool that decide about announcements.
type Pool struct {
	// Name and labels of the pool.
	Name   lb.PoolName
	Labels map[string]string
	// Listed are the ranges in spec.addresses, sorted and disjoint. They can contain ranges of
	// Excluded.
	Listed []lb.Range
	// Excluded are the ranges in spec.excludeAddresses, sorted and disjoint.
	Excluded []lb.Range
}

// Service is a Service that may hold addresses.
type Service struct {
	// Key and labels of the Service.
	Key    lb.ServiceKey
	Labels map[string]string
	// NamespaceLabels are the labels of its namespace.
	NamespaceLabels map[string]string
	// Local means externalTrafficPolicy Local: a node passes traffic only to endpoints on the node
	// itself.
	Local bool
	// Endpoints of the Service, by the family of their addresses: traffic to an address
	// goes only to endpoints of the same family.
	Endpoints map[lb.Family]Endpoints
}

// Endpoints are the endpoints of a Service that serve.
type Endpoints struct {
	// Serving counts endpoints, even those that are on no node. It may be lower than the real number,
	// but it is 0 only if there is no endpoint.
	Serving int
	// Nodes are the nodes with at least one of the endpoints.
	Nodes map[lb.NodeName]bool
}

// Address is an address that Services hold.
type Address struct {
	// Address that is held.
	Address netip.Addr
	// Pool that the address came from. It may have been deleted.
	Pool lb.PoolName
	// Holders are the Services that hold the address, in the order of the claim. The first Service
	// has had the address longest, and advertisements select the address by that Service.
	Holders []lb.ServiceKey
	// AnnounceFrom is the node from which an administrator wants the address announced;
	// empty: any.
	AnnounceFrom lb.NodeName
}

// Input is everything that Resolve depends on.
type Input struct {
	// Kind of the advertisements; empty: L2.
	Kind           AdvertisementKind
	Advertisements []Advertisement
	Pools          []Pool
	Nodes          []Node
	Services       []Service
	Addresses      []Address
}

// Candidate is a node that may announce an address, and may therefore own it.
type Candidate = ownership.Candidate

// Reason is why no node may announce an address. The condition lbstack.io/Announced of Services uses the
// same words as reasons.
type Reason string

// The reasons, in the order in which they are checked.
const (
	// NoAdvertisement: no advertisement selects the address.
	NoAdvertisement Reason = "NoAdvertisement"
	// NoEndpoints: no holder has a serving endpoint.
	NoEndpoints Reason = "NoEndpoints"
	// NoNode: no node that the advertisements select may announce or, with
	// externalTrafficPolicy Local, no such node has an endpoint.
	NoNode Reason = "NoNode"
)

// IsOnStandby reports whether the node takes no new addresses, and keeps each address until
// another node can announce it.
func (n *Node) IsOnStandby() bool { return n.Draining || n.Excluded != "" && n.KeepsAnnounced }

// isBarred reports whether the node announces nothing at all.
func (n *Node) isBarred() bool { return n.Excluded != "" && !n.KeepsAnnounced }

// HasSameCandidacy reports whether a node is a candidate for the same addresses in two of its states, x
// and y.
func HasSameCandidacy(x, y Node) bool {
	return x.Name == y.Name && x.isBarred() == y.isBarred() && maps.Equal(x.Labels, y.Labels) && slices.Equal(x.Addresses, y.Addresses)
}

// Result is which nodes may announce an address, or why none may.
type Result struct {
	// Address of the input.
	Address netip.Addr
	// Candidates sorted by node. Excluded nodes that only keep the address are not among them. Several
	// Results share the slice: never change it.
	Candidates []Candidate
	// Reason why there are no candidates; empty if there are candidates.
	Reason Reason
	// Why is the reason in a sentence: what is wrong, where, and what to do.
	Why string
	// Refused is why speakers do not begin to announce the address on any node, as the part of a
	// sentence that follows the address and a colon; empty: speakers do. An address that was announced
	// before stays announced.
	Refused string
}
