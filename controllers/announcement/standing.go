package announcement

import (
	"sync"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// Standing has what was reported of each Service. It is safe for concurrent use.
type Standing struct {
	mu       sync.Mutex
	services map[lb.ServiceKey]memory
	pace     pace
}

// NewStanding returns a Standing without Services.
func NewStanding() *Standing { return &Standing{services: map[lb.ServiceKey]memory{}} }

func (s *Standing) get(key lb.ServiceKey) memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[key]
}

func (s *Standing) put(key lb.ServiceKey, m memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[key] = m
	s.pace.forget(key)
}

// hold returns how long to wait before anything is reported of a Service that has no condition yet.
func (s *Standing) hold(key lb.ServiceKey, at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pace.hold(key, at)
}

func (s *Standing) forget(key lb.ServiceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.services, key)
	s.pace.forget(key)
}

// waits reports whether a Service is not announced.
func (s *Standing) waits(key lb.ServiceKey) bool { return s.get(key).reason != "" }

// waiting returns the Services that are not announced: only their conditions depend on which nodes
// may announce.
func (s *Standing) waiting() []lb.ServiceKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []lb.ServiceKey
	for key, m := range s.services {
		if m.reason != "" {
			list = append(list, key)
		}
	}
	return list
}

// routedBy returns the Services whose condition names a node that announces them by BGP.
func (s *Standing) routedBy(node lb.NodeName) []lb.ServiceKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []lb.ServiceKey
	for key, m := range s.services {
		for _, t := range m.routers {
			if _, reported := t.nodes[node]; reported {
				list = append(list, key)
				break
			}
		}
	}
	return list
}

// NotAnnounced returns the number of Services that are not announced, by reason.
func (s *Standing) NotAnnounced() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int{}
	for _, m := range s.services {
		if m.reason != "" {
			count[m.reason]++
		}
	}
	return count
}
