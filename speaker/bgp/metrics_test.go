package bgp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
	"github.com/lbstack/lbstack/internal/routes"
)

// counted returns the values of a registry by name{label="value"}, without the lbstack_bgp_ at
// the beginning; of a histogram, how many there were.
func counted(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			var labels []string
			for _, l := range sample.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := fmt.Sprintf("%s{%s}", strings.TrimPrefix(f.GetName(), "lbstack_bgp_"), strings.Join(labels, ","))
			values[name] = sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + float64(sample.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// ofPeers returns what is counted for each peer but messages and failed attempts: how many there
// are is a matter of time.
func ofPeers(t *testing.T, m observed) map[string]float64 {
	t.Helper()
	values := counted(t, m.registry)
	maps.DeleteFunc(values, func(name string, _ float64) bool {
		return !strings.Contains(name, "peer=") || strings.HasPrefix(name, "messages_total") || strings.HasPrefix(name, "attempts_failed_total")
	})
	return values
}

// counts waits until the metrics of a manager's peers are exactly these.
func counts(t *testing.T, m observed, when string, want map[string]float64) {
	t.Helper()
	deadline, again := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for {
		diff := cmp.Diff(want, ofPeers(t, m))
		if diff == "" {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: metrics (-want +got):\n%s", when, diff)
		}
	}
}

// series are the metrics of one peer.
func series(peer string, established, up, ended, prefixes, sent, received float64) map[string]float64 {
	label := fmt.Sprintf("peer=%q", peer)
	return map[string]float64{
		"session_established{" + label + "}":                        established,
		"session_transitions_total{" + label + `,to="established"}`: up,
		"session_transitions_total{" + label + `,to="ended"}`:       ended,
		"announced_prefixes{" + label + "}":                         prefixes,
		"updates_sent_total{" + label + "}":                         sent,
		"updates_received_total{" + label + "}":                     received,
	}
}

func together(all ...map[string]float64) map[string]float64 {
	sum := map[string]float64{}
	for _, one := range all {
		maps.Copy(sum, one)
	}
	return sum
}

func TestCountersOfBothSidesOfASession(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	absent := toListener
	absent.Name, absent.Address, absent.Source = "absent", netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4")
	silent := series("absent", 0, 0, 0, 0, 0, 0)
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener, absent}, func(bgp.PeerName) routes.Table {
		return routes.Table{one: red, two: red}
	})
	// Prefixes that have the same attributes are in one UPDATE; End-of-RIB is one as well.
	counts(t, caller, "at the beginning", together(silent, series("listener", 1, 1, 0, 2, 2, 1)))
	counts(t, listener, "at the beginning", series("caller", 1, 1, 0, 0, 1, 2))

	caller.SetRoutes("listener", routes.Table{three: blue}, []netip.Prefix{one}, time.Now())
	counts(t, caller, "one is announced and one withdrawn", together(silent, series("listener", 1, 1, 0, 2, 4, 1)))
	counts(t, listener, "one is announced and one withdrawn", series("caller", 1, 1, 0, 0, 1, 4))
	caller.SetRoutes("listener", routes.Table{three: blue}, nil, time.Now())
	caller.SetRoutes("listener", routes.Table{one: blue}, nil, time.Now())
	counts(t, caller, "what the router has is not sent", together(silent, series("listener", 1, 1, 0, 3, 5, 1)))

	caller.SetPeers([]bgp.Peer{absent}, has(nil))
	counts(t, caller, "a BGPPeer is gone", silent)
	becomes(t, listener, "ended", func(s Status) bool { return !established(s) })
	got := ofPeers(t, listener)
	delete(got, `updates_received_total{peer="caller"}`) // marked routes may be withdrawn before they are sent
	want := series("caller", 0, 1, 1, 0, 1, 0)
	delete(want, `updates_received_total{peer="caller"}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the other side has ended: metrics (-want +got):\n%s", diff)
	}
}

// onTCP is one end of a pipe that looks like a connection over the loopback.
type onTCP struct{ net.Conn }

func (onTCP) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 179} }

// reads is a router that reads the next message when it is asked to.
type reads struct {
	*testing.T
	conn net.Conn
	from *wire.Reader
}

func (r reads) next() any {
	r.Helper()
	message, err := r.from.Read()
	if err != nil {
		r.Fatal(err)
	}
	return message
}

func (r reads) writes(octets []byte, err error) {
	r.Helper()
	if err == nil {
		_, err = r.conn.Write(octets)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// connects has a router connect, which then has a session and all routes of its beginning.
func connects(t *testing.T, p *peer) reads {
	t.Helper()
	ours, theirs := net.Pipe()
	p.enqueue(func(now time.Time) []session.Action { return p.handleConn(now, session.TheirSide, onTCP{ours}) })
	r := reads{t, theirs, wire.NewReader(theirs)}
	open := r.next().(bgp.Open)
	open.ASN, open.RouterID = 64513, netip.MustParseAddr("192.0.2.2")
	r.writes(wire.EncodeOpen(open))
	r.next() // a KEEPALIVE
	r.writes(wire.EncodeKeepalive())
	r.next() // the routes
	r.next() // End-of-RIB
	synctest.Wait()
	return r
}

func TestHowLongARouterWaitsForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		ctx, cancel := context.WithCancel(t.Context())
		m := New(ctx, Options{Log: logr.Discard(), Metrics: NewMetrics(registry), Changed: func() {}, Addresses: func() ([]bgp.NodeAddress, error) { return []bgp.NodeAddress{nodeInternal}, nil }})
		m.SetInternalIPs([]netip.Addr{nodeInternal.Prefix.Addr()})
		r := m.beginPeer(bgp.Peer{Name: "tor", ASN: 64512, RouterID: netip.MustParseAddr("192.0.2.1"), Address: netip.MustParseAddr("127.0.0.2"),
			Remote: bgp.RemoteASN{ASN: 64513}, Hold: 90 * time.Second, Passive: true}, routes.Table{one: red})
		defer func() {
			cancel()
			<-r.ended
			r.linkGoroutines.Wait()
		}()
		waited := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := waits(t, registry); got != want {
				t.Errorf("%s: routers waited %s, want %s", when, got, want)
			}
		}
		seen := time.Now()
		time.Sleep(time.Second)
		r.setRoutes(routes.Table{two: red}, nil, seen)
		router := connects(t, r.peer)
		waited("a session begins: it has not waited for this node", "0 in 0s")

		seen = time.Now()
		time.Sleep(time.Second)
		r.setRoutes(routes.Table{three: red}, nil, seen)
		waited("the router does not read", "0 in 0s")
		time.Sleep(2 * time.Second)
		router.next()
		waited("it has read", "1 in 3s")

		r.setRoutes(routes.Table{three: red}, nil, seen)
		waited("the router has it already", "1 in 3s")

		r.setRoutes(nil, []netip.Prefix{one}, time.Now())
		synctest.Wait() // it is being written
		time.Sleep(time.Second)
		r.setRoutes(nil, []netip.Prefix{two}, time.Now())
		time.Sleep(time.Second)
		router.next()
		waited("two changes one after the other: one was written after 2 s", "2 in 5s")
		router.next()
		waited("the other one after 1 s", "3 in 6s")

		r.setRoutes(routes.Table{one: red}, nil, time.Time{})
		router.next()
		waited("without the time of the event", "3 in 6s")
	})
}

// waits returns how often routers waited, and how long in all.
func waits(t *testing.T, registry prometheus.Gatherer) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "lbstack_bgp_announce_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			return fmt.Sprintf("%d in %gs", h.GetSampleCount(), h.GetSampleSum())
		}
	}
	return "there is no such metric"
}

func TestABGPPeerThatIsMadeAnewHasItsOwnFigures(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	both := func(bgp.PeerName) routes.Table { return routes.Table{one: red, two: red} }
	caller.SetPeers([]bgp.Peer{toListener}, both)
	becomes(t, caller, "established", established)
	caller.SetPeers(nil, both)
	caller.SetPeers([]bgp.Peer{toListener}, both)
	over := func() bool {
		caller.mu.Lock()
		defer caller.mu.Unlock()
		return len(caller.parting) == 0
	}
	for deadline := time.Now().Add(10 * time.Second); !over() && time.Now().Before(deadline); {
		<-caller.changed
	}
	becomes(t, caller, "established again", func(s Status) bool { return established(s) && s.Prefixes == 2 })
	got := ofPeers(t, caller)
	for name, want := range map[string]float64{`session_established{peer="listener"}`: 1, `announced_prefixes{peer="listener"}`: 2} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}
