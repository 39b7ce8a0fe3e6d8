package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// suspectTimeout returns how long a peer must be silent before this speaker suspects it. It is the
// timeout of this speaker, but at least 10/3 of the peer's heartbeat interval: while a rollout changes
// the profile, the peer may have a longer interval. So two heartbeats of the peer may be lost. Even a
// third one may be lost, if the peer answers the question that it gets after askDelay.
func (m *Machine) suspectTimeout(p *peer) time.Duration {
	return max(m.timing.Timeout, p.interval*10/3)
}

// silentSince returns when the silence of a watched peer began: when its last message came, or when
// this speaker began to watch it, whichever is later.
func (p *peer) silentSince() time.Time {
	if p.received.After(p.watched) {
		return p.received
	}
	return p.watched
}

// askDelay returns the silence after which a peer is asked whether it is alive: one interval before
// it is suspected. By then at least two of its heartbeats were lost, or the peer sends them to other
// watchers because its list of speakers differs from this speaker's list.
func (m *Machine) askDelay(p *peer) time.Duration { return m.suspectTimeout(p) - p.interval }

// ask returns a message that a live peer answers, and records that the peer was asked.
func (m *Machine) ask(now time.Time, p *peer) OutgoingMessage {
	p.asked = now
	return m.ping(p)
}

// ping returns a message that asks a peer for one piece of its state, so that the answer is small.
func (m *Machine) ping(p *peer) OutgoingMessage {
	send := m.pullState(p, 0, []uint16{0})
	send.Message.MissingOf = p.sequence
	return send
}

// nextCheck returns when the next step for a watched peer is due: to ask it, to suspect it, or to decide
// whether it is dead. false: no step is due.
func (m *Machine) nextCheck(p *peer) (time.Time, bool) {
	switch {
	case !p.live || p.isRestarting():
		return time.Time{}, false
	case p.suspected.IsZero() && p.asked.IsZero():
		return p.silentSince().Add(m.askDelay(p)), true
	case p.suspected.IsZero():
		return p.silentSince().Add(m.suspectTimeout(p)), true
	}
	return p.suspected.Add(m.suspectTimeout(p)), true
}

// checkWatched asks watched peers that are silent, and suspects those that stay silent. It counts peers
// whose restart has taken too long as dead. changed reports whether the suspicions of this speaker have
// changed: the caller then sends them to all peers immediately.
func (m *Machine) checkWatched(now time.Time) (asks []OutgoingMessage, changed bool) {
	m.findPairs(now)
	if m.restarts > 0 {
		for _, p := range m.peers {
			if p.live && p.isRestarting() && !now.Before(p.back) {
				m.lose(now, p)
			}
		}
	}
	for _, p := range m.watchedPeers() {
		switch {
		case !p.live || p.isRestarting():
		case p.suspected.IsZero() && now.Sub(p.silentSince()) >= m.suspectTimeout(p):
			p.suspected, p.accused = now, true
			changed = true
		case p.suspected.IsZero() && p.asked.IsZero() && now.Sub(p.silentSince()) >= m.askDelay(p):
			asks = append(asks, m.ask(now, p))
		case p.suspected.IsZero() && p.accused:
			p.accused = false // its messages arrive again
			changed = true
		}
	}
	return asks, changed
}

// lostTimeouts is for how many timeouts a live peer must be silent before this speaker reports it as
// lost (see Peer.Lost). Such a peer counts as alive only because other speakers receive from it. The
// number is large, since a peer that has just died is silent as well.
const lostTimeouts = 16

// noteLost records which watched peers are alive although this speaker receives nothing from them. It
// is called once per heartbeat.
func (m *Machine) noteLost(now time.Time) {
	for _, p := range m.watchedPeers() {
		lost := p.live && !p.isRestarting() && now.Sub(p.silentSince()) >= lostTimeouts*m.timing.Timeout && now.Sub(p.since) >= lostTimeouts*m.timing.Timeout
		if lost != p.lost {
			p.lost = lost
			m.version++
		}
	}
}

// decideSuspected decides which of the peers that this speaker suspects are dead. It also decides about
// the peers that are in doubt because several other speakers suspect them.
func (m *Machine) decideSuspected(now time.Time) (sends []OutgoingMessage) {
	for _, p := range m.watchedPeers() {
		if !p.suspected.IsZero() {
			sends = append(sends, m.decideDead(now, p)...)
		}
	}
	for _, p := range m.inDoubt {
		sends = append(sends, m.decideDead(now, p)...)
	}
	m.inDoubt = slices.DeleteFunc(m.inDoubt, func(p *peer) bool { return !m.isInDoubt(now, p) })
	return sends
}

// decideDead decides whether a peer is dead.
func (m *Machine) decideDead(now time.Time, p *peer) []OutgoingMessage {
	switch {
	case !p.live:
		return nil
	case p.isRestarting():
		// Its watchers probe the kernel of its node: see NoteVanished.
		if m.hasRestartFailed(now, p) {
			m.lose(now, p)
		}
		return nil
	case m.isConfirmed(now, p):
		m.lose(now, p)
		return nil
	}
	return m.decideUnwatched(now, p)
}

// hasRestartFailed reports whether a restarting peer counts as dead. If the kernel of its node does not
// answer this speaker, isConfirmed decides. If this speaker suspected the peer before the restart, all
// other watchers of the peer must suspect it too. If this speaker does not watch the peer, most of the
// peer's watchers must suspect it.
func (m *Machine) hasRestartFailed(now time.Time, p *peer) bool {
	if !p.suspected.IsZero() && p.vanished.Equal(p.suspected) {
		return m.isConfirmed(now, p)
	}
	if !p.suspected.IsZero() {
		agree, _, others := m.countOpinions(now, p)
		return agree == others
	}
	suspicions, _ := m.countSuspicions(now, p)
	return !p.arc && 2*suspicions > len(m.watchersOf(p))
}

// hasWatchedLong reports whether this speaker has watched a peer for long enough to detect by itself
// whether it is silent. When several peers die at once, those that are found dead first leave the
// ring. The peers that they watched get new watchers, which cannot confirm a death before a timeout
// has passed.
func (m *Machine) hasWatchedLong(now time.Time, p *peer) bool {
	return p.arc && (p.received.After(p.watched) || now.Sub(p.watched) >= m.suspectTimeout(p))
}

// decideUnwatched decides whether a peer is dead. It is for peers that this speaker does not watch, or
// began to watch only a short time ago (see hasWatchedLong). Perhaps only the path between the peer and
// the speakers that suspect it is cut, so this speaker first asks the peer itself.
func (m *Machine) decideUnwatched(now time.Time, p *peer) []OutgoingMessage {
	if !m.isInDoubt(now, p) {
		return nil
	}
	if !slices.Contains(m.inDoubt, p) {
		m.inDoubt = append(m.inDoubt, p)
	}
	switch {
	case now.Before(m.dueInDoubt(now, p)):
	case p.asked.IsZero():
		return []OutgoingMessage{m.ask(now, p)}
	default:
		m.lose(now, p)
	}
	return nil
}

// dueInDoubt returns when to ask a peer that is in doubt whether it is alive. Once the peer has been
// asked, dueInDoubt returns when it counts as dead unless it answers. That is already after half an
// interval if most of its watchers have reported it as a suspect within the last timeout.
func (m *Machine) dueInDoubt(now time.Time, p *peer) time.Time {
	if p.asked.IsZero() {
		return p.received.Add(m.suspectTimeout(p))
	}
	if _, fresh := m.countSuspicions(now, p); 2*fresh > len(m.watchersOf(p)) {
		return p.asked.Add(m.timing.Interval / 2)
	}
	return p.asked.Add(m.suspectTimeout(p))
}

// isInDoubt reports whether this speaker has to doubt that a peer is alive. Several other speakers must
// suspect the peer. In addition, this speaker must not watch the peer, or must have begun to watch it
// only a short time ago.
func (m *Machine) isInDoubt(now time.Time, p *peer) bool {
	if !p.live || m.hasWatchedLong(now, p) || p.isRestarting() {
		return false
	}
	suspicions, _ := m.countSuspicions(now, p)
	return suspicions >= minSuspectors
}

// isConfirmed reports whether a suspected peer is dead: another watcher suspects it too, or no other
// watcher can be asked, or none has refuted the suspicion within another timeout.
func (m *Machine) isConfirmed(now time.Time, p *peer) bool {
	if p.suspected.IsZero() {
		return false
	}
	agree, refute, others := m.countOpinions(now, p)
	switch {
	case agree > 0, others == 0:
		return true
	case now.Before(p.suspected.Add(m.suspectTimeout(p))):
		return false
	}
	return refute == 0
}

// countOpinions counts the other watchers of a suspect that can be asked (others). Among these it counts
// the watchers that suspect the peer too (agree). It also counts the watchers that have sent a heartbeat
// without the name of the suspect since this speaker began to suspect it (refute).
func (m *Machine) countOpinions(now time.Time, suspect *peer) (agree, refute, others int) {
	for _, w := range m.watchersOf(suspect) {
		if w == suspect || !m.canBeAsked(now, w) {
			continue
		}
		others++
		_, names := suspect.accusers[w]
		switch fresh := now.Sub(w.heartbeat) < m.suspectTimeout(w); {
		case fresh && names:
			agree++
		case w.heartbeat.After(suspect.suspected) && len(w.suspects) < wire.MaxSuspects:
			refute++ // a heartbeat with MaxSuspects suspects proves nothing: it may leave this suspect out
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
	return p.expected && p.met && now.Sub(p.received) < m.suspectTimeout(p)
}

// setSuspects replaces the suspects that a peer has named in its heartbeats. It reports whether the
// peer names any suspect, or named one before.
func (m *Machine) setSuspects(now time.Time, by *peer, suspects []wire.NodeID) bool {
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

// countSuspicions counts the peers that have reported p as a suspect since the last message of p came
// (all). Among these it counts the peers whose report is not older than a timeout (fresh). Restarting
// peers do not count: they watch no peer.
func (m *Machine) countSuspicions(now time.Time, p *peer) (all, fresh int) {
	for by, at := range p.accusers {
		if !by.canWatch() || at.Before(p.received) {
			continue
		}
		all++
		if now.Sub(at) < m.suspectTimeout(by) {
			fresh++
		}
	}
	return all, fresh
}

// pollAllPeers is called while all watched peers are silent. It asks all peers, and counts those that
// do not answer as dead. In a full mesh it does not ask: checkWatched has asked all peers already.
// During this time Tick decides about no suspicion: the peers that could refute it are silent too.
func (m *Machine) pollAllPeers(now time.Time) []OutgoingMessage {
	if !m.isFullMesh() && m.polled.IsZero() {
		m.polled = now
		var sends []OutgoingMessage
		for _, p := range m.metPeers() {
			sends = append(sends, m.ask(now, p))
		}
		return sends
	}
	if !m.isFullMesh() && now.Sub(m.polled) < m.timing.Timeout/2 {
		return nil
	}
	for _, p := range m.peers {
		if p.live && !p.isRestarting() && now.Sub(p.received) >= m.suspectTimeout(p) {
			m.lose(now, p)
		}
	}
	m.polled = time.Time{}
	return nil
}

// areAllWatchedSilent reports whether all watched peers that are alive are silent, and there are at least
// minSilentPeers such peers. If there are fewer, their other watchers decide: see isConfirmed.
func (m *Machine) areAllWatchedSilent(now time.Time) bool {
	silent := 0
	for _, p := range m.watchedPeers() {
		switch {
		case !p.live || p.isRestarting():
		case now.Sub(p.silentSince()) < m.suspectTimeout(p):
			return false
		default:
			silent++
		}
	}
	return silent >= minSilentPeers
}

// refuteSuspicions answers a speaker p that suspects peers from which this speaker receives. The next
// regular heartbeat would refute the suspicion too, but it goes only to the watchers of this speaker,
// and may come too late. A minimum pause limits the number of answers, since two speakers can suspect
// and refute each other again and again. If p suspects a restarting peer, it has not received the state
// that announces the restart. This speaker relays that state, since p may have to cover for the peer.
//
// A relayed state may be lost, and is sent again only after relayAgainTimeouts. So the heartbeat names
// these states, and p asks for those that it does not have.
func (m *Machine) refuteSuspicions(now time.Time, p *peer) (sends []OutgoingMessage) {
	if now.Sub(p.refuted) < m.timing.Interval/maxRefutationsPerInterval {
		return nil
	}
	var known []wire.KnownState
	refute := func(suspect *peer) {
		if p.refuted = now; suspect.sequence > 0 {
			known = append(known, suspect.knownState())
		}
	}
	for _, id := range p.suspects {
		switch suspect := m.byID[id]; {
		case suspect == nil || suspect == p:
		case m.vouchesFor(now, suspect):
			refute(suspect)
			sends = append(sends, m.relayState(now, suspect, p)...)
		case suspect.live && suspect.arc && suspect.isBackSoon(now): // it is silent because it restarts
			if suspect.suspected.IsZero() {
				refute(suspect) // the kernel of its node answers this speaker: see NoteVanished
			}
			sends = append(sends, m.relayState(now, suspect, p)...)
		}
	}
	if p.refuted.Equal(now) {
		if count := len(known); count > wire.MaxKnownStates {
			p.named = (p.named + wire.MaxKnownStates) % count
			known = slices.Concat(known[p.named:], known[:p.named])
		}
		sends = append(sends, m.heartbeats([]*peer{p}, known...)...)
	}
	return sends
}

// vouchesFor reports whether this speaker watches a peer and receives from it. After a stall of this
// speaker, the peer must have answered Recheck first: older messages prove nothing.
func (m *Machine) vouchesFor(now time.Time, p *peer) bool {
	if m.checking && m.owesAnswer(p) {
		return false
	}
	return p.live && p.met && p.arc && p.suspected.IsZero() && !p.isRestarting() && now.Sub(p.received) < m.suspectTimeout(p)
}
