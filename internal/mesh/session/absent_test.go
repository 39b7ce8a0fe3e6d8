package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// amongAbsent returns a table that has greeted many peers for a minute, of which none answers,
// and the greetings of the last ten seconds of it, by peer.
func amongAbsent(t *testing.T, count int) (b *bed, greeted map[lb.NodeName][]time.Time) {
	t.Helper()
	b, greeted = newBed(t, []Key{key(t, 1)}, "a"), map[lb.NodeName][]time.Time{}
	for i := range count {
		b.names = append(b.names, lb.NodeName(fmt.Sprintf("peer-%03d", i)))
	}
	a, begun := b.tables["a"], b.now
	a.SetPeers(b.now, b.names)
	for b.now.Sub(begun) < time.Minute {
		greetings := a.Tick(b.now)
		if len(greetings) > greetBatch {
			t.Fatalf("%d greetings at once, want %d at most", len(greetings), greetBatch)
		}
		if b.now.Sub(begun) >= 50*time.Second {
			for _, g := range greetings {
				greeted[g.To] = append(greeted[g.To], b.now)
			}
		}
		b.now = a.Next(b.now)
	}
	return b, greeted
}

func TestGreetings_OfPeersThatNeverAnswer(t *testing.T) {
	for _, tt := range []struct {
		count       int
		least, most time.Duration // between two greetings of one peer
	}{
		{1, lastGreetWait, lastGreetWait}, {10, lastGreetWait, lastGreetWait}, {60, 60 * absentPause, 60 * absentPause}, {66, 66 * absentPause, maxAbsentWait}, {300, maxAbsentWait / 2, maxAbsentWait},
	} {
		_, greeted := amongAbsent(t, tt.count)
		burst := map[time.Time]int{}
		for node, at := range greeted {
			for i, when := range at {
				if burst[when.Truncate(100*time.Millisecond)]++; i == 0 {
					continue
				}
				if pause := when.Sub(at[i-1]); pause < tt.least-10*time.Millisecond || pause > tt.most+10*time.Millisecond {
					t.Errorf("%d peers: %s was greeted again after %s, want %s to %s", tt.count, node, pause, tt.least, tt.most)
				}
			}
		}
		if len(greeted) != tt.count {
			t.Errorf("%d of %d peers were greeted within ten seconds", len(greeted), tt.count)
		}
		for _, n := range burst {
			if most := 4 + 2*tt.count*int(100*time.Millisecond)/int(tt.least); n > most {
				t.Errorf("%d peers: %d greetings within 100 ms, want %d at most", tt.count, n, most)
			}
		}
	}
}

func TestGreetings_AfterAPeerComesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		all  bool // the others are greeted soon as well
		does func(b *bed)
	}{
		{"it starts", true, func(b *bed) { b.start("peer-199", key(b.t, 1)) }},
		{"its Node is created anew", false, func(b *bed) {
			a := b.tables["a"]
			a.SetPeers(b.now, b.names[:200])
			b.start("peer-199", key(b.t, 1)).SetPeers(b.now, nil) // it greets nobody
			b.tables["peer-199"].SetPeers(b.now, []lb.NodeName{"a"})
			a.SetPeers(b.now, b.names)
		}},
		{"keys change", true, func(b *bed) {
			b.start("peer-199", key(b.t, 2))
			b.tables["a"].SetKeys(b.now, []Key{key(b.t, 2)})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := amongAbsent(t, 200)
			b.onOpen, b.flying = nil, nil
			all := b.names
			tt.does(b)
			begun, others := b.now, map[lb.NodeName]bool{}
			for b.now.Sub(begun) < 400*time.Millisecond && !(b.tables["a"].HasSession("peer-199") && b.tables["peer-199"].HasSession("a")) {
				b.names = []lb.NodeName{"a", "peer-199"}
				b.tick()
				b.toAlive(others)
				b.now = b.now.Add(time.Millisecond)
			}
			if !b.tables["a"].HasSession("peer-199") || !b.tables["peer-199"].HasSession("a") {
				t.Fatalf("the two have no session %s later", b.now.Sub(begun))
			}
			clear(others)
			for end := b.now.Add(lastGreetWait + 20*time.Millisecond); b.now.Before(end); b.now = b.now.Add(time.Millisecond) {
				b.tick()
				b.toAlive(others)
			}
			if tt.all && len(others) != len(all)-2 {
				t.Errorf("%d of the other %d were greeted soon after, want all: they may be back as well", len(others), len(all)-2)
			}
		})
	}
}

// toAlive delivers messages to nodes that have a table, and records the other nodes.
func (b *bed) toAlive(others map[lb.NodeName]bool) {
	for len(b.flying) > 0 {
		s := b.flying[0]
		b.flying = b.flying[1:]
		if b.tables[s.to] == nil {
			others[s.to] = true
			continue
		}
		b.open(s)
	}
}
