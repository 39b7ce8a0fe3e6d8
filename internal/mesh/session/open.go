package session

import (
	"crypto/cipher"
	"errors"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// Why a datagram is refused. All but ErrForged are found before anything is decrypted.
var (
	// ErrPeer: the sender's node is not among the nodes of SetPeers.
	ErrPeer = errors.New("the sender of the datagram is no peer")
	// ErrFormat: it is not a datagram of this version of the protocol.
	ErrFormat = errors.New("the datagram is not one of this protocol")
	// ErrKey: this process does not have the key.
	ErrKey = errors.New("the datagram is under a key that this speaker does not have")
	// ErrReplayed: it was received before, or is so old that this process cannot check that any more.
	ErrReplayed = errors.New("the datagram was received before")
	// ErrUnconfirmed: the instance that sent it has not answered a nonce. A greeting to that
	// instance becomes due.
	ErrUnconfirmed = errors.New("the sender of the datagram has not answered a nonce")
	// ErrForged: it was not made with the key, or for another process.
	ErrForged = errors.New("the datagram was not made with the key for this process")
)

// OpenedDatagram is what a datagram contains and what follows from it.
type OpenedDatagram struct {
	// Message is in the memory of the datagram; nil: the datagram belongs to a handshake.
	Message []byte
	// Instance of the sender, if the datagram is authentic. The instance is confirmed if there is a
	// Message, or if Met is true. The caller must ignore Greeted and Silent unless it has met the instance
	// before, or another speaker has relayed a state of the instance.
	Instance wire.Instance
	// Met: the datagram confirmed an instance, a new one or the same one after Reset.
	Met bool
	// Greeted: the instance asks for an answer, and nothing that it sent later has arrived. It has
	// no session with this process, or asks which keys this process has.
	Greeted bool
	// Silent: the greeting shows that the sender answers for no address on the link of the mesh.
	Silent bool
	// Replies are datagrams to send to the same node.
	Replies [][]byte
	// Err is why the datagram was refused, one of the errors above.
	Err error
}

// Open authenticates and decrypts a datagram that came from the address of a node. It overwrites the
// datagram. Afterwards greetings may be due: see Next.
func (t *Table) Open(now time.Time, from lb.NodeName, datagram []byte) OpenedDatagram {
	p := t.peers[from]
	if p == nil {
		return OpenedDatagram{Err: ErrPeer}
	}
	h, ok := parseHeader(datagram)
	if !ok {
		return OpenedDatagram{Err: ErrFormat}
	}
	key := slices.IndexFunc(t.keys, func(k ownKey) bool { return k.id == h.key })
	if key == noKey {
		return OpenedDatagram{Err: ErrKey}
	}
	known := h.instance == p.instance
	confirmed := p.met && known
	place, tag := t.recent.place(datagram) // used only for datagrams of unconfirmed instances
	switch {
	case known && !p.window.isNew(h.counter):
		return OpenedDatagram{Err: ErrReplayed}
	case !confirmed && h.kind == kindData:
		t.greetSoon(now, p)
		return OpenedDatagram{Err: ErrUnconfirmed}
	case !confirmed && *place == tag:
		return OpenedDatagram{Err: ErrReplayed}
	}
	receiver := t.instance
	if h.kind == kindGreeting {
		receiver = wire.Instance{}
	}
	t.bindHeader(datagram[:headerSize], h.counter, from, t.self, receiver)
	content, err := t.cipherFor(p, key, h.instance, confirmed).Open(datagram[headerSize:headerSize], t.nonce[:], datagram[headerSize:], t.bound)
	if err != nil {
		return OpenedDatagram{Err: ErrForged}
	}
	if known {
		p.window.markReceived(h.counter)
	} else {
		*place = tag
	}
	if h.kind == kindData {
		return OpenedDatagram{Message: content, Instance: h.instance}
	}
	return t.acceptGreeting(now, p, key, h, parseGreeting(content))
}

// cipherFor returns the cipher for datagrams of an instance, and stores it if the instance is
// confirmed.
func (t *Table) cipherFor(p *peer, key int, instance wire.Instance, confirmed bool) cipher.AEAD {
	if !confirmed {
		return t.keys[key].instanceCipher(instance)
	}
	if p.open[key] == nil {
		p.open[key] = t.keys[key].instanceCipher(instance)
	}
	return p.open[key]
}

// acceptGreeting acts on an authentic greeting.
func (t *Table) acceptGreeting(now time.Time, p *peer, key int, h header, g greeting) OpenedDatagram {
	// A recorded greeting may be new to this process if this process did not have the key when the
	// greeting first came. So only the latest greeting counts.
	latest := p.isLatest(h)
	opened := OpenedDatagram{Instance: h.instance, Greeted: latest && g.nonce != challenge{}, Silent: latest && g.keys[MaxKeys-1] == silenceID}
	confirmed := p.met && h.instance == p.instance
	if p.asking && g.echo == p.nonce && now.Sub(p.drawn) < nonceLifetime {
		t.noteArrived(now, p)
		p.asking = false
		if !confirmed {
			p.confirm(h)
			opened.Met, confirmed = true, true
		}
	}
	switch {
	case !confirmed:
		t.greetSoon(now, p)
	case h.counter > p.keysAt:
		p.keys, p.keysAt = g.keys, h.counter
		p.chooseKey(t.keys)
	}
	if g.nonce != (challenge{}) && p.mayAnswer(now) {
		if answer, ok := t.greet(now, p, key, g.nonce); ok {
			opened.Replies = [][]byte{answer}
		}
	}
	return opened
}
