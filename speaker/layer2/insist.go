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
	// insistInterval is the least time between two announcements of an address because another node
	// announces it.
	insistInterval = time.Second
	// insistCount is how many times in a row this is done before the interval becomes longInsistInterval
	// (RFC 5227, section 2.4 (c)). A speaker gives the address up when it receives the second
	// announcement, so that a host that goes on announcing is no speaker.
	insistCount, longInsistInterval = 5, 10 * time.Second
)

// insistence is how many times in a row an address was announced again because of a host, and when
// last.
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

// announceContested announces addresses again that are also announced by nodes whose speakers this
// one does not receive from. This node is in the majority, so that those speakers then give the
// addresses up. While the hardware address of a missing speaker's node is not known, any host may
// be that node. An address is announced again at most once in insistInterval, and later once in
// longInsistInterval, since frames are easily forged.
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
