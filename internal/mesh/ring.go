package mesh

import (
	"cmp"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/ownership"
)

// ring orders the peers by ID. IDs are hashes, so neighbours in the ring can be in any rack and have
// any name. Each speaker is watched by the next speakers after it, and watches the speakers before it.
// A pair is a watcher and the speaker that it watches. Both speakers compute the same pairs, and a node that
// comes or goes changes few pairs. Peers that restart or have no session do not count as watchers. A restarting
// peer still gets heartbeats until its process ends: the process waits until the other speakers have
// acknowledged its state.
type ring struct {
	order     []*peer // all peers, from this speaker on; outdated while stale is true
	byName    []*peer // all peers, sorted by name; outdated while stale is true
	stale     bool
	receivers []*peer // peers that watch this speaker and get its heartbeats; outdated while pairs is true
	watched   []*peer // peers that this speaker watches; outdated while pairs is true
	pairs     bool    // receivers and watched must be computed again
}

// inRingOrder returns all peers in the order of the ring, from this speaker on.
func (m *Machine) inRingOrder() []*peer {
	if !m.ring.stale && len(m.ring.order) == len(m.peers) {
		return m.ring.order
	}
	order := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		order = append(order, p)
	}
	// The distance from this speaker to each, modulo 2^64.
	slices.SortFunc(order, func(x, y *peer) int { return cmp.Compare(x.id-m.id, y.id-m.id) })
	for i, p := range order {
		p.position = i
	}
	m.ring.byName = slices.SortedFunc(slices.Values(order), func(x, y *peer) int { return cmp.Compare(x.node, y.node) })
	m.ring.order, m.ring.stale, m.ring.pairs = order, false, true
	return order
}

// metPeers returns the peers with which there is a session.
func (m *Machine) metPeers() []*peer {
	var met []*peer
	for _, p := range m.inRingOrder() {
		if p.met {
			met = append(met, p)
		}
	}
	return met
}

// isFullMesh reports whether every speaker watches every other one.
func (m *Machine) isFullMesh() bool { return len(m.peers)-len(m.leaving) <= maxFullMesh }

func (m *Machine) findPairs(now time.Time) {
	order := m.inRingOrder()
	if !m.ring.pairs {
		return
	}
	m.ring.pairs = false
	m.ring.receivers, m.ring.watched = m.ring.receivers[:0], m.ring.watched[:0]
	most := watchersPerPeer
	if m.isFullMesh() {
		most = maxFullMesh
	}
	count := 0
	for _, p := range order {
		if p.met && count < most {
			m.ring.receivers = append(m.ring.receivers, p)
		}
		if p.canWatch() {
			count++
		}
		p.arc = m.isFullMesh()
	}
	// This speaker watches a peer unless the number of possible watchers between the two reaches the
	// limit.
	between := 0
	for _, p := range slices.Backward(order) {
		if between >= most {
			break
		}
		p.arc = true
		if p.canWatch() {
			between++
		}
	}
	for _, p := range order {
		if p.arc {
			m.ring.watched = append(m.ring.watched, p)
		}
		if p.arc != p.wasArc { // the silence of the peer counts from now on
			p.wasArc, p.watched, p.suspected = p.arc, now, time.Time{}
		}
	}
}

// heartbeatReceivers returns the peers that get the next regular heartbeat: those that watch this speaker
// and, in a large mesh, another peer in turn. From a heartbeat a peer detects that it has not received
// a state, or that its ack was lost. So the first heartbeat after a state was published goes to all
// peers. While this speaker restarts, heartbeats also go to the peers whose acks it waits for.
func (m *Machine) heartbeatReceivers() []*peer {
	receivers := slices.Clip(m.ring.receivers)
	if m.isFullMesh() || len(m.ring.order) == 0 {
		return receivers
	}
	if m.published {
		m.published = false
		return m.metPeers()
	}
	if m.restarting {
		for _, p := range m.inRingOrder() {
			if m.awaitsAck(p) && !slices.Contains(receivers, p) {
				receivers = append(receivers, p)
			}
		}
	}
	for range len(m.ring.order) {
		m.gossip = (m.gossip + 1) % len(m.ring.order)
		if p := m.ring.order[m.gossip]; p.met && !slices.Contains(receivers, p) {
			return append(receivers, p)
		}
	}
	return receivers
}

// watchedPeers returns the peers that this speaker watches, alive or not.
func (m *Machine) watchedPeers() []*peer { return m.ring.watched }

// watchersOf returns the other watchers of a peer, as far as this speaker knows. If every speaker
// watches every other one, it returns all peers, including p and those that cannot watch.
func (m *Machine) watchersOf(p *peer) []*peer {
	order := m.inRingOrder()
	if m.isFullMesh() {
		return order
	}
	var found []*peer
	count := 0
	// After the last peer of the ring comes this speaker, then the first one.
	for i := p.position + 1; count < watchersPerPeer && i < p.position+1+len(order); i++ {
		if i == len(order) {
			count++ // this speaker
		}
		w := order[i%len(order)]
		if w != p && w.canWatch() && count < watchersPerPeer {
			found = append(found, w)
			count++
		}
	}
	return found
}

// canWatch reports whether a peer can watch others. There must be a session with the peer, and a live peer must
// not be restarting.
func (p *peer) canWatch() bool { return p.met && !(p.live && p.isRestarting()) }

// isRestarting reports whether the peer has published that it restarts.
func (p *peer) isRestarting() bool { return p.state.Phase == ownership.Restarting }
