// Package session protects the datagrams between speakers: it encrypts and authenticates them, binds
// each to one process of its sender and one of its receiver, and delivers none twice. While keys
// change, two speakers always have a key in common. It has no socket, no clock and no source of
// randomness; speaker/mesh sends what a Table returns and passes in what arrives.
//
// A receiver accepts messages of only one instance of a peer. That instance has proved that it runs
// now: it has returned a nonce that the receiver drew. See docs/design/mesh.md.
package session

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

const (
	// MaxDatagramBytes is the longest datagram in bytes. It fits into the MTU of Ethernet and
	// the minimum of IPv6 (RFC 8200 section 5) with the headers of UDP and a tunnel.
	MaxDatagramBytes = 1200
	// MaxMessageBytes is the longest message in bytes.
	MaxMessageBytes = MaxDatagramBytes - OverheadBytes
)

// Table has the sessions of this process with its peers. It is not safe for concurrent
// use. Its memory is constant for each peer, whatever arrives.
type Table struct {
	self     lb.NodeName
	instance wire.Instance
	random   func([]byte)
	keys     []ownKey // newest first
	peers    map[lb.NodeName]*peer
	order    []*peer   // by name
	due      time.Time // no greeting is due earlier
	absent   time.Time // greetings to absent peers are scheduled up to this time
	silent   bool      // see SetSilent
	counter  uint64    // of the datagram that was sealed last
	recent   recentGreetings

	bound []byte // scratch: associated data
	nonce [nonceSize]byte
}

// New returns a table for this process. random fills a slice with random bytes that
// cannot be predicted.
func New(self lb.NodeName, instance wire.Instance, random func([]byte)) *Table {
	return &Table{self: self, instance: instance, random: random, peers: map[lb.NodeName]*peer{}}
}

// SetKeys replaces the keys. The newest key comes first; only the first MaxKeys keys are used.
// Datagrams under other keys are refused from now on. If the keys have changed, every peer is greeted
// again, so that it sends under a key that this process has.
func (t *Table) SetKeys(now time.Time, keys []Key) {
	var next []ownKey
	for _, k := range keys {
		known := slices.ContainsFunc(next, func(own ownKey) bool { return own.equal(k) })
		if k.derived != nil && !known && len(next) < MaxKeys {
			next = append(next, ownKey{k, k.derived().id, k.instanceCipher(t.instance)})
		}
	}
	if slices.EqualFunc(t.keys, next, func(a, b ownKey) bool { return a.equal(b.Key) }) {
		return
	}
	t.keys = next
	for _, p := range t.order {
		p.open = [MaxKeys]lazyCipher{}
		p.chooseKey(next)
		t.greetNow(now, p)
	}
}

// SetPeers replaces the nodes that may have a session. The sessions of all other nodes end.
func (t *Table) SetPeers(now time.Time, nodes []lb.NodeName) {
	peers := make(map[lb.NodeName]*peer, len(nodes))
	order := make([]*peer, 0, len(nodes))
	for _, node := range nodes {
		if node == t.self || peers[node] != nil {
			continue
		}
		p := t.peers[node]
		if p == nil {
			p = &peer{node: node, key: noKey}
			t.greetNow(now, p)
		}
		peers[node], order = p, append(order, p)
	}
	slices.SortFunc(order, func(a, b *peer) int { return cmp.Compare(a.node, b.node) })
	t.peers, t.order = peers, order
}

// SetSilent sets whether greetings show that this process is silent. A silent process answers for no
// address on the link of the mesh. When this changes, peers that have not answered yet are greeted again
// soon.
func (t *Table) SetSilent(now time.Time, is bool) {
	if t.silent == is {
		return
	}
	t.silent = is
	for _, p := range t.order {
		if at := p.greeted.Add(firstGreetWait); p.asking && at.Before(p.next) {
			p.next = at
			t.wakeBy(at)
		}
	}
}

// Reset ends the session with a node that was found dead. No datagram that was sent
// before now is delivered any more.
func (t *Table) Reset(now time.Time, node lb.NodeName) {
	p := t.peers[node]
	if p == nil {
		return
	}
	if !p.met {
		p.drawn = time.Time{} // the next greeting has a new nonce
		return
	}
	p.met = false
	t.greetNow(now, p)
}

// HasSession reports whether an instance of the node is confirmed.
func (t *Table) HasSession(node lb.NodeName) bool {
	p := t.peers[node]
	return p != nil && p.met
}

// Seal returns a message as a datagram for the confirmed instance of a node, under the
// newest key that both have. It returns false if no instance is confirmed, if the two
// have no key in common, or if the message is longer than MaxMessageBytes.
func (t *Table) Seal(to lb.NodeName, message []byte) (datagram []byte, ok bool) {
	p := t.peers[to]
	if p == nil || !p.met || p.key == noKey || len(message) > MaxMessageBytes {
		return nil, false
	}
	return t.seal(kindData, p.key, p.node, p.instance, message)
}

func (t *Table) seal(kind byte, key int, to lb.NodeName, receiver wire.Instance, content []byte) ([]byte, bool) {
	if t.counter == math.MaxUint64 {
		return nil, false // the next counter would be one that was used before
	}
	t.counter++
	h := header{kind: kind, key: t.keys[key].id, instance: t.instance, counter: t.counter}
	datagram := h.append(make([]byte, 0, OverheadBytes+len(content)))
	t.bindHeader(datagram, h.counter, t.self, to, receiver)
	return t.keys[key].seal.Seal(datagram, t.nonce[:], content, t.bound), true
}
