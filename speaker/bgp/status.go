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
	// Router is its address; invalid while an unnumbered one is not known.
	Router netip.Addr
	// State of the session, and since when.
	State session.State
	Since time.Time
	// LastError is what went wrong last, and when; empty: nothing.
	LastError   string
	LastErrorAt time.Time
	// Retry is the time between attempts to connect, before jitter; 0: none has failed since
	// the session was stable, or the session is established, or the router is to connect.
	Retry time.Duration
	// Problem is what is wrong on this node, if that is why there is no session, or why the
	// router gets fewer routes than it should; without a session as the last one showed it.
	Problem bgp.Problem
	// Flaps is how often the session has ended unplanned since it last stayed established
	// for bgp.StableAfter, and LastFlap when it did last.
	Flaps    int
	LastFlap time.Time
	// WaitsForBFD: there is no session since the path is not up.
	WaitsForBFD bool
	// Local is the address of this node in the session.
	Local netip.Addr
	// Negotiated is nil unless the session is established.
	Negotiated *session.Negotiated
	// IPv4 and IPv6: routes of the family go over the session.
	IPv4, IPv6 bool
	// Prefixes is how many the router has from this node. Changes counts the changes of
	// them.
	Prefixes int
	Changes  uint64
}

// lasting is how long a state on the way to a session must last to be reported: with a router that
// cannot be reached the session goes through these states every few seconds.
const lasting = time.Second

// report passes the status to onStatus, if it has changed.
func (p *peer) report() {
	now := time.Now()
	failures := p.machine.Failures()
	p.metrics.failed.Add(float64(max(0, failures-p.failures)))
	p.failures = failures
	s := Status{Peer: p.config.Name, Router: p.router, WaitsForBFD: p.machine.WaitsForBFD(), Negotiated: p.up}
	s.State, s.Since = p.shownState(now)
	s.Flaps, s.LastFlap = p.flaps.count, p.flaps.last
	s.LastError, s.LastErrorAt = p.machine.LastError()
	if p.config.Passive && p.up == nil && s.LastError == "" && p.closed.Reason == "" {
		s.LastError = notConnectedWords(p.config)
	}
	if failing := cmp.Or(p.failing, p.table.problem()); failing != nil && p.up != nil {
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
		s.Retry = p.machine.Retry()
	} else {
		s.Local, s.Prefixes = p.local, len(p.table.sent)
		s.IPv4, s.IPv6 = p.wire.NextHop4.Address.IsValid(), p.wire.NextHop6.Address.IsValid()
	}
	before := p.lastStatus
	p.lastStatus = s
	before.LastErrorAt = s.LastErrorAt // the same error again is no change
	if !reflect.DeepEqual(s, before) {
		p.onStatus(s)
	}
}

// shownState returns the state to report, and since when the session has been up, or has not been.
func (p *peer) shownState(now time.Time) (session.State, time.Time) {
	state, since := p.machine.State()
	was := p.lastStatus.State == session.Established
	if is := state == session.Established; is != was || p.lastStatus.Since.IsZero() {
		return state, since
	}
	switch {
	case state == session.Connect:
		state = session.Active
	case (state == session.OpenSent || state == session.OpenConfirm) && now.Sub(since) < lasting:
		state = p.lastStatus.State
	}
	return state, p.lastStatus.Since
}
