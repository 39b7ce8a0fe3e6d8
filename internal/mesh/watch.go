package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// silence is how long a speaker may be silent: three of its own beats may be lost,
// and the next one be late by a third. Profiles differ while an upgrade rolls.
func (m *Machine) silence(p *peer) time.Duration {
	return max(m.timing.Silence, p.interval*10/3)
}

// due returns when something is to be done about a speaker.
func (m *Machine) due(now time.Time, p *peer) (time.Time, bool) {
	switch {
	case !p.live:
		return time.Time{}, false
	case p.state.Phase == ownership.Restarting:
		return p.back, true
	case !m.watches(p.node):
		return time.Time{}, false
	case p.suspected.IsZero():
		return p.heard.Add(m.silence(p)), true
	}
	at := p.suspected.Add(m.silence(p))
	return at, at.After(now) // later than that, others have to say something new
}

// watch suspects and convicts those who are silent. It returns whether there is a
// new suspicion to tell.
func (m *Machine) watch(now time.Time) (news bool) {
	for _, p := range m.peers {
		switch {
		case !p.live:
		case p.state.Phase == ownership.Restarting:
			if !now.Before(p.back) {
				m.lose(now, p)
			}
		case m.watches(p.node) && p.suspected.IsZero() && now.Sub(p.heard) >= m.silence(p):
			p.suspected = now
			news = true
		}
	}
	return news
}

// cutOff notices that nobody at all is heard.
func (m *Machine) cutOff(now time.Time) []Send {
	if !m.nobodyHeard(now) {
		return nil
	}
	if len(m.peers) > fullMesh {
		// Only a few send beats here: the others are asked first.
		switch asked := now.Sub(m.askedAll); {
		case asked >= m.timing.Silence:
			m.askedAll = now
			return m.askAll()
		case asked < m.timing.Beat/2:
			return nil
		}
	}
	for _, p := range m.peers {
		if p.live && p.state.Phase != ownership.Restarting {
			m.lose(now, p)
		}
	}
	return nil
}

// nobodyHeard says whether all who live are silent, and they are several: of one alone
// it is asked who else there is, see guilty.
func (m *Machine) nobodyHeard(now time.Time) bool {
	silent := 0
	for _, p := range m.peers {
		switch {
		case !p.live || p.state.Phase == ownership.Restarting:
		case now.Sub(p.heard) < m.silence(p):
			return false
		default:
			silent++
		}
	}
	return silent >= several
}

func (m *Machine) askAll() []Send {
	var sends []Send
	for _, node := range m.known() {
		sends = append(sends, m.pull(node, 0))
	}
	return sends
}

func (m *Machine) watches(node lb.NodeName) bool {
	return len(m.peers) <= fullMesh || slices.Contains(m.watchersOf(node), m.self)
}

func (m *Machine) judgeAll(now time.Time) {
	for _, p := range m.peers {
		if p.live && p.state.Phase != ownership.Restarting && m.guilty(now, p) {
			m.lose(now, p)
		}
	}
}

// guilty says whether a speaker counts as dead.
func (m *Machine) guilty(now time.Time, p *peer) bool {
	agree, deny, others := m.opinions(now, p)
	if !m.watches(p.node) {
		return agree >= 2 && now.Sub(p.heard) >= m.silence(p)
	}
	if p.suspected.IsZero() {
		return false
	}
	switch {
	case agree > 0, others == 0:
		return true
	case now.Before(p.suspected.Add(m.silence(p))):
		return false
	}
	return deny == 0
}

// opinions counts the other watchers that could be asked: those that suspect a speaker
// too, and those that have said since it is suspected here that they do not.
func (m *Machine) opinions(now time.Time, accused *peer) (agree, deny, others int) {
	for _, p := range m.peers {
		if p == accused || !m.speaks(now, p) {
			continue
		}
		if len(m.peers) > fullMesh && !slices.Contains(m.watchersOf(accused.node), p.node) {
			continue
		}
		others++
		switch fresh := now.Sub(p.beat) < m.silence(p); {
		case fresh && slices.Contains(p.suspects, accused.node):
			agree++
		case p.beat.After(accused.suspected):
			deny++
		}
	}
	return agree, deny, others
}

// speaks says whether a speaker can be asked: it lives, or it has just started, and what
// it says of itself has not come yet.
func (m *Machine) speaks(now time.Time, p *peer) bool {
	switch {
	case !p.suspected.IsZero() || p.state.Phase == ownership.Restarting:
		return false
	case p.live:
		return true
	}
	return p.expected && !p.heard.IsZero() && now.Sub(p.heard) < m.silence(p)
}

// lose stops counting on a speaker.
func (m *Machine) lose(now time.Time, p *peer) {
	p.live, p.dead, p.suspected, p.late = false, true, time.Time{}, false
	for _, other := range m.peers {
		other.late = other.live && m.watches(other.node) && now.Sub(other.heard) > other.interval*5/2
	}
	m.version++
	if !p.expected {
		delete(m.peers, p.node)
		m.watcherCache = nil
	}
}

// Gone says that memberlist counts a speaker as dead: that is news of one that is
// not watched from here.
func (m *Machine) Gone(now time.Time, node lb.NodeName) {
	if p := m.peers[node]; p != nil && p.live && !p.restarting(now) && !m.watches(node) {
		m.lose(now, p)
	}
}

// Vanished says that the node of a speaker that restarts is dead as well.
func (m *Machine) Vanished(now time.Time, node lb.NodeName) {
	if p := m.peers[node]; p != nil && p.live && p.restarting(now) {
		m.lose(now, p)
	}
}
