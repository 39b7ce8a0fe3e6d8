package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Messages go as datagrams. Where these are lost and connections are not, as behind a
// firewall that knows only half of the mesh, speakers must not take each other for dead:
// who misses the datagrams of another one sends over a connection as well, and says so,
// so that the answers come that way too.

// lostFor is how long datagrams of a speaker must be lost for it to be told to the
// administrator, in times of Silence: a node that fails loses its datagrams first.
const lostFor = 16

// Ways says for each message whether it is to go over a connection too.
func (m *Machine) Ways(now time.Time, sends []Send) []Send {
	for i := range sends {
		s := &sends[i]
		p := m.peers[s.To]
		if p == nil {
			continue
		}
		s.Deaf = m.deaf(now, p)
		// One that is dead is asked whether it is back, and told no beats: its kernel would
		// have to refuse each.
		told, dead := !p.deaf.IsZero() && now.Sub(p.deaf) < m.silence(p), !p.live && s.Message.Kind == wire.KindBeat
		s.Stream = told || s.Deaf && !dead
	}
	return sends
}

// Streamed is the copy of the message that goes over a connection.
func (s Send) Streamed() *wire.Message {
	msg := *s.Message
	msg.Stream, msg.Deaf = true, s.Deaf
	return &msg
}

// deaf says whether datagrams of a speaker have been missing for so long that the next
// beat must come another way: before it is suspected, but not for one or two that are lost.
func (m *Machine) deaf(now time.Time, p *peer) bool {
	last := p.datagram
	switch {
	case p.live && p.state.Phase == ownership.Restarting:
		return false
	case p.live && !m.watches(p.node):
		last = m.datagram // it has no reason to send any
	}
	if last.Before(p.added) {
		last = p.added
	}
	return now.Sub(last) >= m.silence(p)-max(m.timing.Beat, p.interval)*3/2
}

// noteWay notes how a message came.
func (m *Machine) noteWay(now time.Time, p *peer, stream, deaf bool) {
	switch {
	case !stream:
		p.datagram, m.datagram = later(p.datagram, now), later(m.datagram, now)
	case deaf:
		p.deaf = now
	}
}

// answerDeaf tells one who does not hear the datagrams of this speaker that it lives: the
// next beat may come too late.
func (m *Machine) answerDeaf(now time.Time, p *peer) []Send {
	if now.Sub(p.answered) < m.timing.Beat/2 {
		return nil
	}
	p.answered = now
	return m.beats(now, []lb.NodeName{p.node})
}

// listeners are those who watch this speaker, or must learn that it does not hear them.
func (m *Machine) listeners(now time.Time) []lb.NodeName {
	to := m.watchersOf(m.self)
	if len(m.peers) <= fullMesh {
		return to
	}
	for _, node := range m.known() {
		if p := m.peers[node]; p.live && m.watches(node) && m.deaf(now, p) && !slices.Contains(to, node) {
			to = append(to[:len(to):len(to)], node)
		}
	}
	return to
}

// noteLost notes, once a beat, from whom no datagrams come although it lives.
func (m *Machine) noteLost(now time.Time) {
	for _, p := range m.peers {
		lost := p.live && m.watches(p.node) && m.deaf(now, p) && now.Sub(p.datagram) >= lostFor*m.timing.Silence && now.Sub(p.since) >= lostFor*m.timing.Silence
		if lost != p.lost {
			p.lost = lost
			m.version++
		}
	}
}
