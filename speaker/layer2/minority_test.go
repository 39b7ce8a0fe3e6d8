package layer2_test

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// survivor returns a bed of three speakers, of which self alone is left and receives from its
// link. Self has a1, and p1 had a2.
func survivor(t *testing.T) *bed {
	b := running(t, want(wanted(a1, self), wanted(a2, "p1", self)), peer("p1", ownership.Claims{a2: 4}), peer("p2", nil))
	b.view.Missing = missing("p1", "p2")
	b.receive()
	b.after(10 * time.Millisecond)
	b.reach("eth0")
	return b
}

func TestSurvivorAsksBeforeItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := survivor(t)
		b.serves("before the segment was probed", on0(true, a1))
		b.same("what is probed", []string{"ask []", "ask [192.168.1.2]"}, b.calls("ask"))
		b.after(400 * time.Millisecond)
		b.reach("eth0")
		b.serves("while hosts may still answer", on0(true, a1))
		b.reach("eth0", a2)
		b.claims("when no host answered", ownership.Active, ownership.Claims{a1: 1, a2: 5})
		b.same("the responder probes the address once more", false, b.owned[a2].First)
		b.same("what is probed afterwards", "ask []", b.calls("ask")[len(b.calls("ask"))-1])
	})
}

// An address in use is taken from a dead node although a host answers for the address that is no
// node. In the majority the address is taken without a probe.
func TestSurvivorAndHostsThatAnswer(t *testing.T) {
	host, node := segment.Hardware{7}, segment.Hardware(mac('1')) // node: p1, which had a2
	for _, tt := range []struct {
		name     string
		epoch    ownership.Epoch // of a2
		answers  segment.Hardware
		notAsked bool
		stranger bool // a speaker is missing that was never received from
		takes    bool
	}{
		{"a host that is no node", 4, host, false, false, true},
		{"a host that may be a node", 4, host, true, false, false},
		{"a host that may be another interface of a node", 4, host, false, true, false},
		{"a node", 4, node, false, false, false},
		{"a host that has a new address", 0, host, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var claims ownership.Claims
				addresses := want(wanted(a1, self))
				if tt.epoch > 0 {
					claims, addresses = ownership.Claims{a2: tt.epoch}, want(wanted(a1, self), wanted(a2, "p1", self))
				}
				b := running(t, addresses, peer("p1", claims), peer("p2", nil))
				b.view.Missing = missing("p1", "p2")
				if tt.stranger {
					b.view.Missing = missing("p1", "p2", "p3")
				}
				b.receive()
				b.want.Addresses = want(wanted(a1, self), wanted(a2, "p1", self))
				b.engine.SetSnapshot(b.want)
				for range 600 {
					b.after(100 * time.Millisecond)
					b.engine.SetSegment(segment.Results{Reached: map[string]time.Time{"eth0": time.Now()}, NodesAsked: !tt.notAsked,
						InUse: map[netip.Addr]segment.AddressUse{a2: {Hardware: tt.answers, Link: "eth0", Since: time.Now()}}})
				}
				b.settle()
				if _, takes := b.owned[a2]; takes != tt.takes {
					t.Errorf("after a minute self has taken the address: %v, want %v", takes, tt.takes)
				}
				var reported layer2.UsedAddresses
				if !tt.takes {
					reported = layer2.UsedAddresses{Count: 1, First: []layer2.AddressUse{{Address: a2, Interface: "eth0", Hardware: tt.answers[:]}}}
					if tt.answers == node {
						reported.First[0].Node = "p1"
					}
				}
				b.same("reported addresses in use", reported, b.reports[len(b.reports)-1].InUse)
			})
		})
	}
}

func TestSurvivorThatNoLongerReceivesStopsAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := survivor(t)
		b.after(segment.ReachedLifetime - 11*time.Millisecond)
		b.serves("just before the last answer is too old", on0(true, a1))
		b.after(11 * time.Millisecond)
		b.silentNow("when the last answer is too old")
		for range 5 {
			b.reach("eth0", a1)
			b.after(500 * time.Millisecond)
		}
		b.claims("when hosts answer again, and none for a1", ownership.Active, ownership.Claims{a1: 2})
	})
}

// A restart that a peer has published is no sign that this node is cut off, also if another peer is dead.
func TestSpeakerThatAPublishedRestartLeavesInAMinorityIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1, p2 := peer("p1", ownership.Claims{a2: 4}), peer("p2", nil)
		b := running(t, want(wanted(a1, self), wanted(a2, "p1", self)), p1, p2)
		b.view.Missing = missing("p2")
		b.receive(p1)
		b.receive(in(ownership.Restarting, p1))
		covers := layer2.Serving{Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": mac('1')}}
		both := map[netip.Addr]layer2.Serving{a1: on0(true, a1)[a1], a2: covers}
		for range 10 {
			b.after(100 * time.Millisecond)
			b.serves("while p1 restarts and no host answers", both)
		}
		b.view.Missing = missing("p1", "p2")
		b.receive()
		b.silentNow("when p1 is found dead")
	})
}

// twoLinks returns a survivor with two links. Of these eth1 is in the subnet of a1 and a2, and has no
// host that answers.
func twoLinks(t *testing.T) *bed {
	b := newBed(t)
	lan := eth("eth1", 4)
	lan.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	b.links = append(b.links, lan)
	b.want.Addresses, b.view.Peers = want(wanted(a1, self), wanted(a2, "p1", self)), []mesh.Peer{peer("p1", nil), peer("p2", nil)}
	b.inform()
	b.after(time.Second)
	e := layer2.Serving{Interfaces: []string{"eth1"}, First: true}
	b.serves("at first", map[netip.Addr]layer2.Serving{a1: e, a2: e})
	b.view.Missing = missing("p1", "p2")
	b.receive()
	for range 4 {
		b.after(100 * time.Millisecond)
		b.reach("eth0")
	}
	return b
}

func (b *bed) reachBoth(free ...netip.Addr) {
	r := segment.Results{Reached: map[string]time.Time{"eth0": time.Now(), "eth1": time.Now()}, Free: map[netip.Addr]time.Time{}}
	for _, a := range free {
		r.Free[a] = time.Now()
	}
	b.engine.SetSegment(r)
	b.settle()
}

func TestSurvivorOnASegmentOnWhichNoHostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := twoLinks(t)
		b.serves("while no host answers on eth1", nil)
		b.same("reported links without an answer", []string{"eth1"}, b.reports[len(b.reports)-1].Silent)
		last := func() string { return b.calls("ask")[len(b.calls("ask"))-1] }
		b.same("what is probed", "ask [] and await [192.168.1.1 192.168.1.2]", last())
		b.reachBoth()
		b.serves("when a host has requested an address, before the segment was probed", nil)
		b.same("what is probed", "ask [192.168.1.1 192.168.1.2]", last())
		b.after(350 * time.Millisecond)
		b.reachBoth(a1, a2)
		e := layer2.Serving{Interfaces: []string{"eth1"}}
		b.serves("when no host has answered for the addresses", map[netip.Addr]layer2.Serving{a1: e, a2: e})
		b.same("reported links without an answer", []string(nil), b.reports[len(b.reports)-1].Silent)
	})
}

// On a link on which no host answered, another node may announce the addresses that self has on other links.
func TestSurvivorAsksBeforeItAnnouncesOnAnotherLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.links = append(b.links, eth("eth1", 4))
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", nil), peer("p2", nil)}
		b.inform()
		b.after(time.Second)
		on := func(links ...string) map[netip.Addr]layer2.Serving {
			return map[netip.Addr]layer2.Serving{a1: {Interfaces: links, First: true}}
		}
		b.serves("at first", on("eth0", "eth1"))
		b.view.Missing = missing("p1", "p2")
		b.receive()
		for range 4 {
			b.after(100 * time.Millisecond)
			b.reach("eth0", a1)
		}
		b.serves("while no host answers on eth1", on("eth0"))
		b.reachBoth(a1)
		b.serves("when a host answers, before the address was probed there", on("eth0"))
		b.after(350 * time.Millisecond)
		b.reachBoth()
		b.serves("while another node may have the address", on("eth0"))
		b.reachBoth(a1)
		b.serves("when no host has answered for the address", on("eth0", "eth1"))
	})
}

// Otherwise self would have to begin again when the starting speaker does not take the address.
func TestSurvivorThatProbesIsNotPassedOverForAStartingSpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a3 := netip.MustParseAddr("192.168.1.3")
		b := survivor(t)
		b.want.Addresses = want(wanted(a1, self), wanted(a2, "p1", self), wanted(a3, "p3", self))
		b.engine.SetSnapshot(b.want)
		b.after(200 * time.Millisecond)
		b.reach("eth0")
		b.receive(in(ownership.Starting, peer("p3", nil)))
		b.after(200 * time.Millisecond)
		b.reach("eth0", a3)
		b.claims("when no host has answered", ownership.Active, ownership.Claims{a1: 1, a3: 1})
	})
}

func TestAResultIsNoResultForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := survivor(t)
		free := segment.Results{Reached: map[string]time.Time{"eth0": time.Now().Add(time.Hour)}, Free: map[netip.Addr]time.Time{a2: time.Now().Add(-segment.FreeLifetime)}}
		b.after(300 * time.Millisecond)
		b.engine.SetSegment(free)
		b.settle()
		b.serves("when a2 was free a second ago", on0(true, a1))
	})
}

func TestMajority(t *testing.T) {
	restarting := in(ownership.Restarting, peer("p9", nil))
	another := in(ownership.Restarting, peer("p91", nil))
	back := another
	back.Starting = true
	late := peer("p8", nil)
	late.Late = true
	tests := []struct {
		name    string
		peers   []mesh.Peer
		missing []lb.NodeName
		down    map[lb.NodeName]bool
		asks    bool
	}{
		{"two of three", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2"}, nil, false},
		{"one of two", nil, []lb.NodeName{"p1"}, nil, true},
		{"one of two, and the node of the other is NotReady", nil, []lb.NodeName{"p1"}, map[lb.NodeName]bool{"p1": true}, true},
		{"two of four", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2", "p3"}, nil, true},
		{"a restarting speaker is left out", []mesh.Peer{restarting}, nil, nil, false},
		{"one of two restarting speakers counts", []mesh.Peer{restarting, another}, nil, nil, true},
		{"one of two restarting speakers counts, and another is received from", []mesh.Peer{peer("p1", nil), restarting, another}, nil, nil, false},
		{"one of two restarting speakers has a new process", []mesh.Peer{restarting, back}, nil, nil, false},
		{"a restarting speaker has a new process, and another speaker is missing", []mesh.Peer{back}, []lb.NodeName{"p1"}, nil, false},
		{"a restarting speaker is not received from", []mesh.Peer{restarting}, []lb.NodeName{"p1"}, nil, true},
		{"a late speaker is not received from", []mesh.Peer{late, peer("p1", nil)}, []lb.NodeName{"p2"}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil))
				b.want.Down = tt.down
				b.inform()
				b.forget()
				b.view.Missing = missing(tt.missing...)
				b.receive(tt.peers...)
				b.same("self probes the segment", tt.asks, len(b.calls("ask")) > 0)
			})
		})
	}
}

func TestSpeakerInTheMajorityAgainWaitsForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := survivor(t)
		b.view.Missing = missing("p1")
		b.receive(peer("p2", nil))
		b.serves("while p1 may be received from as well", on0(true, a1))
		for range 19 {
			b.after(100 * time.Millisecond)
			b.reach("eth0")
		}
		b.serves("while p1 may be received from as well", on0(true, a1))
		b.after(100 * time.Millisecond)
		b.claims("when p1 was not received from", ownership.Active, ownership.Claims{a1: 1, a2: 5})
		b.same("what is probed at the end", "ask nothing", b.calls("ask")[len(b.calls("ask"))-1])
	})
}

func TestRivals(t *testing.T) {
	lower, own, higher := mac('1'), mac('2'), mac('3') // of p1, self and p3
	tests := []struct {
		name     string
		alone    bool
		receives []net.HardwareAddr // sources of announcements, 60 ms apart
		stays    bool
		since    bool // the announcements came before self was alone
	}{
		{"a node with a lower hardware address has the address", true, []net.HardwareAddr{lower}, false, false},
		{"a node with a higher hardware address does not", true, []net.HardwareAddr{higher, higher}, true, false},
		{"a node with a higher hardware address that insists does", true, []net.HardwareAddr{higher, higher, higher}, false, false},
		{"a node with a lower one that announced before self was alone does", true, []net.HardwareAddr{lower}, false, true},
		{"a node with a higher one that insisted before self was alone does", true, []net.HardwareAddr{higher, higher, higher}, false, true},
		{"a node with a higher one that announced once before does not", true, []net.HardwareAddr{higher}, true, true},
		{"in the majority self still has the address", false, []net.HardwareAddr{lower, lower, lower}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p3", nil))
				b.after(10 * time.Second) // self has not taken the address recently
				alone := func() {
					b.view.Missing = missing("p1", "p3")
					b.receive()
				}
				if tt.alone && !tt.since {
					alone()
				}
				for _, hardware := range tt.receives {
					b.after(60 * time.Millisecond)
					b.reach("eth0")
					b.engine.AddRival(a1, hardware, own)
				}
				b.settle()
				if tt.alone && tt.since {
					alone()
					b.settle()
				}
				_, stays := b.owned[a1]
				b.same("self still has the address", tt.stays, stays)
			})
		})
	}
}

// Two speakers that receive nothing from each other: while one of them stands still the other takes what it
// has, and nobody is there to be asked in the mesh.
func TestMinority_AsksTheSegmentWhenItStoodStill(t *testing.T) {
	other := segment.Hardware(mac('1'))
	for _, tt := range []struct {
		name   string
		answer segment.Results
		want   map[netip.Addr]layer2.Serving
	}{
		{"no host answers", segment.Results{Free: map[netip.Addr]time.Time{a1: {}}}, on0(true, a1)},
		{"the other node answers", segment.Results{InUse: map[netip.Addr]segment.AddressUse{a1: {Hardware: other, Link: "eth0"}}}, map[netip.Addr]layer2.Serving{a1: {First: true}}},
		{"a foreign host answers", segment.Results{InUse: map[netip.Addr]segment.AddressUse{a1: {Hardware: segment.Hardware(mac('x')), Link: "eth0"}}}, on0(true, a1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self, "p1")), peer("p1", nil), peer("p2", nil))
				b.view.Missing = missing("p1", "p2")
				b.receive()
				b.after(10 * time.Millisecond)
				b.reach("eth0", a1)
				b.after(500 * time.Millisecond)
				b.reach("eth0", a1)
				b.serves("before", on0(true, a1))
				b.view.Stalls++
				b.receive()
				b.serves("at once", map[netip.Addr]layer2.Serving{a1: {First: true}})
				b.same("states that were published", 0, len(b.states))
				b.after(350 * time.Millisecond)
				tt.answer.Reached, tt.answer.NodesAsked = map[string]time.Time{"eth0": time.Now()}, true
				for a := range tt.answer.Free {
					tt.answer.Free[a] = time.Now()
				}
				b.engine.SetSegment(tt.answer)
				b.settle()
				b.serves("when it has asked", tt.want)
			})
		})
	}
}

func TestRivals_WhileViewIsUnchecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p3", nil))
		b.after(10 * time.Second)
		b.view.Missing = missing("p1", "p3")
		b.receive()
		b.after(60 * time.Millisecond)
		b.reach("eth0")
		b.view.Checked = false
		b.receive()
		b.engine.AddRival(a1, mac('1'), mac('2'))
		b.settle()
		b.view.Checked = true
		b.receive()
		_, stays := b.owned[a1]
		b.same("self still has the address", false, stays)
	})
}

// partitioned returns a bed of three speakers, of which self is in a minority since the returned
// time. Self has a1, which p1 may announce as well, and a2, which self alone may announce.
func partitioned(t *testing.T) (*bed, time.Time) {
	b := running(t, want(wanted(a1, self, "p1"), wanted(a2, self)), peer("p1", nil), peer("p2", nil))
	b.view.Missing = missing("p1", "p2")
	b.receive()
	b.after(10 * time.Millisecond)
	b.reach("eth0")
	since := b.reports[len(b.reports)-1].MinoritySince
	b.same("start of the minority", time.Now().Truncate(time.Second), since)
	return b, since
}

// stay advances the time until reports of the controller about the minority count.
func (b *bed) stay() {
	for range 2 {
		b.after(600 * time.Millisecond)
		b.reach("eth0")
	}
}

func TestSpeakerThatIsCutFromALargerGroup(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(b *bed, since time.Time)
		want  map[netip.Addr]layer2.Serving
		early bool
	}{
		{"self gives up addresses that the others may announce, and no others", func(b *bed, since time.Time) { b.engine.SetPartitioned(since) }, on0(true, a2), false},
		{"a report from before the others can have reported that they are isolated does not count", func(b *bed, since time.Time) { b.engine.SetPartitioned(since) }, on0(true, a1, a2), true},
		{"a report about an earlier minority does not count", func(b *bed, since time.Time) { b.engine.SetPartitioned(since.Add(-time.Second)) }, on0(true, a1, a2), false},
		{"self is not cut from the others any more", func(b *bed, since time.Time) {
			b.engine.SetPartitioned(since)
			b.engine.SetPartitioned(time.Time{})
		}, on0(true, a1, a2), false},
		{"the node that may announce an address is down", func(b *bed, since time.Time) {
			b.want.Down = map[lb.NodeName]bool{"p1": true}
			b.inform()
			b.engine.SetPartitioned(since)
		}, on0(true, a1, a2), false},
		{"self receives from most of the speakers", func(b *bed, since time.Time) {
			b.view.Missing = missing("p1")
			b.receive(peer("p2", nil))
			b.engine.SetPartitioned(since)
		}, on0(true, a1, a2), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, since := partitioned(t)
				if !tt.early {
					b.stay()
				}
				tt.write(b, since)
				b.stay()
				b.serves("", tt.want)
			})
		})
	}
}

func TestSpeakerThatIsCutFromALargerGroupTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, since := partitioned(t)
		b.stay()
		b.engine.SetPartitioned(since)
		for range 299 {
			b.after(100 * time.Millisecond)
			b.reach("eth0", a1)
		}
		b.serves("while the report counts", on0(true, a2))
		b.same("reported as partitioned", true, b.reports[len(b.reports)-1].Partitioned)
		b.after(100 * time.Millisecond)
		b.reach("eth0", a1)
		b.claims("half a minute after the last report", ownership.Active, ownership.Claims{a1: 2, a2: 1})
	})
}

// Where a firewall or another key separates speakers, their nodes answer on the segment, and so do
// speakers that announce.
func TestSpeakerThatIsCutFromALargerGroupInTheMeshAlone(t *testing.T) {
	p1, p2 := segment.Hardware(mac('1')), segment.Hardware(mac('2'))
	for _, tt := range []struct {
		name    string
		answers segment.Hardware
		on      string // a link; empty: eth0
		before  time.Duration
		want    map[netip.Addr]layer2.Serving
	}{
		{"the node that may announce a1 answers", p1, "", 0, on0(true, a1, a2)},
		{"that node answered before its speaker was missing", p1, "", 20 * time.Millisecond, on0(true, a2)},
		{"that node answers on the segment of another link", p1, "eth1", 0, on0(true, a2)},
		{"a node answers whose speaker is missing as well, as on this side of the cut", p2, "", 0, on0(true, a2)},
		{"a host answers that is no node", segment.Hardware{9}, "", 0, on0(true, a2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, since := partitioned(t)
				at := time.Now().Add(-tt.before)
				b.engine.SetSegment(segment.Results{Reached: map[string]time.Time{"eth0": at}, Hosts: map[segment.LinkHost]time.Time{{Link: cmp.Or(tt.on, "eth0"), Hardware: tt.answers}: at}})
				b.settle()
				b.stay() // without an answer of the host
				b.engine.SetPartitioned(since)
				b.settle()
				b.serves("", tt.want)
			})
		})
	}
}

// Two parts of a segment become one while the mesh is still cut: the owner in either part announces its addresses, so
// that one of the two gives them up. Answers that come in turn, among many nodes, show no such thing.
func TestMinority_AnnouncesAgainWhenANodeAnswersThatWasSilent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []time.Duration // of p1, since self misses it
		want    int
	}{
		{"p1 is silent", nil, 0},
		{"p1 answers from the start, as behind a firewall", []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 13 * time.Second}, 0},
		{"p1 answers after a while, and goes on", []time.Duration{5 * time.Second, 5200 * time.Millisecond, 18 * time.Second}, 1},
		{"p1 is silent once more", []time.Duration{5 * time.Second, 25 * time.Second}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := partitioned(t)
				begun, hosts := time.Now(), map[segment.LinkHost]time.Time{}
				b.forget()
				for range 300 {
					b.after(100 * time.Millisecond)
					if slices.Contains(tt.answers, time.Since(begun)) {
						hosts[segment.LinkHost{Link: "eth0", Hardware: segment.Hardware(mac('1'))}] = time.Now()
					}
					b.engine.SetSegment(segment.Results{Reached: map[string]time.Time{"eth0": time.Now()}, Hosts: maps.Clone(hosts)})
				}
				b.settle()
				b.same("what is repeated", slices.Repeat([]string{"repeat [192.168.1.1 192.168.1.2]"}, tt.want), b.calls("repeat"))
			})
		})
	}
}

// The next processes of two peers begin while the segment is asked after a stall: self is in the majority, and
// nothing is asked any more.
func TestMinority_ThatEndsWhileTheSegmentIsAskedAfterAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		restarting := func(starting bool) (peers []mesh.Peer) {
			for _, name := range []lb.NodeName{"p1", "p2", "p3"} {
				p := in(ownership.Restarting, peer(name, nil))
				p.Starting = starting
				peers = append(peers, p)
			}
			return peers
		}
		b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil), peer("p3", nil))
		b.receive(restarting(false)...)
		b.after(10 * time.Millisecond)
		b.reach("eth0")
		b.serves("in the minority", on0(true, a1))
		b.view.Stalls++
		b.receive(restarting(false)...)
		b.serves("after a stall", map[netip.Addr]layer2.Serving{a1: {First: true}})
		b.same("what is reported meanwhile", []string{"eth0"}, b.reports[len(b.reports)-1].Owned[0].Interfaces)
		b.receive(restarting(true)...)
		b.serves("in the majority", on0(true, a1))
	})
}

// A node whose speaker was missing for a while before the cut answered then: that shows nothing about the cut.
func TestMinority_AnswersFromAnEarlierTimeDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, since := partitioned(t)
		answer := func() {
			at := time.Now()
			b.engine.SetSegment(segment.Results{Reached: map[string]time.Time{"eth0": at}, Hosts: map[segment.LinkHost]time.Time{{Link: "eth0", Hardware: segment.Hardware(mac('1'))}: at}})
			b.settle()
		}
		b.after(10 * time.Millisecond)
		answer()
		b.view.Missing = missing("p2", "p3")
		b.receive(peer("p1", nil))
		b.after(10 * time.Millisecond)
		answer()
		b.after(10 * time.Millisecond)
		b.view.Missing = missing("p1", "p2", "p3")
		b.receive()
		b.stay()
		b.engine.SetPartitioned(since)
		b.settle()
		b.serves("when p1 is missing again", on0(true, a2))
	})
}

// Restarted speakers may be back in a mesh that self is not in. The announcements of their nodes
// count as those of others that self receives nothing from.
func TestRivals_ThatRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p3", nil))
		b.after(10 * time.Second)
		b.receive(in(ownership.Restarting, peer("p1", nil)), in(ownership.Restarting, peer("p3", nil)))
		for range 3 {
			b.after(60 * time.Millisecond)
			b.reach("eth0")
			b.engine.AddRival(a1, mac('3'), mac('2'))
		}
		b.settle()
		_, stays := b.owned[a1]
		b.same("self still has the address", false, stays)
	})
}

// An answer on a link without announced addresses does not show that others receive the announcements
// of self.
func TestOnlyLinksOfTheAddressesCount(t *testing.T) {
	subnet := func(l layer2.Link, prefix string) layer2.Link {
		l.Prefixes = []netip.Prefix{netip.MustParsePrefix(prefix)}
		return l
	}
	lan, other, pods := subnet(eth("eth0", 1), "192.168.1.0/24"), subnet(eth("eth1", 2), "10.0.0.0/24"), subnet(eth("cni0", 3), "10.244.0.0/24")
	pods.Internal = true
	for _, tt := range []struct {
		name     string
		links    []layer2.Link
		want     []ownership.Address
		answers  string // the link of the host that answers
		isolated bool
	}{
		{"pods of self answer", []layer2.Link{lan, pods}, want(wanted(a1, self)), "cni0", true},
		{"pods of self answer, and self announces no address", []layer2.Link{lan, pods}, want(wanted(a1, "p1")), "cni0", true},
		{"pods of self answer, and the link of the addresses is lost", []layer2.Link{pods}, want(wanted(a1, self)), "cni0", true},
		{"hosts of another network answer", []layer2.Link{lan, other}, want(wanted(a1, self)), "eth1", true},
		{"hosts of another network answer, and self announces no address", []layer2.Link{lan, other}, want(wanted(a1, "p1")), "eth1", false},
		{"hosts of the network of the addresses answer", []layer2.Link{lan, other, pods}, want(wanted(a1, self)), "eth0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.links, b.want.Addresses, b.view.Peers = tt.links, tt.want, []mesh.Peer{peer("p1", nil), peer("p2", nil)}
				b.inform()
				b.after(5 * time.Second)
				b.view.Missing = missing("p1", "p2")
				b.receive()
				for range 5 {
					b.after(100 * time.Millisecond)
					b.reach(tt.answers)
				}
				b.same("the phase", map[bool]string{true: "Isolated", false: "Active"}[tt.isolated], b.reports[len(b.reports)-1].Phase)
			})
		})
	}
}
