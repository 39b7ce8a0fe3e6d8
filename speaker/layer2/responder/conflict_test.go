package responder

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// probe passes a probe of a host that is about to use an address.
func (w *wire) probe(a netip.Addr, sender packet.MAC) {
	w.receive(packet.Message{Asks: a, Probe: true, Sender: sender})
}

func TestAFirstAddressIsProbed(t *testing.T) {
	for _, tt := range []struct {
		address netip.Addr
		probes  []time.Duration // from the first one
		quiet   time.Duration   // from the first one until it is announced
	}{
		{vip, ms(0, 100, 200), 400 * time.Millisecond},
		{vip6, ms(0, 200), 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.SetLinks([]layer2.Link{eth0})
			b.SetServed(first(tt.address))
			w := b.v4
			if tt.address.Is6() {
				w = b.v6
			}
			time.Sleep(100 * time.Millisecond)
			w.asks(tt.address)
			w.claims(tt.address, packet.MAC{}) // invalid
			w.claims(tt.address, ours)         // our own announcement
			w.probe(tt.address, nodeMAC)       // another node
			w.claims(tt.address, nodeMAC)
			time.Sleep(10 * time.Second)
			w.asks(tt.address)
			announced, probed, answered := w.take()
			if len(probed) == 0 || len(announced) == 0 || probed[0].At >= probeJitter {
				t.Fatalf("%s: probed %v, announced %v", tt.address, probed, announced)
			}
			var times []time.Duration
			for _, e := range probed {
				times = append(times, e.At-probed[0].At)
			}
			equal(t, "probed at", tt.probes, times)
			equal(t, "announced after", tt.quiet, announced[0].At-probed[0].At)
			equal(t, "announced", len(burstTimes), len(announced))
			equal(t, "answered", []answer{{tt.address, ours}}, answered)
			equal(t, "conflicts", nil, b.reports())
		})
	}
}

func TestAnAddressOfAForeignHostIsNotAnnounced(t *testing.T) {
	tests := []struct {
		name  string
		sends func(*wire)
	}{
		{"the host answers", func(w *wire) { w.receive(packet.Message{Claims: w.watched[0], Sender: stranger}) }},
		{"the host announces", func(w *wire) { w.claims(w.watched[0], stranger) }},
		{"the host requests another address", func(w *wire) { w.receive(packet.Message{Asks: asker, Claims: w.watched[0], Sender: stranger}) }},
	}
	for _, tt := range tests {
		for _, address := range []netip.Addr{vip, vip6} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t)
					b.SetLinks([]layer2.Link{eth0})
					b.SetServed(first(address))
					w := b.v4
					if address.Is6() {
						w = b.v6
					}
					time.Sleep(300 * time.Millisecond)
					tt.sends(w)
					since := time.Now()
					want := layer2.Conflict{Address: address, Interface: "eth0", Hardware: stranger.Hardware(), Since: since}
					equal(t, "conflicts", [][]layer2.Conflict{{want}}, b.reports())
					time.Sleep(29 * time.Second)
					tt.sends(w) // the host still uses the address
					w.asks(address)
					_, before, _ := w.take()
					time.Sleep(32 * time.Second) // one check without an answer
					_, probed, answered := w.take()
					if len(before) == 0 || len(probed) != len(before) && address.Is6() {
						t.Errorf("probed %d times at first, %d times later", len(before), len(probed))
					}
					equal(t, "answered", nil, answered)
					equal(t, "reported more than once", nil, b.reports())
					time.Sleep(31 * time.Second) // a second check without an answer
					equal(t, "withdrawn", [][]layer2.Conflict{nil}, b.reports())
					w.asks(address)
					announced, _, answered := w.take()
					if len(announced) == 0 || announced[0].At-since.Sub(w.start) < 60*time.Second {
						t.Errorf("announced %v, want it after two checks without an answer", announced)
					}
					equal(t, "answered", []answer{{address, ours}}, answered)
				})
			})
		}
	}
}

// TestProbe_OfAnotherHost is about hosts that probe and never claim, such as switches that
// track devices.
func TestProbe_OfAnotherHost(t *testing.T) {
	tests := []struct {
		name     string
		every    time.Duration // between its probes
		lasts    time.Duration // how long the host probes
		claims   bool          // the host claims the address after its last probe
		rounds   int           // least rounds of probes of the responder until it announces
		most     int           // most rounds
		conflict bool
	}{
		{name: "host that probes once is waited for once", every: 100 * time.Millisecond, lasts: 200 * time.Millisecond, rounds: 2, most: 2},
		{name: "host that probes each second delays the address", every: time.Second, lasts: 15 * time.Second, rounds: 1, most: 4},
		{name: "host that probes all the time delays the address a bounded time", every: 50 * time.Millisecond, lasts: 15 * time.Second, rounds: 4, most: 4},
		{name: "host that probes and then claims has the address", every: 100 * time.Millisecond, lasts: time.Second, claims: true, conflict: true},
	}
	for _, tt := range tests {
		for _, address := range []netip.Addr{vip, vip6} {
			t.Run(tt.name+" "+address.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t)
					b.SetLinks([]layer2.Link{eth0})
					b.SetServed(first(address))
					w, perRound := b.v4, 3
					if address.Is6() {
						w, perRound = b.v6, 2
					}
					time.Sleep(100 * time.Millisecond)
					for began := time.Now(); time.Since(began) < tt.lasts; time.Sleep(tt.every) {
						w.probe(address, stranger)
					}
					if tt.claims {
						w.claims(address, stranger)
					}
					time.Sleep(10 * time.Second)
					announced, probed, _ := w.take()
					if tt.conflict {
						equal(t, "announced", nil, announced)
						equal(t, "reports", 1, len(b.reports()))
						return
					}
					equal(t, "conflicts", nil, b.reports())
					if n := len(probed); n < tt.rounds*perRound || n > tt.most*perRound {
						t.Errorf("got %d probes, want %d to %d rounds of %d", n, tt.rounds, tt.most, perRound)
					}
					if len(announced) == 0 || announced[0].At > 12*time.Second {
						t.Errorf("announced %v, want it within 12 s", announced)
					}
				})
			})
		}
	}
}

func TestProbe_DoesNotProlongAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(first(vip))
		synctest.Wait()
		b.v4.claims(vip, stranger)
		for range 100 {
			time.Sleep(time.Second)
			b.v4.probe(vip, stranger)
		}
		if len(b.v4.times()) == 0 {
			t.Error("not announced although the host only probes since 100 s")
		}
	})
}

func TestAnswers_AreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		synctest.Wait()
		for range 2 * answerBurst {
			b.v4.asks(vip)
		}
		_, _, answered := b.v4.take()
		equal(t, "answered of a flood", answerBurst, len(answered))
		time.Sleep(time.Second)
		for range 2 * answerRate {
			b.v4.asks(vip)
		}
		_, _, answered = b.v4.take()
		equal(t, "answered a second later", answerRate, len(answered))
	})
}

func TestAnAddressThatIsInUseIsDefended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		time.Sleep(10 * time.Second)
		b.v4.take()
		since := time.Now()
		b.v4.probe(vip, stranger) // is answered, and is no conflict
		equal(t, "a probe", nil, b.reports())
		for range 15 {
			b.v4.claims(vip, stranger)
			time.Sleep(time.Second)
		}
		want := layer2.Conflict{Address: vip, Interface: "eth0", Hardware: stranger.Hardware(), Announced: true, Since: since}
		equal(t, "conflicts", [][]layer2.Conflict{{want}}, b.reports())
		equal(t, "defended at", ms(10000, 20000), b.v4.times())
		time.Sleep(58 * time.Second)
		equal(t, "not yet withdrawn", nil, b.reports())
		time.Sleep(3 * time.Second)
		equal(t, "withdrawn", [][]layer2.Conflict{nil}, b.reports())
	})
}

func TestAForgerDoesNotCauseAReportForEachFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		reported := 0
		for i := range 100 {
			b.v4.claims(vip, packet.MAC{2, 9, 9, 9, 9, byte(i)})
			time.Sleep(1200 * time.Millisecond)
			reported += len(b.reports())
		}
		equal(t, "reports in two minutes", 2, reported)
	})
}

func TestADuplicateOwnerInTheClusterIsAnsweredAndNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(owns("eth0"))
		time.Sleep(10 * time.Second)
		b.v4.take()
		for range 20 {
			b.v4.claims(vip, nodeMAC)
			time.Sleep(100 * time.Millisecond)
		}
		equal(t, "announced at", ms(10200, 11200), b.v4.times())
		b.v4.claims(vip, nodeMAC)
		time.Sleep(100 * time.Millisecond)
		b.SetServed(nil) // the other node is the next owner
		time.Sleep(time.Second)
		equal(t, "announced after it was given up", nil, b.v4.times())
		equal(t, "conflicts", nil, b.reports())
		equal(t, "duplicates counted", 21, b.counted(t)["duplicate_owners_total"])
	})
}

func TestAConflictEndsWithTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(first(vip2, vip))
		synctest.Wait()
		b.v4.claims(vip2, stranger)
		b.v4.claims(vip, stranger)
		reports := b.reports()
		last := reports[len(reports)-1]
		equal(t, "conflicts, in order", []netip.Addr{vip, vip2}, []netip.Addr{last[0].Address, last[1].Address})
		b.SetServed(first(vip2))
		reports = b.reports()
		equal(t, "after one was lost", vip2, reports[0][0].Address)
		b.SetServed(nil)
		equal(t, "after all were lost", [][]layer2.Conflict{nil}, b.reports())
		time.Sleep(2 * time.Minute)
		equal(t, "announced", nil, b.v4.times())
	})
}

func TestReportedConflictsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		owned := map[netip.Addr]layer2.Serving{}
		for i := range MaxConflicts + 10 {
			owned[netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})] = layer2.Serving{Interfaces: []string{"eth0"}, First: true}
		}
		b.SetServed(owned)
		for a := range owned {
			b.v4.claims(a, stranger)
		}
		reports := b.reports()
		equal(t, "reported", MaxConflicts, len(reports[len(reports)-1]))
		equal(t, "counted", MaxConflicts+10, b.counted(t)["conflicts"])
	})
}

func TestNothingIsAnnouncedThatCouldNotBeProbed(t *testing.T) {
	tests := []struct {
		name          string
		before, after func(*bed)
	}{
		{"there is no link", func(*bed) {}, func(b *bed) { b.SetLinks([]layer2.Link{eth0}) }},
		{"nothing may be sent", func(b *bed) {
			b.SetLinks([]layer2.Link{eth0})
			b.mute.Store(true)
		}, func(b *bed) { b.mute.Store(false) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				tt.before(b)
				b.SetServed(first(vip))
				time.Sleep(time.Minute)
				announced, probed, _ := b.v4.take()
				equal(t, "announced", nil, announced)
				equal(t, "probed", nil, probed)
				tt.after(b)
				time.Sleep(2 * time.Second)
				announced, probed, _ = b.v4.take()
				if len(probed) < 3 || len(announced) == 0 || announced[0].At < probed[2].At {
					t.Errorf("probed %v, announced %v", probed, announced)
				}
			})
		})
	}
}

func TestForeignHostMustMissTwoProbesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(first(vip))
		synctest.Wait()
		b.v4.claims(vip, stranger)
		for range 5 {
			time.Sleep(35 * time.Second) // one check of the responder
			b.v4.claims(vip, stranger)
		}
		equal(t, "announced", nil, b.v4.times())
		time.Sleep(70 * time.Second)
		if len(b.v4.times()) == 0 {
			t.Error("not announced after two checks without an answer")
		}
	})
}

func TestALinkThatComesUpMeanwhileIsProbedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(map[netip.Addr]layer2.Serving{vip: {Interfaces: []string{"eth0", "eth1"}, First: true}})
		time.Sleep(300 * time.Millisecond)
		b.SetLinks([]layer2.Link{eth0, eth1})
		time.Sleep(10 * time.Second)
		announced, probed, _ := b.second.take()
		if len(probed) != 3 || len(announced) == 0 || announced[0].At < probed[2].At {
			t.Errorf("probed %v, announced %v", probed, announced)
		}
	})
}

func TestOtherInterfacesAreProbedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0, eth1})
		b.SetServed(first(vip))
		time.Sleep(300 * time.Millisecond)
		b.SetServed(map[netip.Addr]layer2.Serving{vip: {Interfaces: []string{"eth0", "eth1"}}})
		time.Sleep(300 * time.Millisecond)
		b.second.claims(vip, stranger)
		time.Sleep(10 * time.Second)
		reports := b.reports()
		equal(t, "link of the conflict", "eth1", reports[0][0].Interface)
		equal(t, "announced", nil, b.v4.times())
		// An address that is taken over from a node that announced it needs no probe.
		b.SetServed(nil)
		b.v4.take()
		b.SetServed(owns("eth0"))
		announced, probed, _ := b.v4.take()
		equal(t, "announced", 1, len(announced))
		equal(t, "probed", nil, probed)
	})
}

func TestDetection_DecidesTheEffectOfAForeignHost(t *testing.T) {
	tests := []struct {
		detection layer2.Detection
		probes    int
		announced bool
		reported  bool
	}{
		{layer2.DetectionEnforce, 1, false, true}, // the first probe is answered, and the address is held back
		{layer2.DetectionReportOnly, 3, true, true},
		{layer2.DetectionOff, 0, true, false},
	}
	for _, tt := range tests {
		t.Run("detection "+string(tt.detection), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBedWith(t, tt.detection)
				b.SetLinks([]layer2.Link{eth0})
				b.SetServed(first(vip))
				time.Sleep(probeJitter + 10*time.Millisecond)
				b.v4.claims(vip, stranger)
				time.Sleep(5 * time.Second)
				b.v4.asks(vip)
				announced, probed, answered := b.v4.take()
				equal(t, "probes", tt.probes, len(probed))
				equal(t, "is announced", tt.announced, len(announced) > 0)
				equal(t, "is answered", tt.announced, len(answered) > 0)
				reports := b.reports()
				equal(t, "is reported", tt.reported, len(reports) > 0)
				if tt.reported {
					last := reports[len(reports)-1]
					equal(t, "reported as announced", []bool{tt.announced}, []bool{len(last) == 1 && last[0].Announced})
				}
				time.Sleep(2 * time.Minute) // without the host
				if left := b.reports(); tt.detection == layer2.DetectionReportOnly && (len(left) == 0 || len(left[len(left)-1]) > 0) {
					t.Errorf("reports %v after the host left, want the conflict withdrawn", left)
				}
			})
		})
	}
}

func TestSetDetection_TakesEffectAtOnce(t *testing.T) {
	type state struct{ Announced, Reported, ReportedAsAnnounced bool }
	tests := []struct {
		name          string
		before, after layer2.Detection
		owned         map[netip.Addr]layer2.Serving
		claims        bool // the foreign host announces, before the change and after it
		want          state
	}{
		{"address that is held is announced with Report", layer2.DetectionEnforce, layer2.DetectionReportOnly, first(vip), true, state{true, true, true}},
		{"address that is held is announced with Off", layer2.DetectionEnforce, layer2.DetectionOff, first(vip), true, state{true, false, false}},
		{"address that is probed is announced with Off", layer2.DetectionEnforce, layer2.DetectionOff, first(vip), false, state{true, false, false}},
		{"address in use stays announced with Enforce", layer2.DetectionOff, layer2.DetectionEnforce, first(vip), true, state{true, true, true}},
		{"address that was announced in spite of a host stays so with Enforce", layer2.DetectionReportOnly, layer2.DetectionEnforce, owns("eth0"), true, state{true, true, true}},
		{"conflict of an address in use is withdrawn with Off", layer2.DetectionEnforce, layer2.DetectionOff, owns("eth0"), true, state{true, false, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBedWith(t, tt.before)
				b.SetLinks([]layer2.Link{eth0})
				b.SetServed(tt.owned)
				time.Sleep(probeJitter + 10*time.Millisecond)
				if tt.claims {
					b.v4.claims(vip, stranger)
				}
				b.SetDetection(tt.after)
				synctest.Wait()
				if tt.claims {
					b.v4.claims(vip, stranger)
				}
				b.v4.take()
				b.v4.asks(vip)
				_, _, answered := b.v4.take()
				got := state{Announced: len(answered) > 0}
				if list := b.reports(); len(list) > 0 && len(list[len(list)-1]) > 0 {
					got.Reported, got.ReportedAsAnnounced = true, list[len(list)-1][0].Announced
				}
				equal(t, "after the change", []state{tt.want}, []state{got})
				time.Sleep(3 * time.Second)
				equal(t, "goes on to be announced", true, len(b.v4.times()) > 0)
			})
		})
	}
}

// Any host can send any number of announcements. The engine does not run for each of them.
func TestStrangersAreReportedAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.SetLinks([]layer2.Link{eth0})
		owned := map[netip.Addr]layer2.Serving{}
		var list []netip.Addr
		for i := range 2000 {
			list = append(list, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
			owned[list[i]] = layer2.Serving{Interfaces: []string{"eth0"}}
		}
		b.SetServed(owned)
		time.Sleep(10 * time.Second)
		for range 3 {
			for _, a := range list {
				b.v4.claims(a, stranger)
			}
			time.Sleep(time.Second)
		}
		if got, most := len(b.rivals), strangerBurst+2*strangerRate; got != most {
			t.Errorf("got %d reports of 6000 announcements in two seconds, want %d", got, most)
		}
		b.v4.claims(list[0], nodeMAC)
		if got := b.rivals[len(b.rivals)-1]; got != nodeMAC {
			t.Errorf("the last report is about %s, want the announcement of a node, which is not bounded", got)
		}
	})
}
