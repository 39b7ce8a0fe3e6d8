package session

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// confirmed is the time in which all nodes confirm each other, whatever was lost before.
const confirmed = lastGreetWait + firstGreetWait

func TestHandshake_ThreeDatagramsConfirmBoth(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	a := b.tables["a"].Tick(b.now)
	if len(a) != 1 {
		t.Fatalf("a sends %d greetings, want 1", len(a))
	}
	second := b.open(sent{"a", "b", a[0].Datagram})
	if second.Met || len(second.Replies) != 1 {
		t.Fatalf("b confirmed: %v with %d replies, want false and 1", second.Met, len(second.Replies))
	}
	third := b.open(sent{"b", "a", second.Replies[0]})
	if !third.Met || len(third.Replies) != 1 || third.Instance != instance(2) {
		t.Fatalf("a confirmed: %v %v with %d replies, want true, the instance of b and 1", third.Met, third.Instance, len(third.Replies))
	}
	last := b.open(sent{"a", "b", third.Replies[0]})
	if !last.Met || len(last.Replies) != 0 || last.Instance != instance(1) {
		t.Fatalf("b confirmed: %v %v with %d replies, want true, the instance of a and none", last.Met, last.Instance, len(last.Replies))
	}
	b.flying = nil
	b.mustTalk("after the handshake")
	for range 10 {
		b.now = b.now.Add(time.Minute)
		if b.tick(); len(b.flying) > 0 {
			t.Fatalf("greetings go on after the handshake: %v", b.flying)
		}
	}
	if next := b.tables["a"].Next(b.now); next.Before(b.now.Add(idleWait / 2)) {
		t.Errorf("the next greeting is due at %v, want none", next)
	}
}

// interrupt runs a handshake of a and b from the start, and calls event before the n-th
// datagram is delivered. It returns false if there are not so many.
func interrupt(b *bed, n int, event func()) bool {
	for step := 0; ; step++ {
		if len(b.flying) == 0 {
			if b.tick(); len(b.flying) == 0 {
				return false
			}
		}
		if step == n {
			event()
			return true
		}
		if len(b.flying) > 0 {
			s := b.flying[0]
			b.flying = b.flying[1:]
			b.open(s)
		}
	}
}

func TestHandshake_EventBeforeEachDatagram(t *testing.T) {
	for name, event := range map[string]func(b *bed){
		"the datagram is lost":      func(b *bed) { b.flying = b.flying[1:] },
		"all are lost":              func(b *bed) { b.flying = nil },
		"a restarts":                func(b *bed) { b.start("a", key(b.t, 1)) },
		"b restarts":                func(b *bed) { b.start("b", key(b.t, 1)) },
		"both restart":              func(b *bed) { b.start("a", key(b.t, 1)); b.start("b", key(b.t, 1)) },
		"both restart, all lost":    func(b *bed) { b.start("a", key(b.t, 1)); b.start("b", key(b.t, 1)); b.flying = nil },
		"a finds b dead":            func(b *bed) { b.tables["a"].Reset(b.now, "b") },
		"each finds the other dead": func(b *bed) { b.tables["a"].Reset(b.now, "b"); b.tables["b"].Reset(b.now, "a") },
		"a drops b and takes it back": func(b *bed) {
			b.tables["a"].SetPeers(b.now, nil)
			b.tables["a"].SetPeers(b.now, b.names)
		},
		"a has another key":          func(b *bed) { b.tables["a"].SetKeys(b.now, []Key{key(b.t, 2), key(b.t, 1)}) },
		"the datagrams are reversed": func(b *bed) { slices.Reverse(b.flying) },
		"everything comes twice":     func(b *bed) { b.flying = append(b.flying, b.ever...) },
	} {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for ; ; steps++ {
				b := newBed(t, []Key{key(t, 1)}, "a", "b")
				if !interrupt(b, steps, func() { event(b) }) {
					break
				}
				b.run(confirmed)
				b.mustTalk(name)
				b.ever = nil
				b.run(time.Second)
				if len(b.ever) > 0 {
					t.Fatalf("before datagram %d: the handshake does not end: %v", steps, b.ever)
				}
			}
			if steps < 3 {
				t.Errorf("the handshake had %d datagrams, want 3 at least", steps)
			}
		})
	}
}

func TestGreetings_BackOffWhileAPeerIsSilent(t *testing.T) {
	b := newBed(t, []Key{key(t, 2), key(t, 1)}, "a", "b")
	a, begin := b.tables["a"], b.now
	var at []time.Duration
	for len(at) < 8 {
		b.now = a.Next(b.now)
		greetings := a.Tick(b.now)
		if len(greetings) == 0 {
			continue
		}
		if len(greetings) != 2 || greetings[0].To != "b" {
			t.Fatalf("got %d greetings, want one for each key to b", len(greetings))
		}
		at = append(at, b.now.Sub(begin))
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 100 * ms, 300 * ms, 600 * ms, 900 * ms, 1200 * ms, 1500 * ms, 1800 * ms}
	if !slices.Equal(at, want) {
		t.Errorf("greetings went out after %v, want %v", at, want)
	}
}

func TestGreetings_GoOutInBatches(t *testing.T) {
	names := make([]lb.NodeName, 200)
	for i := range names {
		names[i] = lb.NodeName(rune('0' + i))
	}
	table := New("self", instance(1), counting(0))
	now := time.Unix(0, 0)
	table.SetKeys(now, []Key{key(t, 1)})
	table.SetPeers(now, append(names, "self", names[0]))
	greeted := map[lb.NodeName]int{}
	for rounds := 0; len(greeted) < len(names); rounds++ {
		greetings := table.Tick(now)
		if len(greetings) > greetBatch || rounds > 4 {
			t.Fatalf("round %d has %d greetings, want %d at most, and 4 rounds", rounds, len(greetings), greetBatch)
		}
		for _, g := range greetings {
			greeted[g.To]++
		}
		now = table.Next(now)
	}
	for node, n := range greeted {
		if n != 1 || node == "self" {
			t.Errorf("%s was greeted %d times, want once, and never this node", node, n)
		}
	}
}

// Nothing is decrypted to refuse these: their end is damaged, and that is not the reason.
func TestOpen_RefusesBeforeItDecrypts(t *testing.T) {
	for name, c := range map[string]struct {
		from   lb.NodeName
		change func(d []byte) []byte
		want   error
	}{
		"unknown node":               {"stranger", nil, ErrPeer},
		"this node":                  {"b", nil, ErrPeer},
		"no bytes":                   {"a", func(d []byte) []byte { return nil }, ErrFormat},
		"too short":                  {"a", func(d []byte) []byte { return d[:OverheadBytes-1] }, ErrFormat},
		"too long":                   {"a", func(d []byte) []byte { return append(d, make([]byte, MaxDatagramBytes)...) }, ErrFormat},
		"unknown kind":               {"a", func(d []byte) []byte { d[0]++; d[0]++; return d }, ErrFormat},
		"greeting of another length": {"a", func(d []byte) []byte { d[0] = kindGreeting; return d }, ErrFormat},
		"unknown key":                {"a", func(d []byte) []byte { d[1]++; return d }, ErrKey},
		"unknown instance":           {"a", func(d []byte) []byte { d[5]++; return d }, ErrUnconfirmed},
		"received counter":           {"a", func(d []byte) []byte { return d }, ErrReplayed},
		"old counter":                {"a", func(d []byte) []byte { copy(d[headerSize-8:], make([]byte, 8)); return d }, ErrReplayed},
		"damaged":                    {"a", func(d []byte) []byte { d[headerSize-8]++; return d }, ErrForged},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, []Key{key(t, 1)}, "a", "b")
			b.run(confirmed)
			datagram, _ := b.tables["a"].Seal("b", []byte("message"))
			if o := b.open(sent{"a", "b", datagram}); string(o.Message) != "message" {
				t.Fatalf("got %+v, want the message", o)
			}
			datagram[len(datagram)-1]++
			if c.change != nil {
				datagram = c.change(datagram)
			}
			o := b.tables["b"].Open(b.now, c.from, datagram)
			if !errors.Is(o.Err, c.want) || o.Message != nil || o.Met || o.Replies != nil {
				t.Errorf("got %+v, want the error %v alone", o, c.want)
			}
			if !b.talks("a", "b") {
				t.Error("a does not reach b afterwards")
			}
		})
	}
}

func TestSeal_RefusesMessagesThatItCannotSend(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	a := b.tables["a"]
	if _, ok := a.Seal("b", []byte("early")); ok {
		t.Error("a message was sealed before the handshake")
	}
	b.run(confirmed)
	if _, ok := a.Seal("stranger", []byte("message")); ok {
		t.Error("a message was sealed for no peer")
	}
	if _, ok := a.Seal("b", make([]byte, MaxMessageBytes+1)); ok {
		t.Error("a message was sealed that is too long")
	}
	longest, ok := a.Seal("b", make([]byte, MaxMessageBytes))
	if !ok || len(longest) != MaxDatagramBytes {
		t.Fatalf("the longest message has %d bytes sealed, %v, want %d", len(longest), ok, MaxDatagramBytes)
	}
	if o := b.open(sent{"a", "b", longest}); len(o.Message) != MaxMessageBytes {
		t.Errorf("got %d bytes and %v, want the longest message", len(o.Message), o.Err)
	}
	empty, _ := a.Seal("b", nil)
	if o := b.open(sent{"a", "b", empty}); o.Message == nil || len(o.Message) != 0 {
		t.Errorf("got %v, want an empty message, which is not nil", o.Message)
	}
	a.SetPeers(b.now, nil)
	if _, ok := a.Seal("b", []byte("late")); ok || a.HasSession("b") {
		t.Error("a message was sealed for a node that is no peer any more")
	}
}

func TestSeal_NoCounterIsUsedTwice(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	b.run(confirmed)
	a := b.tables["a"]
	a.counter = math.MaxUint64 - 1
	last, ok := a.Seal("b", []byte("last"))
	if o := b.open(sent{"a", "b", last}); !ok || string(o.Message) != "last" {
		t.Fatalf("got %+v, want the message with the last counter", o)
	}
	if _, ok := a.Seal("b", []byte("one more")); ok {
		t.Error("a message was sealed although no counter is left")
	}
	a.Reset(b.now, "b")
	if greetings := a.Tick(b.now); len(greetings) != 0 {
		t.Error("a greeting was sealed although no counter is left")
	}
}

func TestOpenAndSeal_Allocations(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	b.run(confirmed)
	message := make([]byte, 100)
	var datagram []byte
	if n := testing.AllocsPerRun(100, func() { datagram, _ = b.tables["a"].Seal("b", message) }); n > 1 {
		t.Errorf("Seal allocates %v times, want once", n)
	}
	var datagrams [][]byte
	for range 101 {
		datagram, _ = b.tables["a"].Seal("b", message)
		datagrams = append(datagrams, datagram)
	}
	if n := testing.AllocsPerRun(100, func() {
		if o := b.tables["b"].Open(b.now, "a", datagrams[0]); o.Message == nil {
			t.Fatal(o.Err)
		}
		datagrams = datagrams[1:]
	}); n > 0 {
		t.Errorf("Open allocates %v times, want never", n)
	}
}
