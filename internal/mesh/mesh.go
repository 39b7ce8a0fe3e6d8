// Package mesh is what speakers know of each other: who lives, and what each says of
// itself. It is a machine without a clock and
// without sockets: messages and the time go in, messages come out.
//
// Every speaker sends beats to those who watch it. One that is silent for too
// long is suspected, and convicted when another one suspects it as well or nobody
// who could know says otherwise; this is VRRP's way of noticing (RFC 9568), with
// SWIM's second opinion (Das, Gupta and Motivala 2002).
package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// Timing of the beats.
type Timing struct {
	// Beat is the time between two beats.
	Beat time.Duration
	// Silence is how long one may be silent before it is suspected.
	Silence time.Duration
}

const (
	// fullMesh is up to how many speakers everybody watches everybody; watchers is
	// how many watch each when there are more.
	fullMesh, watchers = 24, 8
	// several is how many must be silent to be lost together.
	several = 2
	// denials is how many suspicions of one speaker are denied at once within a beat.
	denials = 4
)

// Send is a message to a speaker.
type Send struct {
	// To is the receiver's node.
	To lb.NodeName
	// Message for it; it is never changed.
	Message *wire.Message
	// Quiet: nothing in it is news, so that the receiver may read it as late as he likes if
	// he knows when it came.
	Quiet bool
	// Stream: it is to go over a connection as well as in a datagram. See Machine.Ways.
	Stream bool
	// Deaf: the datagrams of the receiver do not come, which the copy on the connection
	// must say.
	Deaf bool
}

// Machine is one speaker's knowledge of the others. Make it with New; it is not
// safe for use by several goroutines at once.
type Machine struct {
	self        lb.NodeName
	incarnation uint64
	timing      Timing

	peers    map[lb.NodeName]*peer
	state    wire.State
	until    time.Time // when it will be back, if it says that it restarts
	sequence uint64
	version  uint64 // grows when the view changes

	nextBeat     time.Time
	datagram     time.Time // when the last one came, from anybody
	lastTick     time.Time
	nonce        uint64
	checking     bool                          // asking everybody anew
	introduced   bool                          // it was told who there should be
	askedAll     time.Time                     // when all were asked whether they are there
	watcherCache map[lb.NodeName][]lb.NodeName // good until the peers change
}

// New returns a machine that knows nobody. The incarnation must be greater than
// that of any earlier process on the node.
func New(self lb.NodeName, incarnation uint64, timing Timing) *Machine {
	return &Machine{self: self, incarnation: incarnation, timing: timing, peers: map[lb.NodeName]*peer{}}
}

// SetPeers says which other speakers there should be.
func (m *Machine) SetPeers(now time.Time, nodes []lb.NodeName) []Send {
	var sends []Send
	m.watcherCache = nil
	if !m.introduced {
		m.introduced = true
		m.version++
	}
	for _, node := range nodes {
		if node == m.self {
			continue
		}
		if _, known := m.peers[node]; !known {
			m.peers[node] = &peer{node: node, added: now}
			m.version++
			// It is told who is here, and asked who it is.
			sends = append(sends, m.stateTo(now, node, 0), m.pull(node, 0))
		}
		m.peers[node].expected = true
	}
	for node, p := range m.peers {
		if p.expected = slices.Contains(nodes, node); !p.expected && !p.live {
			delete(m.peers, node)
			m.version++
		}
	}
	return sends
}

// Publish says something new of this speaker to all.
func (m *Machine) Publish(now time.Time, s wire.State) []Send {
	m.state = s
	m.until = now.Add(s.Back)
	m.sequence++
	var sends []Send
	for _, node := range m.known() {
		sends = append(sends, m.stateTo(now, node, 0))
	}
	return sends
}

// Tick does what is due.
func (m *Machine) Tick(now time.Time) []Send {
	m.forgiveOwnStall(now)
	var sends []Send
	news := m.watch(now)
	sends = append(sends, m.cutOff(now)...)
	m.judgeAll(now)
	if news {
		sends = append(sends, m.beats(now, m.known())...)
	}
	if !now.Before(m.nextBeat) {
		m.nextBeat = now.Add(m.untilBeat(now))
		m.noteLost(now)
		sends = append(sends, m.regularBeats(now)...)
		sends = append(sends, m.askAgain()...)
		sends = append(sends, m.askMissing(now)...)
	}
	return sends
}

// untilBeat is the time to the next beat. All who have the same profile, and whose
// clocks agree, send at the same moments, so that each wakes up once for all of
// them; nothing else depends on the clocks.
func (m *Machine) untilBeat(now time.Time) time.Duration {
	return m.timing.Beat - now.Sub(now.Truncate(m.timing.Beat))
}

// Next returns when Tick is due.
func (m *Machine) Next(now time.Time) time.Time {
	next := m.nextBeat
	for _, p := range m.peers {
		if at, due := m.due(now, p); due && at.Before(next) {
			next = at
		}
	}
	return next
}

// forgiveOwnStall does not blame others for the time in which this process did not
// run: what they said meanwhile waits to be read.
func (m *Machine) forgiveOwnStall(now time.Time) {
	stall := now.Sub(m.lastTick) - m.timing.Beat
	if !m.lastTick.IsZero() && stall > m.timing.Silence/2 {
		for _, p := range m.peers {
			p.added, p.back = p.added.Add(stall), p.back.Add(stall)
			if p.live {
				p.heard = p.heard.Add(min(stall, now.Sub(p.heard)))
				p.suspected = time.Time{}
			}
		}
	}
	m.lastTick = now
}

// Introduced says whether SetPeers has been called: before that nobody is missing,
// and that means nothing.
func (m *Machine) Introduced() bool { return m.introduced }

// known returns all other speakers that there should be, or that live, by name.
func (m *Machine) known() []lb.NodeName { return slices.Sorted(maps.Keys(m.peers)) }

// watchersOf returns who watches a speaker.
func (m *Machine) watchersOf(node lb.NodeName) []lb.NodeName {
	if w, ok := m.watcherCache[node]; ok {
		return w
	}
	w := m.findWatchersOf(node)
	if m.watcherCache == nil {
		m.watcherCache = map[lb.NodeName][]lb.NodeName{}
	}
	m.watcherCache[node] = w
	return w
}

// findWatchersOf chooses, when they are many, in the order of rendezvous hashing with
// the watched one in the place of the address: everybody finds the same ones, and few
// change when one goes.
func (m *Machine) findWatchersOf(node lb.NodeName) []lb.NodeName {
	all := append(m.known(), m.self)
	all = slices.DeleteFunc(all, func(n lb.NodeName) bool { return n == node })
	if len(all) <= fullMesh {
		return all
	}
	key := addressFor(node)
	slices.SortFunc(all, func(x, y lb.NodeName) int {
		if election.Before(key, x, y) {
			return -1
		}
		return 1
	})
	return all[:watchers]
}

// addressFor stands for a node's name where an address is expected.
func addressFor(node lb.NodeName) netip.Addr {
	var bytes [16]byte
	for i := range len(node) {
		bytes[i%16] = bytes[i%16]*31 + node[i]
	}
	return netip.AddrFrom16(bytes)
}
