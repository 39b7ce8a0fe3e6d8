package layer2_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// Values that the tests pass to the engine.

// wanted returns an address with its candidates in order of preference.
func wanted(address netip.Addr, nodes ...lb.NodeName) ownership.Address {
	w := ownership.Address{Address: address}
	for i, n := range nodes {
		w.Candidates = append(w.Candidates, ownership.Candidate{Node: n, Preference: int32(len(nodes) - i)})
	}
	slices.SortFunc(w.Candidates, func(x, y ownership.Candidate) int { return strings.Compare(string(x.Node), string(y.Node)) })
	return w
}

func want(addresses ...ownership.Address) []ownership.Address { return addresses }

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }

func eth(name string, last byte) layer2.Link {
	return layer2.Link{Name: name, Index: int(last), Hardware: mac(last), IPv4: true}
}

// peer returns another node that is active, has a link eth0, and claims addresses.
func peer(name lb.NodeName, claims ownership.Claims) mesh.Peer {
	l := wire.Link{Name: "eth0", IPv4: true}
	copy(l.Hardware[:], mac(name[len(name)-1]))
	return mesh.Peer{Node: name, Since: time.Now(), State: wire.State{Phase: ownership.Active, Links: []wire.Link{l}, Claims: claims}}
}

// probing returns a peer that has just taken an address and still probes it.
func probing(name lb.NodeName, address netip.Addr, epoch ownership.Epoch) mesh.Peer {
	p := peer(name, ownership.Claims{address: epoch})
	p.State.Held = []netip.Addr{address}
	return p
}

// in returns the same peer in another phase.
func in(phase ownership.Phase, p mesh.Peer) mesh.Peer {
	p.State.Phase = phase
	return p
}

func missing(nodes ...lb.NodeName) (list []mesh.MissingPeer) {
	for _, n := range nodes {
		list = append(list, mesh.MissingPeer{Node: n})
	}
	return list
}

// on0 returns addresses that are announced on eth0; first: no node ever had them.
func on0(first bool, addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	owned := map[netip.Addr]layer2.Serving{}
	for _, a := range addresses {
		owned[a] = layer2.Serving{Interfaces: []string{"eth0"}, First: first}
	}
	return owned
}
