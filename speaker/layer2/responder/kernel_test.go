package responder

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
)

// on returns the connection for the family of an address.
func (b *bed) on(a netip.Addr) *wire {
	if a.Is6() {
		return b.v6
	}
	return b.v4
}

// serves returns whether the responder answers a client that requests an address.
func (b *bed) serves(a netip.Addr) bool {
	b.on(a).take()
	b.on(a).asks(a)
	_, _, answered := b.on(a).take()
	return len(answered) > 0
}

// TestKernelOfANode_FirstAddress is about an address that no node has announced before and that the
// kernel of another node answers for.
func TestKernelOfANode_FirstAddress(t *testing.T) {
	tests := []struct {
		name      string
		detection layer2.Detection
		binds     bool // the service proxy puts addresses on interfaces
		speaks    bool // the speaker of the node answers, not its kernel
		reported  bool
		served    bool
	}{
		{name: "held back as an address of a foreign host", detection: layer2.DetectionEnforce, reported: true},
		{name: "announced where only reports are wanted", detection: layer2.DetectionReportOnly, reported: true, served: true},
		{name: "announced where the service proxy has all nodes answer", detection: layer2.DetectionEnforce, binds: true, reported: true, served: true},
		{name: "nothing is reported where detection is off", detection: layer2.DetectionOff, served: true},
		{name: "the speaker of the node is no conflict", detection: layer2.DetectionEnforce, speaks: true, served: true},
	}
	for _, tt := range tests {
		for _, address := range []netip.Addr{vip, vip6} {
			t.Run(tt.name+" "+address.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBedWith(t, tt.detection)
					b.kernel.Store(!tt.speaks)
					b.binds.Store(tt.binds)
					b.SetLinks([]layer2.Link{eth0})
					b.on(address).kernel.Store(true)
					b.SetServed(first(address))
					time.Sleep(5 * time.Minute)
					var want [][]layer2.Conflict
					got := b.reports()
					if tt.reported && len(got) > 0 && len(got[0]) > 0 {
						c := layer2.Conflict{Address: address, Interface: "eth0", Hardware: nodeMAC.Hardware(), Node: "node2", Announced: tt.served, Since: got[0][0].Since}
						want = [][]layer2.Conflict{{c}}
						if !tt.served {
							unconfirmed := c
							unconfirmed.Unconfirmed = true
							want = [][]layer2.Conflict{{unconfirmed}, {c}}
						}
					}
					if len(got) == 0 && tt.reported {
						t.Fatal("got no report")
					}
					equal(t, "reported while it answers", want, got)
					equal(t, "served while it answers", tt.served, b.serves(address))
					b.on(address).kernel.Store(false)
					time.Sleep(5 * time.Minute)
					if tt.reported {
						equal(t, "reported when it is silent", [][]layer2.Conflict{nil}, b.reports())
					}
					equal(t, "served when it is silent", true, b.serves(address))
				})
			})
		}
	}
}

// TestFormerOwnerThatConcedesIsNoKernel is about an address that this node takes as if no node had announced
// it, while a node still announces it. The speaker of that node concedes the address, and answers for a while.
func TestFormerOwnerThatConcedesIsNoKernel(t *testing.T) {
	for _, address := range []netip.Addr{vip, vip6} {
		for _, answers := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 450 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond} {
			t.Run(fmt.Sprint(address, " ", answers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t)
					b.kernel.Store(true) // the speaker has published that it does not claim the address
					b.SetLinks([]layer2.Link{eth0})
					b.on(address).kernel.Store(true)
					b.SetServed(first(address))
					b.on(address).claims(address, nodeMAC)
					time.Sleep(answers)
					b.on(address).kernel.Store(false)
					time.Sleep(1200 * time.Millisecond)
					for _, list := range b.reports() {
						for _, c := range list {
							equal(t, "the conflict is confirmed", false, !c.Unconfirmed)
						}
					}
					equal(t, "served when the other node is silent", true, b.serves(address))
					time.Sleep(5 * time.Minute)
					for _, list := range b.reports() {
						equal(t, "conflicts later", 0, len(list))
					}
				})
			})
		}
	}
}

// A node that answers once for an address which a foreign host has had does not replace the report of that host.
func TestKernelOfANode_AnswersForAnAddressOfAForeignHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.kernel.Store(true)
		b.SetLinks([]layer2.Link{eth0})
		b.SetServed(first(vip))
		b.v4.claims(vip, stranger)
		time.Sleep(DefaultTiming().Check - time.Second)
		b.reports()
		b.v4.kernel.Store(true) // during one check
		time.Sleep(3 * time.Second)
		b.v4.kernel.Store(false)
		for _, list := range b.reports() {
			equal(t, "reported", true, len(list) == 1 && !list[0].Unconfirmed)
		}
		time.Sleep(DefaultTiming().Check + 5*time.Second)
		equal(t, "served after one check without an answer", false, b.serves(vip))
		time.Sleep(DefaultTiming().Check)
		equal(t, "served after two", true, b.serves(vip))
	})
}

func TestSetDetection_AnnouncesAnAddressWithAnUnconfirmedConflict(t *testing.T) {
	for _, goesOn := range []bool{true, false} {
		t.Run(fmt.Sprintf("the node goes on answering: %v", goesOn), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.kernel.Store(true)
				b.SetLinks([]layer2.Link{eth0})
				b.v4.kernel.Store(true)
				b.SetServed(first(vip))
				time.Sleep(600 * time.Millisecond)
				b.reports()
				b.SetDetection(layer2.DetectionReportOnly)
				b.v4.kernel.Store(goesOn)
				time.Sleep(500 * time.Millisecond)
				equal(t, "served", true, b.serves(vip))
				equal(t, "reported before it is confirmed", [][]layer2.Conflict{nil}, b.reports())
				time.Sleep(5 * time.Second)
				var confirmed []bool
				for _, list := range b.reports() {
					for _, c := range list {
						confirmed = append(confirmed, c.Announced && !c.Unconfirmed)
					}
				}
				want := []bool{true}
				if !goesOn {
					want = nil
				}
				equal(t, "reported later", want, confirmed)
			})
		})
	}
}

// TestKernelOfANode_AddressInUse is about an address that is announced when another node claims it.
func TestKernelOfANode_AddressInUse(t *testing.T) {
	tests := []struct {
		name      string
		detection layer2.Detection
		goesOn    bool // the other node answers probes as well
		speaks    bool // the speaker of the other node claims the address, not its kernel
		probes    int  // within 10 s
		reported  bool
	}{
		{name: "claims that go on are reported", detection: layer2.DetectionEnforce, goesOn: true, probes: 1, reported: true},
		{name: "claims that end, as at a hand-over, are not reported", detection: layer2.DetectionEnforce, probes: 1},
		{name: "claims of a speaker are not reported", detection: layer2.DetectionEnforce, goesOn: true, speaks: true, probes: 1},
		{name: "nothing is probed where detection is off", detection: layer2.DetectionOff, goesOn: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBedWith(t, tt.detection)
				b.kernel.Store(!tt.speaks)
				b.SetLinks([]layer2.Link{eth0})
				b.SetServed(owns("eth0"))
				synctest.Wait()
				b.v4.kernel.Store(tt.goesOn)
				b.v4.claims(vip, nodeMAC)
				time.Sleep(500 * time.Millisecond)
				b.v4.claims(vip, nodeMAC)
				time.Sleep(10 * time.Second)
				_, probed, _ := b.v4.take()
				equal(t, "probes", tt.probes, len(probed))
				got := b.reports()
				if !tt.reported {
					equal(t, "reported", nil, got)
					return
				}
				if len(got) != 1 || len(got[0]) != 1 {
					t.Fatalf("got the reports %v, want one", got)
				}
				equal(t, "reported", layer2.Conflict{Address: vip, Interface: "eth0", Hardware: nodeMAC.Hardware(), Node: "node2", Announced: true, Since: got[0][0].Since}, got[0][0])
				time.Sleep(10 * time.Minute)
				equal(t, "reported while it answers", nil, b.reports())
				equal(t, "served", true, b.serves(vip))
				b.v4.kernel.Store(false)
				time.Sleep(3 * time.Minute)
				equal(t, "reported when it is silent", [][]layer2.Conflict{nil}, b.reports())
				b.v4.take()
				time.Sleep(10 * time.Minute)
				_, probed, _ = b.v4.take()
				equal(t, "probes when it is silent", 0, len(probed))
			})
		})
	}
}

// TestKernelOfANode_Own is about an address that an interface of this node has. The kernel does not answer
// its own node, and other hosts get an answer of the speaker with the same hardware address.
func TestKernelOfANode_Own(t *testing.T) {
	has := eth0
	has.Addresses = []netip.Addr{vip}
	want := layer2.Conflict{Address: vip, Interface: "eth0", Hardware: ours.Hardware(), Node: "node1"}
	t.Run("first address is held back while the interface has it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.SetLinks([]layer2.Link{has})
			b.SetServed(first(vip))
			time.Sleep(3 * time.Minute)
			got := b.reports()
			if len(got) != 1 || len(got[0]) != 1 {
				t.Fatalf("got the reports %v, want one", got)
			}
			want.Since = got[0][0].Since
			equal(t, "reported", want, got[0][0])
			equal(t, "served", false, b.serves(vip))
			b.SetLinks([]layer2.Link{eth0})
			time.Sleep(2 * time.Minute)
			equal(t, "reported when it is gone", [][]layer2.Conflict{nil}, b.reports())
			equal(t, "served when it is gone", true, b.serves(vip))
		})
	})
	t.Run("address in use is reported", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.SetLinks([]layer2.Link{eth0})
			b.SetServed(owns("eth0"))
			time.Sleep(3 * time.Second)
			b.SetLinks([]layer2.Link{has})
			time.Sleep(3 * time.Minute)
			got := b.reports()
			if len(got) != 1 || len(got[0]) != 1 {
				t.Fatalf("got the reports %v, want one", got)
			}
			want.Since, want.Announced = got[0][0].Since, true
			equal(t, "reported", want, got[0][0])
			equal(t, "served", true, b.serves(vip))
		})
	})
}
