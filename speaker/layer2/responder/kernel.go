package responder

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The kernel of a node answers for an address that one of its interfaces has: a virtual IP of the control
// plane or of keepalived, a second address, or the address of a Service with kube-proxy in IPVS mode
// without strictARP. The node's speaker would send the same answer, and it may own the address next, or may
// have owned it before. Answers come from the kernel if the speaker of the node is in the mesh and does not
// claim the address, and if they continue for longer than a hand-over takes.

// rivalClaims are the messages in which other nodes claimed an address that this node has; the zero
// value: none.
type rivalClaims struct {
	sender      packet.MAC // of the last message
	link        string     // on which the last message arrived
	first, last time.Time
	asked       time.Time // when the address was probed last because of these messages; zero: not yet
}

func (c *rivalClaims) add(now time.Time, link string, sender packet.MAC) {
	if c.last.IsZero() {
		c.first = now
	}
	c.link, c.sender, c.last = link, sender, now
}

// outlastHandOver reports whether claims arrived for longer than a hand-over takes.
func (c *rivalClaims) outlastHandOver(t *Timing) bool { return c.last.Sub(c.first) >= t.HandOver }

// nextStep reports whether the address has to be probed because of the claims (probe), and whether the claims
// are over (over). Before the claims outlast a hand-over, one probe without an answer ends them. After that
// only silence for t.Forget ends them, since frames may get lost.
func (c *rivalClaims) nextStep(now time.Time, t *Timing) (probe, over bool) {
	switch {
	case c.last.IsZero():
		return false, false
	case c.outlastHandOver(t):
		return now.Sub(c.asked) >= t.Check, now.Sub(c.last) >= t.Forget
	case c.asked.IsZero():
		return now.Sub(c.first) >= t.HandOver, false
	}
	return false, now.Sub(c.asked) >= t.HandOver
}

// kernelConflict returns a conflict with the node whose kernel has an address: this node, or the node that
// sent the last claim. It returns false if no kernel is known to have the address. The caller holds the
// lock.
func (r *Responder) kernelConflict(e *addressEntry) (c layer2.Conflict, is bool) {
	c = layer2.Conflict{Address: e.address, Interface: e.claims.link, Hardware: e.claims.sender.Hardware()}
	l, here := r.local[e.address]
	switch {
	case r.options.AnswerSource == nil:
		return c, false
	case here:
		c.Interface, c.Hardware = l.Name, l.Hardware
	case e.claims.last.IsZero():
		return c, false
	}
	c.Node, is = r.options.AnswerSource(e.address, c.Hardware)
	return c, is
}

// noteKernelConflict records, when probes end, that the kernel of a node has the address. It reports whether the
// address is held, which means not announced, because of that. An address is held only with
// DetectionEnforce, and only where no service proxy puts the addresses of all Services on interfaces of all
// nodes. With such a proxy every address would be held for ever, although each node that answers forwards
// the traffic. The caller holds the lock.
func (r *Responder) noteKernelConflict(e *addressEntry, now time.Time, proxyBinds func() bool) (holds bool) {
	c, is := r.kernelConflict(e)
	if !is || r.detection == layer2.DetectionOff {
		e.claims = rivalClaims{}
		return false
	}
	holds = r.detection == layer2.DetectionEnforce && !proxyBinds()
	c.Announced = !holds
	e.lastForeign = now
	r.noteConflict(e, c)
	if holds {
		e.phase, e.quiet, e.check = phaseHeld, 0, now.Add(r.timing.Check)
	}
	return holds
}

// proxyBinds reports whether a service proxy puts the addresses of Services on interfaces.
func (r *Responder) proxyBinds() bool { return r.options.ProxyBinds != nil && r.options.ProxyBinds() }

// checkKernelConflict probes an announced address if the kernel of a node may have it, and records a conflict if
// the kernel has it. The caller holds the lock.
func (r *Responder) checkKernelConflict(e *addressEntry, now time.Time) {
	if r.detection == layer2.DetectionOff || e.isCovering() {
		return
	}
	_, here := r.local[e.address]
	if here || e.claims.outlastHandOver(&r.timing) {
		if c, is := r.kernelConflict(e); is {
			if e.lastForeign = e.claims.last; here {
				e.lastForeign = now
			}
			c.Announced = true
			r.noteConflict(e, c)
		}
	}
	switch probe, over := e.claims.nextStep(now, &r.timing); {
	case over:
		e.claims = rivalClaims{}
	case probe && r.refresh.AllowN(now, 1) && r.probeNow(e):
		e.claims.asked = now
	}
}

// localAddresses returns the addresses of the links themselves.
func localAddresses(links []layer2.Link) map[netip.Addr]layer2.Link {
	local := map[netip.Addr]layer2.Link{}
	for _, l := range links {
		for _, a := range l.Addresses {
			local[a] = l
		}
	}
	return local
}
