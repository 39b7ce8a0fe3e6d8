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

// A speaker publishes the hardware addresses of its node in the mesh. If the speaker of a node has never sent
// a message to this speaker (another key, a firewall, another version), the node looks like a foreign host.
// If two nodes are foreign hosts for each other, neither gives an address up to the other. So the segment is
// asked which hardware addresses answer for the IP addresses of such nodes. A speaker in a minority always
// asks. A speaker in the majority asks before it takes an address that no speaker had, and in a stand-off. A
// result counts only while the speaker of the node is missing, and is not stored in the checkpoint. A host
// that forges such an answer gains nothing by it, since it can also forge frames with the hardware address of
// a node. See docs/design/speaker.md.

// SetHosts sets one IP address of each node on which a speaker should run. The caller must not change the map
// afterwards.
func (e *Engine) SetHosts(hosts map[lb.NodeName]netip.Addr) {
	e.updateInbox(func(in *inbox) { in.hosts = hosts })
}

// unmetHosts returns the IP addresses, sorted, of nodes whose speakers are missing and have never sent a
// message to this speaker.
func (e *Engine) unmetHosts(in inbox) (list []netip.Addr) {
	for _, m := range in.view.Missing {
		if host, known := in.hosts[m.Node]; known && !e.hasMet(m.Node) {
			list = append(list, host)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// hasMet reports whether this speaker has ever received the links of a node. The speaker of the node must be
// alive or missing.
func (e *Engine) hasMet(node lb.NodeName) bool {
	_, met := e.links[node]
	return met
}

// learnHardware records the hardware addresses that answered for nodes whose speakers are missing and have
// never sent a message to this speaker.
func (e *Engine) learnHardware(v *roundView) {
	v.learned, v.unknown, v.stranger = map[lb.NodeName]segment.Hardware{}, false, false
	for _, m := range v.in.view.Missing {
		if e.hasMet(m.Node) {
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

// isNode reports whether a hardware address is known to belong to a node.
func (e *Engine) isNode(v *roundView, hardware []byte) bool {
	if e.wasKnownNode(hardware) {
		return true
	}
	for _, known := range v.learned {
		if bytes.Equal(known[:], hardware) {
			return true
		}
	}
	return false
}

// wasKnownNode reports whether a hardware address was known in the last round to belong to a node.
func (e *Engine) wasKnownNode(hardware []byte) bool {
	return slices.ContainsFunc(e.sent.nodes, func(known net.HardwareAddr) bool { return bytes.Equal(known, hardware) })
}

// isForeign reports whether a hardware address certainly belongs to no node: the segment was asked about
// all nodes whose hardware addresses are not known.
func (e *Engine) isForeign(v *roundView, hardware []byte) bool {
	if e.isNode(v, hardware) || !v.in.segment.NodesAsked {
		return false
	}
	return !slices.ContainsFunc(v.in.view.Missing, func(m mesh.MissingPeer) bool {
		_, known := v.in.hosts[m.Node]
		return !known && !e.hasMet(m.Node)
	})
}

// isPeer reports whether a hardware address belongs to a node whose speaker is alive in the view. A
// restarting speaker does not count: what its node announces now comes from a process that has not sent to
// this speaker.
func (v *roundView) isPeer(hardware net.HardwareAddr) bool {
	for i := range v.in.view.Peers {
		if v.in.view.Peers[i].State.Phase != ownership.Restarting && hasHardware(v.in.view.Peers[i].State.Links, hardware) {
			return true
		}
	}
	return false
}
