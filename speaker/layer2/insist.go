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
	// insistEvery is the least time between two announcements of an address because another node
	// announces it.
	insistEvery = time.Second
	// insistOften is how many times in a row this is done before the interval becomes insistSeldom
	// (RFC 5227, section 2.4 (c)). A speaker gives the address up when it receives the second
	// announcement, so that a host that goes on announcing is no speaker.
	insistOften, insistSeldom = 5, 10 * time.Second
)

// insistence is how many times in a row an address was announced again because of a host, and when
// last.
type insistence struct {
	latest time.Time
	count  int
	host   segment.Hardware
}

// again reports whether the address may be announced again now because of a host.
func (i insistence) again(now time.Time, host net.HardwareAddr) bool {
	every := insistEvery
	if i.count >= insistOften && bytes.Equal(i.host[:], host) {
		every = insistSeldom
	}
	return i.count == 0 || now.Sub(i.latest) >= every
}

// insist announces addresses again that are also announced by nodes whose speakers this one does not
// receive from. This node is in the majority, so that those speakers then give the addresses up.
// While the hardware address of a missing speaker's node is not known, any host may be that node. An
// address is announced again at most once in insistEvery, and later once in insistSeldom, since
// frames are easily forged.
func (e *Engine) insist(v *view) {
	maps.DeleteFunc(e.insisted, func(_ netip.Addr, i insistence) bool { return v.now.Sub(i.latest) >= 2*insistSeldom })
	for _, r := range v.in.rivals {
		_, claims := e.claims[r.address]
		if i := e.insisted[r.address]; claims && i.again(v.now, r.hardware) && !v.isPeer(r.hardware) && (v.unknown || e.isNode(v, r.hardware)) {
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
