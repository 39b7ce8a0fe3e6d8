package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
)

// unwatched are paths without BFD.
type unwatched struct{}

func (unwatched) Set(map[speakerbfd.Key]bfd.Profile) {}
func (unwatched) Status(speakerbfd.Key) (speakerbfd.Status, bool) {
	return speakerbfd.Status{}, false
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return addrPort(l.Addr()).Port()
}

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// observed returns a manager that reports changes.
type observed struct {
	*Manager
	changed  chan struct{}
	registry *prometheus.Registry
}

// nodeInternal is an address of the node: sessions of tests run between loopback addresses, which are
// no next hops.
var nodeInternal = bgp.NodeAddress{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Interface: "eth0", Permanent: true}

func manager(t *testing.T, id string, port uint16) observed {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	changed, registry := make(chan struct{}, 1), prometheus.NewRegistry()
	o := observed{New(ctx, Options{
		Addresses: func() ([]bgp.NodeAddress, error) { return []bgp.NodeAddress{nodeInternal}, nil },
		Log:       logr.Discard(), RouterID: netip.MustParseAddr(id), Metrics: NewMetrics(registry), ListenPort: port, Paths: unwatched{},
		Changed: func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	}), changed, registry}
	o.SetInternalIPs([]netip.Addr{nodeInternal.Prefix.Addr()})
	return o
}

// pair are two managers that are the routers of each other: one connects, one listens. The
// loopback addresses are 127.0.0.1 and 127.0.0.2.
func pair(t *testing.T) (caller, listener observed, toListener, toCaller bgp.Peer) {
	t.Helper()
	port := freePort(t)
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	common := bgp.Peer{Port: port, Hold: 9 * time.Second, ConnectRetry: 50 * time.Millisecond, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}}
	toListener, toCaller = common, common
	toListener.Name, toListener.ASN, toListener.Address, toListener.Source = "listener", 64512, two, one
	toCaller.Name, toCaller.ASN, toCaller.Address, toCaller.Source, toCaller.Passive = "caller", 64513, one, two, true
	return manager(t, "192.0.2.1", port), manager(t, "192.0.2.2", port), toListener, toCaller
}

func has(table routes.Table) func(bgp.PeerName) routes.Table {
	return func(bgp.PeerName) routes.Table { return table }
}

// becomes waits until a manager's only session has the wanted status.
func becomes(t *testing.T, m observed, what string, is func(Status) bool) Status {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		list := m.Statuses()
		if len(list) == 1 && is(list[0]) {
			return list[0]
		}
		select {
		case <-m.changed:
		case <-deadline:
			t.Fatalf("the session is not %s: %+v", what, list)
		}
	}
}

func established(s Status) bool { return s.State == session.Established }

func TestASessionOverTheLoopback(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	toListener.Password, toCaller.Password = "secret", "secret"
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{one: red}))
	becomes(t, caller, "established, with a route", func(s Status) bool { return established(s) && s.Prefixes == 1 })
	since := becomes(t, listener, "established", established).Since
	expectChanges := func(want RouteChanges) {
		t.Helper()
		got := caller.RouteChanges()["listener"]
		if got.Since.IsZero() == got.Whole {
			t.Errorf("got a session since %s, want one if it is all that the router has", got.Since)
		}
		got.Since = time.Time{}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	}
	expectChanges(RouteChanges{Whole: true, Announced: []netip.Prefix{one}})
	expectChanges(RouteChanges{})
	caller.SetRoutes("listener", routes.Table{two: blue}, []netip.Prefix{one}, time.Time{})
	becomes(t, caller, "with another route", func(s Status) bool { return s.Prefixes == 1 && s.Changes >= 3 })
	expectChanges(RouteChanges{Announced: []netip.Prefix{two}, Withdrawn: []netip.Prefix{one}})

	// Both passwords change, and nothing else.
	toListener.Password, toCaller.Password = "another", "another"
	caller.SetPeers([]bgp.Peer{toListener}, has(nil))
	listener.SetPeers([]bgp.Peer{toCaller}, has(nil))
	caller.SetRoutes("listener", routes.Table{one: red}, nil, time.Time{})
	becomes(t, caller, "with two routes", func(s Status) bool { return established(s) && s.Prefixes == 2 })

	caller.SetDraining(true)
	becomes(t, caller, "drained", func(s Status) bool { return established(s) && s.Prefixes == 0 })
	caller.SetDraining(false)
	becomes(t, caller, "with two routes again", func(s Status) bool { return established(s) && s.Prefixes == 2 })
	if s := becomes(t, listener, "established", established); !s.Since.Equal(since) {
		t.Errorf("the session is another one: %+v", s)
	}

	caller.Leave(t.Context())
	becomes(t, listener, "ended, with the reason", func(s Status) bool {
		return !established(s) && strings.Contains(s.LastError, `administrative shutdown: "the speaker of this node ends"`)
	})
}

func TestHoldTimeOfZero_KernelProbesTheRouter(t *testing.T) {
	for hold, want := range map[time.Duration]int{0: 1, 9 * time.Second: 0} {
		caller, listener, toListener, toCaller := pair(t)
		toCaller.Hold = hold
		listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
		caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{}))
		becomes(t, caller, "established", established)
		raw, err := caller.link(t).(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := runOnSocket(raw, func(fd int) error {
			got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			if got != want {
				t.Errorf("hold time %s: got SO_KEEPALIVE %d, want %d", hold, got, want)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

// link returns the connection of the only session, which is established.
func (o observed) link(t *testing.T) net.Conn {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	conn := make(chan net.Conn, 1)
	for _, r := range o.peers {
		r.enqueue(func(time.Time) []session.Action { conn <- r.links[r.up.Side].conn; return nil })
		return <-conn
	}
	t.Fatal("there is no session")
	return nil
}

func TestSetPeers_RevokedPassword(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	toListener.Password, toCaller.Password = "secret", "secret"
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{one: red}))
	since := becomes(t, listener, "established", established).Since
	becomes(t, caller, "established, with a route", func(s Status) bool { return established(s) && s.Prefixes == 1 })
	toCaller.Revoked = true
	listener.SetPeers([]bgp.Peer{toCaller}, has(nil))
	caller.SetRoutes("listener", routes.Table{two: blue}, nil, time.Time{})
	becomes(t, caller, "established, with another route", func(s Status) bool { return established(s) && s.Prefixes == 2 })
	if s := becomes(t, listener, "established", established); !s.Since.Equal(since) {
		t.Errorf("got a session since %s, want the one since %s", s.Since, since)
	}

	toListener.Hold = 30 * time.Second // ends the session, and the caller connects again
	caller.SetPeers([]bgp.Peer{toListener}, has(nil))
	becomes(t, listener, "idle", func(s Status) bool { return s.State == session.Idle })
	becomes(t, caller, "refused", func(s Status) bool { return s.Retry > 0 })
	if s := becomes(t, listener, "idle", func(s Status) bool { return s.State == session.Idle }); s.Retry != 0 {
		t.Errorf("got attempts every %s, want none", s.Retry)
	}

	toCaller.Revoked = false
	listener.SetPeers([]bgp.Peer{toCaller}, has(nil))
	becomes(t, listener, "established", established)
}

func TestAPeerThatChangesOrGoes(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{one: red}))
	since := becomes(t, listener, "established", established).Since
	toListener.Hold = 30 * time.Second
	caller.SetPeers([]bgp.Peer{toListener}, has(nil))
	becomes(t, listener, "another one", func(s Status) bool { return established(s) && !s.Since.Equal(since) })
	becomes(t, caller, "established, with its route", func(s Status) bool { return established(s) && s.Prefixes == 1 })
	toListener.ShutdownWait = time.Millisecond
	caller.SetPeers([]bgp.Peer{toListener}, has(nil))
	caller.SetPeers(nil, has(nil)) // at once after a change
	becomes(t, listener, "ended, with the reason", func(s Status) bool {
		return !established(s) && strings.Contains(s.LastError, "peer de-configured")
	})
	if list := caller.Statuses(); len(list) != 0 {
		t.Errorf("there is a status of a peer that is gone: %+v", list)
	}
}

func TestAddressFamilyMissing_IsReportedAndTheOtherFamilyIsAnnounced(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	toListener.DualStack = true
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener}, has(routes.Table{one: red}))
	s := becomes(t, caller, "established, with a route", func(s Status) bool { return established(s) && s.Prefixes == 1 })
	want := bgp.Problem{Reason: bgp.AddressFamilyMissing, Message: "the router did not negotiate IPv6 routes in this session, so they are not announced: turn the address family on at the router"}
	if s.Problem != want || s.LastError != want.Message || !s.IPv4 || s.IPv6 {
		t.Errorf("got %+v, want IPv4 alone and the problem %+v", s, want)
	}

	// Without a session nothing shows that the router is another one by now.
	listener.SetPeers(nil, has(nil))
	s = becomes(t, caller, "down, and refused", func(s Status) bool { return !established(s) && s.Retry > 0 })
	if s.Problem != want || s.LastError == want.Message {
		t.Errorf("got %+v, want the problem %+v, and the error of the connection", s, want)
	}
	toCaller.DualStack = true
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	if s = becomes(t, caller, "established", established); s.Problem.Reason != bgp.NoNextHop { // on a loopback
		t.Errorf("got %+v, want only the problem of an IPv6 next hop", s)
	}
	caller.SetInternalIPs(nil) // of addresses a change shows, without a session too
	listener.SetPeers(nil, has(nil))
	becomes(t, caller, "down", func(s Status) bool { return !established(s) && s.Problem.Reason == bgp.NoNextHop })
	caller.SetInternalIPs([]netip.Addr{nodeInternal.Prefix.Addr()})
	becomes(t, caller, "without a problem", func(s Status) bool { return s.Problem == bgp.Problem{} })
}

func TestWatch_RunsWhileThereArePeers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, ended := make(chan struct{}), make(chan struct{})
	m := New(ctx, Options{
		Log: logr.Discard(), RouterID: netip.MustParseAddr("192.0.2.1"), Metrics: NewMetrics(prometheus.NewRegistry()), Paths: unwatched{}, Changed: func() {},
		Watch: func(ctx context.Context, set func([]bgp.NodeAddress)) {
			begun <- struct{}{}
			set([]bgp.NodeAddress{nodeInternal})
			<-ctx.Done()
			set(nil) // comes too late
			ended <- struct{}{}
		},
	})
	happens := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not happen within 10 s", what)
		}
	}
	peer := func(name bgp.PeerName) bgp.Peer {
		return bgp.Peer{Name: name, ASN: 64512, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}, Address: netip.MustParseAddr("127.0.0.2"), Port: 1, ConnectRetry: time.Hour}
	}
	m.SetPeers(nil, has(nil))
	m.SetPeers([]bgp.Peer{peer("a"), peer("b")}, has(nil))
	happens("a watch with the first peers", begun)
	m.SetPeers([]bgp.Peer{peer("b")}, has(nil))
	m.SetPeers(nil, has(nil))
	happens("the end of it with the last peer", ended)
	m.SetPeers([]bgp.Peer{peer("a")}, has(nil))
	happens("another watch", begun)
	cancel()
	happens("its end with the manager", ended)
}

func TestPortClosed_EndsWithPassiveMode(t *testing.T) {
	_, listener, _, toCaller := pair(t)
	toCaller.Source = netip.MustParseAddr("192.0.2.99") // this host does not have it
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	becomes(t, listener, "without a port", func(s Status) bool { return s.Problem.Reason == bgp.PortClosed })
	toCaller.Passive = false
	listener.SetPeers([]bgp.Peer{toCaller}, has(nil))
	becomes(t, listener, "free of problems", func(s Status) bool {
		return s.Problem == bgp.Problem{} && strings.Contains(s.LastError, "does not have the address 192.0.2.99")
	})
}

func TestManagerListensForPassivePeersAlone(t *testing.T) {
	_, listener, _, toCaller := pair(t)
	at := fmt.Sprintf("127.0.0.2:%d", toCaller.Port)
	listens := func(want bool) {
		t.Helper()
		deadline, again := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
		defer again.Stop()
		for {
			c, err := net.Dial("tcp", at)
			if err == nil {
				c.Close()
			}
			if (err == nil || errors.Is(err, syscall.ECONNRESET)) == want {
				return
			}
			select {
			case <-again.C:
			case <-deadline:
				t.Fatalf("it listens: %t, want %t", !want, want)
			}
		}
	}
	active := toCaller
	active.Passive = false
	listener.SetPeers([]bgp.Peer{active}, has(routes.Table{}))
	listens(false)
	listener.SetPeers([]bgp.Peer{toCaller}, has(nil))
	listens(true)
	unfiltered(t, listener)
	if stranger := dialFrom(t, 3, netip.MustParseAddrPort(at)); stranger != nil {
		defer stranger.Close()
		_ = stranger.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := stranger.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a stranger got %d octets (%v), want that the connection is reset", n, err)
		}
	}
	listener.SetPeers([]bgp.Peer{active}, has(nil))
	listens(false)
}

func TestAConnectionThatNobodyTakesIsClosed(t *testing.T) {
	p := &peer{events: make(chan peerEvent, 1), ended: make(chan struct{})}
	ours, theirs := net.Pipe()
	p.events <- nil // its goroutine is busy, and ends
	close(p.ended)
	p.handOver(ours, func(time.Time) []session.Action {
		t.Error("it was taken")
		return nil
	})
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("it is open")
	}
}
