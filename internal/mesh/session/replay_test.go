package session

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// replay sends everything that was ever sent once more, to its receiver, back to its sender
// and to third nodes, and fails if anything is delivered or confirmed.
func (b *bed) replay(when string) {
	b.t.Helper()
	ever, before := b.ever, len(b.received)
	for _, s := range ever {
		for _, from := range b.names {
			for _, to := range b.names {
				if from != to {
					b.open(sent{from, to, s.datagram})
				}
			}
		}
	}
	if got := b.received[before:]; len(got) > 0 {
		b.t.Fatalf("%s: replayed datagrams had the effect %+v", when, got)
	}
	b.flying, b.ever = nil, ever // what the replays caused is lost
}

func TestReplay_HasNoEffectAfterAnyStep(t *testing.T) {
	keys := []Key{key(t, 1)}
	b := newBed(t, keys, "a", "b", "c")
	everybodyTalks := func(b *bed) { b.run(confirmed); b.mustTalk("in the story") }
	for _, step := range []struct {
		name string
		do   func(b *bed)
	}{
		{"handshake and messages", everybodyTalks},
		{"b restarted", func(b *bed) { b.start("b", keys...) }},
		{"b is back", everybodyTalks},
		{"a and c restarted", func(b *bed) { b.start("a", keys...); b.start("c", keys...) }},
		{"a and c are back", everybodyTalks},
		{"b is dead to a", func(b *bed) { b.tables["a"].Reset(b.now, "b") }},
		{"b is dead to a for a minute", func(b *bed) { b.now = b.now.Add(time.Minute) }},
		{"b is alive to a", everybodyTalks},
		{"a dropped b and took it back", func(b *bed) {
			b.tables["a"].SetPeers(b.now, []lb.NodeName{"c"})
			b.tables["a"].SetPeers(b.now, b.names)
		}},
		{"b is alive to a once more", everybodyTalks},
		{"a has a second key", func(b *bed) { b.tables["a"].SetKeys(b.now, []Key{key(t, 2), key(t, 1)}) }},
		{"all have the second key alone", func(b *bed) {
			for _, name := range b.names {
				b.tables[name].SetKeys(b.now, []Key{key(t, 2)})
			}
		}},
		{"all talk under the second key", everybodyTalks},
		{"all have the first key again", func(b *bed) {
			for _, name := range b.names {
				b.tables[name].SetKeys(b.now, keys)
			}
		}},
		{"the end", everybodyTalks},
	} {
		step.do(b)
		b.replay(step.name)
	}
}

// A dead node stays unconfirmed, whatever is recorded of it.
func TestReplay_DeadNodeStaysDead(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b", "c")
	b.run(confirmed)
	b.mustTalk("at first")
	for i := range 100 {
		b.message("b", "a", fmt.Sprint("held back ", i)) // never delivered before b dies
	}
	recorded := b.ever
	b.tables["a"].Reset(b.now, "b")
	b.received = nil
	for range 50 {
		b.now = b.now.Add(100 * time.Millisecond)
		for _, s := range recorded {
			if s.to == "a" && s.from == "b" {
				b.open(s)
			}
		}
		b.flying = nil // b does not answer
		b.tables["a"].Tick(b.now)
	}
	if len(b.received) > 0 || b.tables["a"].HasSession("b") {
		t.Errorf("b is confirmed: %v, and a received %v", b.tables["a"].HasSession("b"), b.received)
	}
	b.start("b", key(t, 1))
	b.run(confirmed)
	b.mustTalk("after the restart of b")
}

// An answer that was held back for longer than a nonce counts proves nothing.
func TestReplay_AnswerThatComesTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		late time.Duration
		want bool
	}{
		"in time":  {nonceLifetime - 1, true},
		"too late": {nonceLifetime, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, []Key{key(t, 1)}, "a", "b")
			greeting := b.tables["a"].Tick(b.now)[0]
			answer := b.open(sent{"a", "b", greeting.Datagram}).Replies[0]
			b.now = b.now.Add(c.late)
			if got := b.open(sent{"b", "a", answer}).Met; got != c.want {
				t.Errorf("the answer after %v confirms b: %v, want %v", c.late, got, c.want)
			}
		})
	}
}

// What recorded datagrams cause is bounded, and does not keep two nodes apart.
func TestReplay_FloodIsBounded(t *testing.T) {
	const (
		due      = 11 // greetings in a second
		answered = due + int(time.Second/answerInterval) + answerBurst
	)
	for name, c := range map[string]struct {
		kind  byte
		alive bool // b runs, in a new process
		most  int  // datagrams from a in a second
	}{
		"greetings, b is dead":   {kindGreeting, false, answered},
		"messages, b is dead":    {kindData, false, due},
		"greetings, b restarted": {kindGreeting, true, answered},
		"messages, b restarted":  {kindData, true, answered},
	} {
		t.Run(name, func(t *testing.T) {
			keys := []Key{key(t, 1)}
			b := newBed(t, keys, "a", "b")
			b.run(confirmed)
			b.mustTalk("at first")
			flood := b.ever
			b.now = b.now.Add(time.Minute)
			b.tables["a"].Reset(b.now, "b")
			if c.alive {
				b.start("b", keys...)
			}
			b.ever = nil
			for range 100 {
				b.now = b.now.Add(10 * time.Millisecond)
				for range 10 {
					for _, s := range flood {
						if s.datagram[0] == c.kind && (s.to == "a" || c.alive) {
							b.open(s)
						}
					}
				}
				if b.tick(); !c.alive {
					b.flying = nil
				}
				b.deliver()
			}
			from := 0
			for _, s := range b.ever {
				if s.from == "a" {
					from++
				}
			}
			if from > c.most {
				t.Errorf("a sent %d datagrams in a second, want %d at most", from, c.most)
			}
			if b.tables["a"].HasSession("b") != c.alive {
				t.Errorf("b is confirmed: %v, want %v", b.tables["a"].HasSession("b"), c.alive)
			}
			if c.alive {
				b.mustTalk("in spite of the flood")
			}
		})
	}
}

// Greetings that were recorded and never answered are answered within the budget.
func TestReplay_AnswersAreBounded(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	before := b.tables["b"]
	var flood []sent
	for range 1000 {
		b.now = b.now.Add(lastGreetWait)
		for _, g := range before.Tick(b.now) {
			flood = append(flood, sent{"b", "a", g.Datagram})
		}
	}
	b.start("b", key(t, 1))
	b.run(confirmed)
	answers, begin := 0, b.now
	for i := range flood {
		b.now = begin.Add(time.Duration(i) * time.Millisecond)
		answers += len(b.open(flood[i]).Replies)
	}
	most := int(b.now.Sub(begin)/answerInterval) + answerBurst
	if len(flood) < 900 || answers < most-1 || answers > most {
		t.Errorf("a answered %d of %d greetings within %v, want %d", answers, len(flood), b.now.Sub(begin), most)
	}
	b.deliver()
	b.mustTalk("after the flood")
}

// A datagram counts for the process that it was made for, and for no other.
func TestOpen_RefusesMessagesForAnotherProcess(t *testing.T) {
	message := func(b *bed, from, to lb.NodeName) sent {
		datagram, ok := b.tables[from].Seal(to, []byte("message"))
		if !ok {
			b.t.Fatal("no session")
		}
		return sent{from, to, datagram}
	}
	greeting := func(b *bed, from, to lb.NodeName) sent {
		b.tables[from].Reset(b.now, to)
		return sent{from, to, b.tables[from].Tick(b.now)[0].Datagram}
	}
	for name, c := range map[string]struct {
		make   func(b *bed, from, to lb.NodeName) sent
		change func(s sent) sent
		want   error
	}{
		"message to a third node":            {message, func(s sent) sent { s.to = "c"; return s }, ErrForged},
		"greeting to a third node":           {greeting, func(s sent) sent { s.to = "c"; return s }, ErrForged},
		"message back to its sender":         {message, func(s sent) sent { s.from, s.to = s.to, s.from; return s }, ErrUnconfirmed},
		"greeting back to its sender":        {greeting, func(s sent) sent { s.from, s.to = s.to, s.from; return s }, ErrForged},
		"message from a third node":          {message, func(s sent) sent { s.from = "c"; return s }, ErrUnconfirmed},
		"greeting from a third node":         {greeting, func(s sent) sent { s.from = "c"; return s }, ErrForged},
		"message as a greeting":              {message, func(s sent) sent { s.datagram[0] = kindGreeting; return s }, ErrFormat},
		"greeting as a message":              {greeting, func(s sent) sent { s.datagram[0] = kindData; return s }, ErrForged},
		"message with another counter":       {message, func(s sent) sent { s.datagram[headerSize-1]++; return s }, ErrForged},
		"greeting with another counter":      {greeting, func(s sent) sent { s.datagram[headerSize-1]++; return s }, ErrForged},
		"greeting with another instance":     {greeting, func(s sent) sent { s.datagram[headerSize-9]++; return s }, ErrForged},
		"message that is changed":            {message, func(s sent) sent { s.datagram[headerSize]++; return s }, ErrForged},
		"message without its last byte":      {message, func(s sent) sent { s.datagram = s.datagram[:len(s.datagram)-1]; return s }, ErrForged},
		"message, nothing changed":           {message, func(s sent) sent { return s }, nil},
		"greeting, nothing changed":          {greeting, func(s sent) sent { return s }, nil},
		"message under the ID of another":    {message, func(s sent) sent { id := ring(t, 2)[0].derived().id; copy(s.datagram[1:], id[:]); return s }, ErrForged},
		"greeting under the ID of another":   {greeting, func(s sent) sent { id := ring(t, 2)[0].derived().id; copy(s.datagram[1:], id[:]); return s }, ErrForged},
		"message under the ID of a stranger": {message, func(s sent) sent { id := ring(t, 3)[0].derived().id; copy(s.datagram[1:], id[:]); return s }, ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, ring(t, 1, 2), "a", "b", "c")
			b.run(confirmed)
			b.mustTalk("at first")
			o := b.open(c.change(c.make(b, "a", "b")))
			if !errors.Is(o.Err, c.want) || c.want != nil && (o.Message != nil || o.Replies != nil) {
				t.Errorf("got %+v, want the error %v", o, c.want)
			}
		})
	}
}

// The peer has not noticed the restart, and its messages are for the process before.
func TestOpen_RefusesMessagesForTheProcessBefore(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	b.run(confirmed)
	a := b.start("a", key(t, 1))
	answer := b.open(sent{"a", "b", a.Tick(b.now)[0].Datagram}).Replies[0]
	if !b.open(sent{"b", "a", answer}).Met {
		t.Fatal("a has not confirmed b")
	}
	datagram, _ := b.tables["b"].Seal("a", []byte("for the process before"))
	if o := b.open(sent{"b", "a", datagram}); !errors.Is(o.Err, ErrForged) {
		t.Errorf("got %+v, want %v", o, ErrForged)
	}
}

// An answer that was under way when the peer was found dead does not count.
func TestReset_NeedsANonceThatIsDrawnAfterwards(t *testing.T) {
	b := newBed(t, []Key{key(t, 1)}, "a", "b")
	answer := b.open(sent{"a", "b", b.tables["a"].Tick(b.now)[0].Datagram}).Replies[0]
	b.tables["a"].Reset(b.now, "b")
	if b.open(sent{"b", "a", answer}).Met {
		t.Error("the answer to the nonce from before the reset confirmed b")
	}
	b.run(confirmed)
	b.mustTalk("after new nonces")
}
