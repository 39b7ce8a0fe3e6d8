package session

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// The kinds of datagrams. Another version of the protocol has other values.
const (
	kindData     = 0xC1
	kindGreeting = 0xC2
)

const (
	// headerSize is the kind, the key ID, the sender's instance and the counter, in clear.
	headerSize = 1 + len(keyID{}) + len(wire.Instance{}) + 8
	// OverheadBytes is by how many bytes a datagram is longer than its message.
	OverheadBytes = headerSize + chacha20poly1305.Overhead

	nonceSize    = chacha20poly1305.NonceSize
	greetingSize = 2*len(challenge{}) + MaxKeys*len(keyID{})
)

// header is the part of a datagram that is not encrypted, but authenticated.
type header struct {
	kind     byte
	key      keyID
	instance wire.Instance
	counter  uint64
}

func (h header) append(b []byte) []byte {
	b = append(b, h.kind)
	b = append(b, h.key[:]...)
	b = append(b, h.instance[:]...)
	return binary.BigEndian.AppendUint64(b, h.counter)
}

// parseHeader returns false for bytes that are not a datagram of this protocol.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < OverheadBytes || len(b) > MaxDatagramBytes {
		return header{}, false
	}
	h.kind = b[0]
	h.key = keyID(b[1:])
	h.instance = wire.Instance(b[1+len(h.key):])
	h.counter = binary.BigEndian.Uint64(b[headerSize-8:])
	return h, h.kind == kindData || h.kind == kindGreeting && len(b) == OverheadBytes+greetingSize
}

// bindHeader prepares the nonce and the associated data of a datagram: its header, the names of
// sender and receiver, and the receiver's instance, which is zero in greetings. So no other
// node and no other process accepts the datagram, nor does its sender if it is sent back.
func (t *Table) bindHeader(header []byte, counter uint64, from, to lb.NodeName, receiver wire.Instance) {
	binary.BigEndian.PutUint64(t.nonce[nonceSize-8:], counter)
	t.bound = append(t.bound[:0], header...)
	t.bound = append(t.bound, receiver[:]...)
	t.bound = binary.BigEndian.AppendUint16(t.bound, uint16(len(from)))
	t.bound = append(t.bound, from...)
	t.bound = append(t.bound, to...)
}

// challenge is a nonce that the peer has to return; zero: there is none.
type challenge [16]byte

// greeting is the content of a datagram of the handshake.
type greeting struct {
	// nonce is what the receiver has to return in its answer; zero: the sender wants no answer.
	nonce challenge
	// echo is the nonce of the greeting that this one answers.
	echo challenge
	// keys are the IDs of the sender's keys. If it has fewer than MaxKeys, some IDs are repeated. The
	// last ID is silenceID if the sender is silent: see Table.SetSilent.
	keys [MaxKeys]keyID
}

// silenceID replaces the last key ID in the greetings of a silent speaker. One key in 2^32 has this ID.
// Greetings that list such a key last look like those of a silent speaker.
var silenceID keyID

func (g greeting) encode() []byte {
	b := make([]byte, 0, greetingSize)
	b = append(b, g.nonce[:]...)
	b = append(b, g.echo[:]...)
	for _, k := range g.keys {
		b = append(b, k[:]...)
	}
	return b
}

// parseGreeting decodes a greeting from greetingSize bytes.
func parseGreeting(b []byte) (g greeting) {
	g.nonce, g.echo = challenge(b), challenge(b[len(g.nonce):])
	b = b[2*len(g.nonce):]
	for i := range g.keys {
		g.keys[i] = keyID(b[i*len(keyID{}):])
	}
	return g
}
