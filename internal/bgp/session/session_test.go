package session

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
)

var (
	zero   = time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
	byAddr = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
	ours   = netip.MustParseAddr("10.0.0.1")
	theirs = netip.MustParseAddr("10.0.0.2")
)

// at is so many seconds after the beginning.
func at(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }

func peerConfig() Config {
	return Config{
		Peer: bgp.Peer{
			Name: "tor", ASN: 64512, Remote: bgp.RemoteASN{ASN: 64513}, RouterID: ours,
			Hold: 30 * time.Second, ConnectRetry: 2 * time.Second,
		},
		IPv4: true, Random: func() float64 { return 1 },
	}
}

func with(change func(*Config)) Config {
	c := peerConfig()
	change(&c)
	return c
}

func routerOpen() bgp.Open {
	return bgp.Open{ASN: 64513, Hold: 90 * time.Second, RouterID: theirs, Capabilities: bgp.Capabilities{IPv4: true, FourOctetASN: true}}
}

func openWith(change func(*bgp.Open)) bgp.Open {
	o := routerOpen()
	change(&o)
	return o
}

// words returns actions in short.
func words(actions []Action) string {
	var list []string
	for _, action := range actions {
		switch a := action.(type) {
		case Close:
			list = append(list, fmt.Sprintf("close %d %s", a.Side, notified(a.Notify)))
		case Reject:
			list = append(list, "reject "+notified(a.Notify))
		case SendOpen:
			list = append(list, fmt.Sprintf("open %d", a.Side))
		case SendKeepalive:
			list = append(list, fmt.Sprintf("keepalive %d", a.Side))
		case SessionUp:
			list = append(list, "up")
		case SessionDown:
			list = append(list, "down")
		case RefreshRequested:
			list = append(list, "refresh")
		default:
			list = append(list, strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "session.")))
		}
	}
	return strings.Join(list, ", ")
}

func notified(n *bgp.Notification) string {
	if n == nil {
		return "silently"
	}
	return fmt.Sprintf("with %d/%d", n.Code, n.Subcode)
}

// step is something that happens, and what is done then.
type step struct {
	at   float64
	do   func(*Machine, time.Time) []Action
	want string
}

func start(m *Machine, now time.Time) []Action { return m.Start(now) }
func tick(m *Machine, now time.Time) []Action  { return m.Tick(now) }
func dialled(m *Machine, now time.Time) []Action {
	return m.HandleConn(now, OurSide)
}
func called(m *Machine, now time.Time) []Action { return m.HandleConn(now, TheirSide) }
func refused(m *Machine, now time.Time) []Action {
	return m.HandleDialFailure(now, "refused")
}
func lost(side Side) func(*Machine, time.Time) []Action {
	return func(m *Machine, now time.Time) []Action { return m.HandleClose(now, side, "lost") }
}
func got(side Side, message any) func(*Machine, time.Time) []Action {
	return func(m *Machine, now time.Time) []Action { return m.HandleMessage(now, side, message) }
}
func path(up, failed bool) func(*Machine, time.Time) []Action {
	return func(m *Machine, now time.Time) []Action { return m.HandlePathChange(now, up, failed, "BFD reports it") }
}

// revoked changes the configuration to one whose password was taken back, or is valid again.
func revoked(is bool) func(*Machine, time.Time) []Action {
	return func(m *Machine, now time.Time) []Action {
		c := m.config
		c.Revoked = is
		return m.SetConfig(now, c)
	}
}

// established leads to a session by our own connection.
func established(then ...step) []step {
	return append([]step{
		{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "keepalive 0"}, {0, got(OurSide, Keepalive{}), "up"},
	}, then...)
}

func TestMachine(t *testing.T) {
	restarter := openWith(func(o *bgp.Open) { o.Capabilities.GracefulRestart = &bgp.GracefulRestart{Time: time.Minute} })
	tests := []struct {
		name   string
		config Config
		steps  []step
		state  State
		last   string // part of the last error
	}{
		{"a session comes up", peerConfig(), established(), Established, ""},
		{"an attempt that failed is repeated after the retry time", peerConfig(), []step{
			{0, start, "dial"}, {0, refused, ""}, {1.9, tick, ""}, {2, tick, "dial"}}, Connect, "refused"},
		{"a passive side waits to be called", with(func(c *Config) { c.Passive = true }), []step{
			{0, start, ""}, {1, called, "open 1"}, {1, got(TheirSide, routerOpen()), "keepalive 1"}, {1, got(TheirSide, Keepalive{}), "up"}}, Established, ""},
		{"a side that has not started rejects", peerConfig(), []step{{0, called, "reject with 6/5"}}, Idle, ""},
		{"keepalives are sent three times in a hold time", peerConfig(), established(step{9.9, tick, ""}, step{10, tick, "keepalive 0"}, step{20, tick, "keepalive 0"}), Established, ""},
		{"revoked password keeps the established session", peerConfig(), established(step{1, revoked(true), ""}, step{10, tick, "keepalive 0"}), Established, ""},
		{"revoked password: a session that ends does not come up again", peerConfig(), established(step{1, revoked(true), ""}, step{5, lost(OurSide), "down"},
			step{7, tick, ""}, step{9, func(m *Machine, now time.Time) []Action { return m.ConnectNow(now) }, ""}, step{10, path(true, false), ""}, step{11, called, "reject silently"}), Idle, "lost"},
		{"revoked password: a router that restarts gets no session", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, restarter), "keepalive 0"}, {0, got(OurSide, Keepalive{}), "up"},
			{1, revoked(true), ""}, {2, called, "reject silently"}}, Established, ""},
		{"revoked password ends a connection that is not established", peerConfig(), []step{{0, start, "dial"}, {0, dialled, "open 0"}, {1, revoked(true), "close 0 with 6/5"}, {9, tick, ""}}, Idle, "revoked"},
		{"revoked password rejects a connection that is being made", peerConfig(), []step{{0, start, "dial"}, {1, revoked(true), ""}, {2, dialled, "reject silently"}, {9, tick, ""}}, Idle, ""},
		{"revoked password: no attempt follows one that fails", peerConfig(), []step{{0, start, "dial"}, {1, revoked(true), ""}, {2, refused, ""}, {9, tick, ""}}, Idle, "refused"},
		{"valid password after a revoked one: the session comes up at once", peerConfig(), established(step{1, revoked(true), ""}, step{5, lost(OurSide), "down"}, step{9, revoked(false), "dial"}), Connect, "lost"},
		{"a silent router ends the session", peerConfig(), established(step{29, tick, "keepalive 0"}, step{30, tick, "close 0 with 4/0, down"}), Active, "hold timer"},
		{"any message restarts the hold timer", peerConfig(), established(step{25, got(OurSide, Update{}), ""}, step{50, got(OurSide, Keepalive{}), ""}, step{79, tick, "keepalive 0"}), Established, ""},
		{"a hold time of zero means never", with(func(c *Config) { c.Hold = 0 }), established(step{3600, tick, ""}), Established, ""},
		{"a connection without an OPEN is given up", peerConfig(), []step{{0, start, "dial"}, {0, dialled, "open 0"}, {19, tick, ""}, {20, tick, "close 0 with 4/0"}}, Active, "no OPEN"},
		{"another ASN is refused", peerConfig(), []step{{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN = 1 })), "close 0 with 2/2"}}, Active, "has the ASN 1, and peerASN is 64513"},
		{"the reason of a refusal stays while the router closes connections at once", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN = 1 })), "close 0 with 2/2"},
			{2, tick, "dial"}, {2, dialled, "open 0"}, {2, lost(OurSide), ""}}, Active, "has the ASN 1"},
		{"until something else is wrong", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN = 1 })), "close 0 with 2/2"}, {2, tick, "dial"}, {2, refused, ""},
			{4, tick, "dial"}, {4, dialled, "open 0"}, {4, lost(OurSide), ""}}, Active, "lost"},
		{"our identifier is refused in our ASN", with(func(c *Config) { c.Remote.ASN = 64512 }), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN, o.RouterID = 64512, ours })), "close 0 with 2/3"}}, Active, "routerID"},
		{"our identifier is taken from another ASN", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.RouterID = ours })), "keepalive 0"}}, OpenConfirm, ""},
		{"a hold time below three seconds is refused", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.Hold = time.Second })), "close 0 with 2/6"}}, Active, "hold time"},
		{"any external ASN will do", with(func(c *Config) { c.Remote = bgp.RemoteASN{Kind: bgp.ExternalPeer} }), established(), Established, ""},
		{"our ASN is not external", with(func(c *Config) { c.Remote = bgp.RemoteASN{Kind: bgp.ExternalPeer} }), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN = 64512 })), "close 0 with 2/2"}}, Active, "External"},
		{"ASN 0 is nobody's", with(func(c *Config) { c.Remote = bgp.RemoteASN{Kind: bgp.ExternalPeer} }), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, openWith(func(o *bgp.Open) { o.ASN = 0 })), "close 0 with 2/2"}}, Active, "the ASN 0"},
		{"another ASN is not internal", with(func(c *Config) { c.Remote = bgp.RemoteASN{Kind: bgp.InternalPeer} }), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "close 0 with 2/2"}}, Active, "Internal"},
		{"an UPDATE before the session is an error", peerConfig(), []step{{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, Update{}), "close 0 with 5/1"}}, Active, "not allowed in the state of the session"},
		{"an UPDATE before the router's keepalive too", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "keepalive 0"}, {0, got(OurSide, Update{}), "close 0 with 5/2"}}, Active, "not allowed in the state of the session"},
		{"a second OPEN is an error", peerConfig(), established(step{1, got(OurSide, routerOpen()), "close 0 with 5/3, down"}), Active, "not allowed in the state of the session"},
		{"a malformed message is answered with a NOTIFICATION", peerConfig(), established(step{1, got(OurSide, MalformedMessage{&bgp.Notification{Code: 1, Subcode: 2}}), "close 0 with 1/2, down"}), Active, "bad message length"},
		{"a notification ends the session", peerConfig(), established(step{1, got(OurSide, bgp.NewCease(bgp.AdminShutdown, "maintenance")), "close 0 silently, down"}, step{3, tick, "dial"}), Connect, `administrative shutdown: "maintenance"`},
		{"the router asks for everything again", peerConfig(), established(step{1, got(OurSide, RouteRefresh{}), "refresh"}), Established, ""},
		{"a connection that is lost is made again", peerConfig(), established(step{5, lost(OurSide), "down"}, step{7, tick, "dial"}), Connect, "lost"},
		{"news of a connection that is gone is ignored", peerConfig(), established(step{5, got(TheirSide, Keepalive{}), ""}, step{5, lost(TheirSide), ""}), Established, ""},
		{"a second connection of the router is rejected", peerConfig(), established(step{5, called, "reject with 6/7"}), Established, ""},
		{"a router that restarts gracefully may call again", peerConfig(), []step{
			{0, start, "dial"}, {0, dialled, "open 0"}, {0, got(OurSide, restarter), "keepalive 0"}, {0, got(OurSide, Keepalive{}), "up"},
			{5, called, "close 0 silently, down, open 1"}}, OpenSent, "restarted"},
		{"of two connections that of the higher identifier stays", peerConfig(), []step{
			{0, start, "dial"}, {0, called, "open 1"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "keepalive 0"},
			{0, got(TheirSide, routerOpen()), "close 0 with 6/7, keepalive 1"}, {0, got(TheirSide, Keepalive{}), "up"}}, Established, ""},
		{"and ours stays if our identifier is higher", with(func(c *Config) { c.RouterID = netip.MustParseAddr("10.0.0.3") }), []step{
			{0, start, "dial"}, {0, called, "open 1"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "keepalive 0"},
			{0, got(TheirSide, routerOpen()), "close 1 with 6/7"}, {0, got(OurSide, Keepalive{}), "up"}}, Established, ""},
		{"a connection that is not open yet goes when the other is established", peerConfig(), []step{
			{0, start, "dial"}, {0, called, "open 1"}, {0, dialled, "open 0"}, {0, got(OurSide, routerOpen()), "keepalive 0"}, {0, got(OurSide, Keepalive{}), "close 1 with 6/7, up"}}, Established, ""},
		{"a path that fails ends the session", peerConfig(), established(step{1, path(true, false), ""}, step{2, path(false, true), "close 0 with 6/10, down"}, step{4, tick, "dial"}), Connect, "BFD reports it"},
		{"a path that the router does not watch any more ends nothing", peerConfig(), established(step{1, path(true, false), ""}, step{2, path(false, false), ""}), Established, ""},
		{"a strict session waits for the path", with(func(c *Config) { c.StrictBFD = true }), []step{{0, start, ""}, {5, tick, ""}, {6, called, "reject with 6/5"}, {7, path(true, false), "dial"}}, Connect, ""},
		{"a strict session that lost its path waits for it", with(func(c *Config) { c.StrictBFD = true }), []step{
			{0, start, ""}, {0, path(true, false), "dial"}, {0, dialled, "open 0"}, {1, path(false, true), "close 0 with 6/10"}, {3, tick, ""}, {9, path(true, false), "dial"}}, Connect, "BFD"},
		{"stopping sends the reason", peerConfig(), established(step{1, func(m *Machine, now time.Time) []Action {
			return m.Stop(now, bgp.NewCease(bgp.AdminShutdown, ""), "it ends")
		}, "close 0 with 6/2, down"}, step{9, tick, ""}), Idle, "it ends"},
		{"a graceful restart sends nothing", peerConfig(), established(step{1, func(m *Machine, now time.Time) []Action { return m.Stop(now, nil, "it ends") }, "close 0 silently, down"}), Idle, ""},
		{"a connection that comes after the stop is rejected", peerConfig(), []step{
			{0, start, "dial"}, {0, func(m *Machine, now time.Time) []Action { return m.Stop(now, nil, "it ends") }, ""}, {1, dialled, "reject with 6/5"}}, Idle, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := New(zero, tt.config)
			for i, s := range tt.steps {
				if got := words(s.do(m, at(s.at))); got != s.want {
					t.Fatalf("step %d at %g s: got %q, want %q", i, s.at, got, s.want)
				}
			}
			if got, _ := m.State(); got != tt.state {
				t.Errorf("state: got %s, want %s", got, tt.state)
			}
			if got, _ := m.LastError(); !strings.Contains(got, tt.last) || (tt.last == "" && got != "" && tt.state == Established) {
				t.Errorf("last error: got %q, want %q in it", got, tt.last)
			}
		})
	}
}

func TestNegotiatedCapabilities(t *testing.T) {
	c := with(func(c *Config) {
		c.IPv6, c.RestartTime, c.Keepalive = true, time.Minute, 4*time.Second
	})
	router := openWith(func(o *bgp.Open) {
		o.Hold = 9 * time.Second
		o.Capabilities.RouteRefresh = true
		o.Capabilities.GracefulRestart = &bgp.GracefulRestart{Time: 2 * time.Minute, IPv4: true}
	})
	m := New(zero, c)
	m.Start(zero)
	m.HandleConn(zero, OurSide)
	m.HandleMessage(zero, OurSide, router)
	actions := m.HandleMessage(zero, OurSide, Keepalive{})
	want := []Action{SessionUp{Negotiated{
		Side: OurSide, Remote: router, Hold: 9 * time.Second, Keepalive: 3 * time.Second,
		Capabilities: bgp.Capabilities{IPv4: true, FourOctetASN: true, RouteRefresh: true, GracefulRestart: router.Capabilities.GracefulRestart},
	}}}
	if diff := cmp.Diff(want, actions, byAddr); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestOpenAfterARestartHasTheRestartFlag(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		m := New(zero, with(func(c *Config) { c.RestartTime, c.Restarted = time.Minute, restarted }))
		m.Start(zero)
		want := &bgp.GracefulRestart{Restarting: restarted, Time: time.Minute, IPv4: true}
		open, ok := m.HandleConn(zero, OurSide)[0].(SendOpen)
		if !ok {
			t.Fatal("no OPEN is sent")
		}
		if diff := cmp.Diff(want, open.Open.Capabilities.GracefulRestart); diff != "" {
			t.Errorf("graceful restart (-want +got):\n%s", diff)
		}
	}
}
