package announcement

import (
	"sync"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// ServiceRecords has, for each Service, what its condition and its events have reported. It is safe for
// concurrent use.
type ServiceRecords struct {
	mu       sync.Mutex
	services map[lb.ServiceKey]serviceRecord
	pace     conditionPacer
	// asked is the number of calls of waitingServices and isWaiting. Each call follows a change that may
	// affect waiting Services.
	asked uint64
}

// NewServiceRecords returns records without Services.
func NewServiceRecords() *ServiceRecords {
	return &ServiceRecords{services: map[lb.ServiceKey]serviceRecord{}}
}

func (s *ServiceRecords) get(key lb.ServiceKey) serviceRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[key]
}

// currentMark returns a mark for put. It must be called before the facts about a Service are read.
func (s *ServiceRecords) currentMark() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// put stores the record of a Service. It returns true if the caller must reconcile the Service again: the
// Service waits, and waiting Services were looked up after currentMark returned the mark. That look-up may
// have missed the Service, since its former record did not show that the Service waits.
func (s *ServiceRecords) put(key lb.ServiceKey, m serviceRecord, mark uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[key] = m
	s.pace.forget(key)
	return m.isWaiting() && s.asked != mark
}

// conditionWait returns how long to wait before the first condition of a Service is written; zero: do not wait.
func (s *ServiceRecords) conditionWait(key lb.ServiceKey, at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pace.conditionWait(key, at)
}

func (s *ServiceRecords) forget(key lb.ServiceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.services, key)
	s.pace.forget(key)
}

// isWaiting reports whether a Service is among the waitingServices.
func (s *ServiceRecords) isWaiting(key lb.ServiceKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	m := s.services[key]
	return m.isWaiting()
}

// waitingServices returns the Services that are not announced, and the Services of which an untrusted node
// reports that it announces them. Only the conditions of these Services depend on which nodes may announce.
func (s *ServiceRecords) waitingServices() []lb.ServiceKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	var list []lb.ServiceKey
	for key, m := range s.services {
		if m.isWaiting() {
			list = append(list, key)
		}
	}
	return list
}

// servicesRoutedBy returns the Services whose condition names a node that announces them by BGP.
func (s *ServiceRecords) servicesRoutedBy(node lb.NodeName) []lb.ServiceKey {
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

// CountNotAnnounced returns the number of Services that are not announced, by reason.
func (s *ServiceRecords) CountNotAnnounced() map[string]int {
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
