package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// sealedMessage is a message with its sending and its receiving process.
type sealedMessage struct {
	from, to   lb.NodeName
	sender     wire.Instance
	receiver   wire.Instance
	at         int // step
	deliveries int
}

// story is a bed with the invariants that hold whatever the network does.
type story struct {
	*bed
	t        *rapid.T
	messages map[string]*sealedMessage
	ended    map[wire.Instance]time.Time // processes that do not run any more
	step     int
	resets   map[lb.NodeName]map[lb.NodeName]int // steps, by the node that found the other dead
	numbers  map[string]bool                     // key, instance and counter of all datagrams
	checked  int                                 // how many datagrams were checked
}

func newStory(t *rapid.T) *story {
	s := &story{
		bed: newBed(t, ring(t, 1), "a", "b", "c"), t: t,
		messages: map[string]*sealedMessage{}, ended: map[wire.Instance]time.Time{}, numbers: map[string]bool{},
		resets: map[lb.NodeName]map[lb.NodeName]int{"a": {}, "b": {}, "c": {}},
	}
	s.onOpen = s.check
	return s
}

// check runs after each datagram.
func (s *story) check(d sent, o OpenedDatagram) {
	if o.Met {
		if at, ended := s.ended[o.Instance]; ended && s.now.Sub(at) >= nonceLifetime {
			s.t.Fatalf("%s confirmed the instance %v, which ended %v ago", d.to, o.Instance, s.now.Sub(at))
		}
	}
	if o.Message == nil {
		return
	}
	m := s.messages[string(o.Message)]
	switch {
	case m == nil || m.from != d.from || m.to != d.to || m.sender != o.Instance:
		s.t.Fatalf("%s received %q from %s(%v), which was %+v", d.to, o.Message, d.from, o.Instance, m)
	case m.receiver != s.tables[d.to].instance:
		s.t.Fatalf("%s received %q, which was for another process", d.to, o.Message)
	case m.at < s.resets[d.to][d.from]:
		s.t.Fatalf("%s received %q, sent before it found %s dead", d.to, o.Message, d.from)
	case m.deliveries > 0:
		s.t.Fatalf("%s received %q twice", d.to, o.Message)
	}
	m.deliveries++
}

// numbered checks that no nonce is used twice under a key.
func (s *story) numbered() {
	for ; s.checked < len(s.ever); s.checked++ {
		number := string(s.ever[s.checked].datagram[1:headerSize])
		if s.numbers[number] {
			s.t.Fatalf("%v has the number of another datagram", s.ever[s.checked])
		}
		s.numbers[number] = true
	}
}

func (s *story) node(label string) lb.NodeName { return rapid.SampledFrom(s.names).Draw(s.t, label) }

// pair draws two nodes that differ.
func (s *story) pair() (from, to lb.NodeName) {
	from = s.node("from")
	others := slices.DeleteFunc(slices.Clone(s.names), func(n lb.NodeName) bool { return n == from })
	return from, rapid.SampledFrom(others).Draw(s.t, "to")
}

// speak sends a unique message.
func (s *story) speak() {
	from, to := s.pair()
	message := fmt.Sprint("message ", len(s.messages))
	receiver := s.tables[from].peers[to]
	if s.message(from, to, message) {
		s.messages[message] = &sealedMessage{from, to, s.tables[from].instance, receiver.instance, s.step, 0}
	}
}

func (s *story) restart() {
	node := s.node("restarts")
	s.ended[s.tables[node].instance] = s.now
	var keys []Key
	for _, own := range s.tables[node].keys {
		keys = append(keys, own.Key)
	}
	s.start(node, keys...)
	s.resets[node] = map[lb.NodeName]int{}
}

func (s *story) reset() {
	from, to := s.pair()
	s.tables[from].Reset(s.now, to)
	s.resets[from][to] = s.step
}

// forget removes a peer and adds it again.
func (s *story) forget() {
	from, to := s.pair()
	s.tables[from].SetPeers(s.now, slices.DeleteFunc(slices.Clone(s.names), func(n lb.NodeName) bool { return n == to }))
	s.tables[from].SetPeers(s.now, s.names)
	s.resets[from][to] = s.step
}

func (s *story) rotate() {
	rings := [][]byte{{1}, {2, 1}, {2}, {1, 2}, {3, 2}, {3, 2, 1}}
	node := s.node("has a ring")
	s.tables[node].SetKeys(s.now, ring(s.t, rapid.SampledFrom(rings).Draw(s.t, "ring")...))
}

// network loses, duplicates or delays a datagram, or sends an old one again.
func (s *story) network() {
	if len(s.ever) == 0 {
		return
	}
	if replays := rapid.IntRange(0, 2).Draw(s.t, "replays"); replays > 0 || len(s.flying) == 0 {
		d := rapid.SampledFrom(s.ever).Draw(s.t, "replayed")
		if replays == 2 { // to any receiver, from any sender
			d.from, d.to = s.pair()
		}
		s.open(d)
		return
	}
	i := rapid.IntRange(0, min(len(s.flying)-1, 5)).Draw(s.t, "which")
	d := s.flying[i]
	s.flying = slices.Delete(s.flying, i, i+1)
	if rapid.IntRange(0, 3).Draw(s.t, "lost") > 0 {
		s.open(d)
	}
}

func (s *story) wait() {
	s.now = s.now.Add(rapid.SampledFrom([]time.Duration{1, time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute}).Draw(s.t, "wait"))
	s.tick()
}

// Whatever a network loses, duplicates, reorders, reflects and replays, and whatever
// processes do meanwhile: each message arrives once at most, at the process that it is
// for, and no ended process counts. Once the network is in order, all nodes reach each other.
func TestStory_AnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t)
		if rapid.Bool().Draw(t, "confirmed at first") {
			s.run(confirmed)
		}
		steps := []func(){s.speak, s.speak, s.network, s.network, s.network, s.network, s.network, s.wait, s.restart, s.reset, s.forget, s.rotate, s.deliver}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s.step++
			rapid.SampledFrom(steps).Draw(t, "step")()
			s.numbered()
		}
		for _, node := range s.names {
			s.tables[node].SetKeys(s.now, ring(t, 2, 1))
		}
		s.onOpen = nil
		s.run(confirmed + time.Second)
		s.mustTalk("when the network is in order")
		s.numbered()
	})
}
