package session

import (
	"crypto/cipher"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

const (
	// noKey is the index of a key that is not there.
	noKey = -1
	// answerEvery and answerBurst bound the greetings that answer those of one peer.
	answerEvery, answerBurst = 10 * time.Millisecond, 16
)

// ownKey is a key of this process with the cipher for what it sends.
type ownKey struct {
	Key
	id   keyID
	seal cipher.AEAD
}

// lazyCipher is nil until the first datagram under its key arrives.
type lazyCipher = cipher.AEAD

// peer is another node. Invariant: an echo of nonce confirms an instance only while asking.
type peer struct {
	node lb.NodeName

	met      bool // the instance is confirmed
	instance wire.Instance
	window   window
	keys     [MaxKeys]keyID      // that the instance has
	keysAt   uint64              // the counter of the greeting that listed them
	key      int                 // index of the newest own key that it has, or noKey
	open     [MaxKeys]lazyCipher // for datagrams of the instance, by index of the own key

	asking  bool      // greetings go out until nonce comes back
	since   time.Time // since when, without anything of the peer
	nonce   challenge // current if it was drawn at all
	drawn   time.Time
	greeted time.Time     // when the last greeting that was due went out
	next    time.Time     // when the next one is due
	wait    time.Duration // the last pause

	answers time.Time // when the budget of answers is full again

	// strange is the last instance that was not confirmed when it greeted, and greetings its
	// newest counter.
	strange   wire.Instance
	greetings uint64
}

// isLatest returns whether nothing has arrived that the sender of an authentic greeting sent later, and
// notes the greeting.
func (p *peer) isLatest(h header) bool {
	if h.instance == p.instance {
		return h.counter == p.window.newest
	}
	if p.strange == h.instance && h.counter <= p.greetings {
		return false
	}
	p.strange, p.greetings = h.instance, h.counter
	return true
}

// confirm makes an instance the one that counts. What it sent before this greeting is
// refused: it may be older than the proof that the instance runs.
func (p *peer) confirm(h header) {
	if p.instance == h.instance {
		h.counter = max(h.counter, p.window.newest)
	}
	p.met, p.instance = true, h.instance
	p.window.reset(h.counter)
	p.open = [MaxKeys]lazyCipher{}
	p.keysAt = 0
}

// choose picks the key to send under.
func (p *peer) choose(own []ownKey) {
	p.key = slices.IndexFunc(own, func(k ownKey) bool { return slices.Contains(p.keys[:], k.id) })
}

// absent returns whether the peer, which is greeted, has not answered for long.
func (p *peer) absent(now time.Time) bool { return now.Sub(p.since) >= absentAfter }

// mayAnswer takes one answer from the budget.
func (p *peer) mayAnswer(now time.Time) bool {
	if p.answers.Sub(now) > (answerBurst-1)*answerEvery {
		return false
	}
	if p.answers.Before(now) {
		p.answers = now
	}
	p.answers = p.answers.Add(answerEvery)
	return true
}
