package layer2

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/segment"
)

// A speaker in a minority gives up an address that another node announces, so that a speaker in the majority
// keeps its addresses. Versions of lbstack from before this rule never give an address up. While nodes are
// upgraded one by one, the last speakers of such a version take addresses of upgraded nodes after a while. A
// node in the majority concedes such an address. It goes on claiming the address in the mesh, so that no
// other node takes it. It does not announce the address, and asks the segment about it until no host answers.
// It concedes an address only to a node whose speaker has never sent a message to this speaker (decision
// 0024, point 10).

// rivalQueryDelay is the time from the repeated announcement of an address until the segment is asked whether
// the other node still answers for it. By then, a speaker that follows the rule has received two
// announcements, rivalRepeatTime apart, and has given the address up.
const rivalQueryDelay = 250 * time.Millisecond

// standoff is the state of an address that this node and another node announce. The speaker of the other node
// has never sent a message to this speaker.
type standoff struct {
	since    time.Time        // when this node announced the address again
	conceded time.Time        // since when this node does not announce the address; zero: this node announces it
	to       segment.Hardware // hardware address of the node to which the address is conceded
}

// firstQueryTime returns when the segment is first asked about the address.
func (s standoff) firstQueryTime() time.Time { return s.since.Add(rivalQueryDelay) }

// beginStandoff begins a stand-off about an address if a speaker is missing that has never sent a message to
// this speaker.
func (e *Engine) beginStandoff(v *roundView, address netip.Addr) {
	if _, is := e.standoffs[address]; !is && v.stranger {
		e.standoffs[address] = standoff{since: v.now}
	}
	e.owners.Reexamine(address)
}

// handleStandoffs adds queries about the addresses in a stand-off, and withholds conceded addresses. It is
// called after the decision about what this node owns.
func (e *Engine) handleStandoffs(v *roundView, d *decision, withheld map[netip.Addr][]string) {
	for address, s := range e.standoffs {
		_, owns := d.Own[address]
		use, inUse := v.in.segment.InUse[address]
		switch {
		case !owns, s.conceded.IsZero() && v.now.Sub(s.since) >= rivalTimeout,
			!s.conceded.IsZero() && v.isPeer(s.to[:]),                    // the node's speaker sends to this one now, and publishes what it claims
			!s.conceded.IsZero() && inUse && !v.isStranger(use.Hardware): // the host is no such node, but for example a router that answers for every address
			if !s.conceded.IsZero() {
				e.forgetNodes(address)
			}
			delete(e.standoffs, address)
			continue
		case v.now.Before(s.firstQueryTime()):
			continue
		case e.isFree(v, address, s.firstQueryTime()) && e.isFree(v, address, s.conceded):
			e.forgetNodes(address)
			delete(e.standoffs, address)
			e.minority.found[address] = struct{}{}
			continue
		case s.conceded.IsZero() && inUse && use.Since.After(s.firstQueryTime()) && v.isStranger(use.Hardware):
			s.conceded, s.to = v.now, use.Hardware
			e.standoffs[address] = s
			e.Log.Info("a node whose speaker has never sent a message to this speaker goes on announcing an address of this node: this node does not announce the address until no other host answers for it",
				"address", address, "hardwareAddress", use.Hardware.String(), "link", use.Link)
		}
		q := addressQuery{links: e.announcingInterfaces(v, address), since: s.firstQueryTime()}
		if !s.conceded.IsZero() {
			withheld[address] = q.links
		}
		e.minority.queries[address] = q
	}
}

// concededAddresses returns the addresses for Report.Conceded.
func (e *Engine) concededAddresses(v *roundView) UsedAddresses {
	if e.isMinorityMode() {
		return UsedAddresses{}
	}
	return e.usedAddresses(v, func(yield func(netip.Addr) bool) {
		for address := range e.minority.queries {
			s, is := e.standoffs[address]
			use := v.in.segment.InUse[address]
			if is && s.conceded.IsZero() || v.isPeer(use.Hardware[:]) || !v.in.segment.NodesAsked && !v.isStranger(use.Hardware) {
				continue
			}
			if !yield(address) {
				return
			}
		}
	})
}

// nextKernelTime returns when the next host will have answered for a queried address for kernelDelay, so that
// its answers can count as those of a kernel; zero: no such time is ahead.
func (e *Engine) nextKernelTime(now time.Time, in inbox) (next time.Time) {
	if e.isMinorityMode() {
		return time.Time{}
	}
	for address := range e.minority.queries {
		at := in.segment.InUse[address].Since.Add(kernelDelay)
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// isStranger reports whether a hardware address belongs to a node whose speaker is missing and has never sent
// a message to this speaker.
func (v *roundView) isStranger(hardware segment.Hardware) bool {
	for _, known := range v.learned {
		if known == hardware {
			return true
		}
	}
	return false
}

// nextStandoffTime returns when the next step of a stand-off is due if no message arrives earlier; zero: then
// no step is due.
func (e *Engine) nextStandoffTime(now time.Time) (next time.Time) {
	for _, s := range e.standoffs {
		at := s.firstQueryTime()
		if !at.After(now) {
			at = s.since.Add(rivalTimeout)
		}
		if s.conceded.IsZero() && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
