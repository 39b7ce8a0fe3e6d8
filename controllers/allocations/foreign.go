package allocations

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// ForeignHost returns the foreign host that uses an address which a pool would give
// otherwise, and the name of that pool.
func (l *View) ForeignHost(address netip.Addr) (ipam.ForeignHost, lb.PoolName, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.ForeignHostOf(address)
}
