package session

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// tb has the methods that tests, benchmarks and rapid have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// key returns a key that is the same for the same number.
func key(t tb, n byte) Key {
	t.Helper()
	k, err := ParseKey(append(make([]byte, KeySize-1), n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// counting returns a source of bytes in place of random ones: distinct in each call, and the same in
// each run.
func counting(seed uint64) func([]byte) {
	return func(b []byte) {
		seed++
		for i := range b {
			b[i] = 0xA5
		}
		binary.BigEndian.PutUint64(b, seed)
	}
}

func instance(n uint64) (i wire.Instance) {
	binary.BigEndian.PutUint64(i[:], n)
	return i
}

// sent is a datagram on the network of a bed.
type sent struct {
	from, to lb.NodeName
	datagram []byte
}

// String names the datagram by its header.
func (s sent) String() string {
	h, _ := parseHeader(s.datagram)
	return fmt.Sprintf("%s(%s #%d kind %x) to %s", s.from, h.instance, h.counter, h.kind, s.to)
}

// received is a message that a table delivered.
type received struct {
	to, from lb.NodeName
	instance wire.Instance
	message  string
	met      bool
}

// bed has some tables and a network that stores every datagram.
type bed struct {
	t        tb
	now      time.Time
	names    []lb.NodeName
	tables   map[lb.NodeName]*Table
	started  uint64 // processes
	flying   []sent // not delivered yet
	ever     []sent
	received []received
	onOpen   func(s sent, o OpenedDatagram)
}

func newBed(t tb, keys []Key, names ...lb.NodeName) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Unix(1000, 0), names: names, tables: map[lb.NodeName]*Table{}}
	for _, name := range names {
		b.start(name, keys...)
	}
	return b
}

// start replaces the process of a node.
func (b *bed) start(name lb.NodeName, keys ...Key) *Table {
	b.started++
	table := New(name, instance(b.started), counting(b.started<<32))
	table.SetKeys(b.now, keys)
	table.SetPeers(b.now, b.names)
	b.tables[name] = table
	return table
}

func (b *bed) put(from, to lb.NodeName, datagram []byte) {
	s := sent{from, to, datagram}
	b.flying, b.ever = append(b.flying, s), append(b.ever, s)
}

// tick sends the greetings that are due.
func (b *bed) tick() {
	for _, name := range b.names {
		for _, g := range b.tables[name].Tick(b.now) {
			b.put(name, g.To, g.Datagram)
		}
	}
}

// message seals a message, and returns whether that was possible.
func (b *bed) message(from, to lb.NodeName, message string) bool {
	datagram, ok := b.tables[from].Seal(to, []byte(message))
	if ok {
		b.put(from, to, datagram)
	}
	return ok
}

// open passes a datagram to the table of its receiver, and the replies to the network.
func (b *bed) open(s sent) OpenedDatagram {
	o := b.tables[s.to].Open(b.now, s.from, append([]byte(nil), s.datagram...))
	for _, r := range o.Replies {
		b.put(s.to, s.from, r)
	}
	if o.Message != nil || o.Met {
		b.received = append(b.received, received{s.to, s.from, o.Instance, string(o.Message), o.Met})
	}
	if b.onOpen != nil {
		b.onOpen(s, o)
	}
	return o
}

// deliver delivers all datagrams and their replies in order.
func (b *bed) deliver() {
	b.t.Helper()
	for n := 0; len(b.flying) > 0; n++ {
		if n > 10_000 {
			b.t.Fatal("the tables answer each other without end")
		}
		s := b.flying[0]
		b.flying = b.flying[1:]
		b.open(s)
	}
}

// run advances the time on a network that loses nothing.
func (b *bed) run(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); b.now = b.now.Add(10 * time.Millisecond) {
		b.tick()
		b.deliver()
	}
}

// talks reports whether a message from one node reaches another now.
func (b *bed) talks(from, to lb.NodeName) bool {
	b.t.Helper()
	b.deliver()
	message := fmt.Sprintf("from %s to %s, %d", from, to, len(b.ever))
	if !b.message(from, to, message) {
		return false
	}
	before := len(b.received)
	b.deliver()
	for _, r := range b.received[before:] {
		if r.to == to && r.from == from && r.message == message {
			return true
		}
	}
	return false
}

// mustTalk fails unless every node reaches every other node.
func (b *bed) mustTalk(when string) {
	b.t.Helper()
	for _, from := range b.names {
		for _, to := range b.names {
			if from != to && !b.talks(from, to) {
				b.t.Fatalf("%s: %s does not reach %s", when, from, to)
			}
		}
	}
}
