package mesh

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// View is what is known of the others, at one moment.
type View struct {
	// Version grows with every change.
	Version uint64
	// Peers that live, or restart, by name.
	Peers []Peer
	// Missing are speakers that should be there and do not live, by name.
	Missing []Missing
	// Checked: nobody has to answer before this speaker may go on.
	Checked bool
}

// Peer is another speaker that lives.
type Peer struct {
	// Node that it runs on.
	Node lb.NodeName
	// State is what it says of itself.
	State wire.State
	// Since when it has been alive.
	Since time.Time
	// Lost: its datagrams have not come for a while, and what it says comes over
	// connections only.
	Lost bool
	// Late: when another speaker was found to be dead, this one had been silent for more
	// than two of its beats as well.
	Late bool

	incarnation, sequence uint64
}

// Missing is another speaker that does not live.
type Missing struct {
	// Node that it should run on.
	Node lb.NodeName
	// Heard is when it was heard last; zero: never.
	Heard time.Time
}

// Version grows with every change of the view.
func (m *Machine) Version() uint64 { return m.version }

// View returns what is known of the others.
func (m *Machine) View() View {
	v := View{Version: m.version, Checked: m.Checked()}
	for _, node := range m.known() {
		p := m.peers[node]
		if !p.live {
			if p.expected {
				v.Missing = append(v.Missing, Missing{Node: node, Heard: p.heard})
			}
			continue
		}
		v.Peers = append(v.Peers, Peer{Node: node, State: p.state, Since: p.since, Lost: p.lost, Late: p.late, incarnation: p.incarnation, sequence: p.sequence})
	}
	return v
}

// Doubtful returns, by name, the nodes whose kernels are to be asked whether they
// are there: of speakers that will be back.
func (m *Machine) Doubtful() []lb.NodeName {
	var nodes []lb.NodeName
	for _, node := range m.known() {
		if p := m.peers[node]; p.live && p.state.Phase == ownership.Restarting {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
