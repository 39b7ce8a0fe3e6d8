package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// timeout is how long a speaker may be silent: three of its own heartbeats may be lost, and
// the next one be late by a third. Profiles differ while an upgrade rolls.
func (m *Machine) timeout(p *peer) time.Duration {
	return max(m.timing.Timeout, p.interval*10/3)
}

// silentSince is from when on the silence of a peer that this speaker watches counts.
func (p *peer) silentSince() time.Time {
	if p.received.After(p.watched) {
		return p.received
	}
	return p.watched
}

// askAfter is the silence after which a peer is asked whether it is alive, before it is
// suspected: more than two of its heartbeats were lost, or it counts on other watchers, as the
// two do not know of the same speakers.
func (m *Machine) askAfter(p *peer) time.Duration { return m.timeout(p) - p.interval }

// ask has a peer send something, if it is alive.
func (m *Machine) ask(now time.Time, p *peer) Send {
	p.asked = now
	return m.ping(p)
}

// ping is answered with one piece of the state that is known.
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

// watch asks watched peers that are silent, and then suspects them. It returns whether the own
// suspicions have changed, which all have to learn at once.
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

// lostFor is for how long nothing must come from a peer that others vouch for to be reported,
// in times of the timeout: a node that fails is silent first.
const lostFor = 16

// noteLost notes, once per heartbeat, from which peers nothing comes although they are alive.
func (m *Machine) noteLost(now time.Time) {
	for _, p := range m.watched() {
		lost := p.live && !p.isRestarting() && now.Sub(p.silentSince()) >= lostFor*m.timing.Timeout && now.Sub(p.since) >= lostFor*m.timing.Timeout
		if lost != p.lost {
			p.lost = lost
			m.version++
		}
	}
}

// judgeAll decides about those that are suspected here, or that others call dead.
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
		// Its kernel is probed by those that watch it: see Vanished. Others lose it when most of
		// them have, and one that nothing came from it to already when none vouches for it.
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

// restartEnded returns whether others call a peer dead that restarts, and that this speaker cannot judge by
// itself.
func (m *Machine) restartEnded(now time.Time, p *peer) bool {
	if !p.suspected.IsZero() {
		agree, _, others := m.opinions(now, p)
		return agree == others
	}
	accusations, _ := m.accusations(now, p)
	return !p.arc && 2*accusations > len(m.watchersOf(p))
}

// watches returns whether this speaker has watched a peer for long enough to know by itself
// whether it is silent. When several die at once, those that are found first leave the ring, and
// their peers get new watchers, which would be silent about them for a timeout.
func (m *Machine) watches(now time.Time, p *peer) bool {
	return p.arc && (p.received.After(p.watched) || now.Sub(p.watched) >= m.timeout(p))
}

// judgeUnwatched decides about a peer that this speaker does not watch, or not for long. If several others call
// it dead, they may have lost the way to it, or never had one: it is asked itself first.
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

// dueInDoubt returns when a peer in doubt is asked, or is dead unless it answers: soon if most
// of its watchers have just called it dead.
func (m *Machine) dueInDoubt(now time.Time, p *peer) time.Time {
	if p.asked.IsZero() {
		return p.received.Add(m.timeout(p))
	}
	if _, fresh := m.accusations(now, p); 2*fresh > len(m.watchersOf(p)) {
		return p.asked.Add(m.timing.Interval / 2)
	}
	return p.asked.Add(m.timeout(p))
}

// isInDoubt returns whether several others call a peer dead that this speaker does not watch.
func (m *Machine) isInDoubt(now time.Time, p *peer) bool {
	if !p.live || m.watches(now, p) || p.isRestarting() {
		return false
	}
	accusations, _ := m.accusations(now, p)
	return accusations >= several
}

// confirmed returns whether a suspected peer is dead: another watcher that can be asked
// suspects it too, there is none, or none has refuted the suspicion for as long again.
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

// opinions counts the other watchers of a peer that can be asked: those that suspect it too,
// and those whose heartbeat since it is suspected here does not name it.
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
			refute++ // one that names as many as it can may leave this one out
		}
	}
	return agree, refute, others
}

// canBeAsked returns whether a peer is alive, or has just started and its state has not come
// yet.
func (m *Machine) canBeAsked(now time.Time, p *peer) bool {
	switch {
	case !p.suspected.IsZero() || p.isRestarting():
		return false
	case p.live:
		return true
	}
	return p.expected && p.met && now.Sub(p.received) < m.timeout(p)
}

// accuse replaces whom a peer suspects. It returns whether there is or was anybody.
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

// accusations counts the peers that have called one dead since it was received from last, and
// those of them that did so a moment ago. A peer that restarts watches nobody.
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

// losePolled asks all, as none of the watched peers is received from, if there are others, and
// loses those that do not answer. A speaker that watches all others has asked them already.
// None is judged meanwhile: who could refute a suspicion is silent as well.
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

// allSilent returns whether none of the watched peers that are alive is received from, and
// they are several: about a single one the others are asked, see confirmed.
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

// refute answers a speaker that suspects peers that this one receives from. The next regular
// heartbeat would refute the suspicion too, but it goes only to those that watch this speaker,
// and may come too late. The pause keeps two that suspect and refute each other from doing so
// as fast as the network carries it. One that suspects a peer which restarts has missed that: it
// may be the one that is to cover for the peer.
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
		case accused.live && accused.arc && accused.isBackSoon(now): // whose silence is as announced
			sends = append(sends, m.relay(now, accused, p)...)
		}
	}
	if p.refuted.Equal(now) {
		sends = append(sends, m.heartbeats([]*peer{p})...)
	}
	return sends
}

// vouches returns whether this speaker watches a peer and receives from it.
func (m *Machine) vouches(now time.Time, p *peer) bool {
	return p.live && p.met && p.arc && p.suspected.IsZero() && !p.isRestarting() && now.Sub(p.received) < m.timeout(p)
}
