package layer2

import (
	"bytes"
	"net"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
)

// A speaker publishes the hardware addresses of its node in the mesh. A node that this speaker
// has never received from (another key, a firewall, another version) is like a host that is no
// node to it, and neither of two such nodes would give an address up to the other. In a minority,
// and in the majority before a new address is taken and in a stand-off, the segment is asked who
// answers for the addresses of these nodes. What is found this way counts while the speaker is
// missed, is not kept, and allows a forger nothing that frames with the hardware address of a
// node do not: see docs/design/speaker.md.

// SetHosts sets where the other speakers are that should be there: an address of each node. The
// map is never changed.
func (e *Engine) SetHosts(hosts map[lb.NodeName]netip.Addr) {
	e.tell(func(in *inbox) { in.hosts = hosts })
}

// unmet returns the addresses, ordered, of nodes whose speakers are missed and were never
// received from.
func (e *Engine) unmet(in inbox) (list []netip.Addr) {
	for _, m := range in.view.Missing {
		if host, known := in.hosts[m.Node]; known && !e.met(m.Node) {
			list = append(list, host)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// met returns whether a speaker that is alive or missed has published the links of its node.
func (e *Engine) met(node lb.NodeName) bool {
	_, met := e.links[node]
	return met
}

// learn notes the hardware addresses of nodes whose speakers are missed and were never received
// from, as the segment has answered.
func (e *Engine) learn(v *view) {
	v.learned, v.unknown, v.stranger = map[lb.NodeName]segment.Hardware{}, false, false
	for _, m := range v.in.view.Missing {
		if e.met(m.Node) {
			continue
		}
		v.stranger = true
		if hardware, known := v.in.segment.Nodes[v.in.hosts[m.Node]]; known {
			v.learned[m.Node] = hardware
		} else {
			v.unknown = true
		}
	}
}

// isNode returns whether a hardware address is that of a node, as far as is known.
func (e *Engine) isNode(v *view, hardware []byte) bool {
	if e.wasNode(hardware) {
		return true
	}
	for _, known := range v.learned {
		if bytes.Equal(known[:], hardware) {
			return true
		}
	}
	return false
}

// wasNode returns whether a hardware address was that of a node in the round before.
func (e *Engine) wasNode(hardware []byte) bool {
	return slices.ContainsFunc(e.said.nodes, func(known net.HardwareAddr) bool { return bytes.Equal(known, hardware) })
}

// isForeign returns whether a hardware address is that of a host that is no node: all nodes that
// it might be were asked on the segment.
func (e *Engine) isForeign(v *view, hardware []byte) bool {
	if e.isNode(v, hardware) || !v.in.segment.NodesAsked {
		return false
	}
	return !slices.ContainsFunc(v.in.view.Missing, func(m mesh.Missing) bool {
		_, known := v.in.hosts[m.Node]
		return !known && !e.met(m.Node)
	})
}

// isPeer returns whether a hardware address is that of a node whose speaker is in the view. One
// that restarts is not: what its node announces now is of a process that this speaker has not
// received from.
func (v *view) isPeer(hardware net.HardwareAddr) bool {
	for i := range v.in.view.Peers {
		if v.in.view.Peers[i].State.Phase != ownership.Restarting && hasHardware(v.in.view.Peers[i].State.Links, hardware) {
			return true
		}
	}
	return false
}
