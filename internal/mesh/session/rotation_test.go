package session

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

var threeOrders = [][]lb.NodeName{{"a", "b", "c"}, {"a", "c", "b"}, {"b", "a", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"c", "b", "a"}}

// ring returns the keys with these numbers, newest first.
func ring(t tb, numbers ...byte) (keys []Key) {
	for _, n := range numbers {
		keys = append(keys, key(t, n))
	}
	return keys
}

// Each node adds the new key, then each drops the old one. There is no moment at which two
// nodes do not reach each other.
func TestRotation_HasNoMomentOfSplit(t *testing.T) {
	for _, adds := range threeOrders {
		for _, drops := range threeOrders {
			b := newBed(t, ring(t, 1), "a", "b", "c")
			b.run(confirmed)
			for phase, order := range [][]lb.NodeName{adds, drops} {
				for _, node := range order {
					b.tables[node].SetKeys(b.now, ring(t, 2, 1)[:2-phase])
					when := fmt.Sprintf("%s is in phase %d, orders %v and %v", node, phase, adds, drops)
					b.mustTalk(when + ", at once")
					b.tick()
					b.mustTalk(when + ", after the greetings")
					b.run(confirmed)
					b.mustTalk(when)
				}
			}
			for _, node := range b.names {
				if !b.tables[node].haveNewestKey() {
					t.Fatalf("not all send to %s under the newest key", node)
				}
			}
			b.ever = nil
			if b.run(confirmed); len(b.ever) > 0 {
				t.Fatalf("greetings go on after the rotation: %v", b.ever)
			}
		}
	}
}

// The nodes that have a key in common reach each other at every step of a rotation, in
// whatever order the nodes get the rings.
func TestRotation_NodesWithACommonKeyTalk(t *testing.T) {
	for name, steps := range map[string][][]byte{
		"the Secret is replaced at once":            {{1}, {2}},
		"replaced, then the old key is added again": {{1}, {2}, {2, 1}},
		"replaced and replaced back":                {{1}, {2}, {1}},
		"a new key is taken back":                   {{1}, {2, 1}, {1}},
		"two rotations, one upon the other":         {{1}, {2, 1}, {3, 2}, {3}},
		"four keys":                                 {{1}, {4, 3, 2, 1}, {4}},
		"the order changes":                         {{2, 1}, {1, 2}},
		"no key, and one again":                     {{1}, {}, {1}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range threeOrders {
				b := newBed(t, ring(t, steps[0]...), "a", "b", "c")
				has := map[lb.NodeName][]byte{}
				for _, node := range b.names {
					has[node] = steps[0]
				}
				for _, step := range steps[1:] {
					for _, node := range order {
						has[node] = step
						b.tables[node].SetKeys(b.now, ring(t, step...))
						b.run(confirmed)
						b.mustTalkUnder(has)
					}
				}
			}
		})
	}
}

// A process that starts in the middle of a rotation is confirmed by all with whom it has a
// key in common, also if it has the new one alone.
func TestRotation_NodeRestarts(t *testing.T) {
	for _, has := range []map[lb.NodeName][]byte{
		{"a": {2}, "b": {2, 1}, "c": {1}},
		{"a": {2}, "b": {2, 1}, "c": {2, 1}},
		{"a": {2, 1}, "b": {2, 1}, "c": {1}},
		{"a": {2, 1}, "b": {1}, "c": {3, 2}},
	} {
		for _, restarts := range []lb.NodeName{"a", "b", "c"} {
			b := newBed(t, ring(t, 1), "a", "b", "c")
			b.run(confirmed)
			for _, node := range b.names {
				b.tables[node].SetKeys(b.now, ring(t, has[node]...))
			}
			b.run(confirmed)
			b.start(restarts, ring(t, has[restarts]...)...)
			b.run(confirmed)
			b.mustTalkUnder(has)
		}
	}
}

// The keys that a peer lists in a greeting replace those of earlier greetings, not of later
// ones, and those of the process before.
func TestRotation_LatestGreetingCounts(t *testing.T) {
	b := newBed(t, ring(t, 1), "a", "b")
	b.run(confirmed)
	b.tables["b"].SetKeys(b.now, ring(t, 2, 1))
	a := b.tables["a"]
	a.SetKeys(b.now, ring(t, 3, 1))
	late := a.Tick(b.now)
	a.SetKeys(b.now, ring(t, 2, 1))
	b.run(confirmed)
	for _, g := range late {
		b.open(sent{"a", "b", g.Datagram})
	}
	if got := b.tables["b"].peers["a"].key; got != 0 {
		t.Errorf("b sends under key %d, want the newest, 0", got)
	}
	for range 1000 {
		a.Seal("b", nil)
	}
	a.Reset(b.now, "b")
	b.tables["b"].Reset(b.now, "a")
	b.run(confirmed) // the keys of a were listed with a large counter
	b.start("a", ring(t, 1)...)
	b.run(confirmed)
	b.mustTalk("a restarted with the old key alone")
}

// haveNewestKey returns whether all nodes with a confirmed instance have shown the newest key.
func (t *Table) haveNewestKey() bool {
	return !slices.ContainsFunc(t.order, func(p *peer) bool { return p.met && p.key != 0 })
}

func TestRotation_NewestKeyIsShown(t *testing.T) {
	b := newBed(t, ring(t, 1), "a", "b", "c")
	b.run(confirmed)
	for _, step := range []struct {
		node lb.NodeName
		ring []byte
		want bool // of a
	}{{"a", []byte{1}, true}, {"a", []byte{2, 1}, false}, {"b", []byte{2, 1}, false}, {"c", []byte{2, 1}, true}, {"b", []byte{1}, false}, {"b", []byte{2}, true}} {
		b.tables[step.node].SetKeys(b.now, ring(t, step.ring...))
		b.run(confirmed)
		if got := b.tables["a"].haveNewestKey(); got != step.want {
			t.Errorf("after %s has the keys %v: got %v, want %v", step.node, step.ring, got, step.want)
		}
	}
}

// A key that a process does not have any more opens nothing.
func TestRotation_DroppedKeyIsRefused(t *testing.T) {
	b := newBed(t, ring(t, 1), "a", "b")
	b.run(confirmed)
	b.tables["b"].SetKeys(b.now, ring(t, 2))
	b.message("a", "b", "under the old key")
	if o := b.open(b.flying[0]); !errors.Is(o.Err, ErrKey) {
		t.Errorf("got %+v, want %v", o, ErrKey)
	}
}

// mustTalkUnder fails unless exactly those nodes reach each other that have a key in common.
func (b *bed) mustTalkUnder(has map[lb.NodeName][]byte) {
	b.t.Helper()
	for _, from := range b.names {
		for _, to := range b.names {
			if from == to {
				continue
			}
			want := false
			for _, x := range has[from] {
				for _, y := range has[to] {
					want = want || x == y
				}
			}
			if got := b.talks(from, to); got != want {
				b.t.Fatalf("%s reaches %s: %v, want %v, with the keys %v", from, to, got, want, has)
			}
		}
	}
}
