// Package bfd is the vocabulary of Bidirectional Forwarding Detection (RFC 5880):
// how closely a path is watched, and how it is. It knows no Kubernetes, socket,
// clock or logger.
package bfd

import "time"

// The defaults of a Profile.
const (
	DefaultInterval   = 300 * time.Millisecond
	DefaultMultiplier = 3
	DefaultMinimumTTL = 254
)

// Profile is how closely a path is watched.
type Profile struct {
	// Receive is how often this side is able to take packets: RequiredMinRxInterval.
	Receive time.Duration
	// Transmit is how often this side wants to send: DesiredMinTxInterval.
	Transmit time.Duration
	// Multiplier is how many packets the other side may miss of this one before it
	// declares the path down: DetectMult, 2 to 255.
	Multiplier uint8
	// Passive: this side sends nothing before it has received from the other (RFC 5880
	// section 6.1).
	Passive bool
	// MinimumTTL that packets of a multihop session must have on arrival, 1 to 254; it
	// means nothing to single-hop ones, which must have 255 (RFC 5881 section 5).
	MinimumTTL uint8
}

// State of a session (RFC 5880 section 6.2), with the numbers of the wire.
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

// Diagnostic is why a session went down last (RFC 5880 section 4.1), with the
// numbers of the wire.
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
