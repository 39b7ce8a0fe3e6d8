// Package wire is what speakers tell each other, as bytes. What comes in was
// decrypted with the key of the mesh, so that it comes from a speaker; it is
// bounded and checked all the same.
package wire

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Bounds of what a message may hold.
const (
	maxName       = 253
	maxSuspects   = 256
	maxLinks      = 256
	maxPrefixes   = 64
	maxClaims     = 1 << 17
	maxHeld       = 1 << 10
	maxEpoch      = 1 << 62
	maxDuration   = 10 * time.Minute
	maxLinkName   = 15
	hardwareBytes = 6
	minClaim      = 1 + 4 + 1 // the length, an IPv4 address, the epoch or the bits
	minAddress    = 1 + 4
	minLink       = 2 + hardwareBytes + 1 + 1 // a name of one letter, flags, no prefixes
)

// Kind tells messages apart.
type Kind uint8

// The kinds of messages.
const (
	// KindBeat says that the sender lives.
	KindBeat Kind = 1
	// KindState is all that the sender says of itself.
	KindState Kind = 2
	// KindPull asks for the state of the receiver.
	KindPull Kind = 3
	// KindAck says that the sender has acted on a state of the receiver.
	KindAck Kind = 4
)

// Message is what one speaker tells another.
type Message struct {
	// Kind says which of the fields below mean something.
	Kind Kind
	// From is the sender's node.
	From lb.NodeName
	// Incarnation grows with every start of the sender's process.
	Incarnation uint64
	// Sequence numbers the sender's states within an incarnation, from 1.
	Sequence uint64
	// Interval is the time between two beats of the sender.
	Interval time.Duration

	// Stream: this copy goes over a connection, not as a datagram.
	Stream bool
	// Deaf: the receiver's datagrams do not reach the sender (only with Stream).
	Deaf bool

	// Suspects are nodes that the sender has not heard in time, dead ones included
	// (Beat).
	Suspects []lb.NodeName
	// Nonce is chosen by who asks, and comes back with the answer (Pull, State).
	Nonce uint64
	// Acked is the incarnation and sequence of the receiver's state (Ack).
	AckedIncarnation, AckedSequence uint64
	// State of the sender (State).
	State State
}

// State is all that a speaker says of itself.
type State struct {
	// Phase of the speaker.
	Phase ownership.Phase
	// Back is in which time it will be back (Restarting).
	Back time.Duration
	// Links that it can announce on.
	Links []Link
	// Claims are the addresses that it owns.
	Claims ownership.Claims
	// Held are those of the claims that it does not announce, since foreign hosts use
	// them: who owns them next asks again before it announces them.
	Held []netip.Addr
}

// Link is a network interface of a speaker's node.
type Link struct {
	// Name of the interface.
	Name string
	// Hardware address.
	Hardware [hardwareBytes]byte
	// Internal: it leads to the node's own pods.
	Internal bool
	// IPv4: it has an IPv4 address.
	IPv4 bool
	// IPv6: it has an IPv6 link-local address.
	IPv6 bool
	// Prefixes are the subnets of its addresses.
	Prefixes []netip.Prefix
}
