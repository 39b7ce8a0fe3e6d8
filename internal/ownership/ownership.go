// Package ownership decides what a node owns, from what the cluster wants, which
// nodes are alive, and what they claim. Every node decides for itself. Nodes with the
// same knowledge decide the same; where their knowledge differs, the claims settle it:
// of several claims for an address the one with the highest epoch counts. It is pure:
// speaker/layer2 calls it from one goroutine.
//
// An address stays with its owner as long as that one may own it. See
// docs/design/speaker.md for the rules.
package ownership

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// Phase is the state of a node's speaker as a whole.
type Phase uint8

// The phases. The numbers are part of the protocol between speakers.
const (
	// Starting: it does not know yet what it owns.
	Starting Phase = iota
	// Active: it owns addresses, and may get more.
	Active
	// Draining: it owns addresses until others have taken them over.
	Draining
	// Restarting: the next speaker is expected soon and keeps what this one owns; the
	// node goes on forwarding, and others answer for it.
	Restarting
	// Isolated: it is in a minority and cannot show that the network receives from it; it
	// owns and announces nothing.
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

// MaxEpoch is the last epoch. No address reaches it by moving; only a node that breaks the rules claims it. Once no
// node claims the address, its next owner has epoch 1 again.
const MaxEpoch Epoch = 1 << 62

// Claims are the addresses that a node reports to own. They are never changed.
type Claims map[netip.Addr]Epoch

// Address is one that the cluster wants announced.
type Address struct {
	// Address is what to announce.
	Address netip.Addr
	// Candidates may own it, sorted by node. Addresses may share the slice.
	Candidates []Candidate
}

// Candidate is a node that may own an address.
type Candidate struct {
	// Node is its name.
	Node lb.NodeName
	// Interfaces are those to announce on there, sorted; none means all that do not
	// lead to the node's own pods.
	Interfaces []string
	// RequireSubnet: only on interfaces in a subnet that contains the address.
	RequireSubnet bool
	// Preference is how much the node is preferred: nodes with the highest are
	// elected first.
	Preference int32
	// Requested: an administrator asks for the node, at most one for an address. It comes before all others, and takes
	// the address even from an owner that may have it; while it cannot be given the address, the others are elected as
	// usual. The election of the node that covers for a restarting one ignores it: not all nodes may know of it.
	Requested bool
}

// Node is a node whose speaker is alive or restarts.
type Node struct {
	// Name is that of the node.
	Name lb.NodeName
	// Phase is that of its speaker.
	Phase Phase
	// Drained: the cluster wants the node to hand over what it owns.
	Drained bool
	// Settled: it has been alive for long enough to be given what others have.
	Settled bool
	// Claims are those of the node.
	Claims Claims
	// Able reports whether the node has a link to announce an address on.
	Able func(*Candidate, netip.Addr) bool
	// Links is the version of Able: when it changes, all addresses are looked at.
	Links uint64
}

// takes reports whether the node may be given addresses.
func (n *Node) takes() bool { return n.Phase == Active && !n.Drained }

// Terms are what a decision depends on besides the index. They are valid for one decision.
type Terms struct {
	// Passed are the nodes that were elected for an address and have not
	// claimed it in time. They are elected only if there are no others.
	Passed map[netip.Addr][]lb.NodeName
	// Overdue are addresses that no node has claimed for some time: starting speakers are not
	// elected for them while there are others.
	Overdue map[netip.Addr]bool
	// Released are addresses that a living node has just given up: that they are not wanted
	// any more, or that another node has them, has not been received here yet. No node takes
	// them.
	Released map[netip.Addr]bool
	// MoveOne allows one address to move although nothing failed. To find it, all
	// addresses may be looked at.
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
	// Kept: this node had it already.
	Kept Cause = iota
	// First: no node ever had it.
	First
	// Failure: its owner is dead, or has given it up.
	Failure
	// HandOver: its owner is alive and may not own it any more.
	HandOver
	// Failback: this node is a better one for it.
	Failback
	// Request: an administrator asks for this node, and the owner is alive.
	Request
)

// String returns the value of the metric label cause.
func (c Cause) String() string {
	return [...]string{"kept", "first", "failure", "handover", "failback", "request"}[c]
}

// Claim is an address that this node owns.
type Claim struct {
	// Epoch is that of the ownership.
	Epoch Epoch
	// Cause is why the node takes it, or Kept.
	Cause Cause
}

// Unclaimed is an address that another node was elected for.
type Unclaimed struct {
	// Address is one that the elected node has not claimed yet.
	Address netip.Addr
	// Elected is the node that was elected.
	Elected lb.NodeName
}

// Output is what a node decided.
type Output struct {
	// Looked are the addresses, sorted, that were looked at: those that changed, that have no
	// owner, that have one which may not stay the owner, or that move. For all others the
	// decision before still holds.
	Looked []netip.Addr
	// Own are those of Looked that this node owns.
	Own map[netip.Addr]Claim
	// Care are addresses that this node covers for nodes that restart, with their owners.
	Care map[netip.Addr]lb.NodeName
	// Unclaimed are wanted addresses that another node was elected for and has not
	// claimed yet.
	Unclaimed []Unclaimed
	// Contested are addresses that this node owns and another one claims as well.
	Contested []netip.Addr
	// Yielded are addresses that a living node took from this one, although as far as is known
	// here it may not own them, or an administrator asks for this node. The knowledge of one of
	// the two is old: this node does not take them back at once.
	Yielded []netip.Addr
}
