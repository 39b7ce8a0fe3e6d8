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

// maxUnansweredProbes is the number of probes in a row without an answer after which a node counts as dead.
const maxUnansweredProbes = 3

// keepProbing probes the kernels of nodes whose speakers restart. Such a speaker sends no heartbeats,
// but its node goes on forwarding as long as its kernel answers. The probe is a TCP connection to the
// port of the mesh, which uses UDP. The kernel refuses the connection, since no process listens on that
// TCP port. The kernel of a dead node does not answer.
func (m *Mesh) keepProbing(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.probes:
		}
		m.probeWhileRestarting(ctx)
	}
}

// probeWhileRestarting probes until ProbedNodes returns no nodes any more.
func (m *Mesh) probeWhileRestarting(ctx context.Context) {
	tick := time.NewTicker(m.timing.Interval)
	defer tick.Stop()
	probes := unansweredProbes{}
	for nodes := m.probedNodes(); len(nodes) > 0; nodes = m.probedNodes() {
		for node, answers := range m.probeAll(ctx, nodes) {
			if probes.noteResult(node, answers, !m.MayAnswer()) && ctx.Err() == nil {
				m.withMachine(func(now time.Time) []machine.OutgoingMessage { return m.machine.NoteVanished(now, node) })
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

// noteResult records the result of a probe, and reports whether the node is dead. A probe during
// which this process stood still does not count: it could not receive an answer.
func (u unansweredProbes) noteResult(node lb.NodeName, answers, stoodStill bool) (dead bool) {
	if u[node]++; answers || stoodStill {
		u[node] = 0
	}
	return u[node] >= maxUnansweredProbes
}

// probedNodes returns the nodes whose kernels this speaker must probe.
func (r *runner) probedNodes() []lb.NodeName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.ProbedNodes()
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
			here := m.kernelAnswers(ctx, netip.AddrPortFrom(host, m.config.Address.Port()))
			mu.Lock()
			defer mu.Unlock()
			answers[node] = here
		})
	}
	dials.Wait()
	return answers
}

// kernelAnswers reports whether the kernel at an address answers: it refuses a connection, or accepts it.
func (m *Mesh) kernelAnswers(ctx context.Context, to netip.AddrPort) bool {
	dialer := net.Dialer{Timeout: m.timing.Timeout / 2, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(m.config.Address.Addr(), 0))}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
