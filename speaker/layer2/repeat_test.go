package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
)

// owner returns a bed in which self owns a1 with epoch 5 and a2 with epoch 1, and p1 is alive.
func owner(t *testing.T) *bed {
	b := newBed(t, resuming(ownership.Claims{a1: 5, a2: 1}))
	b.want.Addresses, b.view.Peers = want(wanted(a1, self, "p1"), wanted(a2, self, "p1")), []mesh.Peer{peer("p1", nil)}
	b.inform()
	b.forget()
	return b
}

func TestContestedAddressesAreRepeatedAtTheStartAndTheEndOfTheContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := owner(t)
		b.receive(peer("p1", ownership.Claims{a1: 4}))
		b.same("when p1 claims a1", []string{"repeat [192.168.1.1]"}, b.calls("repeat"))
		b.after(2 * time.Second)
		b.inform()
		b.same("while p1 claims a1", []string{"repeat [192.168.1.1]"}, b.calls("repeat"))
		b.forget()
		b.after(time.Second)
		b.receive(peer("p1", nil))
		b.same("when the contest is over", []string{"repeat [192.168.1.1]"}, b.calls("repeat"))
		b.same("the metrics", map[string]float64{"duplicate seconds": 3}, b.counted())
		b.after(time.Minute)
		b.inform()
		b.same("the metrics a minute later", map[string]float64{"duplicate seconds": 3}, b.counted())
	})
}

func TestDuplicatesAreCountedForEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := owner(t)
		b.receive(peer("p1", ownership.Claims{a1: 4, a2: 0}))
		b.same("what is repeated", []string{"repeat [192.168.1.1 192.168.1.2]"}, b.calls("repeat"))
		b.after(3 * time.Second)
		b.receive(peer("p1", nil))
		b.same("the metrics", map[string]float64{"duplicate seconds": 6}, b.counted())
	})
}

func TestContestedAddressThatIsLostIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := owner(t)
		b.receive(peer("p1", ownership.Claims{a1: 4}))
		b.forget()
		b.receive(peer("p1", ownership.Claims{a1: 6}))
		b.same("what is repeated", []string(nil), b.calls("repeat"))
	})
}

func TestEverythingIsRepeatedWhenAPeerIsBack(t *testing.T) {
	tests := []struct {
		name  string
		want  []ownership.Address
		then  func(*bed)
		calls []string
	}{
		{name: "a peer is back", want: want(wanted(a1, self)), then: func(b *bed) { b.receive(); b.receive(peer("p1", nil)) }, calls: []string{"repeat []"}},
		{name: "a peer is new", want: want(wanted(a1, self)), then: func(b *bed) { b.receive(peer("p1", nil), peer("p2", nil)) }, calls: []string{"repeat []"}},
		{name: "a peer is new, and another is not", want: want(wanted(a1, self)), then: func(b *bed) { b.receive(peer("p0", nil), peer("p1", nil)) }, calls: []string{"repeat []"}},
		{name: "a peer is lost", want: want(wanted(a1, self)), then: func(b *bed) { b.receive() }},
		{name: "the same peers are alive", want: want(wanted(a1, self)), then: func(b *bed) { b.receive(peer("p1", nil)) }},
		{name: "self owns nothing", then: func(b *bed) { b.receive(); b.receive(peer("p1", nil)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, tt.want, peer("p1", nil))
				tt.then(b)
				b.same("what is repeated", tt.calls, b.calls("repeat"))
			})
		})
	}
}

func TestNothingIsRepeatedWhenASpeakerStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", nil)}
		b.inform()
		b.same("what is repeated", []string(nil), b.calls("repeat"))
	})
}

func TestMovesAndFailoversAreCounted(t *testing.T) {
	tests := []struct {
		name string
		then func(*bed)
		want map[string]float64
	}{
		{name: "the owner is dead and was received from", then: func(b *bed) {
			b.view.Missing = []mesh.MissingPeer{{Node: "p1", Received: time.Now().Add(-300 * time.Millisecond)}, {Node: "p2", Received: time.Now().Add(-time.Hour)}}
			b.want.Down = map[lb.NodeName]bool{"p1": true, "p2": true}
			b.inform()
			b.receive()
			b.free(a1)
		}, want: map[string]float64{"failure": 1, "failovers": 1, "failover seconds": 0.6}},
		{name: "the owner is dead and was never received from", then: func(b *bed) { b.survive("p1") }, want: map[string]float64{"failure": 1}},
		{name: "the owner is dead, and the next candidate did nothing for two seconds", then: func(b *bed) {
			b.want.Addresses = want(wanted(a1, "p1", "p2", self))
			b.receive(b.view.Peers[0], peer("p2", nil))
			b.inform()
			b.view.Missing = []mesh.MissingPeer{{Node: "p1", Received: time.Now().Add(-300 * time.Millisecond)}}
			b.receive(peer("p2", nil))
			b.after(2 * time.Second)
		}, want: map[string]float64{"failure": 1, "failovers": 1, "failover seconds": 2.3}},
		{name: "the owner hands over", then: func(b *bed) { b.receive(in(ownership.Draining, peer("p1", ownership.Claims{a1: 1}))) },
			want: map[string]float64{"handover": 1}},
		{name: "an address is added that no node ever had", then: func(b *bed) {
			b.want.Addresses = append(b.want.Addresses, wanted(a2, self))
			b.inform()
			b.inform()
		}, want: map[string]float64{"first": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 1}))
				b.same("the metrics at first", map[string]float64{}, b.counted())
				tt.then(b)
				b.same("the metrics", tt.want, b.counted())
			})
		})
	}
}
