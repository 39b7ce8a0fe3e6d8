package netns

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	watched "github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
	"github.com/lbstack/lbstack/speaker/bfd"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// busy is how late a process on the machine of the tests may run.
const busy = 100 * time.Millisecond

const asTight = "  receive-interval 100\n  transmit-interval 100\n  detect-multiplier 3\n"

var (
	nodeAddress   = netip.MustParseAddr("192.168.1.1")
	routerAddress = netip.MustParseAddr("192.168.1.2")
	toRouter      = bfd.Key{Peer: routerAddress}
)

// tightRouter is FRR on the host router, with a session to the host node.
func (b *bed) tightRouter() *router.Router {
	b.Helper()
	return router.FRR(b.T, b.prefix+"router", "bfd\n peer 192.168.1.1\n"+asTight, "bfdd")
}

// watchedRouter is a node with a session to a router that is Up, on both sides.
func watchedRouter(t *testing.T) (*bed, *router.Router, *watcher) {
	t.Helper()
	b := newBed(t, "node", "router")
	r := b.tightRouter()
	w := b.watcher("node", map[bfd.Key]watched.Profile{toRouter: tight})
	w.becomesUp(toRouter)
	sees(t, r, "192.168.1.1", soon, "up", up)
	return b, r, w
}

// throughRouter routes the addresses of two hosts through a third.
func (b *bed) throughRouter(one, by, other string) {
	b.Helper()
	b.sysctl(by, "net.ipv4.ip_forward", "1")
	for _, name := range []string{"all", "default", "eth0"} {
		b.sysctl(by, "net.ipv4.conf."+name+".send_redirects", "0")
	}
	hosts := map[string]string{one: "10.0.0.1", other: "10.0.0.2"}
	for host, address := range hosts {
		b.ip(host, "address", "add", address+"/32", "dev", "lo")
		at := strings.Fields(b.ip(host, "-4", "-o", "address", "show", "dev", "eth0"))[3]
		b.ip(by, "route", "add", address+"/32", "via", strings.TrimSuffix(at, "/24"))
	}
	via := strings.TrimSuffix(strings.Fields(b.ip(by, "-4", "-o", "address", "show", "dev", "eth0"))[3], "/24")
	b.ip(one, "route", "add", "10.0.0.2/32", "via", via, "src", "10.0.0.1")
	b.ip(other, "route", "add", "10.0.0.1/32", "via", via, "src", "10.0.0.2")
}

// throughRouter6 does the same with IPv6 addresses.
func (b *bed) throughRouter6(one, by, other string) {
	b.Helper()
	b.sysctl(by, "net.ipv6.conf.all.forwarding", "1")
	global := func(host string) string {
		return strings.TrimSuffix(strings.Fields(b.ip(host, "-6", "-o", "address", "show", "dev", "eth0", "scope", "global"))[3], "/64")
	}
	addresses := map[string]string{one: "fd00:10::1", other: "fd00:10::2"}
	for host, address := range addresses {
		b.ip(host, "address", "add", address+"/128", "dev", "lo")
		b.ip(by, "route", "add", address+"/128", "via", global(host))
	}
	b.ip(one, "route", "add", addresses[other]+"/128", "via", global(by), "src", addresses[one])
	b.ip(other, "route", "add", addresses[one]+"/128", "via", global(by), "src", addresses[other])
	for _, host := range []string{one, other} {
		b.sysctl(host, "net.ipv6.conf.eth0.accept_redirects", "0")
	}
}

func TestBFDWithRealRouters(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one processor must suffice
	b := newBed(t, "node", "router", "bird", "between")
	b.throughRouter("node", "between", "router")
	b.throughRouter6("node", "between", "router")
	node, frr, bird := b.link("node").LinkLocal, b.link("router").LinkLocal, b.link("bird").LinkLocal

	r := router.FRR(t, b.prefix+"router", "bfd\n"+
		" peer 192.168.1.1\n"+asTight+
		" peer 2001:db8::1 local-address 2001:db8::2\n"+asTight+
		fmt.Sprintf(" peer %s local-address %s interface eth0\n", node.WithZone(""), frr.WithZone(""))+asTight+
		" peer 10.0.0.1 multihop local-address 10.0.0.2\n"+asTight+
		" peer fd00:10::1 multihop local-address fd00:10::2\n"+asTight, "bfdd")
	birdRouter := router.BIRD(t, b.prefix+"bird", fmt.Sprintf(`router id 10.0.0.3;
protocol device {}
protocol bfd {
	interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1 s; multiplier 3; };
	neighbor 192.168.1.1 dev "eth0";
	neighbor 2001:db8::1 dev "eth0";
	neighbor %s dev "eth0";
}
`, node.WithZone("")))

	sessions := map[string]bfd.Key{
		"IPv4":                  toRouter,
		"IPv6":                  {Peer: netip.MustParseAddr("2001:db8::2"), Local: netip.MustParseAddr("2001:db8::1"), Interface: "eth0"},
		"IPv6 link-local":       {Peer: frr.WithZone("eth0"), Interface: "eth0"},
		"IPv4 multihop":         {Peer: netip.MustParseAddr("10.0.0.2"), Local: netip.MustParseAddr("10.0.0.1"), Multihop: true},
		"IPv6 multihop":         {Peer: netip.MustParseAddr("fd00:10::2"), Local: netip.MustParseAddr("fd00:10::1"), Multihop: true},
		"BIRD, IPv4":            {Peer: netip.MustParseAddr("192.168.1.3"), Interface: "eth0"},
		"BIRD, IPv6":            {Peer: netip.MustParseAddr("2001:db8::3"), Local: netip.MustParseAddr("2001:db8::1")},
		"BIRD, IPv6 link-local": {Peer: bird.WithZone("eth0")},
	}
	wanted := map[bfd.Key]watched.Profile{}
	for _, k := range sessions {
		wanted[k] = tight
	}
	w := b.watcher("node", wanted)
	for name, k := range sessions {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.becomes(k, soon, "Up, with what is negotiated", func(s bfd.Status) bool {
				return s.State == watched.Up && s.Remote == watched.Up && s.Transmit == interval && s.Detection == 3*interval && s.Problem == ""
			})
			if strings.HasPrefix(name, "BIRD") {
				eventually.Succeed(t, soon, "BIRD has three sessions up", func(ctx context.Context) error {
					text, err := birdRouter.Ask(ctx, "show bfd sessions")
					if err == nil && strings.Count(text, " Up ") != 3 {
						err = fmt.Errorf("it shows %s", text)
					}
					return err
				})
				return
			}
			from := map[string]string{"IPv4": "192.168.1.1", "IPv6": "2001:db8::1", "IPv6 link-local": node.WithZone("").String(), "IPv4 multihop": "10.0.0.1", "IPv6 multihop": "fd00:10::1"}[name]
			sees(t, r, from, soon, "up, with our profile", func(s seen) bool {
				return up(s) && s.RemoteReceive == 100 && s.RemoteTransmit == 100 && s.RemoteMultiplier == 3
			})
		})
	}
	w.t = t
	// The sessions stay up, and the router sees AdminDown when they end.
	eventually.Stays(t, 2*time.Second, "all sessions are Up", func(context.Context) error {
		for name, k := range sessions {
			if s, _ := w.Status(k); s.State != watched.Up || s.Flaps > 0 {
				return fmt.Errorf("%s is %+v", name, s)
			}
		}
		return nil
	})
	w.Stop(context.Background())
	sees(t, r, "10.0.0.1", time.Second, "down, by its administrator", func(s seen) bool {
		return down(s) && s.RemoteDiagnostic == "administratively down" && s.Diagnostic == "neighbor signaled session down"
	})
}

func TestBFDNoticesARouterThatFails(t *testing.T) {
	_, r, w := watchedRouter(t)
	killed := time.Now()
	r.Kill()
	got := w.becomes(toRouter, 2*time.Second, "Down", func(s bfd.Status) bool { return s.State == watched.Down })
	if took := got.Since.Sub(killed); took > 3*interval+busy || !got.Failed || got.Diagnostic != watched.DetectionTimeExpired {
		t.Errorf("after %s: %+v; want a failure by silence within 300 ms, and %s for the machine", took, got, busy)
	} else {
		t.Logf("noticed %s after the router was killed", took)
	}
}

func TestBFDDistinguishesAHangingRouterFromAdminDown(t *testing.T) {
	_, r, w := watchedRouter(t)
	r.MustAsk("configure terminal\nbfd\npeer 192.168.1.1\nshutdown")
	got := w.becomes(toRouter, 2*time.Second, "taken down by the router's administrator", func(s bfd.Status) bool { return s.IsRemoteAdminDown() })
	if got.Failed || got.Flaps != 0 {
		t.Errorf("got %+v, want no failure", got)
	}
	r.MustAsk("configure terminal\nbfd\npeer 192.168.1.1\nno shutdown")
	w.becomesUp(toRouter)

	r.Freeze()
	w.becomes(toRouter, 2*time.Second, "failed", func(s bfd.Status) bool { return s.Failed })
	r.Thaw()
	w.becomesUp(toRouter)
}

func TestBFDOfASpeakerThatFailsIsNoticed(t *testing.T) {
	_, r, w := watchedRouter(t)
	w.kill()
	got := sees(t, r, "192.168.1.1", 2*time.Second, "down", down)
	if got.Diagnostic != "control detection time expired" {
		t.Errorf("the router shows %q, want that the detection time expired", got.Diagnostic)
	}
}

func TestBFDThatIsStoppedIsNoFailure(t *testing.T) {
	_, r, w := watchedRouter(t)
	w.Stop(context.Background())
	got := sees(t, r, "192.168.1.1", 2*time.Second, "down", down)
	if got.RemoteDiagnostic != "administratively down" || got.Diagnostic != "neighbor signaled session down" {
		t.Errorf("the router shows %+v, want that we signalled AdminDown", got)
	}
}

func TestBFDProfilesChangeWithoutAFlap(t *testing.T) {
	_, r, w := watchedRouter(t)
	before := w.becomesUp(toRouter).Transitions
	for _, ms := range []int{400, 50, 300} {
		d := time.Duration(ms) * time.Millisecond
		w.Set(map[bfd.Key]watched.Profile{toRouter: {Receive: d, Transmit: d, Multiplier: 5}})
		sees(t, r, "192.168.1.1", soon, fmt.Sprintf("up, with %d ms", ms), func(s seen) bool {
			return up(s) && s.RemoteReceive == ms && s.RemoteTransmit == ms && s.RemoteMultiplier == 5
		})
		w.becomes(toRouter, soon, "Up with the new profile", func(s bfd.Status) bool {
			return s.State == watched.Up && s.Transmit == max(d, interval) && s.Detection == 3*max(d, interval)
		})
	}
	if got := w.becomesUp(toRouter); got.Transitions != before {
		t.Errorf("the state changed %d times", got.Transitions-before)
	}
	counters, err := peers(context.Background(), r, "show bfd peers counters json")
	if err != nil || counters["192.168.1.1"].SessionDown != 0 {
		t.Errorf("the router counts %+v (%v), want no session down", counters, err)
	}
}

func TestBFDPacketsFromAfarAreIgnored(t *testing.T) {
	b, r, w := watchedRouter(t)
	number := sees(t, r, "192.168.1.1", soon, "up", up).RemoteID
	packet := wire.Encode(wire.Packet{State: watched.AdminDown, Multiplier: 3, Mine: 1, Yours: number, DesiredMinTx: time.Second, RequiredMinRx: time.Second})
	spoof := func(ttl int) {
		t.Helper()
		b.in("router", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
				return err
			}
			return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Port: 3784, Addr: nodeAddress.As4()})
		})
	}
	before := w.becomesUp(toRouter).Transitions
	spoof(254)
	eventually.Stays(t, time.Second, "the session is Up", func(context.Context) error {
		if s, _ := w.Status(toRouter); s.State != watched.Up || s.Transitions != before {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	spoof(255) // a control: this packet has an effect
	w.becomes(toRouter, soon, "down for a moment", func(s bfd.Status) bool { return s.Transitions > before })
}

func TestBFDDoesNotTakeThePortOfTheNodesOwn(t *testing.T) {
	b := newBed(t, "node", "router")
	b.tightRouter()
	other := router.FRR(t, b.prefix+"node", "", "bfdd")
	w := b.watcher("node", map[bfd.Key]watched.Profile{toRouter: tight})
	got := w.becomes(toRouter, soon, "stuck", func(s bfd.Status) bool { return s.Problem != "" })
	if !strings.Contains(got.Problem, "UDP port 3784 is taken by another program") {
		t.Errorf("the problem is %q, want the port that is taken", got.Problem)
	}
	other.Stop()
	if got := w.becomesUp(toRouter); got.Problem != "" {
		t.Errorf("the problem is still %q", got.Problem)
	}
}
