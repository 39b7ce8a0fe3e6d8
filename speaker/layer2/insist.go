package layer2

import (
	"maps"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/segment"
)

const (
	// insistInterval is the least time between two repeated announcements of an address that another node
	// announces too.
	insistInterval = time.Second
	// insistCount is how many announcements in a row are repeated at insistInterval (RFC 5227, section 2.4 (c)).
	// The speaker of another node gives the address up when it receives the second one. So a host that goes on
	// announcing longer has no speaker.
	insistCount = 5
	// longInsistInterval is the least time between two announcements after the first insistCount ones.
	longInsistInterval = 10 * time.Second
)

// insistence records the repeated announcements of an address that other hosts announce too: when the last
// one was sent, and how many were sent because of each host. All hosts that are no known node count as one
// host, with the zero hardware address: several hosts that announce in turn then cause no more announcements
// than one host.
type insistence struct {
	latest  time.Time
	because map[segment.Hardware]repeats
}

// repeats is how many times in a row an address was announced again because of a host, and when last.
type repeats struct {
	latest time.Time
	count  int
}

// mayRepeat reports whether the address may be announced again now because of a host.
func (i insistence) mayRepeat(now time.Time, host segment.Hardware) bool {
	every := insistInterval
	if r := i.because[host]; r.count >= insistCount && now.Sub(r.latest) < 2*longInsistInterval {
		every = longInsistInterval
	}
	return i.latest.IsZero() || now.Sub(i.latest) >= every
}

// note records that the address is announced again because of a host.
func (i insistence) note(now time.Time, host segment.Hardware) insistence {
	if i.because == nil {
		i.because = map[segment.Hardware]repeats{}
	}
	r := i.because[host]
	if now.Sub(r.latest) >= 2*longInsistInterval {
		r.count = 0
	}
	i.because[host] = repeats{now, r.count + 1}
	i.latest = now
	return i
}

// forgetNodes resets the counts of all nodes for an address: the nodes have given the address up. The count
// of other hosts stays, since they may go on announcing the address.
func (e *Engine) forgetNodes(address netip.Addr) {
	maps.DeleteFunc(e.insisted[address].because, func(host segment.Hardware, _ repeats) bool { return host != segment.Hardware{} })
}

// announceContested announces an address again if another node announces it too, and this speaker receives
// nothing from the speaker of that node. This node is in the majority, so the other speaker then gives the
// address up. While the hardware address of a missing speaker's node is not known, any host may be that node.
// Since frames are easily forged, an address is announced again at most once in insistInterval, and after
// insistCount times at most once in longInsistInterval.
func (e *Engine) announceContested(v *roundView) {
	maps.DeleteFunc(e.insisted, func(_ netip.Addr, i insistence) bool { return v.now.Sub(i.latest) >= 2*longInsistInterval })
	for _, r := range v.in.rivals {
		var host segment.Hardware // zero: it is no known node
		node := e.isNode(v, r.hardware)
		if node {
			copy(host[:], r.hardware)
		}
		_, claims := e.claims[r.address]
		if i := e.insisted[r.address]; claims && i.mayRepeat(v.now, host) && !v.isPeer(r.hardware) && (v.unknown || node) {
			e.insisted[r.address] = i.note(v.now, host)
			e.Announcer.Repeat(r.address)
			e.beginStandoff(v, r.address)
		}
	}
}
