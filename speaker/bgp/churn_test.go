package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/wire"
	"github.com/lbstack/lbstack/internal/routes"
)

const (
	// churnConnections is how many connections each hostile router gets; a tenth with -short.
	churnConnections = 10_000
	// churnDeletions is how often the peer is deleted meanwhile: more than a process may hold
	// besides what it held before, so that it counts what each deletion leaves behind.
	churnDeletions = 60
	// churnWarmUp connections are made before the first measurement.
	churnWarmUp = 200
	// heldOpen is how many connections a router that never closes holds at most: both ends
	// are descriptors of the test.
	heldOpen = 64
)

// footprint has the resources of the process.
type footprint struct {
	descriptors, goroutines int
	heap                    uint64
}

func measure(t *testing.T) footprint {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{len(list), runtime.NumGoroutine(), m.HeapAlloc}
}

// exceeds returns the resources that grew by more than one router may use at one time.
func (f footprint) exceeds(before footprint) error {
	switch {
	case f.descriptors > before.descriptors+8:
		return fmt.Errorf("%d descriptors, want about %d", f.descriptors, before.descriptors)
	case f.goroutines > before.goroutines+16:
		return fmt.Errorf("%d goroutines, want about %d", f.goroutines, before.goroutines)
	case f.heap > before.heap+2<<20:
		return fmt.Errorf("%d KiB on the heap, want about %d", f.heap>>10, before.heap>>10)
	}
	return nil
}

// settles waits until the process uses no more than before.
func settles(t *testing.T, when string, before footprint) {
	t.Helper()
	deadline, again := time.After(30*time.Second), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		err := measure(t).exceeds(before)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			buffer := make([]byte, 1<<16)
			t.Fatalf("%s: %v\n%s", when, err, buffer[:runtime.Stack(buffer, true)])
		}
	}
}

// hostileRouter accepts connections and treats each of them badly.
type hostileRouter struct {
	on       net.Listener
	accepted atomic.Int64
	serving  sync.WaitGroup

	mu   sync.Mutex
	held []*net.TCPConn
}

func newHostileRouter(t *testing.T, address netip.Addr, treat func(*hostileRouter, *net.TCPConn)) *hostileRouter {
	t.Helper()
	on, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	h := &hostileRouter{on: on}
	h.serving.Go(func() {
		for {
			conn, err := on.Accept()
			if err != nil {
				return
			}
			h.accepted.Add(1)
			treat(h, conn.(*net.TCPConn))
		}
	})
	return h
}

// hold leaves a connection open without an answer until newer connections replace it.
func (h *hostileRouter) hold(c *net.TCPConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, c)
	if len(h.held) > heldOpen {
		reset(h.held[0])
		h.held = h.held[1:]
	}
}

func (h *hostileRouter) close() {
	h.on.Close()
	h.releaseAll()
	h.serving.Wait()
}

// releaseAll resets the open connections.
func (h *hostileRouter) releaseAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.held {
		reset(c)
	}
	h.held = nil
}

// write sends until the other side ends the connection.
func (h *hostileRouter) write(c *net.TCPConn, octets []byte, times int) {
	h.serving.Go(func() {
		defer reset(c)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		for range times {
			if _, err := c.Write(octets); err != nil {
				return
			}
		}
	})
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// sessionAndFlood returns the messages of a router whose session comes up and that then floods.
func sessionAndFlood(t *testing.T) []byte {
	t.Helper()
	open, err := wire.EncodeOpen(bgp.Open{ASN: 64513, Hold: 9 * time.Second, RouterID: netip.MustParseAddr("192.0.2.2"), Capabilities: bgp.Capabilities{IPv4: true, FourOctetASN: true, RouteRefresh: true}})
	if err != nil {
		t.Fatal(err)
	}
	keepalive, err := wire.EncodeKeepalive()
	if err != nil {
		t.Fatal(err)
	}
	marker := make([]byte, 16)
	for i := range marker {
		marker[i] = 0xff
	}
	refresh := append(append([]byte{}, marker...), 0, 23, 5, 0, 1, 0, 1)
	update := append(append([]byte{}, marker...), 0, 23, 2, 0, 0, 0, 0)
	octets := append(open, keepalive...)
	for range 20 {
		octets = append(append(append(octets, update...), refresh...), keepalive...)
	}
	return octets
}

// hostilities are the behaviours of hostile routers on connections from this side.
func hostilities(t *testing.T) map[string]func(*hostileRouter, *net.TCPConn) {
	garbage, flood := make([]byte, 32<<10), sessionAndFlood(t)
	return map[string]func(*hostileRouter, *net.TCPConn){
		"accepts and closes":   func(_ *hostileRouter, c *net.TCPConn) { _ = c.Close() },
		"resets":               func(_ *hostileRouter, c *net.TCPConn) { reset(c) },
		"floods with octets":   func(h *hostileRouter, c *net.TCPConn) { h.write(c, garbage, 8) },
		"floods with messages": func(h *hostileRouter, c *net.TCPConn) { h.write(c, flood, 1) },
		"closes its half":      func(h *hostileRouter, c *net.TCPConn) { _ = c.CloseWrite(); h.hold(c) },
	}
}

// churn has the session with a router begin again and again. During the first half the process
// holds no more than at the beginning; during the second one the peer is deleted and made again.
func churn(t *testing.T, m observed, p bgp.Peer, made func() int64) {
	t.Helper()
	connections := int64(churnConnections)
	if testing.Short() {
		connections /= 10
	}
	table := func(bgp.PeerName) routes.Table { return routes.Table{one: red, two: blue} }
	m.SetPeers([]bgp.Peer{p}, table)
	reaches(t, made, churnWarmUp)
	before := measure(t)
	for i := range int64(5) {
		next := connections * (i + 1) / 10
		reaches(t, made, next)
		if now := measure(t); now.descriptors > before.descriptors+heldOpen || now.goroutines > before.goroutines+heldOpen {
			t.Fatalf("after %d connections: %+v, and %+v before", next, now, before)
		}
	}
	for i := range int64(churnDeletions) {
		m.SetPeers(nil, table)
		m.SetPeers([]bgp.Peer{p}, table)
		reaches(t, made, connections/2+connections/2*(i+1)/churnDeletions)
	}
	m.SetPeers(nil, table)
}

// reaches waits until this number of connections were made.
func reaches(t *testing.T, made func() int64, want int64) {
	t.Helper()
	deadline, again := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer again.Stop()
	for made() < want {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%d connections were made, want %d", made(), want)
		}
	}
}

// hasty returns a peer that reconnects without a pause.
func hasty(router netip.AddrPort) bgp.Peer {
	return bgp.Peer{
		Name: "hostile", ASN: 64512, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}, Address: router.Addr(), Port: router.Port(),
		Hold: 9 * time.Second, ConnectRetry: time.Microsecond,
	}
}

// treated starts a router with one behaviour.
func treated(t *testing.T, host byte, treat func(*hostileRouter, *net.TCPConn), openWithin time.Duration) {
	before := measure(t)
	h := newHostileRouter(t, netip.AddrFrom4([4]byte{127, 0, 1, host}), treat) // ports of closed connections stay taken for a minute
	m := manager(t, "192.0.2.1", freePort(t))
	m.openWithin = openWithin
	churn(t, m, hasty(addrPort(h.on.Addr())), h.accepted.Load)
	h.close()
	settles(t, "when the peer is gone", before)
}

func TestChurn_HostileRouters(t *testing.T) {
	host := byte(0)
	for what, treat := range hostilities(t) {
		host++
		t.Run("a router that "+what, func(t *testing.T) { treated(t, host, treat, 0) })
	}
}

func TestChurn_RouterThatSendsNothing(t *testing.T) {
	treated(t, 100, (*hostileRouter).hold, 100*time.Microsecond)
}

func TestChurn_RouterThatRefuses(t *testing.T) {
	before := measure(t)
	m := manager(t, "192.0.2.1", freePort(t))
	churn(t, m, hasty(netip.AddrPortFrom(netip.MustParseAddr("127.0.1.200"), freePort(t))), func() int64 {
		return int64(counted(t, m.registry)[`attempts_failed_total{peer="hostile"}`])
	})
	settles(t, "when the peer is gone", before)
}

// A blocked writer ends with the link, whichever side ends the link.
func TestChurn_RouterThatReadsNothing(t *testing.T) {
	table := routes.Table{}
	var communities []routes.Community // so that the sockets' buffers are full before all is written
	for i := range 200 {
		communities = append(communities, routes.Community(i))
	}
	for i := range 20_000 {
		table[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)] = &routes.Attributes{Communities: communities, MED: routes.OptionalNumber{Value: uint32(i), Set: true}}
	}
	up := sessionAndFlood(t)
	for i, tt := range []struct {
		name string
		ends func(*hostileRouter, observed)
	}{
		{"the router resets", func(h *hostileRouter, _ observed) { h.releaseAll() }},
		{"the peer is deleted", func(_ *hostileRouter, m observed) { m.SetPeers(nil, has(nil)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := measure(t)
			h := newHostileRouter(t, netip.AddrFrom4([4]byte{127, 0, 1, 210 + byte(i)}), func(h *hostileRouter, c *net.TCPConn) {
				_ = c.SetReadBuffer(4 << 10)
				_, _ = c.Write(up)
				h.hold(c)
			})
			m := manager(t, "192.0.2.1", freePort(t))
			p := hasty(addrPort(h.on.Addr()))
			p.ConnectRetry, p.Hold = time.Minute, 0
			m.SetPeers([]bgp.Peer{p}, has(table))
			sticks(t, m, len(table))
			tt.ends(h, m)
			becomesNot(t, m)
			m.SetPeers(nil, has(nil))
			settles(t, "when the session has ended", before)
			h.close()
		})
	}
}

// sticks waits until the router has had some, and not all, of the routes for half a second.
func sticks(t *testing.T, m observed, all int) {
	t.Helper()
	last, again := -1, time.NewTicker(500*time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-again.C {
		s := m.Statuses()
		if len(s) == 1 && established(s[0]) && s[0].Prefixes >= maxBatchRoutes && s[0].Prefixes == last {
			if last == all {
				t.Fatal("all routes are written, though the router reads nothing")
			}
			return
		}
		if len(s) == 1 {
			last = s[0].Prefixes
		}
	}
	t.Fatalf("the session is not stuck: %+v", m.Statuses())
}

// becomesNot waits until no session is established.
func becomesNot(t *testing.T, m observed) {
	t.Helper()
	deadline, again := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for {
		list := m.Statuses()
		if len(list) == 0 || !established(list[0]) {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("the session stays: %+v", list)
		}
	}
}
