package netlimit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuperfluous(t *testing.T) {
	for name, tt := range map[string]struct {
		sources string // oldest first
		want    int
	}{
		"one source loses its oldest":                          {"aaa", 0},
		"source with most connections loses its oldest":        {"kabb", 2},
		"lone connection of another source stays":              {"kaaaa", 1},
		"of sources with one connection each the oldest loses": {"abc", 0},
	} {
		l := NewListener(nil, Limits{Connections: len(tt.sources)})
		for _, from := range tt.sources {
			l.add(&conn{}, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(from)}), 32))
		}
		if got := slices.Index(l.open, connToClose(l.open)); got != tt.want {
			t.Errorf("%s: got connection %d, want %d", name, got, tt.want)
		}
		for len(l.open) > 0 {
			l.remove(l.open[0])
		}
		if len(l.sources) > 0 {
			t.Errorf("%s: got %d sources without a connection, want none", name, len(l.sources))
		}
	}
}

// A client that takes nothing costs a bounded part of the kernel's memory, and one that takes the
// answer has it in time.
func TestListener_BoundsConnectionsInTheKernel(t *testing.T) {
	inner, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(inner, Limits{Connections: 2, Bytes: 100})
	defer l.Close()
	pair := func() (client *net.TCPConn, server net.Conn) {
		t.Helper()
		client = dial(t, "127.0.0.1", l.Addr().String())
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	client, server := pair()
	defer client.Close()
	defer server.Close()
	if err := client.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	_ = server.SetWriteDeadline(time.Now().Add(time.Second))
	n, err := server.Write(make([]byte, 16<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 256<<10 {
		t.Errorf("of 16 MiB that nobody takes: got %d KiB written (%v), want at most 256 KiB", n>>10, err)
	}

	client, server = pair()
	defer client.Close()
	began := time.Now()
	go func() {
		_, _ = server.Write(make([]byte, 4<<20))
		_ = server.Close()
	}()
	got, err := io.Copy(io.Discard, client)
	if took := time.Since(began); err != nil || got != 4<<20 || took > 5*time.Second {
		t.Errorf("got %d bytes in %v (%v), want 4 MiB within 5s", got, took, err)
	} else {
		t.Logf("4 MiB in %v", took)
	}
}

func TestBlock(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "2001:db8:0:1:2::3": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := sourceBlock(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if got := sourceBlock(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %s, want none", got)
	}
}

// dial connects from an address of loopback.
func dial(t *testing.T, from, to string) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 10 * time.Second}
	c, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// lost reports whether the other side closes a connection within 10 s.
func lost(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}

func TestNewListener_SourcesAndBytes(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	friend := netip.MustParseAddr("127.0.1.1")
	l := NewListener(inner, Limits{Connections: 2, Bytes: 3, Allow: func(from netip.Addr) bool { return from == friend }})
	defer l.Close()
	stranger := dial(t, "127.0.1.2", l.Addr().String())
	if _, err := io.WriteString(dial(t, friend.String(), l.Addr().String()), "12345"); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := sourceOf(c); got != friend {
		t.Errorf("accepted a connection from %s, want only from %s", got, friend)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "123" {
		t.Errorf("read %q, error %v, want the first 3 bytes", got, err)
	}
	if !lost(t, stranger) {
		t.Error("the connection of the source that is not allowed is open")
	}
}

func TestListener_FullPort(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(inner, Limits{Connections: 3, Bytes: 10})
	defer l.Close()
	var clients []*net.TCPConn
	var accepted []net.Conn
	connect := func(from string) {
		t.Helper()
		clients = append(clients, dial(t, from, l.Addr().String()))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		accepted = append(accepted, c)
	}
	for _, from := range []string{"127.0.1.1", "127.0.1.2", "127.0.1.2", "127.0.1.3"} {
		connect(from)
	}
	if !lost(t, clients[1]) {
		t.Error("the oldest connection of the source with most is open")
	}
	_ = accepted[2].Close()
	connect("127.0.1.2")
	for _, i := range []int{0, 3, 4} {
		if _, err := io.WriteString(clients[i], "x"); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
		if _, err := io.ReadFull(accepted[i], make([]byte, 1)); err != nil {
			t.Errorf("connection %d, which has a place, is closed: %v", i, err)
		}
	}
}
