package responder

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// results returns the latest results of the probes.
func (b *bed) results() segment.Results {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.segment
}

// asking returns a responder that probes vip and the address of a node.
func asking(t *testing.T, node netip.Addr) *bed {
	b := newBed(t)
	lan, other := eth0, eth1
	lan.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	b.SetLinks([]layer2.Link{other, lan})
	b.SetQuestions(&layer2.Questions{Addresses: map[netip.Addr][]string{vip: {"eth0"}}, Nodes: []netip.Addr{node}})
	return b
}

func TestProbesThatCannotBeSentMakeNoAddressFree(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(b *bed, is bool)
	}{
		{"sending fails", func(b *bed, is bool) {
			b.v4.mu.Lock()
			defer b.v4.mu.Unlock()
			b.v4.broken = is
		}},
		{"the process stood still", func(b *bed, is bool) { b.mute.Store(is) }},
		{"there is no socket", func(b *bed, is bool) {
			links := []layer2.Link{eth0}
			if is {
				links = nil
			}
			b.SetLinks(links)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.SetLinks([]layer2.Link{eth0})
				tt.begin(b, true)
				b.SetQuestions(&layer2.Questions{Addresses: map[netip.Addr][]string{vip: {"eth0"}}})
				defer b.SetQuestions(nil)
				time.Sleep(5 * time.Second)
				equal(t, "free while it lasts", 0, len(b.results().Free))
				if tt.name == "there is no socket" {
					return // the connection of the bed is closed
				}
				tt.begin(b, false)
				time.Sleep(500 * time.Millisecond)
				equal(t, "free half a second later", 1, len(b.results().Free))
			})
		})
	}
}

func TestNodesAreAskedForInTheirSubnet(t *testing.T) {
	for _, tt := range []struct {
		name  string
		node  netip.Addr
		asked bool
	}{
		{"in a subnet of a link", netip.MustParseAddr("192.168.1.11"), true},
		{"elsewhere: a router would answer", netip.MustParseAddr("10.0.0.11"), false},
		{"of a family that the link does not speak", netip.MustParseAddr("2001:db8::11"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := asking(t, tt.node)
				defer b.SetQuestions(nil)
				time.Sleep(time.Second)
				w := b.v4
				_, probed, _ := w.take()
				asked := false
				for _, e := range probed {
					asked = asked || e.Address == tt.node
				}
				equal(t, "asked", tt.asked, asked)
				w.receive(packet.Message{Claims: tt.node, From: tt.node, Sender: stranger})
				time.Sleep(segment.StepInterval)
				_, known := b.results().Nodes[tt.node]
				equal(t, "its hardware address is known", tt.asked, known)
			})
		})
	}
}

// The engine decides which of the hosts are nodes.
func TestAllThatAnnounceAnAddressAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedWith(t, layer2.DetectionOff)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		for range 3 {
			b.v4.claims(vip, stranger)
			b.v4.claims(vip, nodeMAC)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		equal(t, "reported within 20 ms", []packet.MAC{stranger, nodeMAC}, b.rivals)
	})
}
