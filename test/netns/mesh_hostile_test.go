package netns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// flooding is how long datagrams are sent to the mesh, which is many times as long as it
	// takes to replace a speaker, and floodRate how many a second.
	flooding, floodRate = 4 * time.Second, 20000
)

// datagrams are what is sent: no message, and the headers of messages and greetings.
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
			b.flood("evil", port)
			stays("datagrams of a stranger")
			one.holdsUp(memory, descriptors)

			// From the address of a speaker, as a program on its node or a forger can.
			b.flood("node2", port)
			stays("datagrams from the address of a speaker")
			one.holdsUp(memory, descriptors)
		})
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
