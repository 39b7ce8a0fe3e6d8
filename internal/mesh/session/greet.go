package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// The pause between two greetings to a peer that does not answer grows from firstGreetWait to
	// lastGreetWait. firstGreetWait is also the least pause before a greeting that a datagram of the peer
	// causes.
	firstGreetWait, lastGreetWait = 100 * time.Millisecond, 300 * time.Millisecond
	// A peer that has not answered for absentTimeout is absent: its node may be dead, and the kernel
	// then tries address resolution for each greeting. Absent peers are greeted in turn, one each
	// absentPause. The pause between two greetings to one of them is at least lastGreetWait and at most
	// maxAbsentWait.
	absentTimeout, absentPause, maxAbsentWait = 5 * time.Second, 30 * time.Millisecond, 2 * time.Second
	// A nonce is sent for nonceRenewInterval and valid for nonceLifetime, so that an answer that
	// was held back on its way proves nothing.
	nonceRenewInterval, nonceLifetime = time.Second, 2 * time.Second
	// greetBatch peers are greeted at once, and further ones greetBatchPause later: a thousand answers at
	// the same moment would not fit into a receive buffer of the kernel's default size.
	greetBatch, greetBatchPause = 64, 2 * time.Millisecond
	// idleWait is how far ahead Next is when nothing is due.
	idleWait = time.Hour
)

// Greeting is a datagram for a node.
type Greeting struct {
	To       lb.NodeName
	Datagram []byte
}

// Tick returns the greetings that are due: one under each key for each peer whose answer
// is missing.
func (t *Table) Tick(now time.Time) []Greeting {
	if now.Before(t.due) {
		return nil
	}
	t.due = now.Add(idleWait)
	var due []Greeting
	peers := 0
	for _, p := range t.order {
		switch {
		case !p.asking:
		case p.next.After(now):
			t.wakeBy(p.next)
		case peers == greetBatch:
			t.wakeBy(now.Add(greetBatchPause))
		default:
			peers++
			for key := range t.keys {
				if datagram, ok := t.greet(now, p, key, challenge{}); ok {
					due = append(due, Greeting{p.node, datagram})
				}
			}
			t.scheduleGreeting(now, p)
			t.wakeBy(p.next)
		}
	}
	return due
}

// scheduleGreeting sets when a peer that has just been greeted is greeted again.
func (t *Table) scheduleGreeting(now time.Time, p *peer) {
	most := lastGreetWait
	if p.isAbsent(now) {
		most = max(lastGreetWait, t.absent.Add(absentPause).Sub(now))
		if most > maxAbsentWait { // too many for one each absentPause
			most = maxAbsentWait / 2
		}
		t.absent = now.Add(most)
	}
	p.wait = min(2*p.wait, most)
	p.greeted, p.next = now, now.Add(p.wait)
}

// noteArrived notes that a datagram came from a peer. If the peer was absent, the path to all
// absent peers may have been down and is back: they are greeted soon.
func (t *Table) noteArrived(now time.Time, p *peer) {
	was := p.asking && p.isAbsent(now)
	if p.since = now; !was {
		return
	}
	for _, p := range t.order {
		if p.asking && p.isAbsent(now) {
			p.next = p.greeted.Add(lastGreetWait)
			t.wakeBy(p.next)
		}
	}
}

// Next returns when Tick is due; that may be before now.
func (t *Table) Next(now time.Time) time.Time {
	if len(t.order) == 0 {
		return now.Add(idleWait)
	}
	return t.due
}

func (t *Table) wakeBy(at time.Time) {
	if at.Before(t.due) {
		t.due = at
	}
}

// greetNow makes a greeting with a new nonce due immediately. Only events of this process may
// cause it.
func (t *Table) greetNow(now time.Time, p *peer) {
	p.asking, p.drawn = true, time.Time{}
	p.since, p.next, p.wait = now, now, firstGreetWait/2
	t.wakeBy(now)
}

// greetSoon makes a greeting due to a peer that sent a datagram of an unconfirmed instance.
// Other hosts can cause it with a forged or recorded datagram, so that it keeps the least
// pause.
func (t *Table) greetSoon(now time.Time, p *peer) {
	at := p.greeted.Add(firstGreetWait)
	if at.Before(now) {
		at = now
	}
	t.noteArrived(now, p)
	if !p.asking {
		p.asking, p.drawn, p.wait, p.next = true, time.Time{}, firstGreetWait/2, at
	} else if at.Before(p.next) {
		p.next = at
	}
	t.wakeBy(p.next)
}

// greet seals a greeting. It has a nonce only while this process waits for an answer: a
// greeting without a nonce is not answered, and so the handshake ends.
func (t *Table) greet(now time.Time, p *peer, key int, echo challenge) ([]byte, bool) {
	g := greeting{echo: echo}
	if p.asking {
		if now.Sub(p.drawn) >= nonceRenewInterval {
			t.random(p.nonce[:])
			p.drawn = now
		}
		g.nonce = p.nonce
	}
	for i := range g.keys {
		g.keys[i] = t.keys[i%len(t.keys)].id
	}
	if t.silent {
		g.keys[MaxKeys-1] = silenceID
	}
	return t.seal(kindGreeting, key, p.node, [16]byte{}, g.encode())
}
