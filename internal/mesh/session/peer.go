package session

import (
	"crypto/cipher"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

const (
	// noKey is the index of a key that this process does not have.
	noKey = -1
	// answerInterval is the minimum average pause between the answers to greetings of one peer.
	answerInterval = 10 * time.Millisecond
	// answerBurst is how many greetings of one peer can be answered without a pause.
	answerBurst = 16
)

// ownKey is a key of this process with the cipher for what it sends.
type ownKey struct {
	Key
	id   keyID
	seal cipher.AEAD
}

// lazyCipher is nil until the first datagram under its key arrives.
type lazyCipher = cipher.AEAD

// peer is another node. Invariant: an echo of nonce confirms an instance only while asking is set.
type peer struct {
	node lb.NodeName

	met      bool // the instance is confirmed
	instance wire.Instance
	window   window
	keys     [MaxKeys]keyID      // the keys that the instance has
	keysAt   uint64              // the counter of the greeting that listed them
	key      int                 // index of the newest own key that the peer has too, or noKey
	open     [MaxKeys]lazyCipher // for datagrams of the instance, by index of the own key

	asking  bool          // greetings go out until nonce comes back
	since   time.Time     // since when nothing has come from the peer
	nonce   challenge     // the latest nonce for the peer; not valid if drawn is zero
	drawn   time.Time     // when nonce was drawn
	greeted time.Time     // when a greeting was last sent because it was due
	next    time.Time     // when the next greeting is due
	wait    time.Duration // the pause between the last greeting that was due and the next one

	answers time.Time // when the budget of answers is full again

	unconfirmed wire.Instance // the last unconfirmed instance that sent a greeting
	greetings   uint64        // the newest counter in the greetings of unconfirmed
}

// isLatest reports whether an authentic greeting is the latest datagram that has arrived from its
// sender, and records the greeting.
func (p *peer) isLatest(h header) bool {
	if h.instance == p.instance {
		return h.counter == p.window.newest
	}
	if p.unconfirmed == h.instance && h.counter <= p.greetings {
		return false
	}
	p.unconfirmed, p.greetings = h.instance, h.counter
	return true
}

// confirm confirms the instance that sent a greeting. Datagrams that the instance sent before
// are refused: they may be older than the proof that it runs.
func (p *peer) confirm(h header) {
	if p.instance == h.instance {
		h.counter = max(h.counter, p.window.newest)
	}
	p.met, p.instance = true, h.instance
	p.window.reset(h.counter)
	p.open = [MaxKeys]lazyCipher{}
	p.keysAt = 0
}

// chooseKey picks the key to send under.
func (p *peer) chooseKey(own []ownKey) {
	p.key = slices.IndexFunc(own, func(k ownKey) bool { return slices.Contains(p.keys[:], k.id) })
}

// isAbsent reports whether a peer that is being greeted has not answered for absentTimeout.
func (p *peer) isAbsent(now time.Time) bool { return now.Sub(p.since) >= absentTimeout }

// mayAnswer reports whether the budget of answers allows another answer, and takes it from the budget.
func (p *peer) mayAnswer(now time.Time) bool {
	if p.answers.Sub(now) > (answerBurst-1)*answerInterval {
		return false
	}
	if p.answers.Before(now) {
		p.answers = now
	}
	p.answers = p.answers.Add(answerInterval)
	return true
}
