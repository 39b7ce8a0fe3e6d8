package responder

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestAnnouncementSchedule(t *testing.T) {
	links := []layer2.Link{eth0}
	tests := []struct {
		name string
		play func(*bed)
		want []time.Duration
	}{
		{name: "a take-over is announced at once and again", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
		}, want: ms(0, 50, 200, 1100, 2200, 5000)},
		{name: "a lost address is announced no more", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
			time.Sleep(300 * time.Millisecond)
			b.SetServed(nil)
		}, want: ms(0, 50, 200)},
		{name: "the schedule of an address that is taken again begins anew, once", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
			time.Sleep(100 * time.Millisecond)
			b.SetServed(nil)
			b.SetServed(owns("eth0"))
		}, want: ms(0, 50, 100, 150, 300, 1200, 2300, 5100)},
		{name: "setting the same again announces nothing", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
			time.Sleep(10 * time.Second)
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
		}, want: ms(0, 50, 200, 1100, 2200, 5000)},
		{name: "owned addresses are announced on a link that comes up", play: func(b *bed) {
			b.SetServed(owns("eth0"))
			time.Sleep(10 * time.Second)
			b.SetLinks(links)
		}, want: ms(10000, 10050, 10200, 11100, 12200, 15000)},
		{name: "an address is not announced on other links than its own", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth1"))
		}},
		{name: "an address is announced on an added interface, and not again on the interface before", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth1"))
			time.Sleep(10 * time.Second)
			b.SetServed(owns("eth0", "eth1"))
			time.Sleep(time.Second)
			b.SetServed(owns("eth0"))
		}, want: ms(10000, 10050, 10200, 11100, 12200, 15000)},
		{name: "nothing is announced on a link without IPv4", play: func(b *bed) {
			mute := eth0
			mute.IPv4 = false
			b.SetLinks([]layer2.Link{mute})
			b.SetServed(owns("eth0"))
		}},
		{name: "a process that may not answer announces nothing", play: func(b *bed) {
			b.SetLinks(links)
			b.mute.Store(true)
			b.SetServed(owns("eth0"))
			time.Sleep(time.Second)
			b.mute.Store(false)
		}, want: ms(1100, 2200, 5000)},
		{name: "an address is repeated from the beginning", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
			time.Sleep(time.Second)
			b.Repeat(vip, vip2)
		}, want: ms(0, 50, 200, 1000, 1050, 1200, 2100, 3200, 6000)},
		{name: "all addresses are repeated", play: func(b *bed) {
			b.SetLinks(links)
			b.SetServed(owns("eth0"))
			time.Sleep(10 * time.Second)
			b.Repeat()
		}, want: ms(0, 50, 200, 1100, 2200, 5000, 10000, 10050, 10200, 11100, 12200, 15000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				tt.play(b)
				time.Sleep(15 * time.Second) // after the burst, before the first refresh
				equal(t, "announced at", tt.want, b.v4.times())
				if announced, _, _ := b.v6.take(); announced != nil {
					t.Errorf("announced over NDP: %v", announced)
				}
			})
		})
	}
}

func TestIPv6IsAnnouncedOverNDP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0, eth1})
		b.SetServed(map[netip.Addr]layer2.Serving{vip6: {Interfaces: []string{"eth0", "eth1"}}})
		equal(t, "announced when SetOwned returned", ms(0), b.v6.times())
		b.v6.asks(vip6)
		_, _, answered := b.v6.take()
		equal(t, "answered", []answer{{vip6, ours}}, answered)
		equal(t, "watched", []netip.Addr{vip6}, b.v6.watched)
		equal(t, "watched for IPv4", []netip.Addr{}, b.v4.watched)
	})
}

func TestAnswersForOwnedAddressesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0, eth1})
		b.v4.asks(vip)
		b.SetServed(owns("eth0"))
		b.v4.asks(vip)
		b.v4.asks(vip2)
		b.v4.receive(packet.Message{})                                        // malformed
		b.v4.receive(packet.Message{Asks: vip, Probe: true, Sender: nodeMAC}) // a probe is answered
		b.v4.claims(vip, nodeMAC)                                             // an announcement is no request
		b.second.asks(vip)
		b.mute.Store(true)
		b.v4.asks(vip)
		b.mute.Store(false)
		b.v4.asks(vip)
		b.SetServed(nil)
		b.v4.asks(vip)
		_, _, answered := b.v4.take()
		equal(t, "answered", []answer{{vip, ours}, {vip, ours}, {vip, ours}}, answered)
		_, _, answered = b.second.take()
		equal(t, "answered on a link that it is not for", nil, answered)
		equal(t, "metrics", map[string]float64{
			"arp_requests_received_total": 9, "arp_requests_answered_total": 3, "arp_requests_ignored_total": 6, "arp_malformed_total": 1,
			"duplicate_owners_total": 1, "packets_dropped_total": 3, "announcements_sent_total": 1,
		}, b.counted(t))
	})
}

// counted returns the metrics that are not zero.
func (b *bed) counted(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		if value := m.GetCounter().GetValue() + m.GetGauge().GetValue(); value != 0 {
			counted[f.GetName()[len("lbstack_layer2_"):]] = value
		}
	}
	return counted
}

func TestLostAddressIsNotAnsweredForOnceSetOwnedHasReturned(t *testing.T) {
	b := newBed(t)
	b.v4.hang = make(chan struct{})
	b.SetLinks([]layer2.Link{eth0})
	b.SetServed(owns("eth0"))
	p := b.ports[portKey{link: "eth0"}]
	b.v4.in <- packet.Message{Asks: vip, From: asker, Sender: stranger}
	for p.answering.Load()%2 == 0 {
		runtime.Gosched()
	}
	returned := make(chan struct{})
	go func() {
		b.SetServed(nil)
		close(returned)
	}()
	for range 1000 {
		runtime.Gosched()
		select {
		case <-returned:
			t.Fatal("SetOwned returned while an answer was on its way")
		default:
		}
	}
	close(b.v4.hang)
	<-returned
	_, _, answered := b.v4.take()
	equal(t, "answered", []answer{{vip, ours}}, answered)
}

func TestAnotherNodesAddressIsAnsweredForWithItsMAC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0, eth1})
		covered := layer2.Serving{Interfaces: []string{"eth0"}, First: true, For: map[string]net.HardwareAddr{"eth0": nodeMAC.Hardware()}}
		b.SetServed(map[netip.Addr]layer2.Serving{vip: covered, vip6: covered})
		for _, w := range []*wire{b.v4, b.v6} {
			w.claims(w.watched[0], nodeMAC)
			w.claims(w.watched[0], stranger)
			w.asks(w.watched[0])
		}
		b.Repeat()
		b.Repeat(vip)
		b.SetLinks([]layer2.Link{eth1})
		time.Sleep(time.Second)
		for _, w := range []*wire{b.v4, b.v6} {
			announced, probed, answered := w.take()
			equal(t, "announced", nil, announced)
			equal(t, "probed", nil, probed)
			// The announcement of the foreign host is a request for the address as well.
			equal(t, "answered", []answer{{w.watched[0], nodeMAC}, {w.watched[0], nodeMAC}}, answered)
		}
		equal(t, "conflicts", nil, b.reports())
	})
}

func TestCovering_NodeThatRunsAgainHasToAnnounce(t *testing.T) {
	cover := func(returned bool) map[netip.Addr]layer2.Serving {
		o := layer2.Serving{Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": nodeMAC.Hardware()}, Returned: returned}
		return map[netip.Addr]layer2.Serving{vip: o, vip6: o}
	}
	announcement := packet.Message{Asks: vip, Claims: vip, From: vip, Sender: nodeMAC}
	other := packet.MAC{2, 0, 0, 0, 0, 3}
	for _, tt := range []struct {
		name  string
		sends []packet.Message
		want  []netip.Addr
	}{
		{"announcement", []packet.Message{announcement}, []netip.Addr{vip}},
		{"answer", []packet.Message{{Claims: vip, From: vip, Sender: nodeMAC}}, []netip.Addr{vip}},
		{"several announcements are reported once", []packet.Message{announcement, announcement}, []netip.Addr{vip}},
		{"answer of another speaker on behalf of the node", []packet.Message{{Claims: vip, From: vip, Sender: nodeMAC, Via: other}}, nil},
		{"announcement of another node", []packet.Message{{Asks: vip, Claims: vip, From: vip, Sender: other}}, nil},
		{"announcement of a foreign host", []packet.Message{{Asks: vip, Claims: vip, From: vip, Sender: stranger}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.SetNodeHardware([]net.HardwareAddr{ours.Hardware(), nodeMAC.Hardware(), other.Hardware()})
				b.SetLinks([]layer2.Link{eth0})
				b.SetServed(cover(false))
				b.v4.receive(announcement)
				time.Sleep(10 * time.Second)
				equal(t, "reported while it restarts", nil, b.returned)
				_, probed, _ := b.v4.take()
				equal(t, "probed while it restarts", nil, probed)
				b.SetServed(cover(true))
				for _, m := range tt.sends {
					b.v4.receive(m)
				}
				equal(t, "reported", tt.want, b.returned)
				b.v4.take()
				time.Sleep(3*time.Second + time.Millisecond)
				_, probed, _ = b.v4.take()
				if asks := len(probed) > 0; asks != (tt.want == nil) || len(probed) > 4 {
					t.Errorf("got %d requests to the node in three seconds, want one each second until it has announced, and none afterwards", len(probed))
				}
				if _, probed, _ = b.v6.take(); len(probed) == 0 {
					t.Error("got no request to the node for the IPv6 address")
				}
				b.v4.asks(vip)
				_, _, answered := b.v4.take()
				if want := (answer{vip, nodeMAC}); len(answered) == 0 || answered[len(answered)-1] != want {
					t.Errorf("answered %v, want %v", answered, want)
				}
			})
		})
	}
}

func TestCovering_NodeThatDoesNotAnswerIsProbedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		asked := func(within time.Duration) int {
			b.v4.take()
			time.Sleep(within)
			_, probed, _ := b.v4.take()
			return len(probed)
		}
		cover := func(returned bool) {
			b.SetServed(map[netip.Addr]layer2.Serving{vip: {Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": nodeMAC.Hardware()}, Returned: returned}})
		}
		for _, restart := range []string{"first", "second"} {
			cover(false)
			time.Sleep(time.Minute + time.Millisecond)
			cover(true)
			equal(t, "probes in 10 s after the "+restart+" restart", 10, asked(10*time.Second))
			equal(t, "probes in 5 min after that", 10, asked(5*time.Minute))
		}
	})
}

func TestSpeakerThatStopsCoveringAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(map[netip.Addr]layer2.Serving{vip: {Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": nodeMAC.Hardware()}}})
		time.Sleep(time.Second)
		b.SetServed(owns("eth0"))
		equal(t, "announced at", ms(1000), b.v4.times())
		b.v4.asks(vip)
		_, _, answered := b.v4.take()
		equal(t, "answered", []answer{{vip, ours}}, answered)
		b.SetServed(map[netip.Addr]layer2.Serving{vip: {Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": nodeMAC.Hardware()}}})
		time.Sleep(time.Minute)
		equal(t, "announced for another", nil, b.v4.times())
	})
}

func TestOwnedAddressesAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		time.Sleep(10 * time.Second)
		b.v4.take()
		time.Sleep(10 * time.Minute)
		repeated := b.v4.times()
		var before time.Duration
		for _, at := range repeated {
			if pause := at - before; pause < 30*time.Second || pause > 51*time.Second {
				t.Errorf("repeated after %s, want 30 to 50 s", pause)
			}
			before = at
		}
		if len(repeated) < 11 {
			t.Errorf("repeated %d times in ten minutes, want it each 40 s", len(repeated))
		}
		b.SetServed(nil)
		time.Sleep(10 * time.Minute)
		equal(t, "announced after it was lost", nil, b.v4.times())
	})
}

func TestManyAddressesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		owned := map[netip.Addr]layer2.Serving{}
		for i := range 1000 {
			owned[netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})] = layer2.Serving{Interfaces: []string{"eth0"}}
		}
		b.SetServed(owned)
		announced, _, _ := b.v4.take()
		if took := time.Since(b.v4.start); len(announced) != 1000 || took > 80*time.Millisecond || took < 50*time.Millisecond {
			t.Errorf("the first round: %d addresses in %s, want 1000 in some 62 ms", len(announced), took)
		}
		time.Sleep(10 * time.Second)
		b.v4.take()
		latest := netip.AddrFrom4([4]byte{10, 9, 9, 9})
		owned[latest] = layer2.Serving{Interfaces: []string{"eth0"}}
		b.SetServed(owned)
		time.Sleep(10 * time.Second)
		b.v4.take()
		begin := time.Since(b.v4.start)
		time.Sleep(time.Minute)
		announced, _, _ = b.v4.take()
		if len(announced) < 1001 || announced[0].Address != latest {
			t.Fatalf("%d addresses were repeated, want 1001, the last moved first", len(announced))
		}
		if took := announced[1000].At - announced[0].At; took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("a refresh of 1001 addresses took %s from %s on, want 2 s", took, begin)
		}
	})
}

func TestLink_ThatCannotBeOpenedIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		var unserved [][]layer2.UnservedLink
		r := New(t.Context(), logr.Discard(), Options{
			ARP: func(layer2.Link) (Conn, error) {
				if works.Load() {
					return newWire(), nil
				}
				return nil, errors.New("not permitted")
			},
			NDP:     func(layer2.Link) (Conn, error) { return newWire(), nil },
			Metrics: NewMetrics(prometheus.NewRegistry()), Unserved: func(list []layer2.UnservedLink) { unserved = append(unserved, list) },
		})
		is := func(what string, want ...[]layer2.UnservedLink) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, unserved, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			unserved = nil
		}
		r.SetLinks([]layer2.Link{eth0, eth1})
		both := []layer2.UnservedLink{{Interface: "eth0", Problem: "not permitted"}, {Interface: "eth1", Problem: "not permitted"}}
		is("when two links cannot be opened", both)
		time.Sleep(3 * reopenBackoff.First)
		is("when they cannot still")
		r.SetLinks([]layer2.Link{eth0})
		is("when one is gone", both[:1])
		works.Store(true)
		time.Sleep(reopenBackoff.Last)
		is("when it can be opened", nil)
	})
}

func TestALinkThatCannotBeOpenedIsTriedEverMoreSeldomAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, lines := 0, 0
		log := funcr.New(func(string, string) { lines++ }, funcr.Options{})
		r := New(t.Context(), log, Options{
			ARP:     func(layer2.Link) (Conn, error) { attempts++; return nil, errors.New("not permitted") },
			Metrics: NewMetrics(prometheus.NewRegistry()),
		})
		r.SetLinks([]layer2.Link{eth0})
		time.Sleep(10 * time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if attempts < 20 || attempts > 35 || lines != 1 {
			t.Errorf("in ten minutes: got %d attempts and %d log lines, want 20 to 35 and 1", attempts, lines)
		}
	})
}

func TestAFailedLinkIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[wire]
		r := New(t.Context(), logr.Discard(), Options{ARP: func(layer2.Link) (Conn, error) {
			if w := current.Load(); w != nil {
				return w, nil
			}
			return nil, errors.New("no such link yet")
		}, Metrics: NewMetrics(prometheus.NewRegistry())})
		r.SetServed(owns("eth0"))
		r.SetLinks([]layer2.Link{eth0})
		synctest.Wait()
		for range 2 {
			w := newWire()
			current.Store(w)
			time.Sleep(reopenBackoff.First + 15*time.Second)
			if got := len(w.times()); got < len(burstTimes) {
				t.Errorf("announced %d times on the new connection, want %d", got, len(burstTimes))
			}
			w.fail()
			synctest.Wait()
		}
	})
}

// failingFilter is a connection whose filter cannot be set at first.
type failingFilter struct {
	*wire
	failures int
}

func (d *failingFilter) Watch(addresses []netip.Addr) error {
	if d.failures--; d.failures >= 0 {
		return errors.New("no buffer space available")
	}
	return d.wire.Watch(addresses)
}

func TestAFilterThatCouldNotBeSetIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &failingFilter{wire: newWire(), failures: 3}
		r := New(t.Context(), logr.Discard(), Options{
			ARP: func(layer2.Link) (Conn, error) { return d, nil }, Metrics: NewMetrics(prometheus.NewRegistry()),
		})
		r.SetLinks([]layer2.Link{eth0})
		r.SetServed(owns("eth0"))
		time.Sleep(10 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if !slices.Equal(d.watched, []netip.Addr{vip}) {
			t.Errorf("watched %v, want %s", d.watched, vip)
		}
	})
}
