package responder

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The kernel of a node answers for each address that an interface of the node has. Such an address can be a
// virtual IP of the control plane or of keepalived, or a second address of the node. It can also be the
// address of a Service, if kube-proxy runs in IPVS mode without strictARP. The speaker of that node would
// send the same answer, and it may be the previous or the next owner of the address. Answers count as those
// of the kernel if the node's speaker is in the mesh and does not claim the address, and if they continue for
// longer than a hand-over takes.

// rivalClaims are the ARP or NDP messages in which other nodes claimed an address of this node; the zero
// value: there are none.
type rivalClaims struct {
	sender      packet.MAC // of the last message
	link        string     // on which the last message arrived
	first, last time.Time
	asked       time.Time // when this node last probed the address because of these messages; zero: never
}

func (c *rivalClaims) add(now time.Time, link string, sender packet.MAC) {
	if c.last.IsZero() {
		c.first = now
	}
	c.link, c.sender, c.last = link, sender, now
}

// outlastHandOver reports whether the claims have continued for longer than a hand-over takes.
func (c *rivalClaims) outlastHandOver(t *Timing) bool { return c.last.Sub(c.first) >= t.HandOver }

// nextStep reports whether the address has to be probed because of the claims (probe), and whether the claims
// have ended (over). Until outlastHandOver is true, they have ended if one probe is not answered. After that,
// they have ended only if no claim has arrived for t.Forget, since single frames may get lost.
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

// noteKernelConflict is called when a series of probes ends, and records whether the kernel of a node has the
// address. It returns whether the address is therefore held, which means that it is not announced. An address
// is held only with DetectionEnforce, and only where no service proxy puts the addresses of all Services on
// interfaces of all nodes. With such a proxy every address would be held for ever, although each node that
// answers forwards the traffic. The caller holds the lock.
//
// While this node probes an address that it has just taken, a node that has answered for less than timing.HandOver
// may be the former owner. Then again is true: the caller probes the address again at once. If such an address is not
// held because of the settings, it is announced, and checkKernelConflict finds a conflict that lasts.
func (r *Responder) noteKernelConflict(e *addressEntry, now time.Time, proxyBinds func() bool) (holds, again bool) {
	c, is := r.kernelConflict(e)
	if !is || r.detection == layer2.DetectionOff {
		e.claims, e.answeredSince = rivalClaims{}, time.Time{}
		r.forgetUnconfirmed(e)
		return false, false
	}
	if e.answeredSince.IsZero() {
		e.answeredSince = e.claims.first
	}
	_, here := r.local[e.address]
	holds = r.detection == layer2.DetectionEnforce && !proxyBinds()
	c.Announced, c.Unconfirmed = !holds, !here && e.phase == phaseProbed && e.claims.last.Sub(e.answeredSince) < r.timing.HandOver
	if c.Unconfirmed && !holds {
		r.forgetUnconfirmed(e)
		return false, false
	}
	e.lastForeign = now
	r.noteConflict(e, c)
	if c.Unconfirmed {
		return false, true
	}
	if holds {
		e.phase, e.quiet, e.check = phaseHeld, 0, now.Add(r.timing.Check)
	}
	return holds, false
}

// forgetUnconfirmed removes the conflict of an address if it is unconfirmed. The caller holds the lock.
func (r *Responder) forgetUnconfirmed(e *addressEntry) {
	if e.conflict != nil && e.conflict.Unconfirmed {
		r.forgetConflict(e)
	}
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

// localAddresses maps each address of an interface of this node to its link.
func localAddresses(links []layer2.Link) map[netip.Addr]layer2.Link {
	local := map[netip.Addr]layer2.Link{}
	for _, l := range links {
		for _, a := range l.Addresses {
			local[a] = l
		}
	}
	return local
}
