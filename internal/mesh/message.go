package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

func (m *Machine) newMessage(kind wire.Kind) *wire.Message {
	return &wire.Message{Kind: kind, Sequence: m.sequence, Interval: m.timing.Interval}
}

// heartbeats returns the same heartbeat for several peers. It names dead peers as suspects too:
// a speaker that suspects such a peer a moment later must not take the heartbeat for a refutation.
func (m *Machine) heartbeats(to []*peer, known ...wire.KnownState) []OutgoingMessage {
	msg := m.newMessage(wire.KindHeartbeat)
	msg.Known = known
	for _, p := range m.watchedPeers() {
		if len(msg.Suspects) < wire.MaxSuspects && (!p.suspected.IsZero() || p.dead || m.isAbsent(p)) {
			msg.Suspects = append(msg.Suspects, p.id)
		}
	}
	slices.Sort(msg.Suspects)
	sends := make([]OutgoingMessage, 0, len(to))
	for _, p := range to {
		if p.met {
			sends = append(sends, OutgoingMessage{To: p.node, Message: msg})
		}
	}
	return sends
}

// isAbsent reports whether a peer is expected, is not alive, and has sent nothing for a timeout.
// Heartbeats name an absent peer as a suspect: without its name they would look like a refutation,
// although this speaker may never have received anything from that peer.
func (m *Machine) isAbsent(p *peer) bool {
	now := m.lastTick
	return p.expected && !p.live && now.Sub(p.received) >= m.suspectTimeout(p) && now.Sub(p.added) >= m.suspectTimeout(p)
}

// ownStateTo returns messages to a peer with the missing pieces of this speaker's state, or with all
// pieces if missing is nil.
func (m *Machine) ownStateTo(now time.Time, p *peer, nonce uint64, missing []uint16) []OutgoingMessage {
	all := missing == nil
	var sends []OutgoingMessage
	for i, data := range m.pieces {
		if !all && !slices.Contains(missing, uint16(i)) {
			continue
		}
		msg := m.newMessage(wire.KindState)
		msg.Nonce = nonce
		msg.Piece = wire.Piece{Back: max(0, m.until.Sub(now)), Index: i, Count: len(m.pieces), Data: data}
		sends = append(sends, OutgoingMessage{To: p.node, Message: msg})
	}
	return sends
}

// missingOwnPieces returns which pieces of this speaker's state a pull asks for; nil: all pieces.
func (m *Machine) missingOwnPieces(msg *wire.Message) []uint16 {
	if msg.MissingOf != m.sequence || len(msg.Missing) == 0 {
		return nil
	}
	return msg.Missing
}

// pullState returns the message that asks a peer for its state, or only for the missing pieces if
// there are any.
func (m *Machine) pullState(p *peer, nonce uint64, missing []uint16) OutgoingMessage {
	msg := m.newMessage(wire.KindPull)
	msg.Nonce, msg.Missing, msg.MissingOf = nonce, missing, p.assembly.sequence
	return OutgoingMessage{To: p.node, Message: msg}
}

// pullUnknown asks peers for states that are unknown or incomplete. A peer with a session is asked for
// its own state. A peer that has relayed some pieces of a state is asked for the other pieces, which
// may have been lost. A peer whose restart takes too long is not asked: if it runs on, it publishes
// another state. pullUnknown examines only the peers in m.unknown: a session with them has begun, or
// they have begun to relay a state.
func (m *Machine) pullUnknown(now time.Time) (sends []OutgoingMessage) {
	m.unknown = slices.DeleteFunc(m.unknown, func(p *peer) bool {
		about := p.assembly.about
		relays := about != nil && about != p
		switch {
		case !p.met || p.live && !relays:
			return true
		case now.Sub(p.pulled) < m.timing.Timeout/2:
		case relays && m.isStuck(now, p):
			p.pulled = now
			sends = append(sends, m.pullFrom(p, about, p.assembly.missingPieces(about, p.assembly.sequence)))
		case !p.live && !p.isRestarting():
			p.pulled = now
			sends = append(sends, m.pullState(p, 0, p.assembly.missingPieces(p, p.assembly.sequence)))
		}
		return false
	})
	return sends
}

// noteUnknown makes pullUnknown examine a peer.
func (m *Machine) noteUnknown(p *peer) {
	if !slices.Contains(m.unknown, p) {
		m.unknown = append(m.unknown, p)
	}
}

// isStuck reports whether a peer relays a state, and no further piece of it has come for an interval.
// It drops the assembly if this speaker has got the state in another way, or if no piece has come for
// relayAgainTimeouts timeouts.
func (m *Machine) isStuck(now time.Time, from *peer) bool {
	a := &from.assembly
	known := a.instance == a.about.instance && a.sequence <= a.about.sequence && a.about.live
	if known || now.Sub(a.at) >= relayAgainTimeouts*m.timing.Timeout {
		m.dropAssembly(from)
		return false
	}
	return now.Sub(a.at) >= m.timing.Interval
}

// relayRestarting returns messages to a peer with the states of restarting speakers: a peer that has
// just started must not take their addresses.
func (m *Machine) relayRestarting(now time.Time, to *peer) []OutgoingMessage {
	if m.restarts == 0 {
		return nil
	}
	var sends []OutgoingMessage
	for _, p := range m.inRingOrder() {
		if p != to && p.live && p.isBackSoon(now) && p.sequence > 0 {
			sends = append(sends, m.stateOf(now, p, to, nil)...)
		}
	}
	return sends
}

// relayState returns messages with the state of one speaker (about) to a peer that suspects it (to).
// It returns none if the same state was relayed to the peer less than relayAgainTimeouts timeouts ago.
func (m *Machine) relayState(now time.Time, about, to *peer) []OutgoingMessage {
	is := ackedState{about.instance, about.sequence}
	if before := to.relayed[about]; about.sequence == 0 || before.ackedState == is && now.Sub(before.at) < relayAgainTimeouts*m.timing.Timeout {
		return nil
	}
	if to.relayed == nil {
		to.relayed = map[*peer]relayedState{}
	}
	to.relayed[about] = relayedState{is, now}
	return m.stateOf(now, about, to, nil)
}

// relayAgainTimeouts is the number of timeouts after which a state is relayed again: the first messages
// may have been lost.
const relayAgainTimeouts = 8

// stateOf returns messages to a peer (to) with the missing pieces of the state of p, or with all
// pieces if missing is empty.
func (m *Machine) stateOf(now time.Time, p, to *peer, missing []uint16) []OutgoingMessage {
	pieces := wire.SplitState(&p.state)
	sends := make([]OutgoingMessage, 0, len(pieces))
	for i, data := range pieces {
		if len(missing) > 0 && !slices.Contains(missing, uint16(i)) {
			continue
		}
		msg := m.newMessage(wire.KindState)
		msg.Piece = wire.Piece{
			About: p.id, Instance: p.instance, Sequence: p.sequence,
			Back: max(0, p.back.Sub(now)), Index: i, Count: len(pieces), Data: data,
		}
		sends = append(sends, OutgoingMessage{To: to.node, Message: msg})
	}
	return sends
}

// ackTo returns the message that acknowledges the state of a peer. It shows that this speaker has acted
// on that state.
func (m *Machine) ackTo(p *peer) OutgoingMessage {
	msg := m.newMessage(wire.KindAck)
	msg.Acked = p.acts.sequence
	return OutgoingMessage{To: p.node, Message: msg}
}

// NoteActed records that this speaker has acted on the states of all peers in a view. It returns acks
// for restarting peers, which wait for these acks.
func (m *Machine) NoteActed(now time.Time, v View) []OutgoingMessage {
	if m.restarts == 0 {
		return nil
	}
	var sends []OutgoingMessage
	for i := range v.Peers {
		viewed := &v.Peers[i]
		p := m.peers[viewed.Node]
		is := ackedState{viewed.instance, viewed.sequence}
		if p == nil || p.acts == is || !p.isBackSoon(now) || is != (ackedState{p.instance, p.sequence}) {
			continue
		}
		p.acts = is
		sends = append(sends, m.ackTo(p))
	}
	return sends
}

// IsAcknowledged reports whether all peers that are alive have acted on the state that this speaker
// published last.
func (m *Machine) IsAcknowledged() bool {
	for _, p := range m.peers {
		if m.awaitsAck(p) {
			return false
		}
	}
	return true
}

// awaitsAck reports whether a live peer has not acted yet on the state that this speaker published last.
func (m *Machine) awaitsAck(p *peer) bool {
	return p.live && p.met && !p.isRestarting() && p.acked != m.sequence
}

// LongStall is how long a process can stand still before another speaker may take its addresses. Before
// another speaker takes an address from a process with which it has no session, it sends three probes
// for the address to the segment, 100 ms apart. It takes the address if no answer comes in time.
const LongStall = 200 * time.Millisecond

// Recheck asks all peers with a session for their state again. It is called after this process stood
// still for the given time: other speakers may have taken its addresses meanwhile. IsChecked reports
// whether all peers have answered.
func (m *Machine) Recheck(now time.Time, stood time.Duration) []OutgoingMessage {
	m.nonce++
	if stood >= LongStall {
		m.stalls++
	}
	m.checking, m.rechecked = true, now
	m.version++
	var sends []OutgoingMessage
	for _, p := range m.inRingOrder() {
		if p.live {
			p.received = now
			p.endSuspicion()
		}
		if p.met {
			sends = append(sends, m.pullState(p, m.nonce, nil))
		}
	}
	return sends
}

// IsChecked reports whether all live peers have answered the last Recheck, or the time for their
// answers is over.
func (m *Machine) IsChecked() bool {
	if m.checking {
		for _, p := range m.peers {
			if m.owesAnswer(p) {
				return false
			}
		}
	}
	return true
}

// pullUnchecked repeats the request to all peers that have not answered the last Recheck.
func (m *Machine) pullUnchecked() []OutgoingMessage {
	if !m.checking {
		return nil
	}
	var sends []OutgoingMessage
	for _, p := range m.inRingOrder() {
		if m.owesAnswer(p) {
			sends = append(sends, m.pullState(p, m.nonce, nil))
		}
	}
	m.checking = len(sends) > 0
	return sends
}

// endCheck ends a Recheck after two timeouts. If a peer has not answered by then and is still alive,
// other speakers receive from it and relay its state.
func (m *Machine) endCheck(now time.Time) {
	if m.checking && now.Sub(m.rechecked) >= 2*m.timing.Timeout {
		m.checking = false
		m.version++
	}
}

// owesAnswer reports whether a peer has not answered the last Recheck.
func (m *Machine) owesAnswer(p *peer) bool { return p.live && !p.isRestarting() && p.nonce != m.nonce }
