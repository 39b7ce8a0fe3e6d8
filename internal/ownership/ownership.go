// Package ownership decides which addresses a node owns. The decision depends on the addresses that the
// cluster wants, the nodes that are alive, and their claims. Every node decides for itself. Nodes with
// the same information decide the same. Nodes with different information may claim the same address.
// Then the owner is the node whose claim has the highest epoch. The package is pure; speaker/layer2
// calls it from one goroutine.
//
// An address stays with its owner as long as the owner may own it, unless an administrator
// requests another node or DecisionTerms.MoveOne allows a move. See docs/design/speaker.md for the
// rules.
package ownership

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// Phase is the state of a node's speaker as a whole.
type Phase uint8

// The phases. The numbers are part of the protocol between speakers.
const (
	// Starting: the speaker has not yet determined which addresses it owns.
	Starting Phase = iota
	// Active: the speaker owns addresses, and may get more.
	Active
	// Draining: the speaker owns addresses until others have taken them over.
	Draining
	// Restarting: the speaker ends. A new speaker is expected on the node soon, and keeps its addresses.
	// Meanwhile the node still forwards traffic, and other speakers answer ARP and NDP on its behalf.
	Restarting
	// Isolated: the speaker is in a minority, and is cut off in one of two ways. Either it receives
	// nothing on the links on which it would announce, or half of the other speakers receive nothing
	// from it. An isolated speaker owns and announces nothing.
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

// Epoch numbers the owners of an address: each new owner has a higher number. 0 means that the address
// never had an owner.
type Epoch uint64

// MaxEpoch is the last epoch. An address never has enough owners to reach it; only a node that violates
// the protocol claims it. Once no node claims the address, its next owner has epoch 1 again.
const MaxEpoch Epoch = 1 << 62

// Claims are the addresses that a node reports as its own, with their epochs. A map of claims is never
// changed: a node whose claims change gets a new map.
type Claims map[netip.Addr]Epoch

// Address is an address that the cluster wants announced.
type Address struct {
	// Address is what to announce.
	Address netip.Addr
	// Candidates are the nodes that may own it, sorted by name. Several addresses may share one
	// slice.
	Candidates []Candidate
}

// Candidate is a node that may own an address.
type Candidate struct {
	// Node is its name.
	Node lb.NodeName
	// Interfaces are the interfaces of the node to announce on, sorted. None means all interfaces
	// that do not lead to the node's own pods.
	Interfaces []string
	// RequireSubnet: announce only on interfaces in a subnet that contains the address.
	RequireSubnet bool
	// Preference is how much the node is preferred. Nodes with the highest preference are elected
	// first.
	Preference int32
	// Requested: an administrator requests this node for the address. At most one candidate of an address
	// is requested. It is elected before all others, and takes the address even from an owner that may own
	// it. While it cannot be given the address, the others are elected as usual. The election of a node
	// that covers for a restarting owner ignores Requested, since some nodes may not have received the
	// request yet.
	Requested bool
}

// Node is a node whose speaker is alive or restarts.
type Node struct {
	// Name of the node.
	Name lb.NodeName
	// Phase of its speaker.
	Phase Phase
	// Drained: the node must hand over the addresses that it owns.
	Drained bool
	// Settled: the node has been alive for long enough to take addresses from owners that may keep them.
	Settled bool
	// Claims of the node.
	Claims Claims
	// Held are the addresses in Claims that the node does not announce, sorted: it still probes them, or
	// another host uses them.
	Held []netip.Addr
	// Able reports whether the node has a link to announce an address on.
	Able func(*Candidate, netip.Addr) bool
	// Links is the version of Able: when it changes, the next decision examines all addresses.
	Links uint64
}

// takesAddresses reports whether the node may be given addresses.
func (n *Node) takesAddresses() bool { return n.Phase == Active && !n.Drained }

// DecisionTerms are what a decision depends on besides the index. They are valid for one decision.
type DecisionTerms struct {
	// Passed are the nodes that were elected for an address and have not claimed it in time. They are
	// elected only if no other node can be elected.
	Passed map[netip.Addr][]lb.NodeName
	// Overdue are addresses that no node has claimed for some time. Starting speakers are elected for
	// them only if no other speaker can be elected.
	Overdue map[netip.Addr]bool
	// Released are addresses that a live node has just stopped claiming. Either they are not wanted any
	// more, or another node has taken them, and this node has not received that change yet. This node
	// does not take these addresses.
	Released map[netip.Addr]bool
	// MoveOne allows one address to move although nothing failed. To find that address, the
	// decision may examine all of them.
	MoveOne bool
	// Unripe are addresses for which this node is requested, but which it has become able to announce
	// again only a short time ago. It does not take them yet from an owner that may own them.
	Unripe map[netip.Addr]bool
	// Hold are addresses that another node took from this node (Output.Yielded). According to the
	// information of this node, the other node must not own them: the two nodes have received different
	// states of the cluster. So this node does not take the addresses back yet from an active owner.
	Hold map[netip.Addr]bool
}

// Cause is why a node takes an address.
type Cause uint8

// The causes.
const (
	// CauseKept: this node had it already.
	CauseKept Cause = iota
	// CauseFirst: no node ever had it.
	CauseFirst
	// CauseFailure: its owner is dead, or no longer claims it.
	CauseFailure
	// CauseHandOver: its owner is alive and must not own it any more.
	CauseHandOver
	// CauseFailback: this node is better for the address than its owner.
	CauseFailback
	// CauseRequest: an administrator requests this node, and the owner is alive.
	CauseRequest
)

// String returns the value of the metric label cause.
func (c Cause) String() string {
	return [...]string{"kept", "first", "failure", "handover", "failback", "request"}[c]
}

// Claim is an address that this node owns.
type Claim struct {
	// Epoch of the ownership.
	Epoch Epoch
	// Cause is why the node takes it, or CauseKept.
	Cause Cause
}

// UnclaimedAddress is an address for which another node was elected.
type UnclaimedAddress struct {
	// Address that the elected node has not claimed yet.
	Address netip.Addr
	// Elected is the node that was elected.
	Elected lb.NodeName
}

// Output is what a node decided.
type Output struct {
	// Looked are the addresses that this decision examined, sorted. These are addresses that changed,
	// and addresses whose decision is not settled (no owner, an owner that must not keep the address, a
	// move, two claims). For all other addresses the previous decision is still valid.
	Looked []netip.Addr
	// Own are the addresses in Looked that this node owns.
	Own map[netip.Addr]Claim
	// Care are the addresses for which this node covers, each with the restarting node that owns it.
	Care map[netip.Addr]lb.NodeName
	// Unclaimed are wanted addresses for which another node was elected, and which that node has not
	// claimed yet.
	Unclaimed []UnclaimedAddress
	// Contested are addresses that this node owns and another node claims as well.
	Contested []netip.Addr
	// Yielded are addresses that another node took from this node. According to the information of this
	// node, the other node must not own them, or an administrator requests this node. One of the two
	// nodes has old information, so this node does not take the addresses back at once.
	Yielded []netip.Addr
}
