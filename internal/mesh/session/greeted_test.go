package session

import (
	"testing"
	"time"
)

// Greeted is true for a greeting that wants an answer, of an instance that was confirmed
// before, and not for a recording of one.
func TestOpen_Greeted(t *testing.T) {
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
	expect("first contact", first, false)
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
	expect("b restarted", greeting(), false)
}
