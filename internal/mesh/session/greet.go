package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// firstGreetWait is the first pause between two greetings to a peer that does not answer. It is also
	// the minimum pause before a greeting that a datagram of the peer causes.
	firstGreetWait = 100 * time.Millisecond
	// lastGreetWait is the pause to which firstGreetWait grows.
	lastGreetWait = 300 * time.Millisecond
	// absentTimeout is after how long without an answer a peer counts as absent. Its node may be dead,
	// and the kernel then tries address resolution for each greeting.
	absentTimeout = 5 * time.Second
	// absentPause is the pause between greetings to different absent peers, which are greeted in turn.
	absentPause = 30 * time.Millisecond
	// maxAbsentWait is the maximum pause between two greetings to the same absent peer. The minimum is
	// lastGreetWait.
	maxAbsentWait = 2 * time.Second
	// nonceRenewInterval is how long greetings have the same nonce.
	nonceRenewInterval = time.Second
	// nonceLifetime is how long a nonce is valid: an answer that comes later does not prove that the peer
	// runs now.
	nonceLifetime = 2 * time.Second
	// greetBatch is how many peers are greeted at once. A thousand answers at the same moment would not
	// fit into a receive buffer of the kernel's default size.
	greetBatch = 64
	// greetBatchPause is the pause before the next greetBatch peers are greeted.
	greetBatchPause = 2 * time.Millisecond
	// idleWait is how far in the future the time is that Next returns when nothing is due.
	idleWait = time.Hour
)

// OutgoingGreeting is a datagram with a greeting for a node.
type OutgoingGreeting struct {
	To       lb.NodeName
	Datagram []byte
}

// Tick returns the greetings that are due: one under each key for each peer whose answer
// is missing.
func (t *Table) Tick(now time.Time) []OutgoingGreeting {
	if now.Before(t.due) {
		return nil
	}
	t.due = now.Add(idleWait)
	var due []OutgoingGreeting
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
					due = append(due, OutgoingGreeting{p.node, datagram})
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
		if most > maxAbsentWait { // with pauses of absentPause, an absent peer would wait for too long
			most = maxAbsentWait / 2
		}
		t.absent = now.Add(most)
	}
	p.wait = min(2*p.wait, most)
	p.greeted, p.next = now, now.Add(p.wait)
}

// noteArrived records that a datagram came from a peer. If the peer was absent, perhaps the path to all
// absent peers was down and is up again. So all absent peers are greeted soon.
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

// greetNow makes a greeting with a new nonce due immediately. It must be called only for events of
// this process, never because of a datagram.
func (t *Table) greetNow(now time.Time, p *peer) {
	p.asking, p.drawn = true, time.Time{}
	p.since, p.next, p.wait = now, now, firstGreetWait/2
	t.wakeBy(now)
}

// greetSoon makes a greeting due for a peer when a datagram of an unconfirmed instance has arrived
// from it. Other hosts can cause this with a forged or recorded datagram, so greetSoon keeps the
// minimum pause, firstGreetWait.
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
