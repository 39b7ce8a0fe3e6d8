package netns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
)

// littleMemory gives sockets as much memory for their filters and groups as older
// kernels do; those cannot set it for a namespace.
func (b *bed) littleMemory(host string) {
	b.Helper()
	if out, err := b.try(host, "sh", "-c", "echo 20480 > /proc/sys/net/core/optmem_max"); err != nil {
		b.Logf("with as much memory as this kernel allows: %s", out)
	}
}

func TestAddressesOfManyNetworksNeedNoMoreMemoryThanThereIs(t *testing.T) {
	b := newBed(t, "node1")
	b.littleMemory("node1")
	link := b.link("node1")
	b.in("node1", func() error {
		conn, err := responder.ListenNDP(link)
		if err != nil {
			return err
		}
		defer conn.Close()
		for round := range 3 {
			var scattered []netip.Addr
			for i := range 300 {
				// 64 ranges, each over several networks: the largest program there is.
				scattered = append(scattered, netip.AddrFrom16([16]byte{0x20, byte(i % 64), 3: byte(i / 64), 7: byte(round), 15: byte(i)}))
			}
			if err := conn.Watch(scattered); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestFiveThousandAddressesAreAnswered(t *testing.T) {
	b := newBed(t, "client", "node1")
	b.littleMemory("node1")
	n := b.node("node1")
	owned := map[netip.Addr]layer2.Serving{}
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }
	v6 := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 8: 1, 14: byte(i >> 8), 15: byte(i)})
	}
	for i := range 2500 {
		// Every third address belongs to another host, so that there are more gaps than ranges in the filter.
		owned[v4(i+i/2)] = layer2.Serving{Interfaces: []string{"eth0"}}
		owned[v6(i+i/2)] = layer2.Serving{Interfaces: []string{"eth0"}}
	}
	b.ip("client", "route", "add", "10.1.0.0/16", "dev", "eth0")
	begin := time.Now()
	n.SetServed(owned)
	t.Logf("5000 addresses were taken, and announced once, within %s", time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	n.SetServed(owned)
	t.Logf("and looked at again within %s", time.Since(begin).Round(time.Microsecond))
	for i := 0; i < 3749; i += 416 {
		_, want := owned[v4(i)]
		out, err := b.try("client", "arping", "-c", "1", "-w", "1", "-i", "eth0", v4(i).String())
		if got := err == nil; got != want {
			t.Errorf("%s is answered: got %v, want %v\n%s", v4(i), got, want, out)
		}
		if got := b.solicit("client", v6(i)) != nil; got != want {
			t.Errorf("%s is answered: got %v, want %v", v6(i), got, want)
		}
	}
	begin = time.Now()
	n.SetServed(nil)
	t.Logf("and let go within %s", time.Since(begin).Round(time.Millisecond))
	if left := strings.Count(b.ip("node1", "-6", "maddress", "show", "dev", "eth0"), "ff02::1:ff"); left > 4 {
		t.Errorf("%d groups are still joined", left)
	}
}
