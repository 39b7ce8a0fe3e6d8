// Package session is the state machine of a BGP session (RFC 4271 section 8) of a speaker that
// announces routes and learns none. It has no clock and no socket: each method takes an event and the
// time, and returns the actions that the caller performs.
package session

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
)

// State of a session (RFC 4271 section 8.2.2).
type State uint8

// The states.
const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

// String returns the name of the state.
func (s State) String() string {
	return [...]string{"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"}[s]
}

// Side is the side that began a connection.
type Side uint8

// The sides. A session has at most one connection of each side.
const (
	OurSide Side = iota
	TheirSide
	sideCount
)

// openTimeout is how long the other side has to answer the TCP connection with an OPEN. It is shorter
// than the four minutes that RFC 4271 suggests, so that the error is reported soon.
const openTimeout = 20 * time.Second

const (
	// stableAfter is how long a session must have been established to reset the count of failures: the
	// end of the session then counts as the first failure.
	stableAfter = 30 * time.Second
	// quickAttempts is the number of failures in a row up to which the time between attempts is
	// ConnectRetry, since a router that restarts causes some failures. Each further failure doubles the
	// time (RFC 4271 section 8.1.1, DampPeerOscillations).
	quickAttempts = 3
	// maxBackOffFactor bounds the time between attempts, as a multiple of ConnectRetry.
	maxBackOffFactor = 16
	// maxRetryInterval also bounds the time between attempts, unless ConnectRetry is longer.
	maxRetryInterval = 2 * time.Minute
	// refreshInterval is the shortest time between two answers to ROUTE-REFRESH, however often the router
	// requests one.
	refreshInterval = time.Second
)

// Config is the configuration of a session.
type Config struct {
	bgp.Peer
	// IPv4 and IPv6: this side offers routes of the family.
	IPv4, IPv6 bool
	// Restarted means that the router may have retained routes of the speaker before this one (RFC 4724
	// section 4.1).
	Restarted bool
	// OpenWithin is how long the other side has to answer the TCP connection with an OPEN;
	// 0: 20 s.
	OpenWithin time.Duration
	// Random returns numbers from 0 to 1, for the jitter of timers (RFC 4271 section 10).
	Random func() float64
}

// Negotiated has the parameters of an established session.
type Negotiated struct {
	// Side that began the connection.
	Side Side
	// Remote is the OPEN of the router.
	Remote bgp.Open
	// Capabilities that both sides have.
	bgp.Capabilities
	// Hold and Keepalive are the hold time and the keepalive interval in use; 0: none.
	Hold, Keepalive time.Duration
	// Internal: both sides are in one autonomous system.
	Internal bool
}

// The actions. The caller performs them in order.
type (
	// Dial means that the caller must connect to the router, and then call HandleConn or HandleDialFailure.
	Dial struct{}
	// SendOpen sends an OPEN.
	SendOpen struct {
		Side Side
		Open bgp.Open
	}
	// SendKeepalive sends a KEEPALIVE.
	SendKeepalive struct{ Side Side }
	// Close ends a connection. If Notify is set, queued octets and then the notification are sent first.
	Close struct {
		Side   Side
		Notify *bgp.Notification
	}
	// Reject ends the connection for which HandleConn was just called. Notify, if it is set, is sent
	// first.
	Reject struct{ Notify *bgp.Notification }
	// SessionUp means that the session is established.
	SessionUp struct{ Negotiated }
	// SessionDown means that the established session has ended.
	SessionDown struct{ Why string }
	// RefreshRequested means that the router requests all routes again.
	RefreshRequested struct{}
)

// Action is one of the types above.
type Action any

// Machine is one session. Make it with New.
type Machine struct {
	config        Config
	started       bool
	dialing       bool
	retryAt       time.Time // when to connect next; zero: no attempt is planned
	conns         [sideCount]*conn
	pathUp        bool // as BFD reports
	since         time.Time
	reported      State
	last          string // the last error
	lastAt        time.Time
	lastIsRefusal bool // the last error is the reason why one side refused the other
	// failures counts the failures in a row. After too many of them a passive side accepts no
	// connection until quietUntil.
	failures   int
	quietUntil time.Time
	hurried    time.Time // when this side connected last because the path came up
	// refreshAt is when a postponed ROUTE-REFRESH must be answered; zero: none is postponed. refreshed is
	// when a ROUTE-REFRESH was answered last.
	refreshAt, refreshed time.Time
	out                  []Action
}

// conn is one TCP connection.
type conn struct {
	state     State
	opened    bgp.Open // the OPEN of the router; set in the states OpenConfirm and Established
	hold      time.Duration
	keepalive time.Duration
	holdAt    time.Time // when the hold time, or the time to wait for an OPEN, ends; zero: never
	sendAt    time.Time // when a KEEPALIVE is due; zero: never
	upSince   time.Time // when the session was established
}

// New returns a session that has not started.
func New(now time.Time, c Config) *Machine { return &Machine{config: c, since: now} }

// State returns the state, and since when the session has been in it.
func (m *Machine) State() (State, time.Time) { return m.reported, m.since }

// LastError returns the last error in words, and when it happened; empty: there was none.
func (m *Machine) LastError() (string, time.Time) { return m.last, m.lastAt }

// WaitsForBFD reports whether the session does not begin until BFD reports that the path is up.
func (m *Machine) WaitsForBFD() bool { return m.started && m.config.StrictBFD && !m.pathUp }

// FailureCount returns the number of failures in a row: attempts to connect that failed, and connections that
// ended. The end of a session that was established for half a minute resets the number to 1.
func (m *Machine) FailureCount() int { return m.failures }

// RetryInterval returns the time between attempts to connect, before jitter; 0: there was no failure yet, or
// this side does not connect.
func (m *Machine) RetryInterval() time.Duration {
	if m.config.Passive || m.config.Revoked || m.failures == 0 {
		return 0
	}
	return m.backOff()
}

// NoteError records a text to be reported as the last error.
func (m *Machine) NoteError(now time.Time, what string) { m.recordError(now, what, false) }

// Start begins the session.
func (m *Machine) Start(now time.Time) []Action {
	m.started = true
	m.connect(now)
	return m.takeActions(now)
}

// Stop ends the session. Without a notification the connections are only closed: a router that supports
// graceful restart treats that as a restart, and retains the routes (RFC 4724 section 4.2).
func (m *Machine) Stop(now time.Time, n *bgp.Notification, why string) []Action {
	m.started, m.retryAt = false, time.Time{}
	m.closeAll(now, n, why)
	return m.takeActions(now)
}

// Restart ends the session, and begins a new one at once.
func (m *Machine) Restart(now time.Time, n *bgp.Notification, why string) []Action {
	m.closeAll(now, n, why)
	m.connect(now)
	return m.takeActions(now)
}

// ConnectNow makes the next attempt to connect at once. Call it when the address of the router becomes
// known.
func (m *Machine) ConnectNow(now time.Time) []Action {
	m.connect(now)
	return m.takeActions(now)
}

// SetConfig changes the settings that need no new session: the time between attempts, whether the
// session requires BFD, and whether a new session may begin.
func (m *Machine) SetConfig(now time.Time, c Config) []Action {
	strict := c.StrictBFD && !m.config.StrictBFD
	m.config = c
	switch {
	case strict && m.WaitsForBFD():
		m.closeAll(now, bgp.NewCease(bgp.BFDDown, ""), "strictBFD is set, and BFD does not report that the path is up")
	case c.Revoked && m.establishedConn() == nil:
		m.closeAll(now, bgp.NewCease(bgp.ConnectionRejected, ""), "the password was revoked")
	case m.isIdle():
		m.connect(now)
	}
	return m.takeActions(now)
}

// HandleConn handles a new connection. If the session does not use the connection, the actions have
// Reject. Otherwise they have SendOpen for its side. If there is an older connection of that side, the
// action Close for it comes before SendOpen.
func (m *Machine) HandleConn(now time.Time, side Side) []Action {
	if side == OurSide {
		m.dialing = false
	}
	if !m.started || m.WaitsForBFD() {
		m.out = append(m.out, Reject{bgp.NewCease(bgp.ConnectionRejected, "")})
		return m.takeActions(now)
	}
	if m.config.Revoked || m.config.Passive && now.Before(m.quietUntil) && m.isIdle() {
		// Without a notification: some routers do not connect again for minutes after one.
		m.out = append(m.out, Reject{})
		return m.takeActions(now)
	}
	if up := m.establishedConn(); up != nil {
		// If a router that supports graceful restart connects, it has lost the session that is still
		// established on this side (RFC 4724 section 4.2).
		if side != TheirSide || up.opened.Capabilities.GracefulRestart == nil {
			m.out = append(m.out, Reject{bgp.NewCease(bgp.ConnectionCollision, "")})
			return m.takeActions(now)
		}
		m.closeAll(now, nil, "the router restarted")
	}
	if m.conns[side] != nil {
		m.closeConn(side, nil) // the side does not use its older connection any more
	}
	m.conns[side] = &conn{state: OpenSent, holdAt: now.Add(m.openTime())}
	m.out = append(m.out, SendOpen{side, m.ownOpen()})
	return m.takeActions(now)
}

// HandleDialFailure handles a failed attempt to connect.
func (m *Machine) HandleDialFailure(now time.Time, why string) []Action {
	m.dialing = false
	m.recordError(now, why, false)
	m.failures++
	m.setRetry(now)
	return m.takeActions(now)
}

// HandleClose handles that the router or the network has ended a connection.
func (m *Machine) HandleClose(now time.Time, side Side, why string) []Action {
	c := m.conns[side]
	if c == nil {
		return m.takeActions(now)
	}
	m.conns[side] = nil
	m.handleLostConn(now, c, why, false)
	return m.takeActions(now)
}

// Tick handles everything that is due.
func (m *Machine) Tick(now time.Time) []Action {
	for side := range sideCount {
		c := m.conns[side]
		if c == nil {
			continue
		}
		if isDue(now, c.holdAt) {
			why := fmt.Sprintf("the router sent nothing for %s: the hold timer expired", c.hold)
			if c.state == OpenSent {
				why = fmt.Sprintf("the router sent no OPEN within %s after the connection was made", m.openTime())
			}
			m.endConn(now, side, &bgp.Notification{Code: bgp.HoldTimerExpired}, why)
			continue
		}
		if isDue(now, c.sendAt) {
			m.out = append(m.out, SendKeepalive{side})
			c.sendAt = now.Add(m.withJitter(c.keepalive))
		}
	}
	if isDue(now, m.retryAt) {
		m.connect(now)
	}
	if isDue(now, m.refreshAt) {
		m.answerRefresh(now)
	}
	return m.takeActions(now)
}

// Next returns when to call Tick; zero: nothing is due.
func (m *Machine) Next() time.Time {
	next := m.retryAt
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	sooner(m.refreshAt)
	for _, c := range m.conns {
		if c != nil {
			sooner(c.holdAt)
			sooner(c.sendAt)
		}
	}
	return next
}

// HandlePathChange handles a result of BFD. up is whether the path is up, and failed is whether it has just
// failed. A path can be down without a failure: the router may have taken BFD down on purpose, which does
// not end the session (RFC 5882 section 4.2).
func (m *Machine) HandlePathChange(now time.Time, up, failed bool, why string) []Action {
	newly := up && !m.pathUp
	m.pathUp = up
	switch {
	case failed:
		m.closeAll(now, bgp.NewCease(bgp.BFDDown, ""), why)
		m.setRetry(now)
	case newly && m.isIdle():
		m.connectOnPathUp(now)
	}
	return m.takeActions(now)
}

// connectOnPathUp connects at once, but not more often than the back-off allows: on a path that flaps, each
// session ends soon after it began.
func (m *Machine) connectOnPathUp(now time.Time) {
	if next := m.hurried.Add(m.backOff()); now.Before(next) {
		if m.retryAt.IsZero() || next.Before(m.retryAt) {
			m.retryAt = next
		}
		return
	}
	m.hurried = now
	m.connect(now)
}

func isDue(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }

// isIdle reports whether the session is started, and has neither a connection nor an attempt to connect.
func (m *Machine) isIdle() bool {
	return m.started && !m.dialing && m.conns[OurSide] == nil && m.conns[TheirSide] == nil
}

func (m *Machine) establishedConn() *conn {
	for _, c := range m.conns {
		if c != nil && c.state == Established {
			return c
		}
	}
	return nil
}

// connect begins an attempt to connect, unless an attempt is under way or this side may not connect
// now.
func (m *Machine) connect(now time.Time) {
	m.retryAt = time.Time{}
	if !m.started || m.config.Passive || m.dialing || m.conns[OurSide] != nil || m.establishedConn() != nil || m.WaitsForBFD() || m.config.Revoked {
		return
	}
	m.dialing = true
	m.out = append(m.out, Dial{})
}

// setRetry sets when this side connects next. A passive side does not connect: after more than
// quickAttempts failures it accepts no connection for the same time, at most stableAfter.
func (m *Machine) setRetry(now time.Time) {
	wait := m.withJitter(m.backOff())
	switch {
	case m.started && !m.config.Passive:
		m.retryAt = now.Add(wait)
	case m.failures > quickAttempts:
		m.quietUntil = now.Add(min(wait, stableAfter))
	}
}

// backOff returns the time until the next attempt, before jitter.
func (m *Machine) backOff() time.Duration {
	wait := m.config.ConnectRetry
	longest := max(wait, min(maxBackOffFactor*wait, maxRetryInterval))
	for range m.failures - quickAttempts {
		if wait *= 2; wait >= longest {
			return longest
		}
	}
	return wait
}

func (m *Machine) openTime() time.Duration { return cmp.Or(m.config.OpenWithin, openTimeout) }

// answerRefresh answers a ROUTE-REFRESH: the action RefreshRequested makes the caller send all routes
// again.
func (m *Machine) answerRefresh(now time.Time) {
	m.refreshAt, m.refreshed = time.Time{}, now
	m.out = append(m.out, RefreshRequested{})
}

// withJitter shortens a time by up to a quarter at random, so that both sides do not act at the same time
// again and again (RFC 4271 section 10).
func (m *Machine) withJitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + 0.25*m.config.Random()))
}

// recordError records the last error.
func (m *Machine) recordError(now time.Time, why string, refusal bool) {
	m.last, m.lastAt, m.lastIsRefusal = why, now, refusal
}

func (m *Machine) closeConn(side Side, n *bgp.Notification) {
	m.conns[side] = nil
	m.out = append(m.out, Close{side, n})
}

// endConn closes a connection for a reason of this side.
func (m *Machine) endConn(now time.Time, side Side, n *bgp.Notification, why string) {
	c := m.conns[side]
	m.closeConn(side, n)
	m.handleLostConn(now, c, why, true)
}

// handleLostConn handles the end of a connection. After a refusal, a router may close new connections for
// a while without a reason: LastError then still returns the refusal.
func (m *Machine) handleLostConn(now time.Time, c *conn, why string, refusal bool) {
	if refusal || c.state == Established || !m.lastIsRefusal {
		m.recordError(now, why, refusal)
	}
	if c.state == Established {
		m.out = append(m.out, SessionDown{why})
		m.refreshAt, m.refreshed = time.Time{}, time.Time{}
		if now.Sub(c.upSince) >= stableAfter {
			m.failures = 0
		}
	}
	if m.establishedConn() == nil {
		m.failures++
	}
	m.setRetry(now)
}

func (m *Machine) closeAll(now time.Time, n *bgp.Notification, why string) {
	for side := range sideCount {
		if c := m.conns[side]; c != nil {
			m.endConn(now, side, n, why)
		}
	}
}

// ownOpen returns the OPEN of this side.
func (m *Machine) ownOpen() bgp.Open {
	o := bgp.Open{ASN: m.config.ASN, Hold: m.config.Hold, RouterID: m.config.RouterID, Capabilities: bgp.Capabilities{
		IPv4: m.config.IPv4, IPv6: m.config.IPv6, FourOctetASN: true, RouteRefresh: true, ExtendedNextHop: m.config.IPv4,
	}}
	if m.config.RestartTime > 0 {
		// The kernel forwards packets also while this process does not run.
		o.Capabilities.GracefulRestart = &bgp.GracefulRestart{
			Restarting: m.config.Restarted, Time: m.config.RestartTime, IPv4: m.config.IPv4, IPv6: m.config.IPv6,
		}
	}
	return o
}

// takeActions returns the collected actions, and records the state that they lead to.
func (m *Machine) takeActions(now time.Time) []Action {
	state := m.currentState()
	if state != m.reported {
		m.reported, m.since = state, now
	}
	out := m.out
	m.out = nil
	return out
}

func (m *Machine) currentState() State {
	best := Idle
	for _, c := range m.conns {
		if c != nil && c.state > best {
			best = c.state
		}
	}
	switch {
	case best != Idle || !m.started || m.WaitsForBFD() || m.config.Revoked:
		return best
	case m.dialing:
		return Connect
	}
	return Active
}

// whyWrongASN returns why the ASN of the router is refused; empty: the ASN is accepted.
func (m *Machine) whyWrongASN(asn bgp.ASN) string {
	want := m.config.Remote
	switch {
	case asn == 0: // RFC 7607
		return "the router sent the ASN 0, which is invalid"
	case want.ASN != 0 && asn != want.ASN:
		return fmt.Sprintf("the router has the ASN %d, and peerASN is %d", asn, want.ASN)
	case want.ASN == 0 && want.Kind == bgp.InternalPeer && asn != m.config.ASN:
		return fmt.Sprintf("the router has the ASN %d and the nodes have %d, although dynamicASN is Internal", asn, m.config.ASN)
	case want.ASN == 0 && want.Kind == bgp.ExternalPeer && asn == m.config.ASN:
		return fmt.Sprintf("the router has the ASN %d, which the nodes have too, although dynamicASN is External", asn)
	}
	return ""
}

func addressLess(a, b netip.Addr) bool { return a.Compare(b) < 0 }
