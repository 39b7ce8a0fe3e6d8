package sourcefilter_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lbstack/lbstack/internal/sourcefilter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func loopback(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

// many returns so many addresses and those in last.
func many(count int, from string, last ...netip.Addr) (list []netip.Addr) {
	for a := netip.MustParseAddr(from); len(list) < count; a = a.Next() {
		list = append(list, a)
	}
	return append(list, last...)
}

// attach sets the filter of a socket.
func attach(t *testing.T, socket any, ipv4 bool, sources []netip.Addr) {
	t.Helper()
	var raw interface{ Control(func(uintptr)) error }
	var err error
	switch socket := socket.(type) {
	case *net.UDPConn:
		raw, err = socket.SyscallConn()
	case *net.TCPListener:
		raw, err = socket.SyscallConn()
	}
	if err != nil {
		t.Fatal(err)
	}
	if controlled := raw.Control(func(fd uintptr) { err = sourcefilter.Attach(int(fd), ipv4, sources) }); controlled != nil || err != nil {
		t.Fatal(controlled, err)
	}
}

// cases are what a filter does with what comes from 127.0.0.3.
var cases = []struct {
	name    string
	sources []netip.Addr
	passes  bool
}{
	{"no sources", nil, false},
	{"another source", []netip.Addr{loopback(4)}, false},
	{"the source", []netip.Addr{loopback(4), loopback(3)}, true},
	{"the source, whose last bytes an IPv6 address has", []netip.Addr{netip.MustParseAddr("::7f00:3")}, false},
	{"a thousand others", many(1000, "10.0.0.1"), false},
	{"a thousand others and the source", many(1000, "10.0.0.1", loopback(3)), true},
	{"more than fit", many(sourcefilter.MaxAddresses+1, "10.0.0.1"), true},
}

func TestAttach_UDP(t *testing.T) {
	on, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	from, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)}, on.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for _, tt := range cases {
		attach(t, on, true, tt.sources)
		if _, err := from.Write([]byte(tt.name)); err != nil {
			t.Fatal(err)
		}
		wait := 100 * time.Millisecond
		if tt.passes {
			wait = 10 * time.Second
		}
		_ = on.SetReadDeadline(time.Now().Add(wait))
		buffer := make([]byte, 100)
		n, err := on.Read(buffer)
		switch {
		case tt.passes && (err != nil || string(buffer[:n]) != tt.name):
			t.Errorf("%s: got %q, %v, want the datagram", tt.name, buffer[:n], err)
		case !tt.passes && !errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("%s: got %q, %v, want nothing", tt.name, buffer[:n], err)
		}
	}
}

// listen listens without multipath TCP, whose sockets take no filter.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	on, err := config.Listen(t.Context(), "tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Close() })
	return on.(*net.TCPListener)
}

func TestAttach_ListeningTCP(t *testing.T) {
	on := listen(t)
	for _, tt := range cases {
		attach(t, on, true, tt.sources)
		d := net.Dialer{Timeout: 200 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
		if tt.passes {
			d.Timeout = 10 * time.Second
		}
		conn, err := d.Dial("tcp4", on.Addr().String())
		if (err == nil) != tt.passes {
			t.Errorf("%s: got connected %v (%v), want %v", tt.name, err == nil, err, tt.passes)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// A connection that was accepted goes on when its host is not among the sources any more, and
// takes segments of any size.
func TestAttach_AcceptedConnectionsGoOn(t *testing.T) {
	on := listen(t)
	attach(t, on, true, []netip.Addr{loopback(3)})
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
	from, err := d.Dial("tcp4", on.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	accepted, err := on.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	attach(t, on, true, nil)
	const size = 4 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, size))
		sent <- err
	}()
	_ = accepted.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := 0
	for buffer := make([]byte, 1<<20); got < size; {
		n, err := accepted.Read(buffer)
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		got += n
	}
	if err := <-sent; err != nil || got != size {
		t.Errorf("got %d bytes, %v, want %d", got, err, size)
	}
}
