package bgp

import "time"

// Reason is why a node has no session with a router, or sends it fewer routes than it
// should. The words are those of the conditions of a BGPPeer.
type Reason string

// The reasons, the most severe first.
const (
	// DuplicatePeer: another BGPPeer is in effect for the same router on the node.
	DuplicatePeer Reason = "DuplicatePeer"
	// PasswordMissing: the Secret with the password does not exist.
	PasswordMissing Reason = "PasswordMissing"
	// SecretInvalid: the Secret exists and has no usable password.
	SecretInvalid Reason = "SecretInvalid"
	// UnknownInterface: the node has no interface or VRF of that name.
	UnknownInterface Reason = "UnknownInterface"
	// PortClosed: the node cannot listen for the router.
	PortClosed Reason = "PortClosed"
	// NoNextHop: the node has no address that the router could send packets to.
	NoNextHop Reason = "NoNextHop"
	// AddressFamilyMissing: the router does not take routes of a family that it should get.
	AddressFamilyMissing Reason = "AddressFamilyMissing"
)

// OfRoutes reports whether the reason is about routes of a session, and not why there is no session.
func (r Reason) OfRoutes() bool { return r == NoNextHop || r == AddressFamilyMissing }

// Problem is what is wrong with a peer on one node. The zero value is none.
type Problem struct {
	Reason Reason
	// Message is a sentence that holds on every node with the problem: it names no node.
	Message string
}

// PeerState is what the configuration makes of a peer on this node.
type PeerState struct {
	// Problem with its configuration.
	Problem
	// AbsentSince is when the node began to have no session with the router because of the
	// problem; zero: it has one, or tries to.
	AbsentSince time.Time
}

const (
	// FlapsWhenFlapping is how many unplanned ends of established sessions make flapping.
	FlapsWhenFlapping = 3
	// StableAfter is how long a session must not end for its flaps to be forgotten.
	StableAfter = 10 * time.Minute
)
