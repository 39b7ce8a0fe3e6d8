package bgp

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// News is what has changed of what a router has from this node.
type News struct {
	// Whole: Announced is all that the router has.
	Whole bool
	// Announced and Withdrawn since the news before, in no order.
	Announced, Withdrawn []netip.Prefix
	// Since is when the session was established, if Whole; zero: there is none. RestartTime is for how
	// long its router keeps routes of a speaker that has ended; 0: it does not.
	Since       time.Time
	RestartTime time.Duration
}

// News returns for each peer what has changed since it was asked last. What it costs
// depends on the changes and not on how many routes there are. Whoever asks is the only
// one.
func (m *Manager) News() map[bgp.PeerName]News {
	m.mu.Lock()
	peers := maps.Clone(m.peers)
	m.mu.Unlock()
	news := make(map[bgp.PeerName]News, len(peers))
	for name, r := range peers {
		news[name] = r.news()
	}
	return news
}

// news returns what has changed. Without a session the router has nothing.
func (p *peer) news() News {
	answer := make(chan News, 1)
	p.tell(func(time.Time) []session.Action {
		if p.up == nil {
			p.table.untold = true
			answer <- News{Whole: true}
		} else {
			n := p.table.tellNews()
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
		return News{Whole: true}
	}
}

// note says that the router has a prefix now, or has it no more.
func (t *table) note(prefix netip.Prefix, announced bool) {
	if _, had := t.sent[prefix]; had != announced && !t.untold {
		t.news[prefix] = announced
	}
}

// tellNews returns what was noted, and forgets it.
func (t *table) tellNews() News {
	n := News{Whole: t.untold}
	if t.untold {
		n.Announced = slices.Collect(maps.Keys(t.sent))
	}
	for prefix, announced := range t.news {
		if announced {
			n.Announced = append(n.Announced, prefix)
		} else {
			n.Withdrawn = append(n.Withdrawn, prefix)
		}
	}
	t.untold = false
	clear(t.news)
	return n
}
