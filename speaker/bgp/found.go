package bgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// discover looks for the router of an unnumbered peer on its interface. The caller holds m.mu.
func (m *Manager) discover(r *running) {
	r.search()
	r.found = netip.Addr{}
	device := r.config.Interface
	if device == "" || m.Discover == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.search = cancel
	go m.Discover(ctx, device, func(router netip.Addr) { m.take(r, device, router) }, r.isUp.Load)
}

// take sets the address of the router of an unnumbered peer.
func (m *Manager) take(r *running, device string, router netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.found == router || r.config.Interface != device || m.peers[r.config.Name] != r {
		return
	}
	r.found = router
	r.do(func(now time.Time) []session.Action { return r.setRouter(now, router) })
	m.listen()
	m.watch()
}

// setRouter connects to another router on the interface.
func (p *peer) setRouter(now time.Time, router netip.Addr) []session.Action {
	if p.router == router {
		return nil
	}
	before := p.router
	p.router = router
	if before.IsValid() {
		p.unrouted = bgp.Problem{}
		p.unknownPath(now)
		return p.machine.Restart(now, bgp.Ceased(bgp.AdminReset, ""), "another router is on "+p.config.Interface)
	}
	return p.machine.Hurry(now)
}

// listen updates the listeners: they accept connections of the routers of passive peers, signed if
// the peer has a password, and of unnumbered ones once their router is known. A connection with a
// revoked password is not accepted; one that exists has its own key. The caller holds m.mu.
func (m *Manager) listen() {
	list := make([]bgp.Peer, 0, len(m.peers))
	for _, r := range m.peers {
		if r.config.Revoked {
			continue
		}
		config := r.config
		config.Address = m.router(r)
		list = append(list, config)
	}
	m.listeners.set(list)
}
