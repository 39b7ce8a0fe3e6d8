// Package ownership decides what a node owns, from what the cluster wants, which
// nodes live, and what they claim. Every node decides for itself; those that see
// the same decide the same, and where they do not, the claims settle it: of
// several claims for an address the highest epoch counts.
//
// An address stays with its owner as long as that one may own it. See
// docs/design/speaker.md for the rules.
package ownership

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// Phase is what a node's speaker is doing as a whole.
type Phase uint8

// The phases. The numbers are part of the protocol between speakers.
const (
	// Starting: it does not know yet what it owns.
	Starting Phase = iota
	// Active: it owns addresses, and may get more.
	Active
	// Draining: it owns addresses until others have taken them over.
	Draining
	// Restarting: it will be back soon and keeps what it owns; its node goes
	// on forwarding, and others answer for it.
	Restarting
	// Isolated: it has lost all others at once and is silent.
	Isolated
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case Starting:
		return "Starting"
	case Active:
		return "Active"
	case Draining:
		return "Draining"
	case Restarting:
		return "Restarting"
	case Isolated:
		return "Isolated"
	}
	return "unknown"
}

// Epoch numbers the owners of an address, one after the other. 0 means that it
// never had one.
type Epoch uint64

// MaxEpoch is the last epoch. No address gets there by moving: a node that does not keep to the rules
// may claim it. The next owner has the first epoch again, once no node claims the address.
const MaxEpoch Epoch = 1 << 62

// Claims are the addresses that a node reports to own. They are never changed.
type Claims map[netip.Addr]Epoch

// Address is one that the cluster wants announced.
type Address struct {
	// Address to announce.
	Address netip.Addr
	// Candidates may own it, ordered by node. Addresses may share the slice.
	Candidates []Candidate
}

// Candidate is a node that may own an address.
type Candidate struct {
	// Node is its name.
	Node lb.NodeName
	// Interfaces to announce on there, in order; none means all that do not lead
	// to the node's own pods.
	Interfaces []string
	// RequireSubnet: only on interfaces of a subnet that the address is in.
	RequireSubnet bool
	// Preference is how much the node is preferred: those with the highest come
	// first.
	Preference int32
	// Requested: an administrator asks for the node, at most one of an address. It comes before all others, and takes
	// the address also from one that may have it; without it, the others have the address as ever. Who answers for a
	// node that restarts does not depend on it: not all nodes may know of it.
	Requested bool
}

// Node is a node whose speaker is alive, or will be back soon.
type Node struct {
	// Name of the node.
	Name lb.NodeName
	// Phase of its speaker.
	Phase Phase
	// Drained: the cluster wants the node to hand over what it owns.
	Drained bool
	// Settled: it has been alive for long enough to be given what others have.
	Settled bool
	// Claims of the node.
	Claims Claims
	// Able reports whether the node has a link to announce an address on.
	Able func(*Candidate, netip.Addr) bool
	// Links is a version of Able: another number, and all addresses are looked at.
	Links uint64
}

// takes reports whether the node may be given addresses.
func (n *Node) takes() bool { return n.Phase == Active && !n.Drained }

// Terms are what a decision depends on besides what is in the book. They are about the
// moment.
type Terms struct {
	// Passed are the nodes that were elected for an address and have not
	// claimed it in time. They are elected only if there are no others.
	Passed map[netip.Addr][]lb.NodeName
	// Overdue are addresses that nobody has claimed for some time: speakers that start are not
	// elected for them while there are others.
	Overdue map[netip.Addr]bool
	// Released are addresses that a living node has just let go: it knows by now that
	// they are not wanted, or will report what it has soon. Nobody takes them.
	Released map[netip.Addr]bool
	// MoveOne allows one address to move although nothing failed. It looks at all
	// addresses.
	MoveOne bool
	// Unripe are addresses that this node is asked for and was not able to have a moment ago: it takes
	// them from none that may have them.
	Unripe map[netip.Addr]bool
	// Hold are addresses about which this node and their owner know different things
	// about the cluster: they are not taken from one that lives.
	Hold map[netip.Addr]bool
}

// Cause is why a node takes an address.
type Cause uint8

// The causes.
const (
	// Kept: it had it already.
	Kept Cause = iota
	// First: nobody ever had it.
	First
	// Failure: its owner is dead, or has let it go.
	Failure
	// HandOver: its owner lives and may not own it any more.
	HandOver
	// Failback: a better place for it.
	Failback
	// Request: an administrator asks for this node, and its owner lives.
	Request
)

// String is the value of the label in metrics.
func (c Cause) String() string {
	return [...]string{"kept", "first", "failure", "handover", "failback", "request"}[c]
}

// Claim is an address that this node owns.
type Claim struct {
	// Epoch of the ownership.
	Epoch Epoch
	// Cause of it, if it is new.
	Cause Cause
}

// Unclaimed is an address that another node was elected for.
type Unclaimed struct {
	// Address that nobody has claimed.
	Address netip.Addr
	// Elected is the other node.
	Elected lb.NodeName
}

// Output is what a node decided.
type Output struct {
	// Looked are the addresses, ordered, that were looked at: those of which something has
	// changed, and those that have no owner, or one that may not stay it. What this
	// node does about all others is what it did after the decision before.
	Looked []netip.Addr
	// Own are those of Looked that it owns.
	Own map[netip.Addr]Claim
	// Care are addresses of nodes that restart, and that this one answers for.
	Care map[netip.Addr]lb.NodeName
	// Unclaimed are wanted addresses that somebody else was elected for, and that
	// nobody has claimed yet.
	Unclaimed []Unclaimed
	// Contested are addresses that this node owns and another one claims as well.
	Contested []netip.Addr
	// Yielded are addresses that a node that lives took from this one, although it may
	// not own them as far as is known here, or this one is asked for: one of the two knows something
	// old, and that is no reason for a war.
	Yielded []netip.Addr
}
