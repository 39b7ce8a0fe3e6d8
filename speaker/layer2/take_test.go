package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestTheEpochOfAnAddressThatIsTaken(t *testing.T) {
	tests := []struct {
		name   string
		before []ownership.Claims // of p1, one after the other
		then   []mesh.Peer
		claims ownership.Claims
		first  bool
	}{
		{name: "no node ever had the address: epoch 1, and probed", claims: ownership.Claims{a1: 1}, first: true},
		{name: "one above the epoch of an owner that is lost", before: []ownership.Claims{{a1: 4}}, claims: ownership.Claims{a1: 5}},
		{name: "one above the highest epoch ever received", before: []ownership.Claims{{a1: 9}, {a1: 4}}, claims: ownership.Claims{a1: 10}},
		{name: "one above the epoch of a healthy owner that is drained", before: []ownership.Claims{{a1: 4}},
			then: []mesh.Peer{in(ownership.Draining, peer("p1", ownership.Claims{a1: 4}))}, claims: ownership.Claims{a1: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), peer("p1", nil))
				for _, claims := range tt.before {
					b.receive(peer("p1", claims))
				}
				b.silent("before")
				b.receive(tt.then...)
				b.claims("afterwards", ownership.Active, tt.claims)
				b.serves("afterwards", on0(tt.first, a1))
			})
		})
	}
}

func TestEpochOfAnUnwantedAddressIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 4}))
		b.want.Addresses = nil
		b.view.Peers = nil
		b.inform()
		b.want.Addresses = want(wanted(a1, self))
		b.inform()
		b.claims("when it is wanted again", ownership.Active, ownership.Claims{a1: 1})
	})
}

func TestAnAddressThatWasTheFirstStaysSoUntilItIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)))
		b.links = append(b.links, eth("eth1", 2))
		b.inform()
		b.same("it is the first on a link that comes up", true, b.owned[a1].First)
		b.lose("p1")
		b.view.Missing = nil
		b.receive()
		b.claims("after an isolation", ownership.Active, ownership.Claims{a1: 2})
		b.same("it is the first after an isolation", false, b.owned[a1].First)
	})
}

func TestNextCandidateTakesAddressThatTheElectedNodeDoesNotClaim(t *testing.T) {
	tests := []struct {
		name  string
		want  ownership.Address
		after time.Duration
	}{
		{name: "the next candidate, after two seconds", want: wanted(a1, "p1", self, "p2"), after: 2 * time.Second},
		{name: "the last candidate, after two more seconds", want: wanted(a1, "p1", "p2", self), after: 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := beginning(t, want(tt.want), peer("p1", nil), peer("p2", nil))
				b.after(tt.after - time.Millisecond)
				b.silent("before it is its turn")
				b.after(time.Millisecond)
				b.claims("when it is its turn", ownership.Active, ownership.Claims{a1: 1})
			})
		})
	}
}

func TestElectedNodeHasTwoSecondsForEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := beginning(t, want(wanted(a1, "p1", self)), peer("p1", nil))
		b.after(1500 * time.Millisecond)
		b.receive(peer("p1", ownership.Claims{a1: 1}))
		b.after(time.Minute)
		b.silent("when it was claimed in time")
		// The address loses its owner, and another candidate with the same preference comes.
		b.want.Addresses = want(wanted(a1, "p2", self))
		b.view.Peers = []mesh.Peer{peer("p2", nil)}
		b.inform()
		b.after(1999 * time.Millisecond)
		b.silent("when it has waited for less than two seconds again")
		b.after(time.Millisecond)
		b.claims("after another two seconds", ownership.Active, ownership.Claims{a1: 2})
	})
}

func TestAddressReleasedByAHealthyNodeIsNotTakenAtOnce(t *testing.T) {
	b4 := ownership.Claims{a1: 4}
	tests := []struct {
		name string
		then func(*bed)
		wait time.Duration
	}{
		{name: "the owner is alive", then: func(b *bed) { b.receive(in(ownership.Draining, peer("p1", nil))) }, wait: 500 * time.Millisecond},
		{name: "the owner is dead", then: func(b *bed) { b.receive() }},
		{name: "the address was not wanted meanwhile", then: func(b *bed) {
			b.want.Addresses = want(wanted(a1))
			b.view.Peers = []mesh.Peer{in(ownership.Draining, peer("p1", nil))}
			b.inform()
			b.want.Addresses = want(wanted(a1, "p1", self))
			b.inform()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), peer("p1", b4))
				tt.then(b)
				if tt.wait > 0 {
					b.after(tt.wait - time.Millisecond)
					b.silent("while it is left alone")
					b.after(time.Millisecond)
				}
				b.claims("in the end", ownership.Active, ownership.Claims{a1: 5})
			})
		})
	}
}

func TestUnwantedAddressThatIsReleasedHasNoGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 4}))
		b.want.Addresses, b.view.Peers = nil, []mesh.Peer{in(ownership.Draining, peer("p1", nil))}
		b.inform()
		b.want.Addresses = want(wanted(a1, "p1", self))
		b.inform()
		b.claims("when it is wanted again", ownership.Active, ownership.Claims{a1: 1})
	})
}

func TestAddressTakenByAnotherNodeMeanwhileStaysThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self, "p1", "p2")), peer("p1", ownership.Claims{a1: 4}), peer("p2", nil))
		b.receive(in(ownership.Draining, peer("p1", nil)), peer("p2", nil))
		b.after(200 * time.Millisecond)
		b.receive(in(ownership.Draining, peer("p1", nil)), peer("p2", ownership.Claims{a1: 5}))
		b.silent("when p2 has taken it")
		b.receive(in(ownership.Draining, peer("p1", nil)))
		b.claims("when p2 is dead, at once", ownership.Active, ownership.Claims{a1: 6})
	})
}

func TestYieldedAddressIsLeftToTheOtherForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In the snapshot of self, p1 is no candidate.
		b := running(t, want(wanted(a1, self)), peer("p1", nil))
		b.receive(peer("p1", ownership.Claims{a1: 2}))
		b.claims("when p1 takes it", ownership.Active, nil)
		b.serves("when p1 takes it", nil)
		b.after(9999 * time.Millisecond)
		b.claims("before ten seconds are over", ownership.Active, nil)
		b.after(time.Millisecond)
		b.claims("after ten seconds", ownership.Active, ownership.Claims{a1: 3})
	})
}

func TestANodeThatTheClusterDrainsIsGivenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.want.Draining = want(wanted(a1, "p1", self)), map[lb.NodeName]bool{"p1": true}
		b.view.Peers = []mesh.Peer{peer("p1", nil)} // p1 has not received yet that it drains
		b.inform()
		b.claims("in the end", ownership.Active, ownership.Claims{a1: 1})
	})
}

func TestHigherClaimOfAPeerEndsTheOwnClaim(t *testing.T) {
	tests := []struct {
		name  string
		other ownership.Epoch
		want  ownership.Claims
	}{
		{name: "a higher epoch", other: 3, want: nil},
		{name: "a lower epoch", other: 1, want: ownership.Claims{a1: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 1}))
				b.receive()
				b.claims("at first", ownership.Active, ownership.Claims{a1: 2})
				b.receive(peer("p1", ownership.Claims{a1: tt.other}))
				b.claims("when the peer is received from", ownership.Active, tt.want)
			})
		})
	}
}

// Two speakers that start at the same time take the same address: one has it from its checkpoint and announces
// it, and the other one takes it as an address that no node ever had. Both have the first epoch.
func TestNodeThatAnnouncesKeepsAnAddressThatAnotherNodeTakesWithTheSameEpoch(t *testing.T) {
	for _, name := range []lb.NodeName{"p1", "p2", "p3", "p4"} { // some come before self in the order of election, and others after it
		t.Run("self probes, "+string(name)+" announces", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := beginning(t, want(wanted(a1, self)), peer(name, nil))
				b.want.Addresses = want(wanted(a1, self, name))
				b.inform()
				b.after(4 * time.Millisecond)
				b.receive(peer(name, ownership.Claims{a1: 1}))
				b.claims("when the claim arrives", ownership.Active, nil)
				b.serves("when the claim arrives", nil)
				b.after(time.Minute)
				b.claims("later", ownership.Active, nil)
			})
		})
		t.Run("self announces, "+string(name)+" probes", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, resuming(ownership.Claims{a1: 1}))
				b.want.Addresses, b.view.Peers = want(wanted(a1, self, name)), []mesh.Peer{peer(name, nil)}
				b.inform()
				b.after(4 * time.Millisecond)
				b.receive(probing(name, a1, 1))
				b.claims("when the claim arrives", ownership.Active, ownership.Claims{a1: 1})
				b.serves("when the claim arrives", on0(false, a1))
			})
		})
	}
}

func TestAddressesLeftUntakenDuringADrainDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := beginning(t, want(wanted(a1, self, "p1", "p2")), peer("p1", nil), peer("p2", nil))
		b.want.Addresses = nil
		b.inform()
		b.want.Addresses, b.want.Draining = want(wanted(a1, self, "p1", "p2")), map[lb.NodeName]bool{self: true}
		b.inform()
		b.after(9 * time.Second) // the peers have not received that the address is wanted
		b.claims("while self drains", ownership.Draining, nil)
		b.want.Draining = nil
		b.inform()
		b.claims("when self drains no more", ownership.Active, ownership.Claims{a1: 1})
	})
}

func TestAddressThatAStartingSpeakerDoesNotTakeIsTakenByARunningOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, nil, in(ownership.Starting, peer("p1", nil)), in(ownership.Starting, peer("p2", nil)))
		b.want.Addresses = want(wanted(a1, "p1", "p2", self))
		b.inform()
		b.after(500 * time.Millisecond)
		b.silent("after half a second")
		b.after(100 * time.Millisecond)
		b.claims("then", ownership.Active, ownership.Claims{a1: 1})
	})
}

// A node that does not take its address is passed over, although other nodes come and go meanwhile.
func TestTurnsGoOnWhileOtherNodesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := beginning(t, want(wanted(a1, "p1", self, "p2")), peer("p1", nil))
		for i := range 3 {
			b.after(600 * time.Millisecond)
			b.silent("before it is its turn")
			if i%2 == 0 {
				b.receive(peer("p1", nil), peer("p2", nil))
			} else {
				b.receive(peer("p1", nil))
			}
			b.forget()
		}
		b.after(200 * time.Millisecond)
		b.claims("when it is its turn", ownership.Active, ownership.Claims{a1: 1})
	})
}
