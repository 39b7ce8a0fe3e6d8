package membership

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

func listening(t *testing.T, number byte) *transport {
	t.Helper()
	return listeningOn(t, loopback(number), func([]byte) {})
}

// listeningOn gives what wakes to own.
func listeningOn(t *testing.T, address netip.Addr, own func([]byte)) *transport {
	t.Helper()
	network, err := listen(netip.AddrPortFrom(address, port), own)
	if err != nil {
		t.Fatal(err)
	}
	allow(t, network)
	t.Cleanup(func() {
		if err := network.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return network
}

// allow has a transport take what comes from any address of these tests.
func allow(t *testing.T, network *transport) {
	t.Helper()
	from := map[netip.Addr]bool{network.address.Addr(): true}
	if network.address.Addr().Is4() {
		for number := range 256 {
			from[loopback(byte(number))] = true
		}
	}
	if err := network.setPeers(from); err != nil {
		t.Fatal(err)
	}
}

// packet waits for a datagram.
func (t *transport) packet(test *testing.T) *memberlist.Packet {
	test.Helper()
	select {
	case p := <-t.packets:
		return p
	case <-time.After(10 * time.Second):
		test.Fatal("nothing arrived")
		return nil
	}
}

func TestDatagramsArriveWholeAndApart(t *testing.T) {
	a, b := listening(t, 101), listening(t, 102)
	sent := [][]byte{{1}, bytes.Repeat([]byte{2}, 1200), bytes.Repeat([]byte{3}, 60000)}
	var got [][]byte
	for _, packet := range sent {
		if _, err := a.WriteTo(packet, b.address.String()); err != nil {
			t.Fatal(err)
		}
		p := b.packet(t)
		if p.From.String() != a.address.String() {
			t.Errorf("it comes from %s, want %s", p.From, a.address)
		}
		got = append(got, p.Buf)
	}
	// Looked at last: a buffer that is used again would have changed.
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) || cap(got[i]) > 2*len(sent[i])+64 {
			t.Errorf("datagram %d: got %d bytes in %d of memory, want %d, all of them %d", i, len(got[i]), cap(got[i]), len(sent[i]), sent[i][0])
		}
	}
	if _, err := a.WriteTo([]byte{1}, "127.0.0.1"); err == nil {
		t.Error("it was sent to an address without a port")
	}
}

func TestTransportPause_GrowsWithFailures(t *testing.T) {
	for _, tt := range []struct {
		failures    int
		least, most time.Duration
	}{
		{1, 37 * time.Millisecond, 50 * time.Millisecond},
		{3, 150 * time.Millisecond, 200 * time.Millisecond},
		{100, 750 * time.Millisecond, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			over, end := context.WithCancel(t.Context())
			transport, began := &transport{over: over}, time.Now()
			if !transport.pause(tt.failures) {
				t.Errorf("after %d failures: got the end, want a pause", tt.failures)
			}
			if got := time.Since(began); got < tt.least || got > tt.most {
				t.Errorf("after %d failures: got a pause of %s, want %s to %s", tt.failures, got, tt.least, tt.most)
			}
			end()
			if transport.pause(tt.failures) {
				t.Error("when all is over: got a pause, want the end")
			}
		})
	}
}

func TestConnectionsArrive(t *testing.T) {
	a, b := listening(t, 103), listening(t, 104)
	conn, err := a.DialTimeout(b.address.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	accepted := <-b.streams
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(accepted); err != nil || string(got) != "hello" {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestWhatNobodyTakesDoesNotKeepItFromEnding(t *testing.T) {
	a := listening(t, 105)
	b, err := listen(netip.AddrPortFrom(loopback(106), port), func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	allow(t, b)
	conn, err := a.DialTimeout(b.address.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := a.WriteTo([]byte{1}, b.address.String()); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(); err != nil {
		t.Error(err)
	}
	if again, err := listen(b.address, func([]byte) {}); err != nil {
		t.Errorf("the port is not free again: %v", err)
	} else if err := again.Shutdown(); err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenIsAnErrorAndFreesTheOther(t *testing.T) {
	address := netip.AddrPortFrom(loopback(107), port)
	taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if network, err := listen(address, func([]byte) {}); err == nil {
		_ = network.Shutdown()
		t.Fatal("it listens on a port that is taken")
	}
	tcp, err := net.Listen("tcp", address.String())
	if err != nil {
		t.Fatalf("TCP was kept: %v", err)
	}
	_ = tcp.Close()
}

func TestTransport_StrangersAreNotRead(t *testing.T) {
	peer, stranger := listening(t, 108), listening(t, 109)
	heard := make(chan []byte, 10)
	b := listeningOn(t, loopback(110), func(datagram []byte) { heard <- slices.Clone(datagram) })
	if err := b.setPeers(map[netip.Addr]bool{loopback(108): true}); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*transport{stranger, peer} {
		for _, first := range []byte{marker, quietMarker, 0} {
			if _, err := from.WriteTo([]byte{first, from.address.Addr().As4()[3]}, b.address.String()); err != nil {
				t.Fatal(err)
			}
		}
		if conn, err := from.DialTimeout(b.address.String(), 10*time.Second); err == nil {
			defer conn.Close()
		} else if from == peer {
			t.Fatal(err)
		}
	}
	if got := b.packet(t).Buf; !bytes.Equal(got, []byte{0, 108}) {
		t.Errorf("memberlist's datagram: got %v, want the peer's", got)
	}
	if got := <-heard; !bytes.Equal(got, []byte{marker, 108}) {
		t.Errorf("datagram that wakes: got %v, want the peer's", got)
	}
	var quiet [][]byte
	b.quiet.read(func(datagram []byte, _ time.Time) { quiet = append(quiet, slices.Clone(datagram)) })
	if len(quiet) != 1 || !bytes.Equal(quiet[0], []byte{quietMarker, 108}) {
		t.Errorf("quiet datagrams: got %v, want the peer's alone", quiet)
	}
	accepted := <-b.streams
	defer accepted.Close()
	if got := accepted.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != loopback(108) {
		t.Errorf("got a connection from %s, want the peer's", got)
	}
	select {
	case p := <-b.packets:
		t.Errorf("got %v from %s as well", p.Buf, p.From)
	case p := <-heard:
		t.Errorf("got %v as well", p)
	case c := <-b.streams:
		t.Errorf("got a connection from %s as well", c.RemoteAddr())
	default:
	}
}

func TestSources_Filter(t *testing.T) {
	many := func(count int, from string) map[netip.Addr]bool {
		set := map[netip.Addr]bool{}
		for a := netip.MustParseAddr(from); len(set) < count; a = a.Next() {
			set[a] = true
		}
		return set
	}
	for name, tt := range map[string]struct {
		on    netip.Addr
		peers map[netip.Addr]bool
	}{
		"no peers":                        {loopback(111), map[netip.Addr]bool{}},
		"a thousand peers":                {loopback(111), many(1000, "10.0.0.1")},
		"more than fit into a filter":     {loopback(111), many(mostFiltered+1, "10.0.0.1")},
		"as many as fit into one of IPv6": {netip.IPv6Loopback(), many(mostFiltered, "2001:db8::1")},
	} {
		network, err := listen(netip.AddrPortFrom(tt.on, port), func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := network.setPeers(tt.peers); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := network.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}
