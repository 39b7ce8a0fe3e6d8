package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// View is what this speaker has recorded about the other speakers, at one moment.
type View struct {
	// Version grows with every change.
	Version uint64
	// Peers are the speakers that are alive or restart, sorted by name.
	Peers []Peer
	// Missing are the speakers that are expected (see Machine.SetPeers) and not alive, by name.
	Missing []MissingPeer
	// Unreached are speakers that run and receive nothing from this one, by name.
	Unreached []lb.NodeName
	// Checked: all peers have answered the last Recheck, or the time for that is over.
	Checked bool
	// Stalls is how often this process stood still for LongStall or longer.
	Stalls uint64
}

// Peer is another speaker that is alive.
type Peer struct {
	// Node is the node that the speaker runs on.
	Node lb.NodeName
	// State is what it publishes of itself.
	State wire.State
	// Since is when it became alive.
	Since time.Time
	// Lost: no messages of it have come for a while, but other speakers receive from it.
	Lost bool
	// Late: the speaker was silent for more than two of its heartbeat intervals when another speaker was
	// found dead, and is still silent.
	Late bool
	// Starting: a new process of the speaker runs, and has not decided yet what it owns. After a
	// restart, State is that of the previous process while Starting is set.
	Starting bool

	instance wire.Instance
	sequence uint64
}

// MissingPeer is another speaker that is expected and not alive.
type MissingPeer struct {
	// Node is the node that the speaker should run on.
	Node lb.NodeName
	// Received is when its last message came; zero: never.
	Received time.Time
	// Silent: its greetings ask for a session, and show that it answers for no address on the link of
	// the mesh.
	Silent bool
}

// Version grows with every change of the view.
func (m *Machine) Version() uint64 { return m.version }

// View returns the present view of the other speakers.
func (m *Machine) View() View {
	v := View{Version: m.version, Checked: m.IsChecked(), Stalls: m.stalls, Peers: make([]Peer, 0, len(m.peers))}
	m.inRingOrder()
	for _, p := range m.ring.byName {
		if p.unreached {
			v.Unreached = append(v.Unreached, p.node)
		}
		switch {
		case p.live:
			v.Peers = append(v.Peers, Peer{Node: p.node, State: p.state, Since: p.since, Lost: p.lost, Late: p.late, Starting: p.starting, instance: p.instance, sequence: p.sequence})
		case p.expected:
			v.Missing = append(v.Missing, MissingPeer{Node: p.node, Received: p.received, Silent: p.silent})
		}
	}
	return v
}

// ProbedNodes returns the nodes whose kernels this speaker must probe, sorted by name: the nodes of
// restarting speakers that it watches. If it suspected a speaker before the restart, for example
// because of a firewall, it may not reach the kernel either: other speakers probe that kernel.
func (m *Machine) ProbedNodes() []lb.NodeName {
	if m.restarts == 0 {
		return nil
	}
	var nodes []lb.NodeName
	for _, p := range m.watchedPeers() {
		if p.live && p.isRestarting() && p.suspected.IsZero() {
			nodes = append(nodes, p.node)
		}
	}
	slices.Sort(nodes)
	return nodes
}
