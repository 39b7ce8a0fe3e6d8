package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/sourcefilter"
)

// sources are the addresses of the peers. Datagrams of other sources are dropped. Otherwise pods and
// other hosts could send to the port, and use up the processor time that this speaker needs to answer
// ARP requests. The zero value has no addresses.
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

// set replaces the addresses, and reports whether they have changed.
func (s *sources) set(addresses map[netip.Addr]lb.NodeName) (changed bool) {
	before := s.known.Swap(&addresses)
	return before == nil || !maps.Equal(*before, addresses)
}

// filter makes the kernel drop datagrams of other sources, so that they take no room in the receive buffer
// of a UDP socket. Datagrams that arrived before are checked by has.
func (s *sources) filter(fd int) error {
	var peers []netip.Addr
	if known := s.known.Load(); known != nil {
		peers = slices.Collect(maps.Keys(*known))
	}
	return sourcefilter.Attach(fd, s.ipv4, peers)
}
