package membership

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
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
	t.Cleanup(func() {
		if err := network.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return network
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
