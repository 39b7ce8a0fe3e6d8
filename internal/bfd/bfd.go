// Package bfd has the types of Bidirectional Forwarding Detection (RFC 5880): the profile by which a
// path is watched, and the status of a session. It uses no Kubernetes types, sockets, clock or logger.
package bfd

import "time"

// The defaults of a Profile.
const (
	DefaultInterval   = 300 * time.Millisecond
	DefaultMultiplier = 3
	DefaultMinimumTTL = 254
)

// Profile defines how closely a path is watched. Zero fields mean the defaults.
type Profile struct {
	// Receive is the shortest interval of packets that this side can receive: RequiredMinRxInterval.
	Receive time.Duration
	// Transmit is the interval at which this side wants to send: DesiredMinTxInterval.
	Transmit time.Duration
	// Multiplier is how many packets in a row may be lost before the other side declares the path down:
	// DetectMult, 2 to 255.
	Multiplier uint8
	// Passive: this side sends nothing before it has received from the other side (RFC 5880 section 6.1).
	Passive bool
	// MinimumTTL is the least TTL of arriving packets in a multihop session, 1 to 254. Single-hop
	// sessions ignore it: their packets must arrive with 255 (RFC 5881 section 5).
	MinimumTTL uint8
}

// State is the state of a session (RFC 5880 section 6.2). The values are those of the packet format.
type State uint8

// The states.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case AdminDown:
		return "AdminDown"
	case Down:
		return "Down"
	case Init:
		return "Init"
	case Up:
		return "Up"
	}
	return "unknown"
}

// Diagnostic is the reason why a session went down last (RFC 5880 section 4.1). The values are those of
// the packet format.
type Diagnostic uint8

// The diagnostics.
const (
	NoDiagnostic Diagnostic = iota
	DetectionTimeExpired
	EchoFailed
	NeighborSignaledDown
	ForwardingPlaneReset
	PathDown
	ConcatenatedPathDown
	AdministrativelyDown
	ReverseConcatenatedPathDown
)
