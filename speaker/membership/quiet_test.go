package membership

import (
	"net/netip"
	"testing"
	"time"
)

// toItself is a transport that sends to itself; what wakes it comes out of the channel.
func toItself(t *testing.T, address netip.Addr) (network *transport, woken chan []byte) {
	t.Helper()
	woken = make(chan []byte, 2*mostQuiet)
	return listeningOn(t, address, func(d []byte) { woken <- append([]byte(nil), d...) }), woken
}

// all returns what quiet datagrams say that have come, and when the first did.
func (q *quietSocket) all() (said []string, first time.Time) {
	q.read(func(datagram []byte, at time.Time) {
		if said = append(said, string(datagram[1:])); len(said) == 1 {
			first = at
		}
	})
	return said, first
}

func TestQuietDatagramsWaitAndOthersWake(t *testing.T) {
	for name, address := range map[string]netip.Addr{"IPv4": loopback(108), "IPv6": netip.IPv6Loopback()} {
		t.Run(name, func(t *testing.T) {
			n, woken := toItself(t, address)
			n.quiet.all() // the first look knows of no stamp before
			begun := time.Now()
			for _, text := range []string{"one", "two"} {
				if err := n.send(append([]byte{quietMarker}, text...), n.address, true); err != nil {
					t.Fatal(err)
				}
			}
			if err := n.send(append([]byte{marker}, "news"...), n.address, false); err != nil {
				t.Fatal(err)
			}
			if got := <-woken; string(got[1:]) != "news" {
				t.Errorf("%q woke it", got)
			}
			sent := time.Now()
			said, first := n.quiet.all()
			if len(said) != 2 || said[0] != "one" || said[1] != "two" {
				t.Fatalf("waiting: got %q, want one and two", said)
			}
			if first.Before(begun) || first.After(sent) {
				t.Errorf("the first came %s after the first step and %s before the look", first.Sub(begun), sent.Sub(first))
			}
			if again, _ := n.quiet.all(); again != nil || len(woken) > 0 {
				t.Errorf("after that: got %q, and %d more that wake", again, len(woken))
			}
		})
	}
}

func TestWithoutAQuietSocketEverythingWakes(t *testing.T) {
	n, woken := toItself(t, loopback(110))
	if err := n.quiet.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.send([]byte{quietMarker, 'x'}, n.address, true); err != nil {
		t.Fatal(err)
	}
	if got := <-woken; string(got) != string([]byte{quietMarker, 'x'}) {
		t.Errorf("got %x", got)
	}
	if said, _ := n.quiet.all(); said != nil {
		t.Errorf("a socket that is closed says %q", said)
	}
}

func TestAFloodIsReadInPieces(t *testing.T) {
	n, _ := toItself(t, loopback(112))
	for range mostQuiet + 200 {
		if err := n.send([]byte{quietMarker}, n.address, true); err != nil {
			t.Fatal(err)
		}
	}
	if said, _ := n.quiet.all(); len(said) == 0 || len(said) > mostQuiet {
		t.Errorf("%d were read at once, want at most %d", len(said), mostQuiet)
	}
	long := append([]byte{quietMarker}, make([]byte, largestPacket+datagramOverhead)...)
	for said, _ := n.quiet.all(); said != nil; said, _ = n.quiet.all() {
		if len(said) > mostQuiet {
			t.Errorf("%d were read at once, want at most %d", len(said), mostQuiet)
		}
	}
	if err := n.send(long, n.address, true); err != nil {
		t.Fatal(err)
	}
	if said, _ := n.quiet.all(); said != nil {
		t.Errorf("one that is too long was read: %d", len(said))
	}
}

func TestWhenSomethingArrived(t *testing.T) {
	start := time.Now()
	var c clockCheck
	if got := c.look(start); got != 0 {
		t.Errorf("the first look: stamps may be %s old, want that they say nothing", got)
	}
	second := start.Add(90 * time.Millisecond)
	oldest := c.look(second)
	if oldest != 90*time.Millisecond+tolerated {
		t.Errorf("90 ms later stamps may be %s old", oldest)
	}
	for _, tt := range []struct {
		name  string
		stamp time.Time
		want  time.Duration // before the look
	}{
		{"in between", second.Add(-60 * time.Millisecond).Round(0), 60 * time.Millisecond},
		{"from before the last look", second.Add(-time.Second).Round(0), 0},
		{"from the future", second.Add(time.Second).Round(0), 0},
		{"none", time.Time{}, 0},
	} {
		if got := second.Sub(arrived(second, tt.stamp, oldest)); got != tt.want {
			t.Errorf("%s: got %s before the look, want %s", tt.name, got, tt.want)
		}
	}
}
