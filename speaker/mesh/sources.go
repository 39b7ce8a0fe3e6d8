package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/sourcefilter"
)

// sources are the addresses of the peers. Nothing of any other source is read: pods and hosts
// that reach the port must not take the time of the processor that answers ARP. The zero
// value has none.
type sources struct {
	ipv4  bool // the socket's family
	known atomic.Pointer[map[netip.Addr]lb.NodeName]
}

func (s *sources) has(a netip.Addr) bool {
	known := s.known.Load()
	if known == nil {
		return false
	}
	_, is := (*known)[a.Unmap()]
	return is
}

// set replaces the addresses, and says whether they differ from those before.
func (s *sources) set(addresses map[netip.Addr]lb.NodeName) (changed bool) {
	before := s.known.Swap(&addresses)
	return before == nil || !maps.Equal(*before, addresses)
}

// filter has the kernel drop what comes to a UDP socket from other sources, so that it takes
// no place in the receive buffer. has decides after it.
func (s *sources) filter(fd int) error {
	var peers []netip.Addr
	if known := s.known.Load(); known != nil {
		peers = slices.Collect(maps.Keys(*known))
	}
	return sourcefilter.Attach(fd, s.ipv4, peers)
}
