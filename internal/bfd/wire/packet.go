// Package wire is the control packet of BFD (RFC 5880 section 4.1) as bytes, without
// authentication: there is none here, so that a packet with it is refused.
package wire

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

// Size of a packet without authentication.
const Size = 24

// MaxInterval is the longest interval that a packet can carry.
const MaxInterval = (1<<32 - 1) * time.Microsecond

const (
	version = 1

	flagPoll           = 1 << 5
	flagFinal          = 1 << 4
	flagIndependent    = 1 << 3
	flagAuthentication = 1 << 2
	flagDemand         = 1 << 1
	flagMultipoint     = 1 << 0
)

// Packet is a control packet. Intervals are sent in microseconds.
type Packet struct {
	// Diagnostic is why the sender's session went down last.
	Diagnostic bfd.Diagnostic
	// State of the sender's session.
	State bfd.State
	// Poll asks for a packet with Final; Final answers one with Poll.
	Poll, Final bool
	// Independent: the sender's BFD does not share the fate of its control plane.
	Independent bool
	// Demand: the sender wants no periodic packets while both sides are Up.
	Demand bool
	// Multiplier is how many packets may be missed.
	Multiplier uint8
	// Mine is the sender's discriminator, never 0; Yours is that of the receiver, 0 if
	// the sender does not know it.
	Mine, Yours uint32
	// DesiredMinTx is how often the sender wants to send.
	DesiredMinTx time.Duration
	// RequiredMinRx is how often the sender is able to take packets; 0 means never.
	RequiredMinRx time.Duration
	// RequiredMinEchoRx is the same for echo packets.
	RequiredMinEchoRx time.Duration
}
