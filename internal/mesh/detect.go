package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// timeout is how long a speaker may be silent: at least three of its own intervals and a third, so
// that three heartbeats may be lost. Speakers have different profiles during a rollout.
func (m *Machine) timeout(p *peer) time.Duration {
	return max(m.timing.Timeout, p.interval*10/3)
}

// silentSince returns the time from which the silence of a watched peer counts.
func (p *peer) silentSince() time.Time {
	if p.received.After(p.watched) {
		return p.received
	}
	return p.watched
}

// askAfter is the silence after which a peer is asked whether it is alive, one interval before it is
// suspected: more than two of its heartbeats were lost, or it sends them to other watchers, since
// the two know different speakers.
func (m *Machine) askAfter(p *peer) time.Duration { return m.timeout(p) - p.interval }

// ask makes a peer send a message, if it is alive.
func (m *Machine) ask(now time.Time, p *peer) Send {
	p.asked = now
	return m.ping(p)
}

// ping asks for one piece of the state, so that the answer is small.
func (m *Machine) ping(p *peer) Send {
	send := m.pull(p, 0, []uint16{0})
	send.Message.MissingOf = p.sequence
	return send
}

// due returns when something is to be done about a peer that this speaker watches.
func (m *Machine) due(p *peer) (time.Time, bool) {
	switch {
	case !p.live || p.isRestarting():
		return time.Time{}, false
	case p.suspected.IsZero() && p.asked.IsZero():
		return p.silentSince().Add(m.askAfter(p)), true
	case p.suspected.IsZero():
		return p.silentSince().Add(m.timeout(p)), true
	}
	return p.suspected.Add(m.timeout(p)), true
}

// watch asks watched peers that are silent, and later suspects them; peers whose restart has taken
// too long are lost. changed reports whether the own suspicions have changed: they are sent to all at
// once then.
func (m *Machine) watch(now time.Time) (asks []Send, changed bool) {
	m.findPairs(now)
	if m.restarts > 0 {
		for _, p := range m.peers {
			if p.live && p.isRestarting() && !now.Before(p.back) {
				m.lose(now, p)
			}
		}
	}
	for _, p := range m.watched() {
		switch {
		case !p.live || p.isRestarting():
		case p.suspected.IsZero() && now.Sub(p.silentSince()) >= m.timeout(p):
			p.suspected, p.accused = now, true
			changed = true
		case p.suspected.IsZero() && p.asked.IsZero() && now.Sub(p.silentSince()) >= m.askAfter(p):
			asks = append(asks, m.ask(now, p))
		case p.suspected.IsZero() && p.accused:
			p.accused = false // it is received from again
			changed = true
		}
	}
	return asks, changed
}

// lostFor is for how many timeouts nothing must come from a peer that others vouch for until it is
// reported as lost: a node that fails is silent first as well.
const lostFor = 16

// noteLost records, once per heartbeat, the watched peers that are alive and from which nothing comes.
func (m *Machine) noteLost(now time.Time) {
	for _, p := range m.watched() {
		lost := p.live && !p.isRestarting() && now.Sub(p.silentSince()) >= lostFor*m.timing.Timeout && now.Sub(p.since) >= lostFor*m.timing.Timeout
		if lost != p.lost {
			p.lost = lost
			m.version++
		}
	}
}

// judgeAll decides about the peers that are suspected here, or that others call dead.
func (m *Machine) judgeAll(now time.Time) (sends []Send) {
	for _, p := range m.watched() {
		if !p.suspected.IsZero() {
			sends = append(sends, m.judge(now, p)...)
		}
	}
	for _, p := range m.inDoubt {
		sends = append(sends, m.judge(now, p)...)
	}
	m.inDoubt = slices.DeleteFunc(m.inDoubt, func(p *peer) bool { return !m.isInDoubt(now, p) })
	return sends
}

// judge decides whether a peer is dead.
func (m *Machine) judge(now time.Time, p *peer) []Send {
	switch {
	case !p.live:
		return nil
	case p.isRestarting():
		// Its watchers probe its kernel: see Vanished. Other speakers lose it when most watchers
		// suspect it; a watcher that suspected it before the restart loses it when all others do.
		if m.restartEnded(now, p) {
			m.lose(now, p)
		}
		return nil
	case m.confirmed(now, p):
		m.lose(now, p)
		return nil
	}
	return m.judgeUnwatched(now, p)
}

// restartEnded reports whether enough others call a restarting peer dead: one of them, or none if none refutes it, if
// the kernel of its node does not answer this speaker; all other watchers if this one suspected it before the restart;
// or most of them if this one does not watch it.
func (m *Machine) restartEnded(now time.Time, p *peer) bool {
	if !p.suspected.IsZero() && p.vanished.Equal(p.suspected) {
		return m.confirmed(now, p)
	}
	if !p.suspected.IsZero() {
		agree, _, others := m.opinions(now, p)
		return agree == others
	}
	accusations, _ := m.accusations(now, p)
	return !p.arc && 2*accusations > len(m.watchersOf(p))
}

// watches reports whether this speaker has watched a peer for long enough to know by itself
// whether it is silent. When several die at once, those that are found first leave the ring, and
// their peers get new watchers, which cannot call anyone dead before a timeout has passed.
func (m *Machine) watches(now time.Time, p *peer) bool {
	return p.arc && (p.received.After(p.watched) || now.Sub(p.watched) >= m.timeout(p))
}

// judgeUnwatched decides about a peer that this speaker does not watch, or has not for long. If several others call
// it dead, they may only be cut off from it: the peer itself is asked first.
func (m *Machine) judgeUnwatched(now time.Time, p *peer) []Send {
	if !m.isInDoubt(now, p) {
		return nil
	}
	if !slices.Contains(m.inDoubt, p) {
		m.inDoubt = append(m.inDoubt, p)
	}
	switch {
	case now.Before(m.dueInDoubt(now, p)):
	case p.asked.IsZero():
		return []Send{m.ask(now, p)}
	default:
		m.lose(now, p)
	}
	return nil
}

// dueInDoubt returns when a peer in doubt is asked or, if it was, when it is lost unless it answers:
// soon if most of its watchers have just called it dead.
func (m *Machine) dueInDoubt(now time.Time, p *peer) time.Time {
	if p.asked.IsZero() {
		return p.received.Add(m.timeout(p))
	}
	if _, fresh := m.accusations(now, p); 2*fresh > len(m.watchersOf(p)) {
		return p.asked.Add(m.timing.Interval / 2)
	}
	return p.asked.Add(m.timeout(p))
}

// isInDoubt reports whether several others call a peer dead that this speaker does not watch, or not
// for long.
func (m *Machine) isInDoubt(now time.Time, p *peer) bool {
	if !p.live || m.watches(now, p) || p.isRestarting() {
		return false
	}
	accusations, _ := m.accusations(now, p)
	return accusations >= several
}

// confirmed reports whether a suspected peer is dead: another watcher that can be asked suspects
// it too, or there is no such watcher, or none has refuted the suspicion within another timeout.
func (m *Machine) confirmed(now time.Time, p *peer) bool {
	if p.suspected.IsZero() {
		return false
	}
	agree, refute, others := m.opinions(now, p)
	switch {
	case agree > 0, others == 0:
		return true
	case now.Before(p.suspected.Add(m.timeout(p))):
		return false
	}
	return refute == 0
}

// opinions counts the other watchers of a peer that can be asked, and among them those that suspect
// it too (agree) and those that have sent a heartbeat since it is suspected here and do not (refute).
func (m *Machine) opinions(now time.Time, accused *peer) (agree, refute, others int) {
	for _, w := range m.watchersOf(accused) {
		if w == accused || !m.canBeAsked(now, w) {
			continue
		}
		others++
		_, names := accused.accusers[w]
		switch fresh := now.Sub(w.heartbeat) < m.timeout(w); {
		case fresh && names:
			agree++
		case w.heartbeat.After(accused.suspected) && len(w.suspects) < wire.MaxSuspects:
			refute++ // a heartbeat with as many suspects as it can name shows nothing: it may leave this one out
		}
	}
	return agree, refute, others
}

// canBeAsked reports whether a peer can confirm or refute a suspicion: it is alive, or has just
// started and its state has not come yet.
func (m *Machine) canBeAsked(now time.Time, p *peer) bool {
	switch {
	case !p.suspected.IsZero() || p.isRestarting():
		return false
	case p.live:
		return true
	}
	return p.expected && p.met && now.Sub(p.received) < m.timeout(p)
}

// accuse replaces the suspects of a peer. It reports whether there are or were any.
func (m *Machine) accuse(now time.Time, by *peer, suspects []wire.NodeID) bool {
	if len(suspects) == 0 && len(by.suspects) == 0 {
		return false
	}
	for _, id := range by.suspects {
		if p := m.byID[id]; p != nil && !slices.Contains(suspects, id) {
			delete(p.accusers, by)
			delete(by.relayed, p)
		}
	}
	for _, id := range suspects {
		p := m.byID[id]
		if p == nil || p == by {
			continue
		}
		if p.accusers == nil {
			p.accusers = map[*peer]time.Time{}
		}
		p.accusers[by] = now
	}
	by.suspects = append(by.suspects[:0], suspects...)
	return true
}

// accusations counts the peers that suspect p and reported it after the last message of p came, and
// those of them that reported it within a timeout. Restarting peers do not count: they watch none.
func (m *Machine) accusations(now time.Time, p *peer) (all, fresh int) {
	for by, at := range p.accusers {
		if !by.canWatch() || at.Before(p.received) {
			continue
		}
		all++
		if now.Sub(at) < m.timeout(by) {
			fresh++
		}
	}
	return all, fresh
}

// losePolled is called while no watched peer is received from. It asks all peers, and loses those
// that do not answer. A speaker that watches all others has asked them already. No peer is judged
// meanwhile: those that could refute a suspicion are silent too.
func (m *Machine) losePolled(now time.Time) []Send {
	if !m.few() && m.polled.IsZero() {
		m.polled = now
		var sends []Send
		for _, p := range m.met() {
			sends = append(sends, m.ask(now, p))
		}
		return sends
	}
	if !m.few() && now.Sub(m.polled) < m.timing.Timeout/2 {
		return nil
	}
	for _, p := range m.peers {
		if p.live && !p.isRestarting() && now.Sub(p.received) >= m.timeout(p) {
			m.lose(now, p)
		}
	}
	m.polled = time.Time{}
	return nil
}

// allSilent reports whether nothing is received from any watched peer that is alive, and there are
// several: about a single one the other watchers decide, see confirmed.
func (m *Machine) allSilent(now time.Time) bool {
	silent := 0
	for _, p := range m.watched() {
		switch {
		case !p.live || p.isRestarting():
		case now.Sub(p.silentSince()) < m.timeout(p):
			return false
		default:
			silent++
		}
	}
	return silent >= several
}

// refute answers a speaker p that suspects peers which this one receives from. The next regular
// heartbeat would refute the suspicion too, but it goes only to the watchers of this speaker, and may
// come too late. A pause limits the rate, since two speakers can suspect and refute each other. If p
// suspects a restarting peer, it has not received that the peer restarts, and gets its state: it may
// have to cover for that peer.
func (m *Machine) refute(now time.Time, p *peer) (sends []Send) {
	if now.Sub(p.refuted) < m.timing.Interval/refutations {
		return nil
	}
	for _, id := range p.suspects {
		switch accused := m.byID[id]; {
		case accused == nil || accused == p:
		case m.vouches(now, accused):
			p.refuted = now
			sends = append(sends, m.relay(now, accused, p)...)
		case accused.live && accused.arc && accused.isBackSoon(now): // it is silent as it published
			sends = append(sends, m.relay(now, accused, p)...)
		}
	}
	if p.refuted.Equal(now) {
		sends = append(sends, m.heartbeats([]*peer{p})...)
	}
	return sends
}

// vouches reports whether this speaker watches a peer and receives from it. After a stall it has to receive an
// answer first: what it knows is of before.
func (m *Machine) vouches(now time.Time, p *peer) bool {
	if m.checking && m.owes(p) {
		return false
	}
	return p.live && p.met && p.arc && p.suspected.IsZero() && !p.isRestarting() && now.Sub(p.received) < m.timeout(p)
}
