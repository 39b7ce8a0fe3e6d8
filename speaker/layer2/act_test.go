package layer2_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestAct_AnnouncesBeforeItPublishes(t *testing.T) {
	p1 := func(phase ownership.Phase, claims ownership.Claims) func(*bed) {
		return func(b *bed) { b.receive(in(phase, peer("p1", claims))) }
	}
	tests := []struct {
		name   string
		before ownership.Claims // of p1
		drains bool
		then   func(*bed)
		want   []string
	}{
		{name: "address of a healthy node is announced before the claim is published", before: ownership.Claims{a1: 1},
			then: p1(ownership.Draining, ownership.Claims{a1: 1}),
			want: []string{"owned [192.168.1.1]", "publish Active [192.168.1.1]", "acted 3"}},
		{name: "announcing stops before the released claim is published", drains: true,
			then: p1(ownership.Active, ownership.Claims{a1: 2}),
			want: []string{"owned []", "publish Draining []", "acted 3"}},
		{name: "announcing stops before the isolation is published", drains: true, then: func(b *bed) { b.lose("p1") },
			want: []string{"acted 3", "owned []", "publish Isolated []", "acted 3"}},
		{name: "view that changes nothing is acted on", before: ownership.Claims{a1: 1},
			then: p1(ownership.Active, ownership.Claims{a1: 1}), want: []string{"acted 3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self, "p1")), peer("p1", tt.before))
				b.want.Draining = map[lb.NodeName]bool{self: tt.drains}
				b.inform()
				b.forget()
				tt.then(b)
				b.same("what happened", tt.want, b.calls("owned", "publish", "acted"))
			})
		})
	}
}

func TestAct_SetsLinksAndHardwareBeforeOwnedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), append(b.view.Peers, peer("p1", nil))
		b.inform()
		want := []string{"publish Starting []", "links 1", "ours 2", "owned [192.168.1.1]", "publish Active [192.168.1.1]", "acted 1", "report", "save"}
		// The engine may run once more, if the last change arrived during its first run.
		b.same("what happened", want, b.log[:min(len(b.log), len(want))])
	})
}

func TestAct_AnnouncerGetsOnlyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)))
		b.inform()
		b.receive(peer("p1", nil))
		b.same("when nothing has changed", []string(nil), b.calls("owned", "publish"))
		b.links = append(b.links, eth("eth1", 2))
		b.inform()
		b.same("when a link comes up", []string{"owned [192.168.1.1]", "publish Active [192.168.1.1]"}, b.calls("owned", "publish"))
		b.serves("when a link comes up", map[netip.Addr]layer2.Serving{a1: {Interfaces: []string{"eth0", "eth1"}, First: true}})
		b.want.Addresses = nil
		b.inform()
		b.serves("when it is not wanted any more", nil)
		b.claims("when it is not wanted any more", ownership.Active, nil)
	})
}

func TestAct_LogsTakenAndLostAddressesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		b := newBed(t, func(c *layer2.Config) {
			c.Log = funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
		})
		b.want.Addresses = want(wanted(a1, self))
		b.inform()
		b.inform()
		b.same("lines when it is taken", 1, len(lines))
		b.want.Addresses = nil
		b.inform()
		b.inform()
		b.same("lines when it is lost", 2, len(lines))
	})
}

func TestHardwareOfNodesThatAreMissingStaysOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, nil, peer("p1", nil))
		b.same("at first", []net.HardwareAddr{mac(1), mac('1')}, b.ours)
		b.receive(peer("p2", nil))
		b.same("when p1 is lost and p2 has come", []net.HardwareAddr{mac(1), mac('1'), mac('2')}, b.ours)
		b.forget()
		b.receive(peer("p1", nil))
		b.same("when nothing is new", []string(nil), b.calls("ours"))
	})
}

func TestReportsAreSentWhenSomethingHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.want.Problems = want(wanted(a2, self), wanted(a1, self), wanted(netip.MustParseAddr("192.168.1.3"), "p1")), []string{"a sentence"}
		b.links = append(b.links, eth("eth1", 2))
		b.links[1].Internal = true
		start := time.Now()
		b.inform()
		owned := func(a netip.Addr) layer2.OwnedAddress {
			return layer2.OwnedAddress{Serving: layer2.Serving{Interfaces: []string{"eth0"}, First: true}, Address: a, Since: start, Epoch: 1}
		}
		first := layer2.Report{Phase: "Active", Owned: []layer2.OwnedAddress{owned(a1), owned(a2)}, Links: b.links[:1], Live: 1, Problems: []string{"a sentence"}}
		b.same("the report", []layer2.Report{first}, b.reports)
		b.after(time.Hour)
		b.inform()
		b.same("the reports when nothing has changed", 1, len(b.reports))
		b.receive(peer("p1", nil))
		first.Live = 2
		b.same("the report when another peer is alive", first, b.reports[len(b.reports)-1])
	})
}

func TestALinkOfPodsIsReportedWhileAnAdvertisementNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.links[0].Internal = true
		b.inform()
		b.same("links, not named", []layer2.Link(nil), b.reports[0].Links)
		b.want.Interfaces = []string{"eth0", "eth1"}
		b.inform()
		b.same("links, named", b.links, b.reports[len(b.reports)-1].Links)
	})
}

func TestConflictsAreReportedForOwnedAddressesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self), wanted(a2, "p1")), peer("p1", nil))
		conflict := func(a netip.Addr) layer2.Conflict {
			return layer2.Conflict{Address: a, Interface: "eth0", Hardware: mac(99)}
		}
		b.engine.SetConflicts([]layer2.Conflict{conflict(a1), conflict(a2)})
		b.settle()
		b.same("the conflicts", []layer2.Conflict{conflict(a1)}, b.reports[len(b.reports)-1].Conflicts)
		b.engine.SetConflicts(nil)
		b.settle()
		b.same("the conflicts when they are over", []layer2.Conflict(nil), b.reports[len(b.reports)-1].Conflicts)
	})
}

func TestSave_WhenTheCheckpointChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Peers = want(wanted(a1, "p1", self)), append(b.view.Peers, peer("p1", ownership.Claims{a1: 1}))
		b.inform()
		ours := b.saved[0].Ours
		b.same("the hardware addresses that are saved", 2, len(ours))
		b.same("saved at first", []layer2.Checkpoint{{Snapshot: b.want, Ours: ours}}, b.saved)
		b.receive(b.view.Peers...)
		b.same("saved when nothing has changed", 1, len(b.saved))
		b.receive()
		b.same("saved at once", 1, len(b.saved))
		b.after(500 * time.Millisecond)
		b.same("saved when claims change", layer2.Checkpoint{Snapshot: b.want, Claims: ownership.Claims{a1: 2}, Ours: ours}, b.saved[len(b.saved)-1])
		b.want.Addresses = nil
		b.engine.SetSnapshot(b.want)
		b.after(500 * time.Millisecond)
		b.same("saved when the snapshot changes", layer2.Checkpoint{Ours: ours}, b.saved[len(b.saved)-1])
		b.same("how often it was saved", 3, len(b.saved))
	})
}

func TestSave_MayBeNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *layer2.Config) { c.Save = nil })
		b.want.Addresses = want(wanted(a1, self))
		b.inform()
		b.same("it has come to the end", true, slices.Contains(b.log, "report"))
	})
}
