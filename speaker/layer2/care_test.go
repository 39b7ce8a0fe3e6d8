package layer2_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func coveredWith(hardware net.HardwareAddr) map[netip.Addr]layer2.Serving {
	return map[netip.Addr]layer2.Serving{a1: {Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": hardware}}}
}

// restarts returns p1 while it restarts. p1 claims a1.
func restarts(links ...wire.Link) mesh.Peer {
	p := in(ownership.Restarting, peer("p1", ownership.Claims{a1: 3}))
	if len(links) > 0 {
		p.State.Links = links
	}
	return p
}

func TestCoveringSpeakerAnswersWithTheHardwareAddressOfTheRestartingNode(t *testing.T) {
	net1, net2 := netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("10.0.0.0/24")
	link := func(name string, last byte, prefixes ...netip.Prefix) wire.Link {
		return wire.Link{Name: name, Hardware: [6]byte{2, 0, 0, 0, 0, last}, IPv4: true, Prefixes: prefixes}
	}
	internal := link("eth0", 7, net1)
	internal.Internal = true
	tests := []struct {
		name     string
		prefixes []netip.Prefix // of eth0 of this node
		theirs   []wire.Link
		want     map[netip.Addr]layer2.Serving
	}{
		{name: "the link of the same name, without subnets", theirs: []wire.Link{link("eth1", 8), link("eth0", 7)}, want: coveredWith(mac(7))},
		{name: "the link of the same subnet, whatever its name", prefixes: []netip.Prefix{net1}, theirs: []wire.Link{link("eth0", 7, net2), link("eth1", 8, net1)}, want: coveredWith(mac(8))},
		{name: "not on a link of another subnet", prefixes: []netip.Prefix{net1}, theirs: []wire.Link{link("eth0", 7, net2)}},
		{name: "not on a link of another name", theirs: []wire.Link{link("eth1", 8)}},
		{name: "not for a link that the restarting node does not use", prefixes: []netip.Prefix{net1}, theirs: []wire.Link{internal, link("eth1", 8, net2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 3}))
				b.links[0].Prefixes = tt.prefixes
				b.inform()
				b.forget()
				b.receive(peer("p0", nil), restarts(tt.theirs...)) // p0 has no part in this
				b.serves("while p1 restarts", tt.want)
				b.same("what is published while p1 restarts", []string(nil), b.calls("publish"))
				b.same("the metrics", map[string]float64{}, b.counted())
			})
		})
	}
}

func TestSpeakerDoesNotCoverAddressesOfAnotherElectedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", "p2", self)), peer("p1", ownership.Claims{a1: 3}), peer("p2", nil))
		b.receive(restarts(), peer("p2", nil))
		b.serves("while p1 restarts", nil)
	})
}

func TestSpeakerCoversUntilTheHolderIsBackOrDead(t *testing.T) {
	p2 := peer("p2", nil)
	tests := []struct {
		name string
		then []mesh.Peer
		want map[netip.Addr]layer2.Serving
	}{
		{name: "another node is elected", then: []mesh.Peer{restarts(), p2}, want: coveredWith(mac('1'))},
		{name: "the holder is back", then: []mesh.Peer{peer("p1", ownership.Claims{a1: 3}), p2}},
		{name: "the holder is dead", then: []mesh.Peer{p2}},
		{name: "another node claims it", then: []mesh.Peer{restarts(), peer("p2", ownership.Claims{a1: 4})}},
		{name: "another node claims it with a lower epoch", then: []mesh.Peer{restarts(), peer("p2", ownership.Claims{a1: 2})}, want: coveredWith(mac('1'))},
		{name: "another restarting node claims it", then: []mesh.Peer{restarts(), in(ownership.Restarting, peer("p2", ownership.Claims{a1: 4})), peer("p3", nil)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", "p2", "p3", self)), peer("p1", ownership.Claims{a1: 3}))
				b.receive(restarts())
				b.serves("while p1 restarts", coveredWith(mac('1')))
				b.receive(tt.then...)
				b.serves("in the end", tt.want)
			})
		})
	}
}

func TestCoveringSpeakerUsesAllCommonLinksInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 3}))
		b.links = []layer2.Link{eth("eth2", 3), eth("eth1", 2), eth("eth0", 1)}
		b.inform()
		b.receive(restarts(wire.Link{Name: "eth0", Hardware: [6]byte(mac(7)), IPv4: true}, wire.Link{Name: "eth1", Hardware: [6]byte(mac(8)), IPv4: true}))
		b.serves("while p1 restarts", map[netip.Addr]layer2.Serving{
			a1: {Interfaces: []string{"eth0", "eth1"}, For: map[string]net.HardwareAddr{"eth0": mac(7), "eth1": mac(8)}},
		})
	})
}

func TestSpeakerDoesNotCoverOnALinkThatItMayNotUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 3}))
		pods := eth("br0", 2)
		pods.Internal = true
		b.links = append(b.links, pods)
		b.inform()
		b.receive(restarts(wire.Link{Name: "br0", Hardware: [6]byte(mac(8)), IPv4: true}, wire.Link{Name: "eth0", Hardware: [6]byte(mac(7)), IPv4: true}))
		b.serves("while p1 restarts", coveredWith(mac(7)))
	})
}

func TestIsolatedSpeakerCoversForNoPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 3}), peer("p2", nil), peer("p3", nil))
		b.receive(restarts(), peer("p2", nil), peer("p3", nil))
		b.serves("while p1 restarts", coveredWith(mac('1')))
		b.view.Missing = missing("p2", "p3")
		b.receive(restarts())
		b.after(300 * time.Millisecond)
		b.silentNow("while self is isolated")
	})
}

func TestSpeakerStopsCoveringForUnwantedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 3}))
		b.receive(restarts())
		b.want.Addresses = nil
		b.inform()
		b.serves("when it is not wanted", nil)
	})
}

// While p1 restarts, self gets a link in the subnet of the address, and p1 has none. Then an address is announced
// only on links in its subnet, so that self cannot answer with a hardware address of p1 any more.
func TestSpeakerTakesTheAddressOfARestartingNodeThatHasNoLinkForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := netip.MustParsePrefix("10.0.0.0/8")
		eth1 := wire.Link{Name: "eth1", Hardware: [6]byte(mac('1')), IPv4: true, Prefixes: []netip.Prefix{other}}
		p1 := peer("p1", ownership.Claims{a1: 3})
		p1.State.Links = []wire.Link{eth1}
		b := running(t, want(wanted(a1, "p1", self)), p1)
		own := eth("eth1", 2)
		own.Prefixes = []netip.Prefix{other}
		b.links = []layer2.Link{own}
		b.inform()
		b.receive(restarts(eth1))
		b.serves("while no node has a link in the subnet", map[netip.Addr]layer2.Serving{a1: {Interfaces: []string{"eth1"}, For: map[string]net.HardwareAddr{"eth1": mac('1')}}})
		eth0 := eth("eth0", 1)
		eth0.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
		b.links = append(b.links, eth0)
		b.inform()
		b.serves("when self has such a link", on0(false, a1))
		b.claims("then", ownership.Active, ownership.Claims{a1: 4})
	})
}
