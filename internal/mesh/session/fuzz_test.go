package session

import (
	"testing"
	"time"
)

// FuzzOpen gives a receiver datagrams that are no copies of true ones, and authentic
// greetings with any content, as a node with the key could send them.
func FuzzOpen(f *testing.F) {
	b := newBed(f, []Key{key(f, 1)}, "a", "b")
	b.run(confirmed)
	b.message("a", "b", "message")
	for _, s := range b.ever {
		f.Add(false, false, s.datagram)
		f.Add(true, false, s.datagram)
	}
	f.Add(true, true, make([]byte, greetingSize))
	f.Fuzz(func(t *testing.T, authentic, confirmedInstance bool, input []byte) {
		b := newBed(t, []Key{key(t, 1)}, "a", "b")
		b.run(confirmed)
		receiver := b.tables["b"]
		if !authentic {
			valid, _ := b.tables["a"].Seal("b", []byte("message"))
			o := receiver.Open(b.now, "a", append([]byte(nil), input...))
			if (o.Err == nil || o.Message != nil || o.Met || o.Replies != nil) && string(input) != string(valid) {
				t.Fatalf("%x: got %+v, want an error alone", input, o)
			}
		} else {
			sender := b.tables["a"]
			if !confirmedInstance {
				sender = New("a", instance(99), counting(99))
				sender.SetKeys(b.now, []Key{key(t, 1)})
			}
			content := append(input, make([]byte, greetingSize)...)[:greetingSize]
			datagram, _ := sender.seal(kindGreeting, 0, "b", [16]byte{}, content)
			o := receiver.Open(b.now, "a", datagram)
			if o.Err != nil || o.Message != nil || o.Met || len(o.Replies) > 1 {
				t.Fatalf("%x: got %+v, want one answer at most", content, o)
			}
		}
		b.run(confirmed)
		b.now = b.now.Add(time.Second)
		if !b.talks("b", "a") && !authentic {
			t.Fatal("the two do not talk any more")
		}
	})
}
