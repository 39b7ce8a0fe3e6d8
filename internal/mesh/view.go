package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// View is what is known of the others, at one moment.
type View struct {
	// Version grows with every change.
	Version uint64
	// Peers that are alive, or restart, by name.
	Peers []Peer
	// Missing are speakers that should be there and are not alive, by name.
	Missing []Missing
	// Unreached are speakers that are alive and receive nothing from this one, by name.
	Unreached []lb.NodeName
	// Checked: nobody has to answer before this speaker may go on.
	Checked bool
}

// Peer is another speaker that is alive.
type Peer struct {
	// Node that it runs on.
	Node lb.NodeName
	// State is what it publishes of itself.
	State wire.State
	// Since when it has been alive.
	Since time.Time
	// Lost: no messages of it have come for a while, and other speakers vouch for it.
	Lost bool
	// Late: when another speaker was found to be dead, this one had been silent for more
	// than two of its heartbeats as well.
	Late bool
	// Starting: its node has a new process, which does not know yet what it has. The State of one that
	// restarts is that of the process before until then.
	Starting bool

	instance wire.Instance
	sequence uint64
}

// Missing is another speaker that is not alive.
type Missing struct {
	// Node that it should run on.
	Node lb.NodeName
	// Received is when its last message came; zero: never.
	Received time.Time
	// Silent: it answers for no address, as it receives from too few.
	Silent bool
}

// Version grows with every change of the view.
func (m *Machine) Version() uint64 { return m.version }

// View returns what is known of the others.
func (m *Machine) View() View {
	v := View{Version: m.version, Checked: m.Checked(), Peers: make([]Peer, 0, len(m.peers))}
	m.ordered()
	for _, p := range m.ring.byName {
		if p.unreached {
			v.Unreached = append(v.Unreached, p.node)
		}
		switch {
		case p.live:
			v.Peers = append(v.Peers, Peer{Node: p.node, State: p.state, Since: p.since, Lost: p.lost, Late: p.late, Starting: p.starting, instance: p.instance, sequence: p.sequence})
		case p.expected:
			v.Missing = append(v.Missing, Missing{Node: p.node, Received: p.received, Silent: p.silent})
		}
	}
	return v
}

// Probed returns, by name, the nodes whose kernels are to be probed: of speakers that restart
// and that this one watches. Where nothing came from one already before, as through a firewall, its
// kernel may be out of reach as well: others probe it.
func (m *Machine) Probed() []lb.NodeName {
	if m.restarts == 0 {
		return nil
	}
	var nodes []lb.NodeName
	for _, p := range m.watched() {
		if p.live && p.isRestarting() && p.suspected.IsZero() {
			nodes = append(nodes, p.node)
		}
	}
	slices.Sort(nodes)
	return nodes
}
