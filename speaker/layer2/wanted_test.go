package layer2_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// changed returns a change with addresses that are new or changed, and addresses that are not wanted any more.
func changed(wanted []ownership.Address, gone ...netip.Addr) layer2.Change {
	return layer2.Change{Snapshot: layer2.Snapshot{Addresses: wanted}, Gone: gone}
}

func TestChangesAddUp(t *testing.T) {
	first := layer2.Snapshot{Addresses: want(wanted(a1, self))}
	tests := []struct {
		name string
		does func(*layer2.Engine)
		want ownership.Claims
	}{
		{name: "an address is added", does: func(e *layer2.Engine) { e.SetChange(changed(want(wanted(a2, self)))) }, want: ownership.Claims{a1: 1, a2: 1}},
		{name: "an address is removed", does: func(e *layer2.Engine) { e.SetChange(changed(nil, a1)) }},
		{name: "an address replaces another", does: func(e *layer2.Engine) { e.SetChange(changed(want(wanted(a2, self)), a1)) }, want: ownership.Claims{a2: 1}},
		{name: "an address is added and removed", does: func(e *layer2.Engine) {
			e.SetChange(changed(want(wanted(a2, self))))
			e.SetChange(changed(nil, a2))
		}, want: ownership.Claims{a1: 1}},
		{name: "an address is removed and added", does: func(e *layer2.Engine) {
			e.SetChange(changed(nil, a1))
			e.SetChange(changed(want(wanted(a1, self))))
		}, want: ownership.Claims{a1: 1}},
		{name: "another node is the candidate now", does: func(e *layer2.Engine) { e.SetChange(changed(want(wanted(a1, "p1")))) }},
		{name: "an unknown address is removed", does: func(e *layer2.Engine) { e.SetChange(changed(nil, a2)) }, want: ownership.Claims{a1: 1}},
		{name: "a snapshot replaces all changes", does: func(e *layer2.Engine) {
			e.SetChange(changed(nil, a1))
			e.SetSnapshot(layer2.Snapshot{Addresses: want(wanted(a2, self))})
		}, want: ownership.Claims{a2: 1}},
		{name: "the checkpoint comes too late", does: func(e *layer2.Engine) {
			e.SetChange(changed(want(wanted(a2, self))))
			e.SetCheckpoint(layer2.Snapshot{})
		}, want: ownership.Claims{a1: 1, a2: 1}},
	}
	for _, tt := range tests {
		for when, early := range map[string]bool{"before all else is known": true, "after it has decided": false} {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t)
					b.engine.SetSnapshot(first)
					if early {
						tt.does(b.engine)
					}
					b.engine.SetLinks(b.links)
					b.receive()
					if !early {
						tt.does(b.engine)
					}
					b.settle()
					b.claims("in the end", ownership.Active, tt.want)
				})
			})
		}
	}
}

func TestSetChange_SetsWhichNodesDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self, "p1")), peer("p1", nil))
		c := changed(nil)
		c.Draining = map[lb.NodeName]bool{self: true}
		b.engine.SetChange(c)
		b.settle()
		b.claims("when it drains", ownership.Draining, ownership.Claims{a1: 1})
		b.engine.SetChange(changed(nil))
		b.settle()
		b.claims("when it drains no more", ownership.Active, ownership.Claims{a1: 1})
	})
}

func TestSave_AfterAChangeHasAllAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a2, self), wanted(a1, self)), peer("p1", nil))
		a3 := netip.MustParseAddr("192.168.1.3")
		b.engine.SetChange(changed(want(wanted(a3, self)), a1))
		b.after(500 * time.Millisecond)
		b.same("what is saved", want(wanted(a2, self), wanted(a3, self)), b.saved[len(b.saved)-1].Snapshot.Addresses)
	})
}

func TestSave_AtOnceWhenTheSpeakerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)), peer("p1", nil))
		b.engine.SetChange(changed(want(wanted(a2, self))))
		b.after(600 * time.Millisecond) // the address is announced
		b.engine.SetChange(changed(nil, a1))
		b.settle()
		b.engine.Restart(t.Context(), 10*time.Second)
		b.settle()
		b.same("the claims that are saved", ownership.Claims{a2: 1}, b.saved[len(b.saved)-1].Claims)
	})
}
