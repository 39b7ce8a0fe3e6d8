package session

import (
	"testing"
	"time"
)

// Greeted is true for a greeting that wants an answer, of any instance,
// and not for a recording of one.
func TestOpen_AfterAGreeting(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	greeting := func() sent {
		b.now = b.now.Add(time.Second)
		return sent{"b", "a", b.tables["b"].Tick(b.now)[0].Datagram}
	}
	expect := func(what string, s sent, want bool) {
		t.Helper()
		if o := b.open(s); o.Greeted != want {
			t.Errorf("%s: got %+v, want greeted: %v", what, o, want)
		}
	}
	first := greeting()
	expect("first contact", first, true)
	b.run(confirmed)
	b.tables["b"].Reset(b.now, "a")
	second, third := greeting(), greeting()
	expect("b has no session", second, true)
	expect("recording of the first contact", first, false)
	expect("recording of the second", second, false)
	b.tables["a"].Reset(b.now, "b")
	expect("a found b dead: recording of the second", second, false)
	expect("a found b dead: b has no session", third, true)
	b.run(confirmed)
	expect("confirmed again: recording of the third", third, false)
	b.tables["b"].Reset(b.now, "a")
	early, late := greeting(), greeting()
	expect("b has no session: the later one of two", late, true)
	expect("the earlier one, after it", early, false)
	b.start("b", key(t, 1))
	early, late = greeting(), greeting()
	expect("b restarted: the later one of two", late, true)
	expect("b restarted: the earlier one, after it", early, false)
	expect("b restarted: recording of the later one", late, false)
}

// A silent speaker shows its silence in its next greeting, which is sent soon, also with as many keys as
// it can have.
func TestOpen_Silent(t *testing.T) {
	for _, count := range []byte{1, MaxKeys} {
		var keys []Key
		for n := range count {
			keys = append(keys, key(t, n+1))
		}
		b := newBed(t, keys, "a", "b")
		b.run(confirmed)
		table := b.tables["b"]
		table.Reset(b.now, "a")
		for range 10 {
			_ = table.Tick(b.now)
			b.now = b.now.Add(lastGreetWait)
		}
		expect := func(what string, want bool) {
			t.Helper()
			greetings := table.Tick(b.now)
			if len(greetings) != int(count) {
				t.Fatalf("%d keys: %s: got %d greetings, want one for each key", count, what, len(greetings))
			}
			if o := b.open(sent{"b", "a", greetings[0].Datagram}); !o.Greeted || o.Silent != want {
				t.Errorf("%d keys: %s: got %+v, want greeted, and silent: %v", count, what, o, want)
			}
			b.now = b.now.Add(firstGreetWait)
		}
		_ = table.Tick(b.now)
		for _, silent := range []bool{true, false} {
			table.SetSilent(b.now, silent)
			b.now = b.now.Add(firstGreetWait)
			expect("a while after it changed", silent)
		}
		table.SetSilent(b.now, true)
		b.now = b.now.Add(firstGreetWait)
		b.run(confirmed)
		if !b.tables["a"].HasSession("b") || !table.HasSession("a") {
			t.Errorf("%d keys: no session with a silent speaker, want one once it receives", count)
		}
	}
}
