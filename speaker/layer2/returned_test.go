package layer2_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

var segment1 = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}

// onSegment returns the peer with a subnet on its link.
func onSegment(p mesh.Peer) mesh.Peer {
	p.State.Links = []wire.Link{{Name: "eth0", Hardware: p.State.Links[0].Hardware, IPv4: true, Prefixes: segment1}}
	return p
}

// covering returns a bed whose engine covers for p1, which restarts and has a1 and a2.
func covering(t *testing.T) *bed {
	b := running(t, want(wanted(a1, "p1", "p2", self), wanted(a2, "p1", "p2", self)), onSegment(peer("p1", ownership.Claims{a1: 3, a2: 1})))
	b.links[0].Prefixes = segment1
	b.inform()
	b.receive(restarted(ownership.Restarting))
	b.serves("while p1 restarts", covers(false, a1, a2))
	b.forget()
	return b
}

// restarted returns p1 with a1 and a2, in a phase.
func restarted(phase ownership.Phase) mesh.Peer {
	return in(phase, onSegment(peer("p1", ownership.Claims{a1: 3, a2: 1})))
}

func covers(returned bool, addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	return coversWith('1', returned, addresses...)
}

func coversWith(last byte, returned bool, addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	owned := map[netip.Addr]layer2.Serving{}
	for _, a := range addresses {
		owned[a] = layer2.Serving{Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": mac(last)}, Returned: returned}
	}
	return owned
}

// reported returns the nodes in the last report that do not announce their addresses.
func (b *bed) reported() []layer2.CoveredNode {
	if len(b.reports) == 0 {
		return nil
	}
	return b.reports[len(b.reports)-1].Covered
}

func TestCovering_EndsWhenTheNodeAnnouncesItsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := covering(t)
		b.engine.AddAnnounced(a1) // sent by the process that ends
		b.settle()
		b.serves("while p1 restarts", covers(false, a1, a2))
		b.receive(restarted(ownership.Active))
		b.serves("when p1 runs again", covers(true, a1, a2))
		b.engine.AddAnnounced(a1)
		b.settle()
		b.serves("when p1 has announced one address", covers(true, a2))
		b.engine.AddAnnounced(a2)
		b.settle()
		b.serves("when p1 has announced both addresses", nil)
		b.after(time.Minute)
		b.same("nodes that are covered for", []layer2.CoveredNode(nil), b.reported())
	})
}

func TestCovering_EndsAfterAnAnnouncementWhileViewIsUnchecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := covering(t)
		b.receive(restarted(ownership.Active))
		b.view.Checked = false
		b.receive(restarted(ownership.Active))
		b.engine.AddAnnounced(a1)
		b.settle()
		b.serves("while self waits for the states of the others", covers(true, a1, a2))
		b.view.Checked = true
		b.receive(restarted(ownership.Active))
		b.serves("when the peers have answered", covers(true, a2))
	})
}

func TestCovering_GoesOnUntilTheNodeAnnounces(t *testing.T) {
	held := restarted(ownership.Active)
	held.State.Held = []netip.Addr{a1, a2}
	for _, tt := range []struct {
		name string
		then mesh.Peer
		want map[netip.Addr]layer2.Serving
	}{
		{"nothing changes", restarted(ownership.Active), covers(true, a1, a2)},
		{"p1 hands the addresses over to self", restarted(ownership.Draining), map[netip.Addr]layer2.Serving{a1: {Interfaces: []string{"eth0"}}, a2: {Interfaces: []string{"eth0"}}}},
		{"p1 restarts once more", restarted(ownership.Restarting), covers(false, a1, a2)},
		{"another node takes the addresses", onSegment(peer("p2", ownership.Claims{a1: 4, a2: 2})), coversWith('2', true, a1, a2)},
		{"p1 gives the addresses up", onSegment(peer("p1", nil)), nil},
		{"p1 does not announce the addresses because of foreign hosts", held, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := covering(t)
				b.receive(restarted(ownership.Active))
				b.after(unannouncedAfter - time.Millisecond)
				b.same("nodes that are covered for at first", []layer2.CoveredNode(nil), b.reported())
				b.after(time.Millisecond)
				b.same("nodes that are covered for", []layer2.CoveredNode{{Node: "p1", Count: 2, First: a1, Since: time.Now().Add(-unannouncedAfter)}}, b.reported())
				b.receive(tt.then)
				b.serves("then", tt.want)
				if !tt.want[a1].Returned {
					b.same("nodes that are covered for then", []layer2.CoveredNode(nil), b.reported())
				}
			})
		})
	}
}

const unannouncedAfter = 5 * time.Second

func TestCovering_OutlastsAShortLossOfTheLink(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name        string
		after, lost time.Duration // when the link is lost, and for how long
		want        map[netip.Addr]layer2.Serving
		// The node is reported without the link, with the link again, and 5 s later.
		without, with, later bool
	}{
		{"reported node stays reported", 6 * second, 9 * second, covers(true, a1, a2), true, true, true},
		{"reported node stays reported for the time of a step", 6 * second, 5 * time.Minute, covers(true, a1, a2), true, true, true},
		{"reported node does not stay reported for ever", 6 * second, 10*time.Minute + second, nil, false, false, false},
		{"node without time to announce gets the time again", 4 * second, 9 * second, covers(true, a1, a2), false, false, true},
		{"node without time to announce is not awaited for long", 4 * second, 10 * second, nil, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := covering(t)
				links := b.links
				b.receive(restarted(ownership.Active))
				b.after(tt.after)
				b.engine.SetLinks(nil)
				b.after(tt.lost)
				b.serves("without the link", nil)
				b.same("reported without the link", tt.without, len(b.reported()) > 0)
				b.engine.SetLinks(links)
				b.settle()
				b.serves("with the link", tt.want)
				b.same("reported with the link", tt.with, len(b.reported()) > 0)
				b.after(unannouncedAfter)
				b.same("reported later", tt.later, len(b.reported()) > 0)
			})
		})
	}
}

func TestCovering_DoesNotOutlastAnIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := covering(t)
		b.receive(restarted(ownership.Active), onSegment(peer("p2", nil)))
		b.view.Missing = missing("p2", "p1")
		b.receive()
		b.after(300 * time.Millisecond)
		b.silentNow("while self is isolated")
		b.view.Missing = nil
		b.receive(restarted(ownership.Active), onSegment(peer("p2", nil)))
		b.after(10 * time.Second)
		b.serves("afterwards", nil)
	})
}

func TestCovering_FollowsTheAddressToTheNextOwner(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // until the node is confirmed dead
		want  map[netip.Addr]layer2.Serving
	}{
		{"at once", 0, coversWith('2', true, a1)},
		{"within ten seconds", 10*time.Second - time.Millisecond, coversWith('2', true, a1)},
		{"later", 10 * time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", "p2")), onSegment(peer("p1", ownership.Claims{a1: 3})), onSegment(peer("p2", nil)))
				b.links[0].Prefixes = segment1
				b.want.Addresses = want(wanted(a1, "p1", "p2", self))
				b.inform()
				p1 := in(ownership.Restarting, onSegment(peer("p1", ownership.Claims{a1: 3})))
				p2 := onSegment(in(ownership.Draining, peer("p2", nil))) // so that self covers
				b.receive(p1, p2)
				b.serves("while p1 restarts", covers(false, a1))
				b.want.Draining = map[lb.NodeName]bool{self: true}
				b.want.Addresses = want(wanted(a1, "p1", "p2"))
				b.inform()
				b.receive(onSegment(peer("p2", nil)))
				b.serves("when p1 is dead", nil)
				b.after(tt.after)
				b.receive(onSegment(peer("p2", ownership.Claims{a1: 4})))
				b.serves("when p2 has the address", tt.want)
				b.engine.AddAnnounced(a1)
				b.settle()
				b.serves("when p2 announces it", nil)
			})
		})
	}
}
