package arp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
)

var hardware = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}

func TestAnnouncementOnTheWire(t *testing.T) {
	packets, err := Announcement(netip.MustParseAddr("192.168.1.240"), hardware)
	if err != nil {
		t.Fatal(err)
	}
	ip := []byte{192, 168, 1, 240}
	// RFC 826: hardware type, protocol type, lengths, operation, sender, target.
	layout := func(operation byte, target []byte) []byte {
		head := []byte{0, 1, 8, 0, 6, 4, 0, operation}
		return bytes.Join([][]byte{head, hardware, ip, target, ip}, nil)
	}
	wants := [][]byte{layout(1, make([]byte, 6)), layout(2, hardware)}
	for i, p := range packets {
		got, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wants[i], got); diff != "" {
			t.Errorf("packet %d (-want +got):\n%s", i, diff)
		}
	}
	if _, err := Announcement(netip.MustParseAddr("2001:db8::1"), hardware); err == nil {
		t.Error("announcing an IPv6 address: got no error, want one")
	}
}

// frame is an Ethernet frame with an ARP packet.
func frame(operation byte, target ...byte) []byte {
	return bytes.Join([][]byte{
		bytes.Repeat([]byte{0xff}, 6), {2, 0, 0, 0, 0, 9}, {8, 6},
		{0, 1, 8, 0, 6, 4, 0, operation}, {2, 0, 0, 0, 0, 9}, {192, 168, 1, 9}, make([]byte, 6), target,
	}, nil)
}

// tape is a socket that gives what is on it, then fails.
type tape struct {
	net.PacketConn
	frames [][]byte
}

func (s *tape) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.frames) == 0 {
		return 0, nil, net.ErrClosed
	}
	n := copy(b, s.frames[0])
	s.frames = s.frames[1:]
	return n, nil, nil
}

func reader(t testing.TB, frames ...[]byte) *Conn {
	t.Helper()
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := newConn(loopback, &tape{frames: frames})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestReadSkipsWhatIsMalformedAndEndsWithTheSocket(t *testing.T) {
	good := frame(1, 192, 168, 1, 240)
	conn := reader(t, good[:20], frame(2, 192, 168, 1, 240), good[:len(good)-1], good)
	for i, want := range []bool{false, false, false, true} {
		req, ok, err := conn.Read()
		if err != nil || ok != want {
			t.Fatalf("frame %d: got ok %v, error %v, want ok %v", i, ok, err, want)
		}
		if ok && req.Target != netip.MustParseAddr("192.168.1.240") {
			t.Errorf("target: got %s, want 192.168.1.240", req.Target)
		}
	}
	if _, _, err := conn.Read(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the last frame: got %v, want %v", err, net.ErrClosed)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(frame(1, 192, 168, 1, 240))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 60))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, ok, err := reader(t, data).Read()
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Fatalf("error %v, want only the socket's", err)
		}
		if ok && !req.Target.Is4() {
			t.Fatalf("target %v, want an IPv4 address", req.Target)
		}
	})
}

func TestFilterPassesRequestsOnly(t *testing.T) {
	vm, err := bpf.NewVM(requestsOnly())
	if err != nil {
		t.Fatal(err)
	}
	for operation, want := range map[byte]bool{1: true, 2: false, 3: false} {
		n, err := vm.Run(frame(operation, 192, 168, 1, 240))
		if err != nil || (n > 0) != want {
			t.Errorf("operation %d: got %d bytes, %v, want passed %v", operation, n, err, want)
		}
	}
}
