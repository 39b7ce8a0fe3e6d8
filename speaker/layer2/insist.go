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
	// insistEvery is how often an address is announced again since another node announces it.
	insistEvery = time.Second
	// insistOften is how often in a row that is done, before it is done once in insistSeldom, as
	// RFC 5227 section 2.4 (c) has it: a speaker gives the address up when it receives the second
	// announcement, so that a host that goes on is none.
	insistOften, insistSeldom = 5, 10 * time.Second
)

// insistence is how often an address was announced again in a row because of a host, and when it was
// last.
type insistence struct {
	latest time.Time
	count  int
	host   segment.Hardware
}

// again returns whether the address may be announced again because of a host.
func (i insistence) again(now time.Time, host net.HardwareAddr) bool {
	every := insistEvery
	if i.count >= insistOften && bytes.Equal(i.host[:], host) {
		every = insistSeldom
	}
	return i.count == 0 || now.Sub(i.latest) >= every
}

// insist announces addresses again that nodes announce whose speakers this one, in the
// majority, does not receive from: they give them up when it does. While a node is missed of
// which no hardware address is known, any host may be that node. An address is repeated at
// most once in insistEvery, and seldom after a while, since frames are easily forged.
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
			e.resist(v, r.address)
		}
	}
}
