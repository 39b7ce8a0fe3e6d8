package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// In a large mesh, if the path between two speakers breaks and they do not watch each other, no speaker
// suspects either of them. Then each could miss new states of the other. So each heartbeat has a
// digest. It names some states that its sender has of other speakers: the latest states first, then
// further states in turn. A receiver that does not have such a state asks the speaker that published
// it. If nothing comes from that speaker, the receiver asks the speaker's watchers (anti-entropy: van
// Renesse et al. 2008, "Efficient Reconciliation and Flow Control for Anti-Entropy Protocols"). A
// digest is only a hint: the state itself comes from its speaker or from a watcher that receives from
// that speaker. In a mesh of any size, a heartbeat that refutes suspicions names the states of the suspects
// in the same way: see refuteSuspicions.

const (
	// digestStates is how many of the latest states a heartbeat names. It also names this many further
	// states in turn.
	digestStates = wire.MaxKnownStates / 2
	// maxLatestStates is the largest number of latest states that wait to be named; further states are
	// only named in turn.
	maxLatestStates = 4 * digestStates
	// maxPulls is the largest number of states that this speaker asks for with each heartbeat.
	maxPulls = 16
	// silentRounds is after how many rounds without a message this speaker reports an unwatched peer as
	// lost (see Peer.Lost). A round is the time in which a peer sends one heartbeat to each speaker that
	// does not watch it. One round before the report, this speaker asks the peer to send a message.
	silentRounds = 3
)

// wantedState is a state that a heartbeat names and this speaker does not have.
type wantedState struct {
	wire.KnownState             // if its ID is 0, no state is wanted
	since           time.Time   // when it was named
	by              wire.NodeID // the speaker whose heartbeat named it
	asked           int         // how many speakers were asked for it
}

// knownState identifies the state of the peer that this speaker has.
func (p *peer) knownState() wire.KnownState {
	return wire.KnownState{ID: p.id, Process: [4]byte(p.instance[:4]), Sequence: p.sequence}
}

// hasState reports whether the peer is alive and this speaker has the given state of it, or a later
// state. It returns true for a state of the peer's previous process as well: such a state is obsolete.
func (p *peer) hasState(k wire.KnownState) bool {
	return p.live && (k.Process == [4]byte(p.instance[:4]) && k.Sequence <= p.sequence || k.Process == [4]byte(p.replaced[:4]))
}

// hasEnded reports whether the given state is that of a restart during which this speaker found the peer
// dead, and this speaker does not accept it again from the speaker that names it: see receivePiece.
func (p *peer) hasEnded(k wire.KnownState, from *peer) bool {
	return k.Sequence == p.ended.sequence && k.Process == [4]byte(p.ended.instance[:4]) && !from.began.After(p.endedAt)
}

// nextDigest returns the states that the next regular heartbeat names: the oldest in m.latest, which it
// removes from there, and those of the peers in turn.
func (m *Machine) nextDigest(inTurn []*peer) []wire.KnownState {
	var known []wire.KnownState
	count := min(len(m.latest), digestStates)
	for _, p := range slices.Concat(m.latest[:count], inTurn) {
		if p.live && p.sequence > 0 {
			known = append(known, p.knownState())
		}
	}
	m.latest = slices.Delete(m.latest, 0, count)
	return known
}

// noteLatest makes one of the next digests name the state of a peer.
func (m *Machine) noteLatest(p *peer) {
	if !m.isFullMesh() && len(m.latest) < maxLatestStates && !slices.Contains(m.latest, p) {
		m.latest = append(m.latest, p)
	}
}

// peersInTurn returns the peers whose states the next digest names in turn.
func (m *Machine) peersInTurn() (peers []*peer) {
	if m.isFullMesh() {
		return nil
	}
	order := m.inRingOrder()
	for range min(digestStates, len(order)) {
		m.turn = (m.turn + 1) % len(order)
		peers = append(peers, order[m.turn])
	}
	return peers
}

// receiveDigest records which of the states that a heartbeat names this speaker does not have.
func (m *Machine) receiveDigest(now time.Time, from *peer, digest []wire.KnownState) {
	for _, k := range digest {
		p := m.byID[k.ID]
		if p == nil || p.hasState(k) || p.hasEnded(k, from) || slices.Contains(m.wanted, p) {
			continue
		}
		if suspicions, _ := m.countSuspicions(now, p); p.live || suspicions == 0 {
			p.want, m.wanted = wantedState{KnownState: k, since: now, by: from.id}, append(m.wanted, p)
		}
	}
}

// pullWanted asks for the states that heartbeats have named, once per heartbeat: first the peer that
// published the state, then its watchers, one after the other. In a full mesh the speaker that
// named the state is asked (see refuteSuspicions): it receives from the peer, or has the state of its restart.
func (m *Machine) pullWanted(now time.Time) (sends []OutgoingMessage) {
	m.wanted = slices.DeleteFunc(m.wanted, func(p *peer) bool {
		w := &p.want
		if w.asked > watchersPerPeer || p.hasState(w.KnownState) || p.received.After(w.since) {
			p.want = wantedState{} // a digest names it again if it is still missing
		}
		if w.ID == 0 || len(sends) == maxPulls {
			return w.ID == 0
		}
		if w.asked == 0 && p.met && p.suspected.IsZero() {
			sends = append(sends, m.pullState(p, 0, p.assembly.missingPieces(p, w.Sequence)))
		} else if by := m.byID[w.by]; by != nil && m.isFullMesh() {
			sends = append(sends, m.pullFrom(by, p, by.assembly.missingPieces(p, w.Sequence)))
		} else if by := m.watchersOf(p); len(by) > 0 {
			sends = append(sends, m.pullFrom(by[w.asked%len(by)], p, nil))
		}
		w.asked++
		return false
	})
	return sends
}

// pullFrom asks one peer (from) for the state of another peer (about), or for some pieces of that
// state.
func (m *Machine) pullFrom(from, about *peer, missing []uint16) OutgoingMessage {
	send := m.pullState(from, 0, missing)
	send.Message.About = about.id
	return send
}

// relayPulled answers a peer that asks for the state of a third speaker, if this speaker watches
// the third speaker and receives from it, or if the third speaker restarts.
func (m *Machine) relayPulled(now time.Time, to *peer, msg *wire.Message) []OutgoingMessage {
	about := m.byID[msg.About]
	if about == nil || about == to || about.sequence == 0 || !m.vouchesFor(now, about) && !(about.live && about.isBackSoon(now)) {
		return nil
	}
	missing := msg.Missing
	if msg.MissingOf != about.sequence {
		missing = nil
	}
	return m.stateOf(now, about, to, missing)
}

// noteLostInTurn records which of the given peers are lost: they are alive, this speaker does not watch
// them, and they have been silent for silentRounds rounds. One round earlier it asks such peers to send
// a message.
func (m *Machine) noteLostInTurn(now time.Time, peers []*peer) (asks []OutgoingMessage) {
	for _, p := range peers {
		silent := now.Sub(p.received)
		if alive := now.Sub(p.since); alive < silent {
			silent = alive
		}
		round := time.Duration(len(m.ring.order)) * max(m.timing.Interval, p.interval)
		switch {
		case p.arc || p.lost || !p.live || p.isRestarting() || silent < (silentRounds-1)*round:
		case silent < silentRounds*round:
			asks = append(asks, m.ping(p))
		default:
			p.lost = true
			m.version++
		}
	}
	return asks
}
