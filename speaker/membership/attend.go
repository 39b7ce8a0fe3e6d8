package membership

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
)

// silentDials is how many attempts in a row to reach a node must stay without an
// answer for it to be dead.
const silentDials = 2

// attend watches nodes whose speakers restart: they send no beats, but as long as their
// kernel answers they go on forwarding. A kernel refuses a
// connection to the port of the mesh when nobody listens; a dead one says nothing.
func (m *Mesh) attend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.doubts:
		}
		m.attendDoubtful(ctx)
	}
}

// attendDoubtful watches until no node is in doubt any more.
func (m *Mesh) attendDoubtful(ctx context.Context) {
	timing := m.config.Profile.timing()
	tick := time.NewTicker(timing.Beat)
	defer tick.Stop()
	silent := map[lb.NodeName]int{}
	for nodes := m.doubtful(); len(nodes) > 0; nodes = m.doubtful() {
		for node, answers := range m.ask(ctx, nodes, timing.Silence/2) {
			silent[node]++
			if answers {
				silent[node] = 0
			}
			m.do(func(now time.Time, machine *mesh.Machine) []mesh.Send {
				if silent[node] >= silentDials && ctx.Err() == nil {
					machine.Vanished(now, node)
				}
				return nil
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask asks kernels, all at once, whether they are there.
func (m *Mesh) ask(ctx context.Context, nodes []lb.NodeName, within time.Duration) map[lb.NodeName]bool {
	answers := map[lb.NodeName]bool{}
	var mu sync.Mutex
	var dials sync.WaitGroup
	for _, node := range nodes {
		address, ok := m.addressOf(node)
		if !ok {
			continue // nothing is known for or against it
		}
		dials.Go(func() {
			here := m.answers(ctx, address, within)
			mu.Lock()
			defer mu.Unlock()
			answers[node] = here
		})
	}
	dials.Wait()
	return answers
}

func (r *runner) doubtful() []lb.NodeName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Doubtful()
}

// answers says whether a kernel is there.
func (m *Mesh) answers(ctx context.Context, address netip.Addr, within time.Duration) bool {
	conn, err := m.network.Load().dialer(within).DialContext(ctx, "tcp", net.JoinHostPort(address.String(), strconv.Itoa(int(m.config.Address.Port()))))
	if err == nil {
		_ = conn.Close()
	}
	// A kernel resets it where this node is not known yet.
	return err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
