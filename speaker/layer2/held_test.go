package layer2_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// holding returns p1 with a claim of a1, which p1 holds back because a foreign host uses it.
func holding(phase ownership.Phase) mesh.Peer {
	p := in(phase, peer("p1", ownership.Claims{a1: 3}))
	p.State.Held = []netip.Addr{a1}
	return p
}

func TestAddressHeldBackIsProbedByItsNextOwner(t *testing.T) {
	for _, tt := range []struct {
		name  string
		then  []mesh.Peer
		first bool
	}{
		{"when its owner is lost", []mesh.Peer{peer("p2", nil)}, true},
		{"when its owner is drained", []mesh.Peer{holding(ownership.Draining), peer("p2", nil)}, true},
		{"not if its owner announced it in the end", []mesh.Peer{in(ownership.Draining, peer("p1", ownership.Claims{a1: 3})), peer("p2", nil)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), holding(ownership.Active), peer("p2", nil))
				b.receive(tt.then...)
				b.serves("afterwards", on0(tt.first, a1))
			})
		})
	}
}

func TestNobodyAnswersForANodeThatRestartsWithAnAddressHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), holding(ownership.Active))
		b.receive(peer("p2", nil), holding(ownership.Restarting))
		b.same("owned addresses", 0, len(b.owned))
	})
}

func TestRestart_GivesUpAnAddressThatIsProbedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self), wanted(a2, self)), peer("p1", nil))
		b.engine.SetConflicts([]layer2.Conflict{{Address: a1, Hardware: mac(99), Node: "p1", Unconfirmed: true}, {Address: a2, Hardware: mac(99)}})
		b.settle()
		b.same("reported conflicts", 1, len(b.reports[len(b.reports)-1].Conflicts))
		go b.engine.Restart(t.Context(), 10*time.Second)
		b.settle()
		b.claims("when it restarts", ownership.Restarting, ownership.Claims{a2: 1})
	})
}

func TestHeld_IsPublishedAndSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self), wanted(a2, self)), peer("p1", nil))
		last := func() ([]netip.Addr, []netip.Addr) {
			return b.states[len(b.states)-1].Held, b.saved[len(b.saved)-1].Held
		}
		b.engine.SetConflicts([]layer2.Conflict{{Address: a1, Hardware: mac(99)}, {Address: a2, Hardware: mac(99), Announced: true}})
		b.settle()
		published, saved := last()
		b.same("published and saved", [][]netip.Addr{{a1}, {a1}}, [][]netip.Addr{published, saved})
		b.engine.SetConflicts(nil)
		b.after(500 * time.Millisecond)
		if published, saved := last(); len(published)+len(saved) > 0 {
			t.Errorf("when the foreign host has left, published %v, and saved %v, want nothing", published, saved)
		}
	})
}

func TestStartingSpeakerProbesAddressesHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7, a2: 7}), func(c *layer2.Config) { c.Resume.Held = []netip.Addr{a1} })
		b.want.Addresses, b.view.Peers = want(wanted(a1, self), wanted(a2, self)), []mesh.Peer{peer("p1", nil)}
		b.inform()
		b.same("the address that was held back is probed", true, b.owned[a1].First)
		b.same("the other address is probed", false, b.owned[a2].First)
	})
}

func TestHardwareAddressesOfNodesAreRememberedOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *layer2.Config) { c.Resume.Ours = []net.HardwareAddr{mac(77)} })
		b.inform()
		b.same("hardware addresses of nodes", []net.HardwareAddr{mac(1), mac(77)}, b.ours)
		b.same("what is saved", []net.HardwareAddr{mac(1), mac(77)}, b.saved[len(b.saved)-1].Ours)
	})
}

func TestAnAddressThatIsProbedIsHeldBackAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", nil)}
		b.inform()
		last := func() [][]netip.Addr {
			return [][]netip.Addr{b.states[len(b.states)-1].Held, b.saved[len(b.saved)-1].Held}
		}
		b.same("published and saved while the address is probed", [][]netip.Addr{{a1}, {a1}}, last())
		b.after(time.Second)
		b.same("published and saved afterwards", [][]netip.Addr{nil, nil}, last())
		b.same("the address stays marked as first", true, b.owned[a1].First)
	})
}

func TestDetection_IsSetBeforeAnAddressIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Detection, b.want.Addresses = layer2.DetectionOff, want(wanted(a1, self))
		b.inform()
		set := slices.Index(b.log, "detection off")
		served := slices.IndexFunc(b.log, func(s string) bool { return strings.HasPrefix(s, "owned") })
		if set < 0 || served < set {
			t.Errorf("got %q, want the detection set before an address is owned", b.log)
		}
	})
}

func TestRestart_GivesUpAddressesStillProbed(t *testing.T) {
	for _, tt := range []struct {
		name     string
		after    time.Duration
		conflict []layer2.Conflict
		want     ownership.Claims
	}{
		{name: "probes are under way: another node can announce it", after: 400 * time.Millisecond, want: nil},
		{name: "it was announced: it stays", after: 600 * time.Millisecond, want: ownership.Claims{a1: 1}},
		{name: "a foreign host uses it: it stays", after: 600 * time.Millisecond, conflict: []layer2.Conflict{{Address: a1, Hardware: mac(99)}}, want: ownership.Claims{a1: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := beginning(t, want(wanted(a1, self)), peer("p1", nil))
				b.engine.SetConflicts(tt.conflict)
				b.after(tt.after)
				b.forget()
				b.engine.Restart(t.Context(), 20*time.Second)
				b.settle()
				b.claims("when it restarts", ownership.Restarting, tt.want)
				for _, saved := range b.saved {
					b.same("the claims that are saved", tt.want, saved.Claims)
				}
				b.same("owned addresses", len(tt.want), len(b.owned))
			})
		})
	}
}

func TestAnAddressThatARestartingNodeStillProbedIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), holding(ownership.Active), peer("p2", nil))
		b.receive(in(ownership.Restarting, peer("p1", nil)), peer("p2", nil))
		b.after(600 * time.Millisecond)
		b.serves("after the node gave it up", on0(true, a1))
	})
}
