// Package mesh tracks the other speakers from their messages: which of them are alive, and
// which state each publishes. It has no clock, no sockets and no randomness: its input is messages
// and the time, its output is messages. internal/mesh/session authenticates the messages.
// speaker/mesh calls both packages.
//
// Every speaker sends heartbeats to its watchers. A watcher that receives nothing from the speaker
// for too long suspects it. The watcher confirms the speaker as dead when another watcher suspects it
// as well, or when no watcher refutes the suspicion (SWIM: Das, Gupta and Motivala 2002). A heartbeat
// contains the interval of its sender, as in VRRP (RFC 9568).
package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Timing of the heartbeats.
type Timing struct {
	// Interval is the time between two heartbeats.
	Interval time.Duration
	// Timeout is the time without a message after which a speaker is suspected.
	Timeout time.Duration
}

const (
	// maxFullMesh is the largest number of peers with which every speaker watches every other one.
	maxFullMesh = 24
	// watchersPerPeer is how many speakers watch each peer in a larger mesh.
	watchersPerPeer = 8
	// minSilentPeers is how many watched peers must be silent at once before all peers are asked: see
	// pollAllPeers.
	minSilentPeers = 2
	// minSuspectors is how many other speakers must suspect an unwatched peer before this speaker
	// doubts that the peer is alive.
	minSuspectors = 2
	// maxRefutationsPerInterval is how often per interval this speaker immediately answers a peer that reports
	// suspicions: see refuteSuspicions.
	maxRefutationsPerInterval = 4
	// maxAssemblyBytes is the maximum size of all incomplete states together.
	maxAssemblyBytes = 16 << 20
	// removalDelay is how long after the last message of a dead peer this speaker still names it as a
	// suspect, although SetPeers does not name it any more. Speakers with slower profiles confirm the death
	// later. Until then, a heartbeat that does not name the peer as a suspect would look like a refutation
	// to them.
	removalDelay = time.Minute
	// startTimeout is how long after its last message a process that is starting still counts as running. A
	// start takes less time. In a large mesh, a speaker that does not watch the process may receive nothing
	// from the process for that long. Then that speaker does not count the process as a member of its
	// majority.
	startTimeout = 3 * time.Second
)

// OutgoingMessage is a message to a speaker. It is dropped while there is no session with that speaker.
type OutgoingMessage struct {
	// To is the receiver's node.
	To lb.NodeName
	// Message is what to send. It is never changed, and several receivers may share it.
	Message *wire.Message
}

// Machine tracks the other speakers. Make it with New; it is not safe for use by several
// goroutines at once.
type Machine struct {
	self   lb.NodeName
	id     wire.NodeID
	timing Timing

	peers   map[lb.NodeName]*peer
	byID    map[wire.NodeID]*peer
	ring    ring
	version uint64 // grows when the view changes
	members uint64 // grows when the result of Peers changes

	pieces   [][]byte  // of the own state
	sequence uint64    // of the own state
	until    time.Time // when the next process of this speaker is expected, if it restarts

	lost       []lb.NodeName // peers that were found dead since TakeLost was called
	restarts   int           // how many live peers are restarting
	assembling int           // bytes of incomplete states
	malformed  uint64        // number of states that could not be decoded
	inDoubt    []*peer       // peers that several other speakers suspect: see isInDoubt
	leaving    []*peer       // peers that are dead and not expected: see removalDelay
	published  bool          // a state was published since the last heartbeat
	restarting bool          // this speaker restarts
	gossip     int           // ring position of the last peer that got a heartbeat although it does not watch this speaker
	turn       int           // ring position of the last peer that was named in turn in a digest
	latest     []*peer       // peers whose new states wait to be named in a digest, in the order in which they came
	unknown    []*peer       // see pullUnknown
	wanted     []*peer       // peers of which a heartbeat has named a state that this speaker does not have

	greeted       time.Time // when a peer last asked for a session
	unreached     int       // number of unreached peers when noteUnreached last counted them
	nextHeartbeat time.Time
	lastTick      time.Time
	nonce         uint64    // of the last Recheck
	stalls        uint64    // how often this process stood still for LongStall or longer
	rechecked     time.Time // when Recheck was called last
	checking      bool      // a Recheck is in progress: not all live peers have answered yet
	introduced    bool      // SetPeers was called
	polled        time.Time // when pollAllPeers asked all peers; zero: it has not asked
}

// New returns a machine without peers.
func New(self lb.NodeName, timing Timing) *Machine {
	return &Machine{self: self, id: wire.IDOf(self), timing: timing, peers: map[lb.NodeName]*peer{}, byID: map[wire.NodeID]*peer{}}
}

// SetPeers sets which other speakers are expected. A live speaker that is not expected any more stays
// until it is found dead. SetPeers ignores a node if another node already has the same ID.
func (m *Machine) SetPeers(now time.Time, nodes []lb.NodeName) {
	if !m.introduced {
		m.introduced = true
		m.version++
	}
	expected := make(map[lb.NodeName]bool, len(nodes))
	for _, node := range nodes {
		if node == m.self || m.byID[wire.IDOf(node)] != nil && m.peers[node] == nil {
			continue
		}
		expected[node] = true
		if m.peers[node] == nil {
			p := &peer{node: node, id: wire.IDOf(node), added: now}
			m.peers[node], m.byID[p.id] = p, p
			m.ring.stale = true
		}
	}
	for node, p := range m.peers {
		if p.expected == expected[node] {
			continue
		}
		p.expected = expected[node]
		m.version++
		m.members++
		if !p.expected && !p.live {
			m.leave(p)
		}
	}
}

// leave removes a peer that is neither expected nor alive. If the peer was found dead, it is removed
// after removalDelay, otherwise at once.
func (m *Machine) leave(p *peer) {
	m.members++
	switch {
	case !p.dead:
		m.remove(p)
	case !slices.Contains(m.leaving, p):
		m.leaving = append(m.leaving, p)
		m.ring.pairs = true
	}
}

// removeLeaving removes leaving peers after removalDelay. A peer that is expected or alive
// again stays.
func (m *Machine) removeLeaving(now time.Time) {
	m.leaving = slices.DeleteFunc(m.leaving, func(p *peer) bool {
		if p.expected || p.live {
			m.ring.pairs = true
			return true
		}
		if now.Sub(p.received) < removalDelay {
			return false
		}
		m.remove(p)
		return true
	})
}

func (m *Machine) remove(p *peer) {
	m.dropAssembly(p)
	delete(m.peers, p.node)
	delete(m.byID, p.id)
	for _, other := range m.peers {
		delete(other.accusers, p)
		delete(other.relayed, p)
		if other.assembly.about == p {
			m.dropAssembly(other)
		}
	}
	is := func(other *peer) bool { return other == p }
	m.latest, m.wanted, m.unknown = slices.DeleteFunc(m.latest, is), slices.DeleteFunc(m.wanted, is), slices.DeleteFunc(m.unknown, is)
	m.ring.stale = true
}

// MembersVersion returns a number that grows whenever the result of Peers changes.
func (m *Machine) MembersVersion() uint64 { return m.members }

// Peers returns the speakers that are expected or alive, by name.
func (m *Machine) Peers() []lb.NodeName {
	nodes := make([]lb.NodeName, 0, len(m.peers))
	for node, p := range m.peers {
		if p.expected || p.live {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// Publish replaces the state of this speaker, and returns the messages that send it to all peers.
func (m *Machine) Publish(now time.Time, s wire.State) []OutgoingMessage {
	m.pieces = wire.SplitState(&s)
	m.until = now.Add(s.Back)
	m.sequence++
	m.published, m.restarting = true, s.Phase == ownership.Restarting
	var sends []OutgoingMessage
	for _, p := range m.metPeers() {
		sends = append(sends, m.ownStateTo(now, p, 0, nil)...)
	}
	return sends
}

// Tick does what is due, and returns the messages to send.
func (m *Machine) Tick(now time.Time) []OutgoingMessage {
	m.excuseOwnStall(now)
	m.endCheck(now)
	m.removeLeaving(now)
	sends, changed := m.checkWatched(now)
	if m.areAllWatchedSilent(now) {
		sends = append(sends, m.pollAllPeers(now)...)
	} else {
		m.polled = time.Time{}
		sends = append(sends, m.decideSuspected(now)...)
	}
	if changed {
		sends = append(sends, m.heartbeats(m.metPeers())...)
	}
	if !now.Before(m.nextHeartbeat) {
		m.nextHeartbeat = now.Add(m.untilHeartbeat(now))
		m.noteLost(now)
		m.noteUnreached(now)
		m.noteStarting(now)
		inTurn := m.peersInTurn()
		sends = append(sends, m.heartbeats(m.heartbeatReceivers(), m.nextDigest(inTurn)...)...)
		sends = append(sends, m.noteLostInTurn(now, inTurn)...)
		sends = append(sends, m.pullUnchecked()...)
		sends = append(sends, m.pullUnknown(now)...)
		sends = append(sends, m.pullWanted(now)...)
	}
	return sends
}

// untilHeartbeat returns the time to the next heartbeat. Speakers with the same profile and equal
// clocks send at the same moments, so that each processor wakes up once for all heartbeats. Nothing
// else depends on equal clocks.
func (m *Machine) untilHeartbeat(now time.Time) time.Duration {
	return m.timing.Interval - now.Sub(now.Truncate(m.timing.Interval))
}

// Next returns when Tick is due.
func (m *Machine) Next(now time.Time) time.Time {
	next := m.nextHeartbeat
	earlier := func(at time.Time, due bool) {
		if due && at.After(now) && at.Before(next) {
			next = at
		}
	}
	for _, p := range m.watchedPeers() {
		earlier(m.nextCheck(p))
	}
	for _, p := range m.inDoubt {
		earlier(m.dueInDoubt(now, p), true)
	}
	if m.restarts > 0 {
		for _, p := range m.peers {
			earlier(p.back, p.live && p.isRestarting())
		}
	}
	return next
}

// NextHeartbeat returns when this speaker sends its next heartbeats.
func (m *Machine) NextHeartbeat() time.Time { return m.nextHeartbeat }

// HasSuspects reports whether a peer is suspected, by this speaker or by several others, and not
// found dead yet.
func (m *Machine) HasSuspects() bool {
	return len(m.inDoubt) > 0 || slices.ContainsFunc(m.watchedPeers(), func(p *peer) bool { return p.live && !p.suspected.IsZero() })
}

// excuseOwnStall handles a stall, that is, a time in which this process did not run. It does not count
// that time as silence of the peers: their messages of that time still wait to be read.
func (m *Machine) excuseOwnStall(now time.Time) {
	stall := now.Sub(m.lastTick) - m.timing.Interval
	if !m.lastTick.IsZero() && stall > m.timing.Timeout/2 {
		for _, p := range m.peers {
			p.added, p.watched = p.added.Add(stall), p.watched.Add(stall)
			if read := now.Add(m.timing.Timeout); p.isBackSoon(m.lastTick) && p.back.Before(read) {
				p.back = read // leaves time to read what the peer sent meanwhile
			}
			if !p.greeted.IsZero() {
				p.greeted, p.greets = p.greeted.Add(stall), p.greets.Add(stall)
			}
			if p.live {
				p.received = p.received.Add(min(stall, now.Sub(p.received)))
				p.endSuspicion()
			}
		}
		m.polled = time.Time{}
	}
	m.lastTick = now
}

// HasPeerList reports whether SetPeers has been called. Before the first call, View does not show which
// speakers are missing.
func (m *Machine) HasPeerList() bool { return m.introduced }

// MalformedStates returns how many states could not be decoded.
func (m *Machine) MalformedStates() uint64 { return m.malformed }

// TakeLost returns the peers that were found dead since the last call. The caller must reset their
// sessions.
func (m *Machine) TakeLost() []lb.NodeName {
	lost := m.lost
	m.lost = nil
	return lost
}
