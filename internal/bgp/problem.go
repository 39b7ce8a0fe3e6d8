package bgp

import "time"

// ProblemReason is the reason why a node has no session with a router, or sends the router fewer routes
// than it should. The values are condition reasons of a BGPPeer.
type ProblemReason string

// The reasons, the most severe first.
const (
	// DuplicatePeer: another BGPPeer is in effect for the same router on the node.
	DuplicatePeer ProblemReason = "DuplicatePeer"
	// PasswordMissing: the Secret of spec.passwordSecret does not exist, or has no valid password.
	PasswordMissing ProblemReason = "PasswordMissing"
	// SecretInvalid: the Secret exists and has no valid password. Only the controller sets this reason: a
	// speaker does not read the Secret itself, and reports PasswordMissing instead.
	SecretInvalid ProblemReason = "SecretInvalid"
	// UnknownInterface: the node has no interface or VRF with the name in the BGPPeer.
	UnknownInterface ProblemReason = "UnknownInterface"
	// PortClosed: the node cannot listen for connections of the router.
	PortClosed ProblemReason = "PortClosed"
	// NoNextHop: the node has no address that the router could send packets to.
	NoNextHop ProblemReason = "NoNextHop"
	// AddressFamilyMissing: the router did not negotiate a family that the BGPPeer is configured for.
	AddressFamilyMissing ProblemReason = "AddressFamilyMissing"
)

// IsAboutRoutes reports whether the reason is about routes in a session. All other reasons are about a session
// that does not exist.
func (r ProblemReason) IsAboutRoutes() bool { return r == NoNextHop || r == AddressFamilyMissing }

// Problem is a problem of a peer on one node. The zero value means no problem.
type Problem struct {
	Reason ProblemReason
	// Message is a sentence that names no node, so that all nodes with the problem have the same message.
	Message string
}

// PeerState describes a problem that the configuration causes for a peer on this node.
type PeerState struct {
	// Problem of the configuration.
	Problem
	// AbsentSince is when the speaker first found that the problem prevents a session with the router;
	// zero: the node has a session, or tries to begin one.
	AbsentSince time.Time
}

const (
	// FlappingThreshold is the number of flaps (unplanned ends of an established session) at which a
	// session counts as flapping.
	FlappingThreshold = 3
	// StableAfter is the time without a flap after which a session counts as stable. Its flaps are then not
	// reported any more.
	StableAfter = 10 * time.Minute
)
