package mesh

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
)

// unanswered is the number of probes in a row without an answer after which a node counts as dead.
const unanswered = 3

// probe probes the kernels of nodes whose speakers restart. Such a speaker sends no heartbeats,
// but its node goes on forwarding as long as its kernel answers. A kernel refuses a TCP
// connection to the port of the mesh, on which no process listens; a dead one does not answer.
func (m *Mesh) probe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.probes:
		}
		m.probeWhileRestarting(ctx)
	}
}

// probeWhileRestarting probes until there is no kernel to be probed any more.
func (m *Mesh) probeWhileRestarting(ctx context.Context) {
	tick := time.NewTicker(m.timing.Interval)
	defer tick.Stop()
	probes := unansweredProbes{}
	for nodes := m.probed(); len(nodes) > 0; nodes = m.probed() {
		for node, answers := range m.probeAll(ctx, nodes) {
			if probes.note(node, answers, !m.MayAnswer()) && ctx.Err() == nil {
				m.do(func(now time.Time) []machine.Send { return m.machine.Vanished(now, node) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// unansweredProbes counts the probes in a row that the kernel of a node has not answered.
type unansweredProbes map[lb.NodeName]int

// note records the result of a probe, and reports whether the node is dead. A probe during which this
// process stood still does not count: it could not receive an answer.
func (u unansweredProbes) note(node lb.NodeName, answers, stoodStill bool) (dead bool) {
	if u[node]++; answers || stoodStill {
		u[node] = 0
	}
	return u[node] >= unanswered
}

// probed returns the nodes whose kernels are to be probed.
func (r *runner) probed() []lb.NodeName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Probed()
}

// probeAll probes kernels, all at once. A node whose address is unknown is left out.
func (m *Mesh) probeAll(ctx context.Context, nodes []lb.NodeName) map[lb.NodeName]bool {
	answers := map[lb.NodeName]bool{}
	var mu sync.Mutex
	var dials sync.WaitGroup
	for _, node := range nodes {
		host, known := m.hostOf(node)
		if !known {
			continue
		}
		dials.Go(func() {
			here := m.answers(ctx, netip.AddrPortFrom(host, m.config.Address.Port()))
			mu.Lock()
			defer mu.Unlock()
			answers[node] = here
		})
	}
	dials.Wait()
	return answers
}

// answers reports whether a kernel refuses a connection or accepts it.
func (m *Mesh) answers(ctx context.Context, to netip.AddrPort) bool {
	dialer := net.Dialer{Timeout: m.timing.Timeout / 2, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(m.config.Address.Addr(), 0))}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
