package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	// flooding is how long datagrams are sent to the mesh, which is many times as long as it
	// takes to replace a speaker, and floodRate how many a second.
	flooding, floodRate = 4 * time.Second, 20000
	// maxStreams is what connections from the address of a speaker may cost: a MiB for each of
	// the 32 that are open at once.
	maxStreams = 40 << 20
)

// datagrams are what is sent: no message, and what begins as those of speakers do.
var datagrams = map[string][]byte{
	"empty": {}, "garbage": make([]byte, 1400), "heartbeat": append([]byte{0xb1}, make([]byte, 100)...),
	"quiet heartbeat": append([]byte{0xb2}, make([]byte, 100)...), "message of memberlist": append([]byte{1}, make([]byte, 300)...),
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
				eventually.Succeed(t, 20*time.Second, "the members know each other", func(context.Context) error {
					if got := m.forget(); len(got) == 0 || got[len(got)-1] != "1" {
						return fmt.Errorf("others that live: %v", got)
					}
					return nil
				})
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
			sent := map[string][]byte{"idle": nil, "garbage": make([]byte, 64<<10), "slow": {1}}
			for what, octets := range sent {
				if n := b.attack("evil", port.String(), octets); n > 0 {
					t.Errorf("%s: %d of %d connections of a stranger were answered", what, n, hostile)
				}
			}
			stays("connections of a stranger")
			one.holdsUp(memory, descriptors)
			b.flood("evil", port)
			stays("datagrams of a stranger")
			one.holdsUp(memory, descriptors)

			// From the address of a speaker, as a program on its node or a forger can.
			for what, octets := range sent {
				b.crowd("node2", port, octets)
				stays(what + " connections from the address of a speaker")
			}
			if m, _ := one.resources(); m > memory+maxStreams {
				t.Errorf("connections from the address of a speaker: memory %d KiB, and %d before", m>>10, memory>>10)
			}
			b.flood("node2", port)
			stays("datagrams from the address of a speaker")
			eventually.Succeed(t, 20*time.Second, "all connections are closed", func(context.Context) error {
				if _, d := one.resources(); d > descriptors+4 {
					return fmt.Errorf("%d descriptors, and %d before", d, descriptors)
				}
				return nil
			})
			if m, _ := one.resources(); m > memory+maxStreams {
				t.Errorf("datagrams from the address of a speaker: memory %d KiB, and %d before", m>>10, memory>>10)
			}
		})
	}
}

// crowd holds connections from a host for some seconds, and sends octets on each, all or
// one by one.
func (b *bed) crowd(host string, to netip.AddrPort, octets []byte) {
	b.Helper()
	var open []net.Conn
	b.in(host, func() error {
		for range hostile {
			c, err := net.DialTimeout("tcp", to.String(), 2*time.Second)
			if err != nil {
				continue // closed already, for the next one
			}
			open = append(open, c)
			_, _ = c.Write(octets)
		}
		return nil
	})
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, c := range open {
			_, _ = c.Write(octets[:min(1, len(octets))])
		}
	}
	for _, c := range open {
		_ = c.Close()
	}
}

// flood sends datagrams of each kind from a host, in turn.
func (b *bed) flood(host string, to netip.AddrPort) {
	b.Helper()
	var sent int
	b.in(host, func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		for began := time.Now(); time.Since(began) < flooding; {
			for _, d := range datagrams {
				_, _ = conn.Write(d) // the kernel reports what it has no room for
				sent++
			}
			time.Sleep(time.Until(began.Add(time.Duration(sent) * time.Second / floodRate)))
		}
		return nil
	})
	b.Logf("%s sent %d datagrams in %s", host, sent, flooding)
}
