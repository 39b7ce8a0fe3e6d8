package mesh

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// peer is what this speaker has recorded about another speaker.
type peer struct {
	node     lb.NodeName
	id       wire.NodeID
	position int       // in the ring
	arc      bool      // this speaker watches it, alive or not
	wasArc   bool      // the value of arc after the previous findPairs
	watched  time.Time // when arc changed last
	added    time.Time // when SetPeers first named it
	expected bool      // SetPeers names it: it should be there

	// met: there is a session with instance. Without a session, instance is that of the last session,
	// or an instance whose state another speaker has relayed.
	met      bool
	instance wire.Instance
	replaced wire.Instance // the instance before this one; other speakers may still relay its states
	sequence uint64        // of the state that is known, from instance
	state    wire.State
	back     time.Time  // when its next process is expected, if it restarts
	began    time.Time  // when the latest session with it began
	ended    ackedState // its state when it was found dead during a restart: other peers may still relay that state
	endedAt  time.Time  // when that was; a relayed copy counts only from a peer whose session with this speaker began later
	interval time.Duration
	assembly assembly

	live      bool
	dead      bool          // it was found dead, and nothing has come from it since
	asked     time.Time     // when it was asked whether it is alive; zero once a message comes
	pulled    time.Time     // when this speaker last asked for its state, while it has none
	since     time.Time     // since when it is alive
	received  time.Time     // when its last message came
	greeted   time.Time     // when it last asked for a session; zero once a message comes
	greets    time.Time     // when it began to ask for a session again and again; zero once a message comes
	greetGap  time.Duration // between its last two greetings
	unreached bool          // it asks for a session, and nothing else comes from it
	silent    bool          // its greetings show that it answers for no address on the link of the mesh
	lost      bool          // it is alive, but nothing has come from it for a while
	starting  bool          // its latest state is that of a starting process
	want      wantedState   // a state of it that a heartbeat has named and this speaker does not have
	late      bool          // it was silent too when another peer was found dead
	suspected time.Time     // since when it is suspected here; zero: it is not
	vanished  time.Time     // equal to suspected if it is suspected because the kernel of its node does not answer
	accused   bool          // the suspicion was sent to all peers, and not withdrawn yet

	heartbeat time.Time              // when its last heartbeat came
	suspects  []wire.NodeID          // the suspects in its last heartbeat
	accusers  map[*peer]time.Time    // peers whose last heartbeat names it as a suspect, and when that heartbeat came
	refuted   time.Time              // when its suspicions were last refuted immediately
	named     int                    // where the last refutation began in its list of states, if it could not name all
	relayed   map[*peer]relayedState // states of its suspects that were sent to it

	nonce uint64     // the last nonce of Recheck that it returned
	acked uint64     // the sequence of the own state that it has acted on
	acts  ackedState // its last state that this speaker has acted on
}

// ackedState identifies a state of a peer.
type ackedState struct {
	instance wire.Instance
	sequence uint64
}

// relayedState is a state of a third speaker that was sent to a peer.
type relayedState struct {
	ackedState
	at time.Time
}

// isBackSoon reports whether the peer restarts and its next process can still come in time.
func (p *peer) isBackSoon(now time.Time) bool { return p.isRestarting() && now.Before(p.back) }

// isOverdue reports whether the restart of the peer takes longer than the time that the peer published.
// Its process may still run, but has to publish another state to count as alive again.
func (p *peer) isOverdue(now time.Time) bool { return p.isRestarting() && !now.Before(p.back) }

// endSuspicion ends the suspicion of a peer. The suspicion of a restarting peer stays, since the
// kernel of its node may not be reachable either: see ProbedNodes.
func (p *peer) endSuspicion() {
	p.asked = time.Time{}
	if !p.isRestarting() {
		p.suspected = time.Time{}
	}
}

// NoteMet records a session with an instance of a peer. The instance has answered a fresh nonce: if
// it is a new process, the previous process is dead. If the previous process had announced a restart,
// its state stays until the new process publishes one.
func (m *Machine) NoteMet(now time.Time, node lb.NodeName, instance wire.Instance) []OutgoingMessage {
	p := m.peers[node]
	if p == nil {
		return nil
	}
	if p.instance != instance {
		m.renewInstance(now, p, instance)
	}
	p.met, p.dead, p.suspected, p.received, p.asked, p.pulled = true, false, time.Time{}, now, time.Time{}, now
	p.began = now
	m.endGreetings(p)
	m.setSilent(p, false)
	m.noteUnknown(p)
	m.ring.pairs = true
	if p.late {
		p.late = false
		m.version++
	}
	sends := append(m.ownStateTo(now, p, 0, nil), m.relayRestarting(now, p)...)
	if p.sequence == 0 || !p.live {
		sends = append(sends, m.pullState(p, 0, nil))
	}
	// Suspicions are sent when they begin. A peer without a session at that time did not receive
	// them, and may have accepted the state of a dead speaker from others.
	if named := m.heartbeats([]*peer{p}); len(named[0].Message.Suspects) > 0 {
		sends = append(sends, named...)
	}
	return sends
}

// renewInstance replaces the instance of a peer.
func (m *Machine) renewInstance(now time.Time, p *peer, instance wire.Instance) {
	p.replaced, p.instance, p.sequence = p.instance, instance, 0
	m.setStarting(p, false)
	p.acked, p.acts = 0, ackedState{}
	m.dropAssembly(p)
	m.setSuspects(now, p, nil)
	if !p.live || !p.isBackSoon(now) {
		m.setState(p, false, wire.State{})
		m.version++
	}
}

// setLive sets whether a peer counts as alive.
func (m *Machine) setLive(p *peer, live bool) {
	m.setState(p, live, p.state)
}

// setState sets the state of a peer and whether it counts as alive; m.restarts depends on both.
func (m *Machine) setState(p *peer, live bool, s wire.State) {
	before, was := p.live && p.isRestarting(), p.live
	p.live, p.state = live, s
	if is := p.live && p.isRestarting(); is != before {
		m.ring.pairs = true
		if is {
			m.restarts++
		} else {
			m.restarts--
		}
	} else if was != live {
		m.ring.pairs = true
	}
}

// Receive handles a message that an instance of a peer sent in a session. It does not retain msg or
// its data.
func (m *Machine) Receive(now time.Time, node lb.NodeName, instance wire.Instance, msg *wire.Message) (sends []OutgoingMessage) {
	p := m.peers[node]
	if p == nil {
		return nil
	}
	if !p.met || p.instance != instance {
		sends = m.NoteMet(now, node, instance)
	}
	m.noteAlive(now, p, msg)
	switch msg.Kind {
	case wire.KindHeartbeat:
		sends = append(sends, m.receiveHeartbeat(now, p, msg)...)
	case wire.KindState:
		m.receivePiece(now, p, msg)
	case wire.KindPull:
		if msg.About != 0 {
			return append(sends, m.relayPulled(now, p, msg)...)
		}
		sends = append(sends, m.ownStateTo(now, p, msg.Nonce, m.missingOwnPieces(msg))...)
		if len(msg.Missing) == 0 {
			sends = append(sends, m.relayRestarting(now, p)...)
		}
	case wire.KindAck:
		p.acked = max(p.acked, msg.Acked)
	}
	return sends
}

// NoteGreeted records that an instance of a peer asks for a session. It ignores an instance that had no
// session before and whose state no other speaker has relayed: the greeting may be a recording. If
// silent is true, the peer is isolated, or announces nothing on the link of the mesh. It does not
// matter whether such a peer receives from this speaker.
func (m *Machine) NoteGreeted(now time.Time, node lb.NodeName, instance wire.Instance, silent bool) {
	m.excuseOwnStall(now) // otherwise the stall would count as a pause between two greetings
	switch p := m.peers[node]; {
	case p == nil, p.instance != instance:
	case silent:
		m.endGreetings(p)
		m.setSilent(p, true)
	default:
		m.setSilent(p, false)
		switch gap := now.Sub(p.greeted); {
		case gap > maxGreetGap: // the first greeting of a series; an older one may have been a recording
			p.greets, p.greetGap = now, 0
		case gap > m.timing.Interval/2: // a shorter gap is between two greetings of one round, under different keys
			p.greetGap = gap
		}
		p.greeted, m.greeted = now, now
	}
}

// unreachedTime is for how long, at least, a greeting shows that a peer is asking for a session.
// Unanswered greetings come three times a second at first; later each pause is at most twice as long as
// the previous one.
const unreachedTime = time.Second

// maxGreetGap is longer than any pause between unanswered greetings.
const maxGreetGap = 2500 * time.Millisecond

// noteUnreached records which peers run and receive nothing from this speaker. Such a peer asks for a
// session again and again, and sends nothing else.
func (m *Machine) noteUnreached(now time.Time) {
	if now.Sub(m.greeted) > 2*unreachedTime && m.unreached == 0 {
		return
	}
	m.unreached = 0
	for _, p := range m.peers {
		unreached := now.Sub(p.greeted) < max(unreachedTime, p.greetGap*5/2) && p.greeted.Sub(p.greets) >= m.timing.Timeout/2 && now.Sub(p.received) >= m.suspectTimeout(p)
		if unreached != p.unreached {
			p.unreached = unreached
			m.version++
		}
		if unreached {
			m.unreached++
		}
	}
}

// noteStarting records which starting processes of restarting speakers have stopped sending. No speaker
// suspects such a process before the time of its restart is over. Until then it would still count as a
// member of the majority.
func (m *Machine) noteStarting(now time.Time) {
	if m.restarts == 0 {
		return
	}
	for _, p := range m.peers {
		if p.starting && now.Sub(p.received) >= startTimeout {
			m.setStarting(p, false)
		}
	}
}

func (m *Machine) setStarting(p *peer, is bool) {
	if p.starting != is {
		p.starting = is
		m.version++
	}
}

// endGreetings ends the series of greetings of a peer: the peer has sent something else, or its
// greetings show that it is silent.
func (m *Machine) endGreetings(p *peer) {
	p.greeted, p.greets, p.greetGap = time.Time{}, time.Time{}, 0
	if p.unreached {
		p.unreached = false
		m.version++
	}
}

func (m *Machine) setSilent(p *peer, is bool) {
	if p.silent != is {
		p.silent = is
		m.version++
	}
}

// noteAlive records that a message of a peer came. A peer that was found dead is alive again if this
// speaker has its latest state.
func (m *Machine) noteAlive(now time.Time, p *peer, msg *wire.Message) {
	if p.late {
		p.late = false
		m.version++
	}
	if p.lost {
		p.lost = false
		m.version++
	}
	m.endGreetings(p)
	m.setSilent(p, false)
	p.received, p.suspected, p.interval, p.dead, p.asked = now, time.Time{}, msg.Interval, false, time.Time{}
	if !p.live && p.sequence > 0 && msg.Sequence <= p.sequence && !p.isOverdue(now) {
		m.revive(now, p)
	}
}

// revive counts a peer as alive from now on.
func (m *Machine) revive(now time.Time, p *peer) {
	m.setLive(p, true)
	p.since = now
	if !p.expected {
		m.members++
	}
	m.version++
}

func (m *Machine) receiveHeartbeat(now time.Time, p *peer, msg *wire.Message) (sends []OutgoingMessage) {
	p.heartbeat = now
	m.receiveDigest(now, p, msg.Known)
	named := m.setSuspects(now, p, msg.Suspects)
	if msg.Sequence > p.sequence && !p.assembly.isFresh(now, p, msg.Sequence, m.timing.Interval) {
		sends = append(sends, m.pullState(p, 0, p.assembly.missingPieces(p, msg.Sequence)))
	}
	if p.isRestarting() && p.acts == (ackedState{p.instance, p.sequence}) {
		sends = append(sends, m.ackTo(p)) // the first ack may have been lost
	}
	if !named {
		return sends
	}
	sends = append(sends, m.refuteSuspicions(now, p)...)
	for _, id := range p.suspects {
		if other := m.byID[id]; other != nil {
			sends = append(sends, m.decideDead(now, other)...)
		}
	}
	return sends
}

// lose makes a peer count as dead and ends the session with it: only an answer to a fresh nonce begins
// another session.
func (m *Machine) lose(now time.Time, p *peer) {
	m.setLive(p, false)
	if p.isRestarting() { // not if its new process has already published another state
		p.ended, p.endedAt = ackedState{p.instance, p.sequence}, now
		p.state, p.sequence = wire.State{}, 0
	}
	m.dropAssembly(p)
	p.met, p.dead, p.suspected, p.late, p.asked = false, true, time.Time{}, false, time.Time{}
	m.setSuspects(now, p, nil)
	m.ring.pairs = true
	for _, other := range m.peers {
		other.late = other.live && other.arc && !other.received.IsZero() && now.Sub(other.received) > other.interval*5/2
	}
	m.lost = append(m.lost, p.node)
	m.version++
	if !p.expected {
		m.leave(p)
	}
}

// NoteVanished records that the kernel of a restarting speaker's node does not answer. This has no
// effect while the speaker itself sends. Otherwise the speaker is suspected. It counts as dead only
// once another watcher suspects it too, or if no watcher refutes the suspicion: perhaps only the path
// to its node is cut.
func (m *Machine) NoteVanished(now time.Time, node lb.NodeName) []OutgoingMessage {
	p := m.peers[node]
	if p == nil || !p.live || !p.isBackSoon(now) || p.met && now.Sub(p.received) < m.suspectTimeout(p) {
		return nil
	}
	if p.suspected.IsZero() {
		p.suspected, p.vanished, p.accused = now, now, true
	}
	if m.hasRestartFailed(now, p) {
		m.lose(now, p)
	}
	return m.heartbeats(m.metPeers())
}
