package bgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// startDiscovery starts to look for the router of an unnumbered peer on the peer's interface. It ends an
// earlier discovery for the peer. The caller holds m.mu.
func (m *Manager) startDiscovery(r *runningPeer) {
	r.stopDiscovery()
	r.discovered = netip.Addr{}
	device := r.config.Interface
	if device == "" || m.Discover == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.stopDiscovery = cancel
	go m.Discover(ctx, device, func(router netip.Addr) { m.setDiscovered(r, device, router) }, r.isUp.Load)
}

// setDiscovered sets the address of the router that was discovered for an unnumbered peer.
func (m *Manager) setDiscovered(r *runningPeer, device string, router netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.discovered == router || r.config.Interface != device || m.peers[r.config.Name] != r {
		return
	}
	r.discovered = router
	r.enqueue(func(now time.Time) []session.Action { return r.setRouter(now, router) })
	m.updateListeners()
	m.watchPaths()
}

// setRouter changes the address of the router, and connects to it. A session with another router ends.
func (p *peer) setRouter(now time.Time, router netip.Addr) []session.Action {
	if p.router == router {
		return nil
	}
	before := p.router
	p.router = router
	if before.IsValid() {
		p.unrouted = bgp.Problem{}
		p.setPathUnknown(now)
		return p.machine.Restart(now, bgp.NewCease(bgp.AdminReset, ""), "another router was discovered on "+p.config.Interface)
	}
	return p.machine.ConnectNow(now)
}

// updateListeners updates the listeners. They accept connections from the routers of passive peers, and
// check the signature if the peer has a password. The router of an unnumbered peer may connect once it is
// discovered. No connection is accepted for a peer with a revoked password. An existing connection of
// such a peer stays, since it has a key of its own. The caller holds m.mu.
func (m *Manager) updateListeners() {
	list := make([]bgp.Peer, 0, len(m.peers))
	for _, r := range m.peers {
		if r.config.Revoked {
			continue
		}
		config := r.config
		config.Address = m.routerAddress(r)
		list = append(list, config)
	}
	m.listeners.set(list)
}
