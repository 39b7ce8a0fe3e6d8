package membership

import (
	"net/netip"
	"sync"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/lb"
)

// waiting is how many messages wait for a connection to one speaker. The oldest goes
// first: what was said since counts more.
const waiting = 16

// letter is a message on its way over a connection.
type letter struct {
	to      lb.NodeName
	address netip.AddrPort
	packet  []byte
}

// lanes send messages over connections, to each speaker one after the other, so that one
// that does not answer holds up nobody else.
type lanes struct {
	log     logr.Logger
	deliver func(letter) error

	mu   sync.Mutex
	lane map[lb.NodeName][]letter // an entry: somebody sends
}

// send has a message sent, without waiting.
func (l *lanes) send(next letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, busy := l.lane[next.to]
	if len(queue) >= waiting {
		queue = queue[1:]
	}
	l.lane[next.to] = append(queue, next)
	if !busy {
		go l.empty(next.to)
	}
}

// empty sends what waits for one speaker.
func (l *lanes) empty(to lb.NodeName) {
	for {
		l.mu.Lock()
		queue := l.lane[to]
		if len(queue) == 0 {
			delete(l.lane, to)
			l.mu.Unlock()
			return
		}
		next := queue[0]
		l.lane[to] = queue[1:]
		l.mu.Unlock()
		if err := l.deliver(next); err != nil {
			l.log.V(1).Info("a message was not sent over a connection", "to", to, "why", err.Error())
		}
	}
}

// reliably sends a message over a connection of memberlist's.
func (m *Mesh) reliably(l letter) error {
	list := m.list.Load()
	if list == nil {
		return nil // it will be asked for
	}
	return list.SendReliable(&memberlist.Node{Name: string(l.to), Addr: l.address.Addr().AsSlice(), Port: l.address.Port()}, l.packet)
}
