package bgp

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// RouteChanges are changes of the routes that a router has from this node.
type RouteChanges struct {
	// Whole: Announced has all routes that the router has, not only changes.
	Whole bool
	// Announced and Withdrawn are the prefixes that changed since the last call, unordered.
	Announced, Withdrawn []netip.Prefix
	// Since is when the session was established; zero: there is no session. RestartTime is how long the
	// router retains the routes after the speaker has ended; 0: the router does not retain them. Both are
	// set only if Whole.
	Since       time.Time
	RestartTime time.Duration
}

// RouteChanges returns for each peer the changes since the last call. Its cost depends on the number of
// changes, not on the number of routes. Only one consumer may call it.
func (m *Manager) RouteChanges() map[bgp.PeerName]RouteChanges {
	m.mu.Lock()
	peers := maps.Clone(m.peers)
	m.mu.Unlock()
	changes := make(map[bgp.PeerName]RouteChanges, len(peers))
	for name, r := range peers {
		changes[name] = r.routeChanges()
	}
	return changes
}

// routeChanges returns the changes of a peer. Without a session the router has no routes.
func (p *peer) routeChanges() RouteChanges {
	answer := make(chan RouteChanges, 1)
	p.enqueue(func(time.Time) []session.Action {
		if p.up == nil {
			p.table.unreported = true
			answer <- RouteChanges{Whole: true}
		} else {
			n := p.table.takeChanges()
			if n.Whole {
				_, n.Since = p.machine.State()
				if p.up.GracefulRestart != nil {
					n.RestartTime = p.config.RestartTime
				}
			}
			answer <- n
		}
		return nil
	})
	select {
	case n := <-answer:
		return n
	case <-p.ended:
		return RouteChanges{Whole: true}
	}
}

// noteChange records that a prefix is about to be announced or withdrawn. Call it before t.sent is
// changed.
func (t *routeTable) noteChange(prefix netip.Prefix, announced bool) {
	if _, had := t.sent[prefix]; had != announced && !t.unreported {
		t.unread[prefix] = announced
	}
}

// takeChanges returns the changes since the last call, and clears them. The first call in a session
// returns all routes.
func (t *routeTable) takeChanges() RouteChanges {
	n := RouteChanges{Whole: t.unreported}
	if t.unreported {
		n.Announced = slices.Collect(maps.Keys(t.sent))
	}
	for prefix, announced := range t.unread {
		if announced {
			n.Announced = append(n.Announced, prefix)
		} else {
			n.Withdrawn = append(n.Withdrawn, prefix)
		}
	}
	t.unreported = false
	clear(t.unread)
	return n
}
