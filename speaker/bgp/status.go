package bgp

import (
	"cmp"
	"net/netip"
	"reflect"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// Status is the state of the session with a router.
type Status struct {
	// Peer is the BGPPeer.
	Peer bgp.PeerName
	// Router is the address of the router; invalid while the router of an unnumbered peer is not
	// discovered.
	Router netip.Addr
	// State of the session, and since when.
	State session.State
	Since time.Time
	// LastError is a sentence about the last error; empty: there was none. LastErrorAt is when this error
	// happened.
	LastError   string
	LastErrorAt time.Time
	// Retry is the time between attempts to connect, before jitter. It is 0 before the first failure,
	// while the session is established, and if this side does not connect (passive peer, revoked
	// password).
	Retry time.Duration
	// Problem is why there is no session, or why the router gets fewer routes than it should, if the cause
	// is on this node. Without a session, a problem with routes is that of the last session.
	Problem bgp.Problem
	// Flaps counts unplanned ends of the session. LastFlap is when the last of these ends happened. An
	// end that comes bgp.StableAfter or more after the last one starts the count at 1 again.
	Flaps    int
	LastFlap time.Time
	// WaitsForBFD: the session does not start until BFD reports that the path is up.
	WaitsForBFD bool
	// Local is the address of this node in the session.
	Local netip.Addr
	// Negotiated is nil unless the session is established.
	Negotiated *session.Negotiated
	// IPv4 and IPv6: routes of the family are announced in the session.
	IPv4, IPv6 bool
	// Prefixes is the number of prefixes that the router has from this node. Changes counts announced
	// and withdrawn prefixes.
	Prefixes int
	Changes  uint64
}

// stateReportDelay is how long the states OpenSent and OpenConfirm must last to be reported. If a
// router accepts connections and then closes them, the session enters these states for a moment every
// few seconds.
const stateReportDelay = time.Second

// reportStatus passes the status to onStatus if the status has changed.
func (p *peer) reportStatus() {
	now := time.Now()
	failures := p.machine.FailureCount()
	p.metrics.failed.Add(float64(max(0, failures-p.failures)))
	p.failures = failures
	s := Status{Peer: p.config.Name, Router: p.router, WaitsForBFD: p.machine.WaitsForBFD(), Negotiated: p.up}
	s.State, s.Since = p.shownState(now)
	s.Flaps, s.LastFlap = p.flaps.count, p.flaps.last
	s.LastError, s.LastErrorAt = p.machine.LastError()
	if p.config.Passive && p.up == nil && s.LastError == "" && p.closed.Reason == "" {
		s.LastError = notConnectedMessage(p.config)
	}
	if failing := cmp.Or(p.failing, p.table.encodingProblem()); failing != nil && p.up != nil {
		s.LastError, s.LastErrorAt = failing.Error(), s.Since
	}
	switch {
	case p.up != nil:
		s.Problem = p.unrouted
		s.LastError = cmp.Or(s.Problem.Message, s.LastError)
	default:
		down := cmp.Or(p.problem, p.closed)
		s.Problem = cmp.Or(down, p.unrouted)
		s.LastError = cmp.Or(s.LastError, down.Message)
	}
	s.Changes = p.table.changes
	if p.up == nil {
		s.Retry = p.machine.RetryInterval()
	} else {
		s.Local, s.Prefixes = p.local, len(p.table.sent)
		s.IPv4, s.IPv6 = p.wire.NextHop4.Address.IsValid(), p.wire.NextHop6.Address.IsValid()
	}
	before := p.lastStatus
	p.lastStatus = s
	before.LastErrorAt = s.LastErrorAt // a repeated error is not a change
	if !reflect.DeepEqual(s, before) {
		p.onStatus(s)
	}
}

// shownState returns the state to report, and since when the session has been established or, without a
// session, not established. Short-lived states on the way to a session are not reported.
func (p *peer) shownState(now time.Time) (session.State, time.Time) {
	state, since := p.machine.State()
	was := p.lastStatus.State == session.Established
	if is := state == session.Established; is != was || p.lastStatus.Since.IsZero() {
		return state, since
	}
	switch {
	case state == session.Connect:
		state = session.Active
	case (state == session.OpenSent || state == session.OpenConfirm) && now.Sub(since) < stateReportDelay:
		state = p.lastStatus.State
	}
	return state, p.lastStatus.Since
}
