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

// Paths watches paths to routers with BFD.
type Paths interface {
	// Set replaces the paths that are watched.
	Set(map[speakerbfd.Key]bfd.Profile)
	// Status returns the status of a path; false: the path is not watched.
	Status(speakerbfd.Key) (speakerbfd.Status, bool)
}

// pathKey returns the path to the router of a peer. ok is false if the peer has no BFD profile or its
// router is not known.
func pathKey(p bgp.Peer, router netip.Addr) (key speakerbfd.Key, ok bool) {
	if p.BFD == nil || !router.IsValid() {
		return key, false
	}
	return speakerbfd.Key{Peer: router, Local: p.Source, Interface: p.Interface, VRF: p.VRF, Multihop: isMultihop(p, router)}, true
}

// isMultihop reports whether BFD on the path is multihop (RFC 5883): either the peer allows several hops,
// or the router is internal and on no network of this node. Routers decide by the same rules.
func isMultihop(p bgp.Peer, router netip.Addr) bool {
	switch {
	case p.Interface != "":
		return false
	case p.Multihop || p.SecurityHops > 0:
		return p.SecurityHops != 1
	}
	return p.IsInternal() && !router.IsLinkLocalUnicast() && !isOnLocalNetwork(router)
}

// watchPaths updates the paths that BFD watches. The path of a removed peer is watched until the session has
// ended: the router would take the end of BFD for a failure of the path. The caller holds m.mu.
func (m *Manager) watchPaths() {
	wanted := map[speakerbfd.Key]bfd.Profile{}
	for r := range m.parting {
		if r.watched {
			wanted[r.path] = *r.config.BFD
		}
	}
	for _, r := range m.peers {
		path, watched := pathKey(r.config, m.routerAddress(r))
		if path != r.path || watched != r.watched {
			r.path, r.watched, r.failed = path, watched, false
			r.enqueue(func(now time.Time) []session.Action { return r.setPathUnknown(now) })
		}
		if r.watched {
			wanted[r.path] = *r.config.BFD
		}
	}
	m.Paths.Set(wanted)
	for _, r := range m.peers {
		if status, known := m.Paths.Status(r.path); r.watched && known {
			m.followPath(r, status)
		}
	}
}

// setPathUnknown records that BFD has no result for the path: the path has changed, or is not watched.
func (p *peer) setPathUnknown(now time.Time) []session.Action {
	p.pathUp = false
	return p.machine.HandlePathChange(now, false, false, "")
}

// routerAddress returns the address of the router of a peer; invalid: the router is not discovered yet.
func (m *Manager) routerAddress(r *runningPeer) netip.Addr {
	if r.config.Address.IsValid() {
		return r.config.Address
	}
	return r.discovered
}

// StorePathStatus stores a result of BFD for followPaths. It does not block: its caller is the goroutine that
// sends BFD packets, which must not wait for the manager or a peer.
func (m *Manager) StorePathStatus(key speakerbfd.Key, status speakerbfd.Status) {
	m.findingsMu.Lock()
	f := m.findings[key]
	if f.latest = status; status.Failed {
		f.failure = &status
	}
	m.findings[key] = f
	m.findingsMu.Unlock()
	select {
	case m.found <- struct{}{}:
	default:
	}
}

// pathFinding has the results of BFD for one path that followPaths has not handled yet: the latest
// status, and the last failure. If there was no failure, failure is nil.
type pathFinding struct {
	latest  speakerbfd.Status
	failure *speakerbfd.Status
}

// followPaths handles the results of BFD until the context ends.
func (m *Manager) followPaths() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.found:
		}
		m.mu.Lock()
		m.findingsMu.Lock()
		findings := m.findings
		m.findings = map[speakerbfd.Key]pathFinding{}
		m.findingsMu.Unlock()
		for _, r := range m.peers {
			if f, has := findings[r.path]; has && r.watched {
				if f.failure != nil && !f.latest.Failed { // the path failed, and has come up again since
					m.followPath(r, *f.failure)
				}
				m.followPath(r, f.latest)
			}
		}
		m.mu.Unlock()
	}
}

func (m *Manager) followPath(r *runningPeer, status speakerbfd.Status) {
	up, failed := status.State == bfd.Up, status.Failed
	why := fmt.Sprintf("BFD found the path down: %s", status.Diagnostic)
	if status.Problem != "" {
		why = "BFD does not work: " + status.Problem
	}
	newly := failed && !r.failed
	r.failed = failed
	r.enqueue(func(now time.Time) []session.Action {
		r.pathUp = up
		return r.machine.HandlePathChange(now, up, newly, why)
	})
	m.Changed()
}

// PathStatus returns the BFD status of the path to the router of a peer; false: the path is not watched.
func (m *Manager) PathStatus(peer bgp.PeerName) (status speakerbfd.Status, ok bool) {
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
