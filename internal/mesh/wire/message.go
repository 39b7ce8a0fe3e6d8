// Package wire converts the messages between speakers to bytes and back. internal/mesh/session
// authenticates the messages, and determines which process of which node has sent them. Although the
// senders are authenticated, package wire bounds what it decodes.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Bounds of what a message may hold.
const (
	// MaxSuspects is the largest number of suspects that a heartbeat names.
	MaxSuspects = 64
	// MaxKnownStates is the largest number of states of other speakers that a heartbeat names.
	MaxKnownStates = 8
	// MaxMissingPieces is the largest number of missing pieces that a pull names.
	MaxMissingPieces = 512
	// PieceSize is how many bytes of a state one message has. Together with the overhead of the
	// session, they fit into the MTU of Ethernet with tunnels.
	PieceSize = 1024
	// MaxPieces is the largest number of pieces of a state.
	MaxPieces = 4096
	// MaxHeldAddresses is the largest number of addresses in State.Held; the encoder leaves out others.
	MaxHeldAddresses = 1 << 10

	maxLinks         = 256
	maxPrefixes      = 64
	maxClaims        = 1 << 17
	maxEpoch         = ownership.MaxEpoch
	maxDuration      = 10 * time.Minute
	maxLinkNameBytes = 15
	hardwareBytes    = 6
	minClaimBytes    = 1 + 4 + 1 // a length, an IPv4 address, and the epoch or the prefix length
	minAddressBytes  = 1 + 4
	minLinkBytes     = 2 + hardwareBytes + 1 + 1 // a name of one letter, flags, no prefixes
)

// NodeID stands for the name of a node: the first 8 bytes of its SHA-256.
type NodeID uint64

// IDOf returns the ID of a node. It is never 0.
func IDOf(name lb.NodeName) NodeID {
	sum := sha256.Sum256([]byte(name))
	return max(1, NodeID(binary.BigEndian.Uint64(sum[:])))
}

// Kind distinguishes messages.
type Kind uint8

// The kinds of messages.
const (
	// KindHeartbeat: the sender is alive.
	KindHeartbeat Kind = 1
	// KindState is a piece of the state of the sender, or of another node whose state it relays.
	KindState Kind = 2
	// KindPull asks for the state of the receiver, or of a third node from which the receiver may have it.
	KindPull Kind = 3
	// KindAck: the sender has acted on a state of the receiver.
	KindAck Kind = 4
)

// Message is what one speaker sends to another. The sender's node and instance are not in it: the
// session determines them.
type Message struct {
	// Kind determines which of the fields below are in use. The comments name the kinds in parentheses;
	// fields without a kind are in use in all messages.
	Kind Kind
	// Sequence is the number of the sender's latest state. States are numbered from 1; 0: the sender has
	// none yet.
	Sequence uint64
	// Interval between two heartbeats of the sender.
	Interval time.Duration

	// Suspects are the watched nodes from which the sender receives nothing, including nodes that it
	// has confirmed as dead (Heartbeat).
	Suspects []NodeID
	// Known names some of the states of third nodes that the sender has (Heartbeat).
	Known []KnownState
	// About is the node whose state is asked for; 0: the receiver (Pull).
	About NodeID
	// Nonce is chosen by the sender of a pull, and comes back with the answer (Pull, State).
	Nonce uint64
	// Missing are the indices of the pieces that have not come; none: all pieces are asked for (Pull).
	Missing []uint16
	// MissingOf is the sequence of the state whose pieces are missing (Pull).
	MissingOf uint64
	// Acked is the number of the receiver's state that the sender has acted on (Ack).
	Acked uint64
	// Piece of a state (State).
	Piece Piece
}

// KnownState names a state that the sender of a heartbeat has, without its content.
type KnownState struct {
	// ID of the node whose state it is.
	ID NodeID
	// Process is the beginning of the instance that published it.
	Process [4]byte
	// Sequence is the number of the state.
	Sequence uint64
}

// Piece is a part of an encoded state.
type Piece struct {
	// About is the node whose state it is; 0: the sender.
	About NodeID
	// Instance is the process that published the state, if that is not the sender.
	Instance Instance
	// Sequence is the number of the state, if it is not the sender's. The number of the sender's own
	// state is in Message.
	Sequence uint64
	// Back is the time until the next process of a restarting speaker is expected.
	Back time.Duration
	// Index of this piece, from 0, of Count pieces.
	Index, Count int
	// Data is at most PieceSize bytes. A decoded piece aliases the memory that it was
	// decoded from.
	Data []byte
}

// State is all that a speaker publishes of itself.
type State struct {
	// Phase of the speaker.
	Phase ownership.Phase
	// Back is the time until the next process of the speaker is expected (Restarting). It is not
	// part of the encoded state: see Piece.
	Back time.Duration
	// Links that the speaker can announce on.
	Links []Link
	// Claims are the addresses that the speaker owns.
	Claims ownership.Claims
	// Held are claimed addresses that the speaker does not announce: foreign hosts may use them, or the
	// speaker has conceded them to other nodes (see speaker/layer2). The next owner of such an address
	// probes it before announcing it.
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
