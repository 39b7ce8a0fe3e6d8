package layer2_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// A speaker of an older version, which gives no address up, takes an address that self has. It answers
// for the address until the speaker is replaced.
func TestStandoff(t *testing.T) {
	theirs, another := segment.Hardware(mac('2')), segment.Hardware(mac('7'))
	for _, tt := range []struct {
		name     string
		peers    []mesh.Peer
		answers  segment.Hardware // for the address
		goesOn   bool             // the host answers for longer than 250 ms
		concedes bool
	}{
		{"node that goes on has the address conceded", []mesh.Peer{peer("p1", nil)}, theirs, true, true},
		{"node that gives the address up does not", []mesh.Peer{peer("p1", nil)}, theirs, false, false},
		{"host that is no node does not", []mesh.Peer{peer("p1", nil)}, another, true, false},
		{"node that was received from before does not", []mesh.Peer{peer("p1", nil), peer("p2", nil)}, theirs, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.engine.SetHosts(map[lb.NodeName]netip.Addr{"p1": host1, "p2": host2})
				b.want.Addresses, b.view.Peers = want(wanted(a1, self)), tt.peers
				b.inform()
				b.receive(tt.peers...)
				b.view.Missing = missing("p2")
				b.receive(tt.peers[:1]...)
				b.after(5 * time.Second)
				b.segmentIs(nil)
				b.segmentIs(&a1) // a1 is free, and self takes a1
				b.same("where the address is announced before", []string{"eth0"}, b.owned[a1].Interfaces)
				b.engine.AddRival(a1, net.HardwareAddr(tt.answers[:]), mac(1))
				b.after(200 * time.Millisecond)
				b.segmentIs(nil)
				b.same("where the address is announced while the other node may give it up", []string{"eth0"}, b.owned[a1].Interfaces)
				b.after(60 * time.Millisecond)
				if tt.goesOn {
					b.inUse(tt.answers)
				} else {
					b.segmentIs(&a1)
				}
				on, conceded := []string{"eth0"}, layer2.UsedAddresses{}
				if tt.concedes {
					on = nil
					conceded = layer2.UsedAddresses{Count: 1, First: []layer2.AddressUse{{Address: a1, Interface: "eth0", Hardware: tt.answers[:], Node: "p2"}}}
				}
				b.same("where the address is announced when the other node goes on", on, b.owned[a1].Interfaces)
				b.same("what is reported as conceded", conceded, b.reports[len(b.reports)-1].Conceded)
				b.claims("meanwhile", ownership.Active, ownership.Claims{a1: 1})
				b.after(10 * time.Second)
				b.segmentIs(&a1)
				b.same("where the address is announced when no host answers for it any more", []string{"eth0"}, b.owned[a1].Interfaces)
				b.same("what is reported as conceded at the end", layer2.UsedAddresses{}, b.reports[len(b.reports)-1].Conceded)
			})
		})
	}
}

// segmentIs has the node of p2 answer for its own address, and no host for the address free.
func (b *bed) segmentIs(free *netip.Addr) {
	r := segment.Results{
		Reached: map[string]time.Time{"eth0": time.Now()}, NodesAsked: true,
		Nodes: map[netip.Addr]segment.Hardware{host2: segment.Hardware(mac('2'))},
	}
	if free != nil {
		r.Free = map[netip.Addr]time.Time{*free: time.Now()}
	}
	b.engine.SetSegment(r)
	b.settle()
}

// addressesInUse has a host answer for a1 as well.
func (b *bed) inUse(by segment.Hardware) {
	b.engine.SetSegment(segment.Results{
		Reached: map[string]time.Time{"eth0": time.Now()}, NodesAsked: true,
		Nodes: map[netip.Addr]segment.Hardware{host2: segment.Hardware(mac('2'))},
		InUse: map[netip.Addr]segment.AddressUse{a1: {Hardware: by, Link: "eth0", Since: time.Now()}},
	})
	b.settle()
}
