// Package wire encodes and decodes the control packet of BFD (RFC 5880 section 4.1). It does not
// support authentication: a packet with authentication is refused.
package wire

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

// PacketSize is the number of bytes of a packet without authentication.
const PacketSize = 24

// MaxInterval is the longest interval that a packet can have.
const MaxInterval = (1<<32 - 1) * time.Microsecond

const (
	bfdVersion = 1

	flagPoll           = 1 << 5
	flagFinal          = 1 << 4
	flagIndependent    = 1 << 3
	flagAuthentication = 1 << 2
	flagDemand         = 1 << 1
	flagMultipoint     = 1 << 0
)

// Packet is a control packet. Intervals are sent in microseconds.
type Packet struct {
	// Diagnostic is the reason why the sender's session went down last.
	Diagnostic bfd.Diagnostic
	// State of the sender's session.
	State bfd.State
	// Poll requests an answer. Final marks the answer to a packet with Poll.
	Poll, Final bool
	// Independent: the sender's BFD continues when its control plane fails.
	Independent bool
	// Demand: the sender wants no periodic packets while both sides are Up.
	Demand bool
	// Multiplier is the receiver's detection time, as a number of intervals of the sender.
	Multiplier uint8
	// Mine is the sender's discriminator, never 0. Yours is the receiver's discriminator; 0: the sender has
	// not received it.
	Mine, Yours uint32
	// DesiredMinTx is the interval at which the sender wants to send.
	DesiredMinTx time.Duration
	// RequiredMinRx is the shortest interval of packets that the sender can receive; 0: none at all.
	RequiredMinRx time.Duration
	// RequiredMinEchoRx is RequiredMinRx for echo packets.
	RequiredMinEchoRx time.Duration
}
