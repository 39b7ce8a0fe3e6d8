package layer2

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Announced is an address that a Service shows, and who may announce it. There are
// no candidates while nobody is to, such as when the Service has no endpoints.
type Announced = ownership.Address

// Candidate is a node that may own an address.
type Candidate = ownership.Candidate

// Snapshot is what the cluster wants, at one moment. It is never changed after
// it was handed over.
type Snapshot struct {
	// Addresses to announce, ordered by address.
	Addresses []Announced
	// Draining nodes keep what they own until others have taken it over, and get
	// nothing.
	Draining map[lb.NodeName]bool
	// Standby is why this node takes no address and keeps what it has only while no other
	// node may announce it, as what follows the node's name in a sentence; empty: it takes
	// addresses.
	Standby string
	// Detection is what is done about foreign hosts.
	Detection Detection
	// Unselected says that there are advertisements, and none selects this node.
	Unselected bool
	// Down are nodes of which the cluster says that they are not ready.
	Down map[lb.NodeName]bool
	// Interfaces are those that advertisements name, ordered.
	Interfaces []string
	// Problems are sentences about objects that mean nothing and were left out.
	Problems []string
}

// Change is what is new in what the cluster wants.
type Change struct {
	// Snapshot of which Addresses are only those that were not wanted before, or that
	// others may announce now. The rest of it is whole.
	Snapshot
	// Gone are addresses that are not wanted any more.
	Gone []netip.Addr
}
