package layer2

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// requestedAddress is an address that an administrator asks to be announced from this node, with the
// annotation lbstack.io/announce-from of its IPAddressClaim (decision 0073).
type requestedAddress struct {
	// able: in the last round, this node could announce the address.
	able bool
	// since is when this node last became able to announce the address after it had not been able; zero: this
	// has not happened.
	since time.Time
}

// unripeAddresses returns, for each address requested from this node, whether the node became able to
// announce the address again less than settleTime ago. The node does not take such an address from its owner
// yet: otherwise a link or an endpoint that comes and goes would move the address each time. A new request
// takes effect at once. A request that waited for the end of a drain takes effect at once too, since an
// administrator ends the drain.
func (e *Engine) unripeAddresses(v *roundView) map[netip.Addr]bool {
	recent := map[netip.Addr]bool{}
	for address, r := range e.requested {
		c := findCandidate(v, e.Self, address)
		if !v.isWanted(address) || c != nil && !c.Requested {
			delete(e.requested, address)
			continue
		}
		runs := v.phase == ownership.Active || v.phase == ownership.Draining
		able := c != nil && runs && len(candidateInterfaces(v.links, c, address, e.subnets.isNear(address))) > 0
		if able && !r.able {
			r.since = v.now
			e.owners.Reexamine(address)
		}
		r.able = able
		e.requested[address] = r
		recent[address] = !r.since.IsZero() && v.now.Sub(r.since) < settleTime
	}
	return recent
}

// noteRequested records which of the addresses that a decision examined are requested from this node.
func (e *Engine) noteRequested(v *roundView, looked []netip.Addr) {
	for _, address := range looked {
		if _, known := e.requested[address]; known {
			continue
		}
		if c := findCandidate(v, e.Self, address); c != nil && c.Requested {
			e.requested[address] = requestedAddress{able: true}
		}
	}
}

// nextRequestTime returns when the next requested address may be taken; zero: no requested address waits.
func (e *Engine) nextRequestTime(now time.Time) (next time.Time) {
	for _, r := range e.requested {
		if at := r.since.Add(settleTime); !r.since.IsZero() && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// findCandidate returns the entry of a node in the candidates of an address; nil: the node is no candidate.
func findCandidate(v *roundView, node lb.NodeName, address netip.Addr) *ownership.Candidate {
	candidates, _ := v.owners.WantedCandidates(address)
	i, is := slices.BinarySearchFunc(candidates, node, func(c ownership.Candidate, n lb.NodeName) int {
		return strings.Compare(string(c.Node), string(n))
	})
	if !is {
		return nil
	}
	return &candidates[i]
}
