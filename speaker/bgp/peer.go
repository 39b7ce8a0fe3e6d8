package bgp

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/internal/watchdog"
)

// peer is the session with one router. Its goroutine (run) owns all fields except isUp; other
// goroutines send it events. The goroutine never waits for a router, so that peers do not delay each
// other.
type peer struct {
	ctx      context.Context
	log      logr.Logger
	events   chan peerEvent
	ended    chan struct{}
	metrics  peerMetrics
	onStatus func(Status)
	// openWithin is session.Config.OpenWithin.
	openWithin time.Duration

	config  bgp.Peer
	machine *session.Machine
	links   map[session.Side]*link
	// lingering are links that are ending, or have ended since releaseLink was called last.
	lingering   []*link
	pendingConn net.Conn // the connection that machine.HandleConn decides about, for SendOpen or Reject
	table       *routeTable
	up          *session.Negotiated
	isUp        atomic.Bool // up is not nil; for other goroutines
	wire        wire.Encoding
	local       netip.Addr
	router      netip.Addr // the address to connect to; invalid until the router of an unnumbered peer is discovered
	cancel      context.CancelFunc
	pathUp      bool // as BFD reports
	left        bool
	// restarted: the OPEN has the R bit of graceful restart. It is set if the speaker started less than
	// the restart time ago, until the first session is established.
	restarted      bool
	linkGoroutines sync.WaitGroup // of all links, lingering ones included
	failures       int            // how many failures of the machine the metrics have counted
	failing        error          // a message that cannot be encoded, a family that is not negotiated, or a password that cannot be set; nil: no error
	changed        time.Time      // when the oldest unwritten change was observed, for the latency metric; zero: all changes are written
	lastStatus     Status
	flaps          flapCounter
	nodeAddresses  func() ([]bgp.NodeAddress, error)
	// addresses are the addresses of the node. internal are the InternalIPs of its Node object. hops, the
	// next hops of the session, are chosen from both.
	addresses []bgp.NodeAddress
	internal  []netip.Addr
	hops      bgp.NextHops
	problem   bgp.Problem // why the last attempt to connect failed, if the cause is on this node; otherwise zero
	closed    bgp.Problem // for a passive peer: why this node does not accept connections; zero: it accepts them
	// unrouted is the problem that a family has no next hop, or that the router did not negotiate it. The
	// problem stays when the session ends, until the next session announces the routes or the cause is
	// gone. Otherwise the problem would come and go with a session that flaps.
	unrouted bgp.Problem
	passes   *watchdog.Loop
}

// peerEvent is a function that the goroutine of the peer runs. It returns actions of the state machine,
// which the goroutine performs.
type peerEvent func(now time.Time) []session.Action

// enqueue queues an event for the goroutine of the peer, unless that goroutine has ended. It blocks while
// the queue is full, so the goroutine of the peer itself must use enqueueAsync.
func (p *peer) enqueue(e peerEvent) {
	select {
	case p.events <- e:
	case <-p.ended:
	}
}

// handOver queues an event that takes over conn. If the goroutine of the peer ends before it runs the
// event, conn is closed.
func (p *peer) handOver(conn net.Conn, e peerEvent) {
	taken := make(chan struct{})
	p.enqueue(func(now time.Time) []session.Action {
		defer close(taken)
		return e(now)
	})
	select {
	case <-taken:
		return
	case <-p.ended:
	}
	select {
	case <-taken:
	default:
		_ = conn.Close()
	}
}

func (p *peer) run() {
	defer close(p.ended)
	defer p.passes.Remove()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !p.left {
		e := peerEvent(p.machine.Tick)
		select {
		case <-p.ctx.Done():
			p.perform(p.machine.Stop(time.Now(), nil, "the speaker ends"))
			return
		case e = <-p.events:
		case <-timer.C:
		}
		p.passes.Begin()
		p.perform(e(time.Now()))
		p.sendNext()
		p.reportStatus()
		p.passes.End()
		if next := p.machine.Next(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// perform executes the actions of the state machine.
func (p *peer) perform(actions []session.Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case session.Dial:
			p.startDial()
		case session.SendOpen:
			p.sendOpen(a)
		case session.SendKeepalive:
			if l := p.links[a.Side]; l != nil && l.hasRoom() {
				octets, err := wire.EncodeKeepalive()
				p.send(l, octets, err)
			}
		case session.Close:
			p.closeLink(a.Side, a.Notify)
		case session.Reject:
			p.reject(a.Notify)
		case session.SessionUp:
			p.beginSession(a.Negotiated)
		case session.SessionDown:
			p.up, p.changed = nil, time.Time{}
			p.isUp.Store(false)
			p.metrics.down.Inc()
			p.flaps.countFlap(time.Now())
			p.log.Info("the BGP session has ended", "reason", a.Why)
		case session.RefreshRequested:
			p.table.resendAll()
		}
	}
}

func (p *peer) send(l *link, octets []byte, err error) {
	if err != nil {
		p.failing = err
		return
	}
	l.send(octets, time.Time{})
}

func (p *peer) startDial() {
	if p.cancel != nil {
		p.cancel()
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.cancel = cancel
	config, to := p.config, netip.AddrPortFrom(p.router, p.config.Port)
	if !p.router.IsValid() {
		p.enqueueAsync(func(now time.Time) []session.Action {
			if ctx.Err() != nil {
				return nil
			}
			if p.router.IsValid() { // discovered meanwhile
				p.startDial()
				return nil
			}
			if _, err := net.InterfaceByName(config.Interface); err != nil {
				return p.handleDialFailure(now, to, fmt.Errorf("finding the interface: %w", syscall.ENODEV))
			}
			p.noteAttempt(bgp.Problem{})
			return p.machine.HandleDialFailure(now, fmt.Sprintf("no router advertisement was received on %s yet: configure the router to send router advertisements on this link", config.Interface))
		})
		return
	}
	go func() {
		conn, err := connectTo(ctx, config, to)
		if err != nil {
			p.enqueue(func(now time.Time) []session.Action {
				if ctx.Err() != nil { // canceled, or superseded by another attempt
					return nil
				}
				return p.handleDialFailure(now, to, err)
			})
			return
		}
		p.handOver(conn, func(now time.Time) []session.Action {
			if ctx.Err() != nil {
				_ = conn.Close()
				return nil
			}
			return p.handleConn(now, session.OurSide, conn)
		})
	}()
}

// handleDialFailure records that an attempt to connect failed.
func (p *peer) handleDialFailure(now time.Time, to netip.AddrPort, err error) []session.Action {
	p.noteAttempt(dialProblem(p.config, err))
	return p.machine.HandleDialFailure(now, dialMessage(to, p.config, err))
}

// noteAttempt records the result of an attempt to connect; the zero Problem: nothing on this node made
// the attempt fail.
func (p *peer) noteAttempt(problem bgp.Problem) {
	if p.up == nil {
		p.problem = problem
	}
}

// enqueueAsync queues an event without blocking. It is for the goroutine of the peer itself, which would
// otherwise block on its own queue.
func (p *peer) enqueueAsync(e peerEvent) { go p.enqueue(e) }

// handleConn passes a new connection to the machine, which returns SendOpen or Reject.
func (p *peer) handleConn(now time.Time, side session.Side, conn net.Conn) []session.Action {
	p.pendingConn = conn
	p.noteAttempt(bgp.Problem{})
	return p.machine.HandleConn(now, side)
}

func (p *peer) sendOpen(a session.SendOpen) {
	p.closeLink(a.Side, nil) // a side has at most one link
	p.links[a.Side] = p.newLink(a.Side, p.pendingConn)
	p.pendingConn = nil
	octets, err := wire.EncodeOpen(a.Open)
	p.send(p.links[a.Side], octets, err)
}

func (p *peer) reject(n *bgp.Notification) {
	if p.pendingConn == nil {
		return
	}
	if n != nil {
		if octets, err := wire.EncodeNotification(n); err == nil {
			_ = p.pendingConn.SetWriteDeadline(time.Now().Add(lingerTimeout))
			n, _ := p.pendingConn.Write(octets) // does not block: the send buffer is empty
			p.metrics.countWritten(octets[:n])
		}
	}
	_ = p.pendingConn.Close()
	p.pendingConn = nil
}

// closeLink ends a link. With a notification, queued octets and then the notification are still sent, for
// at most drainTimeout. Without one, queued octets are discarded.
func (p *peer) closeLink(side session.Side, n *bgp.Notification) {
	l := p.links[side]
	if l == nil {
		return
	}
	var last []byte
	if n != nil {
		last, _ = wire.EncodeNotification(n) // if it cannot be encoded, the link ends without it
	}
	l.end(last, drainTimeout)
	p.releaseLink(l)
}

// beginSession records the new session, and makes sendNext send all routes.
func (p *peer) beginSession(n session.Negotiated) {
	p.up, p.restarted, p.problem = &n, false, bgp.Problem{}
	p.isUp.Store(true)
	l := p.links[n.Side]
	if n.Hold == 0 {
		enableKeepAlive(l.conn)
	}
	p.local = addrOf(l.conn.LocalAddr())
	p.wire = wire.Encoding{ASN: p.config.ASN, Internal: n.Internal, FourOctetASN: n.FourOctetASN}
	if list, err := p.nodeAddresses(); err == nil { // may be newer than p.addresses
		p.addresses = list
	}
	p.hops = bgp.NextHops{}
	p.renewNextHops()
	p.failing = p.whyNotAnnounced(n)
	p.table.beginSession()
	p.metrics.up.Inc()
	p.log.Info("the BGP session is established", "router", p.router, "ASN", n.Remote.ASN, "holdTime", n.Hold)
}

// whyNotAnnounced returns an error for the first family that the peer is configured for and that the
// router did not negotiate; nil: the routes of all families are announced.
func (p *peer) whyNotAnnounced(n session.Negotiated) error {
	for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
		can := n.IPv4
		if f == lb.IPv6 {
			can = n.IPv6
		}
		if p.config.HasFamily(f) && !can {
			return fmt.Errorf("the router did not negotiate %s routes in this session, so they are not announced: turn the address family on at the router", f)
		}
	}
	return nil
}

// sendNext sends the next routes if the link has written all octets before.
func (p *peer) sendNext() {
	if p.up == nil {
		return
	}
	l := p.links[p.up.Side]
	if l == nil || !l.hasWrittenAll() {
		return
	}
	octets, more := p.table.nextMessages(p.wire)
	if !more && !p.table.begun {
		p.table.begun = true
		octets = append(octets, p.encodeEndOfRIB()...)
	}
	if len(octets) > 0 {
		l.send(octets, p.changed)
	}
	if !more {
		p.changed = time.Time{}
	}
}

func (p *peer) encodeEndOfRIB() (octets []byte) {
	for _, f := range []struct {
		can    bool
		family lb.Family
	}{{p.up.IPv4, lb.IPv4}, {p.up.IPv6, lb.IPv6}} {
		if f.can {
			marker, err := wire.EncodeEndOfRIB(f.family)
			if err == nil {
				octets = append(octets, marker...)
			}
		}
	}
	return octets
}

// changeConfig applies a new configuration. If a changed field needs a new session, the session of this peer
// restarts.
func (p *peer) changeConfig(now time.Time, to bgp.Peer) []session.Action {
	from := p.config
	p.config = to
	c := sessionConfig(to, p.restarted, p.openWithin)
	fields := bgp.ResettingFields(from, to)
	if len(fields) == 0 {
		p.changeLinkPasswords(from, to)
		return p.machine.SetConfig(now, c)
	}
	why := "the session was restarted, since these fields of the BGPPeer changed: " + strings.Join(fields, ", ")
	path, _ := pathKey(from, p.router)
	if from.Address != to.Address || from.Interface != to.Interface {
		p.router = to.Address
	}
	if now, _ := pathKey(to, p.router); now != path {
		p.pathUp = false // BFD has no result for this path yet
	}
	if p.cancel != nil {
		p.cancel()
	}
	actions := p.machine.Stop(now, bgp.NewCease(bgp.ConfigurationChange, ""), why)
	p.log.Info(why)
	before := p.flaps
	p.perform(actions)
	p.flaps = before // a planned end is no flap
	// These problems were about the former configuration.
	p.problem, p.closed, p.unrouted = bgp.Problem{}, bgp.Problem{}, bgp.Problem{}
	p.machine = session.New(now, c)
	p.machine.HandlePathChange(now, p.pathUp, false, "")
	p.machine.NoteError(now, why)
	return p.machine.Start(now)
}

// changeLinkPasswords sets a changed password on all links, so that segments are signed with it from now on. The
// router may change its own password a little earlier or later: TCP retransmits the segments that are
// rejected in between.
func (p *peer) changeLinkPasswords(from, to bgp.Peer) {
	if from.Password == to.Password {
		return
	}
	for _, l := range p.links {
		if err := changePassword(l.conn, p.router, to.Password); err != nil {
			p.failing = err
		}
	}
}

// endForGood ends the session for good. It returns when the goroutine of the peer has ended, and after
// waitForClose. If silent is true, no NOTIFICATION is sent, so that a router with graceful restart
// retains the routes. Otherwise the routes are first marked with the community GRACEFUL_SHUTDOWN (RFC
// 8326), and withdrawn after the given time.
func (p *peer) endForGood(ctx context.Context, marked time.Duration, silent bool, n *bgp.Notification, why string) {
	if !silent {
		p.enqueue(func(time.Time) []session.Action { p.table.setLeaving(true, p.table.withdrawn); return nil })
		if len(p.sentPrefixes()) > 0 {
			p.waitWhileMarked(ctx, marked)
		}
		p.enqueue(func(time.Time) []session.Action { p.table.setLeaving(true, true); return nil })
		p.waitForWithdrawals(ctx)
	} else {
		n = nil
	}
	p.enqueue(func(now time.Time) []session.Action {
		p.left = true
		if p.cancel != nil {
			p.cancel()
		}
		return p.machine.Stop(now, n, why)
	})
	<-p.ended
	p.waitForClose(ctx)
}

// waitForClose waits until the router has closed its side of all connections, for at most
// lingerTimeout. BFD must not end before that. If a router notices the end of BFD first, it treats the
// end of the session as a failure, and BIRD then refuses connections for a minute (error wait time).
func (p *peer) waitForClose(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		p.linkGoroutines.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(lingerTimeout):
	}
}

// waitWhileMarked waits for the given time, so that routers stop using the marked routes before these
// are withdrawn. It returns at once if no route is announced.
func (p *peer) waitWhileMarked(ctx context.Context, d time.Duration) {
	if d == 0 || len(p.sentPrefixes()) == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-p.ended:
	case <-time.After(d):
	}
}

// waitForWithdrawals waits until withdrawals for all routes are queued, for at most drainTimeout: a router may
// have stopped reading.
func (p *peer) waitForWithdrawals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(p.sentPrefixes()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *peer) setRoutes(announce routes.Table, withdraw []netip.Prefix, seen time.Time) {
	p.enqueue(func(time.Time) []session.Action {
		p.table.changeWanted(announce, withdraw)
		// Without a session, changes wait for the router, so they do not count in the latency metric.
		if p.up != nil && p.changed.IsZero() {
			p.changed = seen
		}
		return nil
	})
}

// sentPrefixes returns the prefixes that were announced in this session and not withdrawn.
func (p *peer) sentPrefixes() []netip.Prefix {
	list := make(chan []netip.Prefix, 1)
	p.enqueue(func(time.Time) []session.Action {
		if p.up == nil {
			list <- nil
		} else {
			list <- slices.Collect(maps.Keys(p.table.sent))
		}
		return nil
	})
	select {
	case l := <-list:
		return l
	case <-p.ended:
		return nil
	}
}

func sessionConfig(p bgp.Peer, restarted bool, openWithin time.Duration) session.Config {
	c := session.Config{Peer: p, Restarted: restarted, OpenWithin: openWithin, Random: rand.Float64}
	c.IPv4, c.IPv6 = p.Families()
	return c
}
