package bgp

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// Path is how BFD finds the path to a router.
type Path struct {
	// Up says that packets pass.
	Up bool
	// Failed says that they do not, although nobody meant that.
	Failed bool
	// Why it is not up, in words.
	Why string
}

// Status is how the session with a router is.
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
	// WaitsForBFD: there is no session since the path is not up.
	WaitsForBFD bool
	// Local is the address of this node in the session.
	Local netip.Addr
	// Negotiated is nil unless the session is established.
	Negotiated *session.Negotiated
	// Prefixes is how many the router has from this node. Changes counts how often
	// they were others.
	Prefixes int
	Changes  uint64

	restarted bool
}

// report shows the status, if it is another one.
func (p *peer) report() {
	s := Status{Peer: p.config.Name, Router: p.router, WaitsForBFD: p.machine.WaitsForBFD(), Negotiated: p.up, restarted: p.told.restarted}
	s.State, s.Since = p.machine.State()
	s.LastError, s.LastErrorAt = p.machine.LastError()
	if p.failing != nil && p.up != nil {
		s.LastError, s.LastErrorAt = p.failing.Error(), s.Since
	}
	if p.up != nil {
		s.Local = p.local
	}
	s.Changes = p.table.changes
	if p.up != nil {
		s.Prefixes = len(p.table.sent)
	}
	if reflect.DeepEqual(s, p.told) {
		return
	}
	p.told = s
	p.metrics.note(s)
	p.shown(s)
}
