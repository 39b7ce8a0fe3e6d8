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

var (
	host1 = netip.MustParseAddr("192.168.0.11")
	host2 = netip.MustParseAddr("192.168.0.12")
)

// strangers returns a bed of three speakers, of which self has never received from the others. Self
// has taken a1, for which no host answered.
func strangers(t *testing.T, change ...func(*bed)) *bed {
	b := newBed(t)
	b.engine.SetHosts(map[lb.NodeName]netip.Addr{"p1": host1, "p2": host2})
	b.want.Addresses, b.view.Missing = want(wanted(a1, self, "p1")), missing("p1", "p2")
	for _, f := range change {
		f(b)
	}
	b.inform()
	b.after(1900 * time.Millisecond)
	b.reach("eth0")
	b.after(100 * time.Millisecond)
	b.reach("eth0", a1)
	b.serves("when no host answers", on0(false, a1))
	return b
}

// answered has these nodes answer on the segment. All nodes were probed.
func (b *bed) answered(nodes map[netip.Addr]segment.Hardware) {
	r := segment.Results{Reached: map[string]time.Time{"eth0": time.Now()}, Hosts: map[segment.LinkHost]time.Time{}, Nodes: nodes, NodesAsked: true}
	for _, hardware := range nodes {
		r.Hosts[segment.LinkHost{Link: "eth0", Hardware: hardware}] = time.Now()
	}
	b.engine.SetSegment(r)
	b.settle()
}

func TestNodesThatWereNeverReceivedFromAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := strangers(t)
		b.same("what is probed first", "ask [] and nodes [192.168.0.11 192.168.0.12]", b.calls("ask")[0])
		b.forget()
		b.answered(map[netip.Addr]segment.Hardware{host1: segment.Hardware(mac('1'))})
		b.same("the hardware addresses of nodes", []net.HardwareAddr{mac(1), mac('1')}, b.ours)
		b.same("what is announced again", []string{"repeat []"}, b.calls("repeat"))
		b.after(500 * time.Millisecond)
		b.same("the hardware addresses that are saved", []net.HardwareAddr{mac(1)}, b.saved[len(b.saved)-1].Ours)
		b.forget()
		b.answered(map[netip.Addr]segment.Hardware{host1: segment.Hardware(mac('1')), netip.MustParseAddr("192.168.0.99"): {9}})
		b.same("what is called when nothing changes", []string(nil), b.calls("ours", "repeat"))
		b.view.Missing = missing("p2")
		other := peer("p1", nil)
		other.State.Links[0].Hardware[5] = '7'
		b.receive(other)
		b.same("when p1 is received from and has another hardware address", []net.HardwareAddr{mac(1), mac('7')}, b.ours)
	})
}

func TestRivalThatWasNeverReceivedFrom(t *testing.T) {
	p1 := map[netip.Addr]segment.Hardware{host1: segment.Hardware(mac('1'))}
	for _, tt := range []struct {
		name  string
		nodes map[netip.Addr]segment.Hardware
		from  net.HardwareAddr
		stays bool
	}{
		{"its hardware address is lower", p1, mac('1'), false},
		{"its hardware address is not known", nil, mac('1'), true},
		{"it is another host", p1, mac('0'), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := strangers(t)
				for range 10 {
					b.after(600 * time.Millisecond)
					b.answered(tt.nodes)
				}
				for range 3 {
					b.engine.AddRival(a1, tt.from, mac('2'))
					b.after(60 * time.Millisecond)
				}
				_, stays := b.owned[a1]
				b.same("self still has the address", tt.stays, stays)
			})
		})
	}
}

// A node that the majority has never received from gives way as long as it receives the
// announcements of another node.
func TestMajorityAndAHostThatMayBeANode(t *testing.T) {
	for _, tt := range []struct {
		name    string
		peers   []mesh.Peer
		missing []lb.NodeName
		hosts   []net.HardwareAddr // that announce the address in turn
		seconds int
		repeats int
	}{
		{"a node is missing that was never received from", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2"}, []net.HardwareAddr{mac('9')}, 3, 3},
		{"a node is missing that was never received from, and the host announces for a minute", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2"}, []net.HardwareAddr{mac('9')}, 60, 5 + 5},
		{"the same, and two hosts announce in turn", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2"}, []net.HardwareAddr{mac('8'), mac('9')}, 60, 5 + 5},
		{"no node is missing", []mesh.Peer{peer("p1", nil)}, nil, []net.HardwareAddr{mac('9')}, 3, 0},
		{"a node is missing that was received from", []mesh.Peer{peer("p1", nil), peer("p2", nil)}, []lb.NodeName{"p2"}, []net.HardwareAddr{mac('9')}, 3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.want.Addresses, b.view.Peers = want(wanted(a1, self)), tt.peers
				b.inform()
				b.view.Missing = missing(tt.missing...)
				b.receive(tt.peers[:1]...)
				b.after(10 * time.Second)
				b.forget()
				for i := range 10 * tt.seconds {
					b.engine.AddRival(a1, tt.hosts[i%len(tt.hosts)], mac('2'))
					b.after(100 * time.Millisecond)
				}
				b.same("how often the address is announced again", tt.repeats, len(b.calls("repeat")))
				b.serves("", on0(true, a1))
			})
		})
	}
}

// A host that goes on for long does not delay the answer to a node, which gives the address up.
func TestMajorityAnswersANodeWhileAHostGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil), peer("p3", nil))
		b.view.Missing = missing("p3", "p4") // p4 was never received from
		b.receive(peer("p1", nil), peer("p2", nil))
		b.after(10 * time.Second)
		for range 300 {
			b.engine.AddRival(a1, mac('9'), mac('2'))
			b.after(100 * time.Millisecond)
		}
		b.forget()
		b.engine.AddRival(a1, mac('3'), mac('2'))
		b.settle()
		b.same("how often the address is announced again", 1, len(b.calls("repeat")))
	})
}

// An address that an unknown node announces looks like an address without an owner.
func TestMajorityAndAnAddressThatAStrangerMayHave(t *testing.T) {
	answers := func(hardware net.HardwareAddr) segment.Results {
		return segment.Results{
			InUse: map[netip.Addr]segment.AddressUse{a1: {Hardware: segment.Hardware(hardware), Since: time.Now()}},
			Nodes: map[netip.Addr]segment.Hardware{host2: segment.Hardware(mac('2'))}, NodesAsked: true,
		}
	}
	uses := func(last byte, node lb.NodeName) layer2.UsedAddresses {
		return layer2.UsedAddresses{Count: 1, First: []layer2.AddressUse{{Address: a1, Hardware: mac(last), Node: node}}}
	}
	takes, probes := on0(false, a1), on0(true, a1)
	for _, tt := range []struct {
		name    string
		results func() segment.Results
		serves  map[netip.Addr]layer2.Serving
		later   map[netip.Addr]layer2.Serving // after two seconds
		reports layer2.UsedAddresses          // conceded addresses, after two seconds
	}{
		{"before the segment has answered", func() segment.Results { return segment.Results{} }, nil, nil, layer2.UsedAddresses{}},
		{"no host answers", func() segment.Results { return segment.Results{Free: map[netip.Addr]time.Time{a1: time.Now()}} }, takes, takes, layer2.UsedAddresses{}},
		{"the node answers", func() segment.Results { return answers(mac('2')) }, nil, nil, uses('2', "p2")},
		{"the node of a peer answers: at first it may still have the address of its former speaker, later its kernel has it", func() segment.Results { return answers(mac('1')) }, nil, probes, layer2.UsedAddresses{}},
		{"another host answers", func() segment.Results { return answers(mac('9')) }, probes, probes, layer2.UsedAddresses{}},
		{"a host answers before the nodes were probed", func() segment.Results {
			r := answers(mac('9'))
			r.Nodes, r.NodesAsked = nil, false
			return r
		}, nil, nil, layer2.UsedAddresses{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.engine.SetHosts(map[lb.NodeName]netip.Addr{"p1": host1, "p2": host2})
				b.want.Addresses, b.view.Missing, b.view.Peers = want(wanted(a1, self)), missing("p2"), []mesh.Peer{peer("p1", nil)}
				b.inform()
				b.after(3 * time.Second)
				b.same("what is probed", []string{"ask [192.168.1.1] and nodes [192.168.0.12]"}, b.calls("ask"))
				b.engine.SetSegment(tt.results())
				b.settle()
				b.serves("", tt.serves)
				b.after(2 * time.Second)
				b.serves("after two seconds", tt.later)
				b.same("what is reported as conceded", tt.reports, b.reports[len(b.reports)-1].Conceded)
				b.receive(peer("p1", nil), peer("p2", nil))
				b.after(time.Second)
				b.same("what is probed when the node is received from", "ask nothing", b.calls("ask")[len(b.calls("ask"))-1])
			})
		})
	}
}

func TestSurvivorAndAHostThatAnswersForItsAddresses(t *testing.T) {
	host := segment.Hardware(mac('9'))
	for _, tt := range []struct {
		name      string
		detection layer2.Detection
		use       segment.Hardware
		asked     bool
		hosts     map[lb.NodeName]netip.Addr
		takes     bool
	}{
		{"Enforce: self leaves the address", layer2.DetectionEnforce, host, true, map[lb.NodeName]netip.Addr{"p2": host2}, false},
		{"Report: self takes the address", layer2.DetectionReportOnly, host, true, map[lb.NodeName]netip.Addr{"p2": host2}, true},
		{"Off: self takes the address", layer2.DetectionOff, host, true, map[lb.NodeName]netip.Addr{"p2": host2}, true},
		{"Off: the host is a node", layer2.DetectionOff, segment.Hardware(mac('1')), true, map[lb.NodeName]netip.Addr{"p2": host2}, false},
		{"Off: not all nodes were probed", layer2.DetectionOff, host, false, map[lb.NodeName]netip.Addr{"p2": host2}, false},
		{"Off: a node that cannot be probed may be the host", layer2.DetectionOff, host, true, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Self has received from p1, and never from p2.
				b := running(t, want(wanted(a2, "p1", self)), peer("p1", ownership.Claims{a2: 4}))
				b.want.Detection = tt.detection
				b.inform()
				b.engine.SetHosts(tt.hosts)
				b.view.Missing = missing("p1", "p2")
				b.receive()
				for range 20 {
					b.after(100 * time.Millisecond)
					b.engine.SetSegment(segment.Results{Reached: map[string]time.Time{"eth0": time.Now()}, InUse: map[netip.Addr]segment.AddressUse{a2: {Hardware: tt.use, Since: time.Now()}}, NodesAsked: tt.asked})
				}
				b.settle()
				_, takes := b.owned[a2]
				b.same("self takes the address", tt.takes, takes)
			})
		})
	}
}
