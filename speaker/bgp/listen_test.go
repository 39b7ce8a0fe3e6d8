package bgp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/internal/sourcefilter"
)

// dialFrom connects from an address of the loopback; nil: the connection was reset before this side
// had it.
func dialFrom(t *testing.T, source byte, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, source)}}
	conn, err := d.Dial("tcp", to.String())
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// listening returns a manager that listens for a router at 127.0.0.1.
func listening(t *testing.T) (observed, netip.AddrPort) {
	t.Helper()
	_, m, _, p := pair(t)
	p.ConnectRetry = time.Microsecond // how long a router that fails often is ignored
	m.SetPeers([]bgp.Peer{p}, has(routes.Table{}))
	to := netip.AddrPortFrom(p.Source, p.Port)
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("tcp", to.String())
		if err == nil {
			c.Close()
		}
		if err == nil || errors.Is(err, syscall.ECONNRESET) {
			return m, to
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not listen")
		}
	}
}

func TestListener_HostileConnections(t *testing.T) {
	connections := churnConnections
	if testing.Short() {
		connections /= 10
	}
	flood := sessionAndFlood(t)
	tests := []struct {
		name   string
		source byte // 1 is the router
		treat  func(*hostileRouter, *net.TCPConn)
	}{
		{"a stranger that sends nothing and stays", 3, (*hostileRouter).hold},
		{"a stranger that floods", 3, func(_ *hostileRouter, c *net.TCPConn) { _, _ = c.Write(flood); _ = c.Close() }},
		{"the router closes", 1, func(_ *hostileRouter, c *net.TCPConn) { _ = c.Close() }},
		{"the router resets", 1, func(_ *hostileRouter, c *net.TCPConn) { reset(c) }},
		{"the router sends nothing and stays", 1, (*hostileRouter).hold},
		{"the router floods", 1, func(_ *hostileRouter, c *net.TCPConn) { _, _ = c.Write(flood); _ = c.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := measure(t)
			m, to := listening(t)
			if tt.source != 1 {
				unfiltered(t, m)
			}
			var h hostileRouter
			for i := range connections {
				if c := dialFrom(t, tt.source, to); c != nil {
					tt.treat(&h, c)
				}
				if i%500 == 499 {
					if now := measure(t); now.descriptors > before.descriptors+2*heldOpen+16 || now.goroutines > before.goroutines+64 {
						t.Fatalf("after %d connections: %+v, and %+v before", i+1, now, before)
					}
				}
			}
			m.SetPeers(nil, has(nil))
			h.releaseAll()
			settles(t, "when the peer is gone", before)
		})
	}
}

// unfiltered has the kernel pass connections of strangers, as where it has no room for a filter.
func unfiltered(t *testing.T, m observed) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.listeners.open {
		l.mu.Lock()
		if err := l.fd(sourcefilter.Detach); err != nil {
			t.Error(err)
		}
		l.mu.Unlock()
	}
}

// The kernel drops connections of all but the routers of the peers that there are now.
func TestListener_StrangersDoNotConnect(t *testing.T) {
	m, to := listening(t)
	_, _, _, p := pair(t)
	p.Port = to.Port()
	connects := func(source byte) bool {
		d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, source)}}
		conn, err := d.Dial("tcp", to.String())
		if err == nil {
			conn.Close()
		}
		return err == nil || errors.Is(err, syscall.ECONNRESET)
	}
	for _, tt := range []struct {
		name    string
		routers []byte
	}{
		{"one router", []byte{3}}, {"two routers", []byte{1, 3}}, {"the first one is gone", []byte{3}}, {"another one", []byte{1}},
	} {
		var peers []bgp.Peer
		for _, last := range tt.routers {
			p.Name, p.Address = bgp.PeerName(fmt.Sprint("router", last)), netip.AddrFrom4([4]byte{127, 0, 0, last})
			peers = append(peers, p)
		}
		m.SetPeers(peers, has(routes.Table{}))
		for _, source := range []byte{1, 3, 4} {
			if got, want := connects(source), slices.Contains(tt.routers, source); got != want {
				t.Errorf("%s: 127.0.0.%d connected: got %v, want %v", tt.name, source, got, want)
			}
		}
	}
}

func TestListener_AdmittedPeers(t *testing.T) {
	router, other, local := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.2")
	found := netip.MustParseAddr("fe80::1%eth0")
	plain, signed, unnumbered := bgp.Peer{Address: router}, bgp.Peer{Address: router, Password: "secret"}, bgp.Peer{Interface: "eth0", Address: found}
	searching := bgp.Peer{Interface: "eth0"}
	tests := []struct {
		name string
		peer bgp.Peer
		keys map[netip.Addr]bgp.Password
		from netip.Addr
		want bool
	}{
		{"the router of a peer", plain, nil, router, true},
		{"a stranger", plain, nil, other, false},
		{"a router that connects to the address of the peer", bgp.Peer{Address: router, Source: local}, nil, router, true},
		{"a router that connects to another address", bgp.Peer{Address: router, Source: other}, nil, router, false},
		{"a router whose password is on the socket", signed, map[netip.Addr]bgp.Password{router: "secret"}, router, true},
		{"a router whose password is not on the socket", signed, nil, router, false},
		{"a router whose old password is on the socket", signed, map[netip.Addr]bgp.Password{router: "old"}, router, false},
		{"the router that was found on an interface", unnumbered, nil, found, true},
		{"another host of the interface", unnumbered, nil, netip.MustParseAddr("fe80::2%eth0"), false},
		{"the same address on another interface", unnumbered, nil, netip.MustParseAddr("fe80::1%eth1"), false},
		{"any host while no router was found", searching, nil, found, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &listener{peers: []bgp.Peer{tt.peer}, keys: tt.keys}
			if got := l.admits(tt.from, local); got != tt.want {
				t.Errorf("admitted: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	peer := func(name bgp.PeerName, address, source, vrf string) bgp.Peer {
		p := bgp.Peer{Name: name, Passive: true, VRF: vrf, Address: netip.MustParseAddr(address)}
		if source != "" {
			p.Source = netip.MustParseAddr(source)
		}
		return p
	}
	tests := []struct {
		name  string
		peers []bgp.Peer
		want  []string
	}{
		{"a peer without a source has all addresses of its family", []bgp.Peer{peer("a", "10.0.0.1", "", ""), peer("b", "fd00::1", "", "")}, []string{"0.0.0.0/ a", "::/ b"}},
		{"a peer with one has that", []bgp.Peer{peer("a", "10.0.0.1", "10.0.0.9", "")}, []string{"10.0.0.9/ a"}},
		{"with both all addresses are listened on", []bgp.Peer{peer("a", "10.0.0.1", "10.0.0.9", ""), peer("b", "10.0.0.2", "", "")}, []string{"0.0.0.0/ a b"}},
		{"the other family and other VRFs are left alone", []bgp.Peer{peer("a", "fd00::1", "fd00::9", ""), peer("b", "10.0.0.2", "", ""), peer("c", "10.0.0.3", "10.0.0.9", "red")}, []string{"0.0.0.0/ b", "10.0.0.9/red c", "fd00::9/ a"}},
		{"an active peer has none", []bgp.Peer{{Name: "a", Address: netip.MustParseAddr("10.0.0.1")}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for at, peers := range passivePeers(tt.peers) {
				line := fmt.Sprintf("%s/%s", at.address, at.vrf)
				for _, p := range peers {
					line += " " + string(p.Name)
				}
				got = append(got, line)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sockets and their peers (-want +got):\n%s", diff)
			}
		})
	}
}

// short is a socket that fails for want of descriptors, and has a connection after that.
type short struct {
	net.Listener
	conn  net.Conn
	left  int
	tries []time.Duration // after the beginning
	begin time.Time
}

func (s *short) Accept() (net.Conn, error) {
	s.tries = append(s.tries, time.Since(s.begin))
	s.left--
	switch {
	case s.left >= 0:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	case s.left == -1:
		return s.conn, nil
	}
	return nil, net.ErrClosed
}

// flooded is a socket on which a connection of a stranger waits at any time.
type flooded struct {
	net.Listener
	accepted int
	until    time.Time
}

func (f *flooded) Accept() (net.Conn, error) {
	if !time.Now().Before(f.until) {
		return nil, net.ErrClosed
	}
	f.accepted++
	ours, _ := net.Pipe()
	return ours, nil
}

func TestListener_Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := &flooded{until: time.Now().Add(10 * time.Second)}
		l := &listener{log: logr.Discard()}
		if err := l.acceptConns(t.Context(), on, func(net.Conn) { t.Error("a stranger was accepted") }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
		if on.accepted < 100_000 || on.accepted > 101_001 {
			t.Errorf("got %d connections reset within 10 s, want 10,000 a second", on.accepted)
		}
	})
}

func TestListener_OutOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		on := &short{conn: ours, left: 10, begin: time.Now()}
		l := &listener{log: logr.Discard(), peers: []bgp.Peer{{}}} // a pipe has no address
		accepted := 0
		if err := l.acceptConns(t.Context(), on, func(net.Conn) { accepted++ }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
		if accepted != 1 {
			t.Errorf("%d connections were accepted, want the one that waited", accepted)
		}
		var want []time.Duration
		for _, ms := range []int{0, 5, 15, 35, 75, 155, 315, 635, 1275, 2275, 3275, 3275} {
			want = append(want, time.Duration(ms)*time.Millisecond)
		}
		if diff := cmp.Diff(want, on.tries); diff != "" {
			t.Errorf("when it tried to accept (-want +got):\n%s", diff)
		}
	})
}

// A connection without a signature that arrived before the key was there would stay in the queue.
func TestListener_KeysAreOnTheSocketBeforeItListens(t *testing.T) {
	const password bgp.Password = "secret"
	router := netip.MustParseAddr("127.0.0.1")
	l := &listener{log: logr.Discard(), four: true, peers: []bgp.Peer{{Address: router, Password: password, Passive: true}}, keys: map[netip.Addr]bgp.Password{}}
	config := l.listenConfig(listenPlace{address: router})
	prepare, listens := config.Control, -1
	var before map[netip.Addr]bgp.Password
	config.Control = func(network, address string, c syscall.RawConn) error {
		if err := prepare(network, address, c); err != nil {
			return err
		}
		before = maps.Clone(l.keys)
		return runOnSocket(c, func(fd int) (err error) {
			listens, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
			return err
		})
	}
	on, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	if listens != 0 {
		t.Fatalf("SO_ACCEPTCONN while the socket is prepared: got %d, want 0", listens)
	}
	if diff := cmp.Diff(map[netip.Addr]bgp.Password{router: password}, before); diff != "" {
		t.Errorf("keys on the socket before it listens (-want +got):\n%s", diff)
	}
	// The kernel drops what is not signed: no answer is as good as a failure.
	unsigned := net.Dialer{Timeout: 200 * time.Millisecond}
	if conn, err := unsigned.Dial("tcp4", on.Addr().String()); err == nil {
		conn.Close()
		t.Error("a connection without a signature: got in, want that it does not")
	}
	signed := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		return runOnSocket(c, func(fd int) error { return setPassword(fd, router, password) })
	}}
	conn, err := signed.Dial("tcp4", on.Addr().String())
	if err != nil {
		t.Fatalf("a connection with a signature: got %v, want that it gets in", err)
	}
	conn.Close()
}
