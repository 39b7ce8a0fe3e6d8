package netns

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	etherTypeIPv4 = 0x0800
	// recorded is how many datagrams are recorded: several seconds of a mesh of two.
	recorded = 60
	// replaying is how long the datagrams are sent again: ten times as long as it takes to find
	// that a speaker died.
	replaying = 3 * time.Second
)

// Recorded datagrams of a dead speaker do not make the speaker alive again, not even from its own address and
// port.
func TestRecordedDatagramsOfADeadSpeakerHaveNoEffect(t *testing.T) {
	b := newBed(t, "node1", "node2")
	first, second := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2")
	peers := func(node lb.NodeName, at netip.Addr) map[lb.NodeName]netip.Addr {
		return map[lb.NodeName]netip.Addr{node: at}
	}
	one := b.member("node1", first, peers("node2", second))
	record := b.record("node1", second)
	two := b.member("node2", second, peers("node1", first))
	one.receivesFrom("1")
	two.receivesFrom("1")
	datagrams := record()
	two.kill()
	one.receivesFrom("0")
	one.forget()
	sent := b.replay("node2", netip.AddrPortFrom(second, meshPort), netip.AddrPortFrom(first, meshPort), datagrams)
	if got := one.forget(); slices.ContainsFunc(got, func(count string) bool { return count != "0" }) {
		t.Errorf("while %d of %d recorded datagrams were sent again others were alive: %v", sent, len(datagrams), got)
	}
	b.member("node2", second, peers("node1", first))
	one.receivesFrom("1")
}

// record begins to record the datagrams of the mesh that a host receives from an address. The
// returned function waits until there are enough.
func (b *bed) record(host string, from netip.Addr) (enough func() [][]byte) {
	b.Helper()
	var socket *packet.Conn
	b.in(host, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			socket, err = packet.Listen(ifi, packet.Datagram, etherTypeIPv4, nil)
		}
		return err
	})
	b.Cleanup(func() { _ = socket.Close() })
	if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		b.Fatal(err)
	}
	var list [][]byte
	var failed error
	var done sync.WaitGroup
	done.Go(func() {
		buffer := make([]byte, 2048)
		for len(list) < recorded && failed == nil {
			var n int
			n, _, failed = socket.ReadFrom(buffer)
			if payload, isMesh := meshPayload(buffer[:n], from); isMesh {
				list = append(list, payload)
			}
		}
	})
	return func() [][]byte {
		b.Helper()
		done.Wait()
		if failed != nil {
			b.Fatalf("recorded %d datagrams, want %d: %v", len(list), recorded, failed)
		}
		return list
	}
}

// meshPayload returns the payload of a packet for the mesh, if the packet is from an address.
func meshPayload(p []byte, from netip.Addr) (payload []byte, isMesh bool) {
	if len(p) < 20 {
		return nil, false
	}
	header := int(p[0]&0xf) * 4
	if p[9] != 17 || netip.AddrFrom4([4]byte(p[12:16])) != from || len(p) < header+8 || binary.BigEndian.Uint16(p[header+2:]) != meshPort {
		return nil, false
	}
	return slices.Clone(p[header+8 : header+int(binary.BigEndian.Uint16(p[header+4:]))]), true
}

// replay sends datagrams again and again from a host, and returns how many it sent.
func (b *bed) replay(host string, from, to netip.AddrPort, datagrams [][]byte) (sent int) {
	b.Helper()
	b.in(host, func() error {
		conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for began := time.Now(); time.Since(began) < replaying; sent++ {
			if _, err := conn.Write(datagrams[sent%len(datagrams)]); err != nil {
				return err
			}
			<-ticker.C
		}
		return nil
	})
	return sent
}
