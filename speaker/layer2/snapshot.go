package layer2

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// AnnouncedAddress is an address in the status of a Service, and the nodes that may announce it (its
// candidates). It has no candidates while no node is to announce it, for example while the Service has no
// endpoints.
type AnnouncedAddress = ownership.Address

// Candidate is a node that may own an address.
type Candidate = ownership.Candidate

// Snapshot is what the cluster wants at one moment. It must not be changed after it was passed to the engine.
type Snapshot struct {
	// Addresses are the addresses to announce, sorted.
	Addresses []AnnouncedAddress
	// Draining are nodes that keep each address until another node has taken it over, and take no address.
	Draining map[lb.NodeName]bool
	// Standby is why this node takes no address, and keeps an address only while no other node may
	// announce it. The text continues a sentence that begins with the node's name. Empty: the node
	// takes addresses.
	Standby string
	// Detection is what is done about foreign hosts.
	Detection Detection
	// Unselected means that there are advertisements, and none selects this node.
	Unselected bool
	// Down are nodes that the API server reports as NotReady.
	Down map[lb.NodeName]bool
	// Interfaces are the interfaces that advertisements name, sorted.
	Interfaces []string
	// Problems are sentences about invalid objects, which the snapshot leaves out.
	Problems []string
}

// Change is a change of what the cluster wants.
type Change struct {
	// Snapshot is complete except for its Addresses. They are only the addresses that were not wanted
	// before, or whose candidates have changed.
	Snapshot
	// Gone are addresses that are not wanted any more.
	Gone []netip.Addr
}
