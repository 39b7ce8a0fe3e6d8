package layer2_test

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestLinksInASubnetOfTheAddress(t *testing.T) {
	lan, storage := netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("10.0.0.0/8")
	inLAN := func(p mesh.Peer) mesh.Peer {
		p.State.Links = append(p.State.Links, wire.Link{Name: "lan", IPv4: true, Prefixes: []netip.Prefix{lan}})
		return p
	}
	eth0, eth1 := eth("eth0", 1), eth("eth1", 2)
	eth0.Prefixes, eth1.Prefixes = []netip.Prefix{storage}, []netip.Prefix{lan}
	both := want(wanted(a1, self, "p1"))
	named := want(wanted(a1, self, "p1"))
	named[0].Candidates[1].Interfaces = []string{"eth0"}
	for _, tt := range []struct {
		name  string
		want  []ownership.Address
		peer  mesh.Peer
		links []layer2.Link
		on    []string // links that a1 is announced on
	}{
		{"only the link in the subnet is used", both, peer("p1", nil), []layer2.Link{eth0, eth1}, []string{"eth1"}},
		{"no link in the subnet is left, and the other candidate has one", both, inLAN(peer("p1", nil)), []layer2.Link{eth0}, nil},
		{"no candidate has a link in the subnet: all links are used", both, peer("p1", nil), []layer2.Link{eth0}, []string{"eth0"}},
		{"only a node that is no candidate has a link in the subnet", want(wanted(a1, self)), inLAN(peer("p1", nil)), []layer2.Link{eth0}, []string{"eth0"}},
		{"an advertisement names another link", named, inLAN(peer("p1", nil)), []layer2.Link{eth0, eth1}, []string{"eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.want.Addresses, b.view.Peers, b.links = tt.want, []mesh.Peer{tt.peer}, tt.links
				b.inform()
				b.same("the interfaces", tt.on, b.owned[a1].Interfaces)
			})
		})
	}
}

// A node that loses its link in the subnet gives its addresses to a node that has such a link.
func TestLinkInTheSubnetIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
		b := newBed(t)
		other := peer("p1", nil)
		other.State.Links[0].Prefixes = lan
		eth0, eth1 := eth("eth0", 1), eth("eth1", 2)
		eth1.Prefixes = lan
		b.want.Addresses, b.view.Peers, b.links = want(wanted(a1, self, "p1")), []mesh.Peer{other}, []layer2.Link{eth0, eth1}
		b.inform()
		b.claims("with the link", ownership.Active, ownership.Claims{a1: 1})
		b.links = []layer2.Link{eth0}
		b.inform()
		b.same("without the link, the interfaces", []string(nil), b.owned[a1].Interfaces)
		other.State.Claims = ownership.Claims{a1: 2}
		b.receive(other)
		b.claims("when the other node has taken it", ownership.Active, ownership.Claims{})
		b.view.Missing = missing("p1")
		b.want.Down = map[lb.NodeName]bool{"p1": true}
		b.view.Peers = nil
		b.inform()
		b.free(a1)
		b.same("when no node has such a link, the interfaces", []string{"eth0"}, b.owned[a1].Interfaces)
	})
}
