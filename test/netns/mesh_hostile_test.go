package netns

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

const (
	// flooding is how long datagrams are sent to the mesh, which is many times as long as it
	// takes to replace a speaker, and floodRate how many a second.
	flooding, floodRate = 4 * time.Second, 20000
)

// datagrams returns the datagrams of the attack: random ones, and ones with headers of messages and greetings.
var datagrams = map[string][]byte{
	"empty": {}, "garbage": make([]byte, 1400), "message": append([]byte{0xc1}, make([]byte, 140)...), "greeting": append([]byte{0xc2}, make([]byte, 92)...),
}

func TestMeshPortUnderAttack(t *testing.T) {
	for name, of := range map[string]func(i int) netip.Addr{
		"IPv4": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 1, byte(i)}) },
		"IPv6": func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "node1", "node2", "evil")
			one := b.member("node1", of(1), map[lb.NodeName]netip.Addr{"node2": of(2)})
			two := b.member("node2", of(2), map[lb.NodeName]netip.Addr{"node1": of(1)})
			for _, m := range []*member{one, two} {
				m.receivesFrom("1")
			}
			port := netip.AddrPortFrom(of(1), meshPort)
			stays := func(what string) {
				t.Helper()
				for _, m := range []*member{one, two} {
					if got := m.forget(); slices.ContainsFunc(got, func(count string) bool { return count != "1" }) {
						t.Errorf("%s: others that live: %v, want 1 all the time", what, got)
					}
				}
			}
			memory, descriptors := one.resources()
			for _, tt := range []struct {
				from, what string
				list       [][]byte
				share      float64 // of one processor that the speaker may use
			}{
				{"evil", "datagrams of a stranger", append(slices.Collect(maps.Values(datagrams)), forgedGreeting(t)), 0.05},
				// From the address of a speaker, as a program on its node or a forger can.
				{"node2", "datagrams from the address of a speaker", slices.Collect(maps.Values(datagrams)), 0.5},
				{"node2", "greetings from the address of a speaker, which are decrypted", [][]byte{forgedGreeting(t)}, 0.5},
			} {
				before, began := one.processor(), time.Now()
				sent := b.flood(tt.from, port, tt.list)
				share := float64(one.processor()-before) / float64(time.Since(began))
				b.Logf("%s: %d in %s, the speaker takes %.1f %% of a processor", tt.what, sent, time.Since(began).Round(time.Millisecond), 100*share)
				if share > tt.share {
					t.Errorf("%s: the speaker takes %.1f %% of a processor, want %.0f %% at most", tt.what, 100*share, 100*tt.share)
				}
				stays(tt.what)
				one.holdsUp(memory, descriptors)
			}
		})
	}
}

// forgedGreeting returns a greeting that was changed on its way. It has the ID of the right key, so that
// only decryption finds the change.
func forgedGreeting(t *testing.T) []byte {
	t.Helper()
	key, err := session.ParseKey(meshKey())
	if err != nil {
		t.Fatal(err)
	}
	table := session.New("node2", wire.Instance{1}, func(b []byte) { _, _ = rand.Read(b) })
	table.SetKeys(time.Now(), []session.Key{key})
	table.SetPeers(time.Now(), []lb.NodeName{"node1"})
	greetings := table.Tick(time.Now())
	if len(greetings) != 1 {
		t.Fatalf("%d greetings for one peer, want 1", len(greetings))
	}
	datagram := greetings[0].Datagram
	datagram[len(datagram)-1] ^= 1
	return datagram
}

// flood sends datagrams from a host, in turn, and returns the number of datagrams.
func (b *bed) flood(host string, to netip.AddrPort, list [][]byte) (sent int) {
	b.Helper()
	b.in(host, func() error {
		// The test measures the processor time of the speaker, not the scheduling of this machine.
		thread := unix.Gettid()
		priority, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
		if err != nil {
			return err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, thread, 19); err != nil {
			return err
		}
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, thread, 20-priority) }() // see getpriority(2)
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		for began := time.Now(); time.Since(began) < flooding; {
			for _, d := range list {
				_, _ = conn.Write(d) // fails when the kernel has no room
				sent++
			}
			time.Sleep(time.Until(began.Add(time.Duration(sent) * time.Second / floodRate)))
		}
		return nil
	})
	return sent
}
