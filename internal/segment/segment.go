// Package segment decides what to ask the network segments of a node by ARP and NDP
// (RFC 5227, RFC 4861), and what the answers mean: whether the node receives anything
// from a segment at all, and which addresses hosts there answer for. A speaker that
// cannot rely on the other speakers uses it before it announces an address.
//
// It has no clock and no sockets: the time and the answers go in, probes come out.
package segment

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// probeCount probes, probeInterval apart, and a wait of answerWait after the last one
	// without an answer mean that an address is free (RFC 5227 section 2.1.1, compressed:
	// hosts of one segment answer within milliseconds).
	probeCount    = 3
	probeInterval = 100 * time.Millisecond
	answerWait    = 150 * time.Millisecond
	// checkInterval is how often one of the addresses of each host that answered is probed
	// again. The host is gone if it does not answer within answerWait, and all its
	// addresses are probed.
	checkInterval = 200 * time.Millisecond
	// FreshFor is how long the result that an address is free is valid.
	FreshFor = time.Second
	// witnessInterval is how often witnesses are probed, witnessBatch of a link at a time.
	witnessInterval = 100 * time.Millisecond
	witnessBatch    = 4
	// ReachedFor is how long an answer is evidence that the node receives from a segment.
	ReachedFor = time.Second
)

// Link is the name of a network interface.
type Link = string

// Hardware is an Ethernet address.
type Hardware [6]byte

// String returns the usual notation.
func (h Hardware) String() string { return net.HardwareAddr(h[:]).String() }

// Probe is one to send: on a link, for an address.
type Probe struct {
	Link    Link
	Address netip.Addr
}

// Questions are what to ask.
type Questions struct {
	// Witnesses are addresses of other hosts of each link, such as its gateway, that answer
	// while the node receives from the segment.
	Witnesses map[Link][]netip.Addr
	// Addresses to probe for, each on its links.
	Addresses map[netip.Addr][]Link
}

// Results are what the answers mean.
type Results struct {
	// Reached is when the last answer came on each link.
	Reached map[Link]time.Time
	// Hosts are the hardware addresses of those that answered within ReachedFor, and when each
	// did last.
	Hosts map[Hardware]time.Time
	// Free are addresses that no host answered for, and when that was found: see FreshFor.
	Free map[netip.Addr]time.Time
	// InUse are addresses that a host answers for.
	InUse map[netip.Addr]Use
}

// Use is who answers for an address.
type Use struct {
	// Hardware address of the host.
	Hardware Hardware
	// Link that it answered on.
	Link Link
	// Since when it has.
	Since time.Time
}

// Machine asks. Make it with New; it is not safe for use by several goroutines at once.
type Machine struct {
	queries   map[netip.Addr]*query
	witnesses map[Link]*witnesses
	hosts     map[Hardware]*host
	reached   map[Link]time.Time
	answered  map[Hardware]time.Time
	shown     map[Link]time.Time // what of reached made the results change last
	changed   bool
}

// query is an address that is probed for.
type query struct {
	links []Link
	sent  int       // probes of the present round
	at    time.Time // when the last probe was sent
	free  time.Time // when it was found to be free; zero: it was not
	use   Use       // zero: no host answered
}

// witnesses are those of a link, and which come next.
type witnesses struct {
	addresses []netip.Addr
	next      int
	at        time.Time
}

// host is one that answers for addresses.
type host struct {
	checked netip.Addr // the address that was probed last
	at      time.Time  // when
	waiting bool       // for its answer
}

// New returns a machine that asks nothing.
func New() *Machine {
	return &Machine{queries: map[netip.Addr]*query{}, witnesses: map[Link]*witnesses{}, hosts: map[Hardware]*host{}, reached: map[Link]time.Time{}, answered: map[Hardware]time.Time{}, shown: map[Link]time.Time{}}
}

// Ask replaces what is asked. The results about addresses that are asked again stay.
func (m *Machine) Ask(q Questions) {
	maps.DeleteFunc(m.queries, func(a netip.Addr, _ *query) bool { _, asked := q.Addresses[a]; return !asked })
	for address, links := range q.Addresses {
		if before := m.queries[address]; before == nil || !slices.Equal(before.links, links) {
			m.queries[address] = &query{links: links}
		}
	}
	next := map[Link]*witnesses{}
	for link, addresses := range q.Witnesses {
		next[link] = &witnesses{addresses: addresses}
		if before := m.witnesses[link]; before != nil {
			next[link].next, next[link].at = before.next, before.at
		}
	}
	m.witnesses = next
	m.forgetHosts()
}

// Answer takes that a host other than this node said on a link that an address is its own.
func (m *Machine) Answer(now time.Time, link Link, address netip.Addr, hardware Hardware) {
	m.reached[link], m.answered[hardware] = now, now
	if now.Sub(m.shown[link]) >= ReachedFor/4 {
		m.shown[link], m.changed = now, true
	}
	q := m.queries[address]
	if q == nil || !slices.Contains(q.links, link) {
		return
	}
	if q.use.Hardware != hardware || q.use.Since.IsZero() {
		q.use, m.changed = Use{Hardware: hardware, Link: link, Since: now}, true
	}
	q.sent, q.free = 0, time.Time{}
	h := m.hosts[hardware]
	if h == nil {
		h = &host{at: now}
		m.hosts[hardware] = h
	}
	h.waiting = false
}

// Step returns what to send now.
func (m *Machine) Step(now time.Time) (probes []Probe) {
	for _, link := range slices.Sorted(maps.Keys(m.witnesses)) {
		probes = append(probes, m.witnesses[link].step(now, link)...)
	}
	maps.DeleteFunc(m.answered, func(_ Hardware, at time.Time) bool { return now.Sub(at) >= ReachedFor })
	m.loseHosts(now)
	probes = append(probes, m.checkHosts(now)...)
	for _, address := range slices.SortedFunc(maps.Keys(m.queries), netip.Addr.Compare) {
		q := m.queries[address]
		if !q.use.Since.IsZero() {
			continue
		}
		if m.stepQuery(now, q) {
			probes = append(probes, q.probe(now, address)...)
		}
	}
	return probes
}

// stepQuery returns whether a probe is due for an address that no host answers for.
func (m *Machine) stepQuery(now time.Time, q *query) bool {
	switch {
	case !q.free.IsZero():
		if now.Sub(q.free) < FreshFor {
			return false
		}
		q.free, q.sent, m.changed = time.Time{}, 0, true
		return true
	case q.sent == 0:
		return true
	case q.sent < probeCount:
		return now.Sub(q.at) >= probeInterval
	case now.Sub(q.at) >= answerWait:
		q.free, m.changed = now, true
	}
	return false
}

func (q *query) probe(now time.Time, address netip.Addr) (probes []Probe) {
	q.sent++
	q.at = now
	for _, link := range q.links {
		probes = append(probes, Probe{Link: link, Address: address})
	}
	return probes
}

func (w *witnesses) step(now time.Time, link Link) (probes []Probe) {
	if len(w.addresses) == 0 || !w.at.IsZero() && now.Sub(w.at) < witnessInterval {
		return nil
	}
	w.at = now
	for range min(witnessBatch, len(w.addresses)) {
		w.next = (w.next + 1) % len(w.addresses)
		probes = append(probes, Probe{Link: link, Address: w.addresses[w.next]})
	}
	return probes
}

// loseHosts has all addresses of a host probed that did not answer for one of them.
func (m *Machine) loseHosts(now time.Time) {
	for hardware, h := range m.hosts {
		if !h.waiting || now.Sub(h.at) < answerWait {
			continue
		}
		for _, q := range m.queries {
			if q.use.Hardware == hardware {
				q.use, q.sent, m.changed = Use{}, 0, true
			}
		}
		delete(m.hosts, hardware)
	}
}

// checkHosts probes, for each host, the address that was probed the longest time ago.
func (m *Machine) checkHosts(now time.Time) (probes []Probe) {
	oldest := map[Hardware]netip.Addr{}
	for address, q := range m.queries {
		if q.use.Since.IsZero() {
			continue
		}
		before, any := oldest[q.use.Hardware]
		if !any || cmp.Or(q.at.Compare(m.queries[before].at), address.Compare(before)) < 0 {
			oldest[q.use.Hardware] = address
		}
	}
	for _, hardware := range slices.SortedFunc(maps.Keys(oldest), func(x, y Hardware) int { return slices.Compare(x[:], y[:]) }) {
		h, address := m.hosts[hardware], oldest[hardware]
		if h.waiting || now.Sub(h.at) < checkInterval {
			continue
		}
		h.checked, h.at, h.waiting = address, now, true
		probes = append(probes, m.queries[address].probe(now, address)...)
	}
	return probes
}

// forgetHosts forgets hosts that answer for nothing that is asked.
func (m *Machine) forgetHosts() {
	used := map[Hardware]bool{}
	for _, q := range m.queries {
		used[q.use.Hardware] = used[q.use.Hardware] || !q.use.Since.IsZero()
	}
	maps.DeleteFunc(m.hosts, func(h Hardware, _ *host) bool { return !used[h] })
}

// Interval is how often Step is to be called while anything is asked.
const Interval = 25 * time.Millisecond

// Asking returns whether anything is asked.
func (m *Machine) Asking() bool { return len(m.queries)+len(m.witnesses) > 0 }

// Changed returns whether the results are others than at the last call.
func (m *Machine) Changed() bool {
	changed := m.changed
	m.changed = false
	return changed
}

// Results returns what the answers mean at present.
func (m *Machine) Results() Results {
	r := Results{Reached: maps.Clone(m.reached), Hosts: maps.Clone(m.answered), Free: map[netip.Addr]time.Time{}, InUse: map[netip.Addr]Use{}}
	for address, q := range m.queries {
		switch {
		case !q.use.Since.IsZero():
			r.InUse[address] = q.use
		case !q.free.IsZero():
			r.Free[address] = q.free
		}
	}
	return r
}
