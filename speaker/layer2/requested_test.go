package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// A new request is met at once. After a time in which the node was not able to announce the address, the
// request is met after half a minute, so that an unstable link does not move the address each time.
func TestRequest_IsMetAgainWhenTheNodeHasBeenAbleForAWhile(t *testing.T) {
	with := func(requested bool) []ownership.Address {
		w := wanted(a1, self, "p1")
		for i := range w.Candidates {
			w.Candidates[i].Preference, w.Candidates[i].Requested = 0, requested && w.Candidates[i].Node == self
		}
		return want(w)
	}
	for name, change := range map[string]struct{ lose, regain func(*bed) }{
		"link":     {func(b *bed) { b.links = nil }, func(b *bed) { b.links = []layer2.Link{eth("eth0", 1)} }},
		"endpoint": {func(b *bed) { b.want.Addresses = want(wanted(a1, "p1")) }, func(b *bed) { b.want.Addresses = with(true) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, with(false), peer("p1", ownership.Claims{a1: 4}))
				b.after(time.Minute)
				b.silent("without a request")
				b.want.Addresses = with(true)
				b.inform()
				b.claims("when the node is requested", ownership.Active, ownership.Claims{a1: 5})
				b.receive(peer("p1", nil))
				change.lose(b)
				b.inform()
				b.receive(peer("p1", ownership.Claims{a1: 6}))
				b.after(11 * time.Second) // the grace period of an address that was released
				b.forget()
				change.regain(b)
				b.inform()
				b.after(29 * time.Second)
				_, owned := b.owned[a1]
				b.same("it has the address before half a minute is over", false, owned)
				b.after(time.Second)
				b.claims("then", ownership.Active, ownership.Claims{a1: 7})
			})
		})
	}
}
