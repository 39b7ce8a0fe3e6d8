package session

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const benchMessage = 100 // bytes, a heartbeat

// benchPair returns two tables that have confirmed each other, among 1000 peers.
func benchPair(b *testing.B) *bed {
	bed := newBed(b, []Key{key(b, 1), key(b, 2)}, "a", "b")
	bed.run(time.Second)
	names := []lb.NodeName{"a", "b"}
	for i := range 1000 {
		names = append(names, lb.NodeName(fmt.Sprintf("node-%04d.example.com", i)))
	}
	bed.tables["a"].SetPeers(bed.now, names)
	bed.tables["b"].SetPeers(bed.now, names)
	return bed
}

func BenchmarkSeal(b *testing.B) {
	a := benchPair(b).tables["a"]
	message := make([]byte, benchMessage)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.Seal("b", message); !ok {
			b.Fatal("no session")
		}
	}
}

// BenchmarkOpen opens datagrams; each message counts.
func BenchmarkOpen(b *testing.B) {
	bed := benchPair(b)
	const batch = 4096
	datagrams := make([][]byte, 0, batch)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			b.StopTimer()
			datagrams = datagrams[:0]
			for range batch {
				d, _ := bed.tables["a"].Seal("b", make([]byte, benchMessage))
				datagrams = append(datagrams, d)
			}
			b.StartTimer()
		}
		if o := bed.tables["b"].Open(bed.now, "a", datagrams[i%batch]); o.Err != nil {
			b.Fatal(o.Err)
		}
	}
}

// BenchmarkRefuse refuses datagrams without decryption, and forgeries, which need it.
func BenchmarkRefuse(b *testing.B) {
	bed := benchPair(b)
	valid, _ := bed.tables["a"].Seal("b", make([]byte, benchMessage))
	bed.tables["b"].Open(bed.now, "a", append([]byte(nil), valid...))
	stranger := New("a", instance(99), counting(99))
	stranger.SetKeys(bed.now, []Key{key(b, 1)})
	greeting, _ := stranger.seal(kindGreeting, 0, "b", [16]byte{}, make([]byte, greetingSize))
	greeting[headerSize]++
	changed := func(at int) []byte {
		d := append([]byte(nil), valid...)
		d[at] ^= 0xFF
		return d
	}
	for name, c := range map[string]struct {
		from     lb.NodeName
		datagram []byte
		want     error
	}{
		"unknown source":   {"nobody", valid, ErrPeer},
		"unknown key":      {"a", changed(1), ErrKey},
		"unknown instance": {"a", changed(5), ErrUnconfirmed},
		"replay":           {"a", valid, ErrReplayed},
		"forged message":   {"a", changed(headerSize - 8), ErrForged},
		"forged greeting":  {"a", greeting, ErrForged},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			datagram := append([]byte(nil), c.datagram...)
			for b.Loop() {
				copy(datagram[headerSize:], c.datagram[headerSize:])
				if o := bed.tables["b"].Open(bed.now, c.from, datagram); !errors.Is(o.Err, c.want) {
					b.Fatalf("got %v, want %v", o.Err, c.want)
				}
			}
		})
	}
}

// BenchmarkHandshake is what both sides do until each has confirmed the other.
func BenchmarkHandshake(b *testing.B) {
	bed := newBed(b, []Key{key(b, 1)}, "a", "b")
	bed.run(time.Second)
	names := bed.names
	b.ReportAllocs()
	for b.Loop() {
		bed.now = bed.now.Add(time.Second)
		for i, name := range names {
			bed.tables[name].Reset(bed.now, names[1-i])
		}
		first := bed.tables["a"].Tick(bed.now)[0].Datagram
		second := bed.tables["b"].Open(bed.now, "a", first).Replies[0]
		third := bed.tables["a"].Open(bed.now, "b", second)
		if !third.Met || !bed.tables["b"].Open(bed.now, "a", third.Replies[0]).Met {
			b.Fatal("not confirmed")
		}
	}
}
