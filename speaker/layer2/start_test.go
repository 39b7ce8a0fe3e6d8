package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestNothingIsAnnouncedBeforeEverythingHasComeOnce(t *testing.T) {
	kinds := map[string]func(*bed){
		"the snapshot":  func(b *bed) { b.engine.SetSnapshot(b.want) },
		"the others":    func(b *bed) { b.engine.SetView(b.view) },
		"the interface": func(b *bed) { b.engine.SetLinks(b.links) },
	}
	for last, informLast := range kinds {
		t.Run(last+" comes last", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.want.Addresses = want(wanted(a1, self))
				for kind, pass := range kinds {
					if kind != last {
						pass(b)
					}
				}
				b.after(time.Minute)
				b.same("before", []string(nil), b.log)
				b.same("synced before", false, b.engine.HasSynced())
				informLast(b)
				b.settle()
				b.serves("afterwards", on0(true, a1))
				b.same("synced afterwards", true, b.engine.HasSynced())
			})
		})
	}
}

func TestASpeakerThatStartsWaitsForThoseThatShouldBeThere(t *testing.T) {
	tests := []struct {
		name    string
		missing []lb.NodeName
		down    map[lb.NodeName]bool
		waits   bool
	}{
		{name: "no peer is missing"},
		{name: "a peer is missing", missing: []lb.NodeName{"p1"}, waits: true},
		{name: "the missing peer is down", missing: []lb.NodeName{"p1"}, down: map[lb.NodeName]bool{"p1": true}},
		{name: "one of two missing peers is down", missing: []lb.NodeName{"p1", "p2"}, down: map[lb.NodeName]bool{"p1": true}, waits: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.want.Addresses, b.want.Down, b.view.Missing = want(wanted(a1, self)), tt.down, missing(tt.missing...)
				b.inform()
				if tt.waits {
					b.after(1999 * time.Millisecond)
					b.silent("while self waits")
					b.same("synced while self waits", false, b.engine.HasSynced())
					b.reach("eth0", a1)
					b.after(time.Millisecond)
				}
				if tt.down["p1"] && !tt.waits {
					b.free(a1)
				}
				// Probed addresses need no further probe of the responder.
				b.serves("in the end", on0(len(tt.missing) == 0, a1))
			})
		})
	}
}

func TestASpeakerThatStartsGoesOnAsSoonAsAllAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Missing = want(wanted(a1, self)), missing("p1")
		b.inform()
		b.after(time.Second)
		b.silent("while self waits")
		b.view.Missing = nil
		b.receive(peer("p1", nil))
		b.serves("when all peers are received from", on0(true, a1))
	})
}

func TestOfSpeakersThatStartTogetherNoneWaitsLongerThanTheFirst(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before ownership.Phase
		then   ownership.Phase
		after  time.Duration // until the peer no longer waits
		until  time.Duration
	}{
		{"at once", ownership.Starting, ownership.Active, time.Second, time.Second},
		{"at half a second", ownership.Starting, ownership.Active, 100 * time.Millisecond, 500 * time.Millisecond},
		{"the peer was isolated", ownership.Isolated, ownership.Active, time.Second, time.Second},
		{"the node of the peer is drained", ownership.Starting, ownership.Draining, time.Second, time.Second},
		{"the peer ran before", ownership.Active, ownership.Active, time.Second, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.want.Addresses, b.view.Missing = want(wanted(a1, self)), missing("p2")
				b.view.Peers = []mesh.Peer{in(tt.before, peer("p1", nil))}
				b.inform()
				b.after(tt.after)
				b.silent("while both wait")
				b.receive(in(tt.then, peer("p1", nil)))
				if tt.until > tt.after {
					b.after(tt.until - tt.after - time.Millisecond)
					b.same("synced before that", false, b.engine.HasSynced())
					b.after(time.Millisecond)
				}
				b.same("synced", true, b.engine.HasSynced())
			})
		})
	}
}

func TestSpeakerThatWasIsolatedTakesAddressesThatNoHostAnswersFor(t *testing.T) {
	for _, tt := range []struct {
		name string
		back []mesh.Peer
		lost []lb.NodeName
	}{
		{"all", []mesh.Peer{peer("p1", nil), peer("p2", nil), peer("p3", nil)}, nil},
		{"most", []mesh.Peer{peer("p1", nil), peer("p2", nil)}, []lb.NodeName{"p3"}},
		{"one", []mesh.Peer{peer("p1", nil)}, []lb.NodeName{"p2", "p3"}},
		{"none", nil, []lb.NodeName{"p1", "p2", "p3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil), peer("p3", nil))
				b.view.Missing = missing("p1", "p2", "p3") // self is isolated
				b.receive()
				b.after(2 * time.Second)
				b.serves("while no host answers", nil)
				b.view.Missing = missing(tt.lost...)
				b.receive(tt.back...)
				b.reach("eth0")
				b.after(400 * time.Millisecond)
				b.reach("eth0", a1)
				b.serves("when no host has answered for the address", on0(false, a1))
			})
		})
	}
}

func TestASpeakerThatRunsDoesNotWaitForAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, "p1", self)), peer("p1", ownership.Claims{a1: 1}))
		b.survive("p1")
		b.claims("when the peer is lost", ownership.Active, ownership.Claims{a1: 2})
	})
}

func TestStartingSpeakerWaitsUntilAllHaveAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Checked = want(wanted(a1, self)), false
		b.inform()
		b.after(time.Minute)
		b.silent("while self waits for states")
		b.same("what is published while self waits for states", []string{"publish Starting []"}, b.log)
		b.view.Checked = true
		b.receive()
		b.serves("when the peers have answered", on0(true, a1))
	})
}

func TestStart_IsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.want.Addresses, b.view.Missing = want(wanted(a1, self)), missing("p1")
		b.inform()
		b.reach("eth0", a1)
		b.inform()
		b.after(900 * time.Millisecond)
		b.reach("eth0", a1)
		b.inform()
		b.same("while self waits", []string{"publish Starting []"}, b.calls("publish"))
		b.same("published links", 1, len(b.states[0].Links))
		b.reach("eth0", a1)
		b.after(900 * time.Millisecond)
		b.reach("eth0", a1)
		b.after(200 * time.Millisecond)
		b.inform()
		b.same("in the end", []string{"publish Starting []", "publish Active [192.168.1.1]"}, b.calls("publish"))
	})
}

func TestCheckpoint_IsUsedUntilTheSnapshot(t *testing.T) {
	saved := layer2.Snapshot{Addresses: want(wanted(a1, self))}
	fresh := layer2.Snapshot{Addresses: want(wanted(a2, self))}
	tests := []struct {
		name string
		does func(*layer2.Engine)
		want ownership.Claims
	}{
		{name: "no snapshot arrives", does: func(e *layer2.Engine) { e.SetCheckpoint(saved) }, want: ownership.Claims{a1: 1}},
		{name: "a snapshot arrives later", does: func(e *layer2.Engine) { e.SetCheckpoint(saved); e.SetSnapshot(fresh) }, want: ownership.Claims{a2: 1}},
		{name: "a snapshot arrived before", does: func(e *layer2.Engine) { e.SetSnapshot(fresh); e.SetCheckpoint(saved) }, want: ownership.Claims{a2: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				tt.does(b.engine)
				b.engine.SetView(b.view)
				b.engine.SetLinks(b.links)
				b.settle()
				b.claims("in the end", ownership.Active, tt.want)
			})
		})
	}
}
