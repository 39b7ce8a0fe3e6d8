package bgp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
)

// Paths are watched by BFD.
type Paths interface {
	// Set sets which paths are to be watched, and how closely.
	Set(map[speakerbfd.Key]bfd.Profile)
	// Status is how a path is.
	Status(speakerbfd.Key) (speakerbfd.Status, bool)
}

// pathKey returns the path to the router of a peer; ok: it is to be watched, and the
// router is known.
func pathKey(p bgp.Peer, router netip.Addr) (key speakerbfd.Key, ok bool) {
	if p.BFD == nil || !router.IsValid() {
		return key, false
	}
	return speakerbfd.Key{Peer: router, Local: p.Source, Interface: p.Interface, VRF: p.VRF, Multihop: overHops(p, router)}, true
}

// overHops reports whether the path is one of several hops (RFC 5883): where the session may
// be, it is, and an internal one is if the router is on no network of this node, as routers
// decide it as well.
func overHops(p bgp.Peer, router netip.Addr) bool {
	switch {
	case p.Interface != "":
		return false
	case p.Multihop || p.SecurityHops > 0:
		return p.SecurityHops != 1
	}
	return p.Internal() && !router.IsLinkLocalUnicast() && !connected(router)
}

// watch has the paths to all routers watched that are to be. Those of peers that are gone
// are until their sessions have ended: a router would take the end for a failure. m.mu is
// held.
func (m *Manager) watch() {
	wanted := map[speakerbfd.Key]bfd.Profile{}
	for r := range m.parting {
		if r.watched {
			wanted[r.path] = *r.config.BFD
		}
	}
	for _, r := range m.peers {
		path, watched := pathKey(r.config, m.router(r))
		if path != r.path || watched != r.watched {
			r.path, r.watched, r.failed = path, watched, false
			r.do(func(now time.Time) []session.Action { return r.unknownPath(now) })
		}
		if r.watched {
			wanted[r.path] = *r.config.BFD
		}
	}
	m.Paths.Set(wanted)
	for _, r := range m.peers {
		if status, known := m.Paths.Status(r.path); r.watched && known {
			m.follow(r, status)
		}
	}
}

// unknownPath forgets how BFD found a path: there is another one now, or none.
func (p *peer) unknownPath(now time.Time) []session.Action {
	p.pathUp = false
	return p.machine.Path(now, false, false, "")
}

// router returns where the router of a peer is, as far as is known.
func (m *Manager) router(r *running) netip.Addr {
	if r.config.Address.IsValid() {
		return r.config.Address
	}
	return r.found
}

// SetPath takes up how BFD finds a path. It never waits: the caller is the goroutine that sends BFD
// packets, and the manager may wait for a peer.
func (m *Manager) SetPath(key speakerbfd.Key, status speakerbfd.Status) {
	m.found.Lock()
	f := m.findings[key]
	if f.latest = status; status.Failed {
		f.failure = &status
	}
	m.findings[key] = f
	m.found.Unlock()
	select {
	case m.finds <- struct{}{}:
	default:
	}
}

// finding is how BFD finds a path, and how it has failed since that was taken up last; nil: it has
// not.
type finding struct {
	latest  speakerbfd.Status
	failure *speakerbfd.Status
}

// followPaths takes up what BFD finds until the context ends.
func (m *Manager) followPaths() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.finds:
		}
		m.mu.Lock()
		m.found.Lock()
		findings := m.findings
		m.findings = map[speakerbfd.Key]finding{}
		m.found.Unlock()
		for _, r := range m.peers {
			if f, has := findings[r.path]; has && r.watched {
				if f.failure != nil && !f.latest.Failed { // and it is up again by now
					m.follow(r, *f.failure)
				}
				m.follow(r, f.latest)
			}
		}
		m.mu.Unlock()
	}
}

func (m *Manager) follow(r *running, status speakerbfd.Status) {
	up, failed := status.State == bfd.Up, status.Failed
	why := fmt.Sprintf("BFD found the path down: %s", status.Diagnostic)
	if status.Problem != "" {
		why = "BFD does not work: " + status.Problem
	}
	newly := failed && !r.failed
	r.failed = failed
	r.do(func(now time.Time) []session.Action {
		r.pathUp = up
		return r.machine.Path(now, up, newly, why)
	})
	m.Changed()
}

// Path returns how BFD finds the path to the router of a peer; ok: it is watched.
func (m *Manager) Path(peer bgp.PeerName) (status speakerbfd.Status, ok bool) {
	m.mu.Lock()
	r := m.peers[peer]
	if r == nil || !r.watched {
		m.mu.Unlock()
		return status, false
	}
	key := r.path
	m.mu.Unlock()
	return m.Paths.Status(key)
}
