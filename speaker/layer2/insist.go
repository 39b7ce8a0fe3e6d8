package layer2

import (
	"bytes"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/segment"
)

const (
	// insistInterval is the least time between two repeated announcements of an address that another node
	// announces too.
	insistInterval = time.Second
	// insistCount is how many announcements in a row are repeated at this interval (RFC 5227, section 2.4
	// (c)). A speaker gives the address up when it receives the second one. So a host that still goes on
	// announcing is no speaker.
	insistCount = 5
	// longInsistInterval is the least time between two further announcements.
	longInsistInterval = 10 * time.Second
)

// insistence counts how many times in a row an address was announced again because of a host.
type insistence struct {
	latest time.Time
	count  int
	host   segment.Hardware
}

// mayRepeat reports whether the address may be announced again now because of a host.
func (i insistence) mayRepeat(now time.Time, host net.HardwareAddr) bool {
	every := insistInterval
	if i.count >= insistCount && bytes.Equal(i.host[:], host) {
		every = longInsistInterval
	}
	return i.count == 0 || now.Sub(i.latest) >= every
}

// announceContested announces an address again if another node announces it too, and this speaker receives
// nothing from the speaker of that node. This node is in the majority, so the other speaker then gives the
// address up. While the hardware address of a missing speaker's node is not known, any host may be that
// node. An address is announced again at most once in insistInterval, and later once in longInsistInterval,
// since frames are easily forged.
func (e *Engine) announceContested(v *roundView) {
	maps.DeleteFunc(e.insisted, func(_ netip.Addr, i insistence) bool { return v.now.Sub(i.latest) >= 2*longInsistInterval })
	for _, r := range v.in.rivals {
		_, claims := e.claims[r.address]
		if i := e.insisted[r.address]; claims && i.mayRepeat(v.now, r.hardware) && !v.isPeer(r.hardware) && (v.unknown || e.isNode(v, r.hardware)) {
			if !bytes.Equal(i.host[:], r.hardware) {
				i = insistence{}
				copy(i.host[:], r.hardware)
			}
			e.insisted[r.address] = insistence{v.now, i.count + 1, i.host}
			e.Announcer.Repeat(r.address)
			e.beginStandoff(v, r.address)
		}
	}
}
