package allocations

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// ForeignHost returns the foreign host that uses an address, and the name of the pool that would give the
// address otherwise. A foreign host is a host outside of the cluster, or the kernel of a node.
func (l *View) ForeignHost(address netip.Addr) (ipam.ForeignHost, lb.PoolName, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.ForeignHostOf(address)
}
