// Package segment decides what to ask the network segments of a node by ARP and NDP (RFC 5227, RFC
// 4861), and evaluates the answers. They show whether the node receives anything from a segment at all,
// and which addresses hosts there answer for. They also show the hardware addresses of nodes from whose
// speakers this speaker has never received anything. A speaker that cannot rely on the other speakers
// asks the segments before it announces an address.
//
// The package has no clock and no sockets: the caller passes the time and the answers, and sends the
// probes.
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
	// probeCount is how many probes for an address must stay unanswered before the address counts as
	// free. The times are shorter than in RFC 5227 section 2.1.1: hosts of one segment answer within
	// milliseconds.
	probeCount = 3
	// probeInterval is the time between two of these probes.
	probeInterval = 100 * time.Millisecond
	// answerWait is how long a host may take to answer a probe.
	answerWait = 150 * time.Millisecond
	// checkInterval is the time between two probes of a host that has answered for addresses. Each probe
	// is for one of these addresses. If the host does not answer within answerWait, all its addresses are
	// probed anew.
	checkInterval = 200 * time.Millisecond
	// FreeLifetime is how long an address counts as free after its probes stayed unanswered. Then it is
	// probed again.
	FreeLifetime = time.Second
	// witnessInterval is the time between two batches of probes for the witnesses and nodes of a link (see
	// Questions).
	witnessInterval = 100 * time.Millisecond
	// witnessBatchSize is the size of a batch.
	witnessBatchSize = 4
	// searchBatchSize is the size of a batch while nothing is received from the link.
	searchBatchSize = 16
	// maxBatchNodes bounds the probes for nodes in a batch.
	maxBatchNodes = 2
	// nodeInterval is the time between two probes of a node that has answered, or has left probeCount
	// probes unanswered.
	nodeInterval = 2 * time.Second
	// nodeTimeout is the time without an answer from the hardware address of a node, after which another
	// hardware address that answers for the node replaces it.
	nodeTimeout = 3 * nodeInterval
	// maxFoundHosts bounds the hosts of a link that are probed because they sent a request: see NoteRequest.
	maxFoundHosts = 16
	// ReachedLifetime is how long after an answer the node counts as receiving from the segment.
	ReachedLifetime = time.Second
)

// Link is the name of a network interface.
type Link = string

// Hardware is an Ethernet address.
type Hardware [6]byte

// String returns the usual notation.
func (h Hardware) String() string { return net.HardwareAddr(h[:]).String() }

// Probe is an ARP or NDP probe to send on a link for an address.
type Probe struct {
	Link    Link
	Address netip.Addr
}

// Questions are what the segments are asked.
type Questions struct {
	// Witnesses are the addresses of other hosts of each link, such as its gateway. Their answers show that
	// the node receives from the segment. A link without witnesses has an entry too.
	Witnesses map[Link][]netip.Addr
	// Nodes are IP addresses of other nodes, one for each node. Their answers show the hardware addresses
	// of these nodes, and that this node receives from the segment.
	Nodes map[Link][]netip.Addr
	// Addresses maps each address to probe for to the links on which to probe.
	Addresses map[netip.Addr][]Link
}

// Results are what the answers show.
type Results struct {
	// Reached is, for each link, when the last answer or the last request of a host (see NoteRequest)
	// arrived.
	Reached map[Link]time.Time
	// Hosts are the hosts that answered within ReachedLifetime, and when each of them last answered on the
	// link.
	Hosts map[LinkHost]time.Time
	// Free has the addresses for which no host answered, and when that was found.
	Free map[netip.Addr]time.Time
	// InUse are addresses that a host answers for.
	InUse map[netip.Addr]AddressUse
	// Nodes are the hardware addresses that answered for Questions.Nodes. A hardware address that answers
	// for several nodes belongs to a proxy, and is left out.
	Nodes map[netip.Addr]Hardware
	// NodesAsked means that each of Questions.Nodes has answered or has left several probes unanswered.
	NodesAsked bool
}

// LinkHost is a hardware address that answered on a link.
type LinkHost struct {
	Link     Link
	Hardware Hardware
}

// AddressUse is the host that answers for an address.
type AddressUse struct {
	// Hardware address of the host.
	Hardware Hardware
	// Link that it answered on.
	Link Link
	// Since is when its first answer arrived.
	Since time.Time
}

// Machine chooses the probes to send, and evaluates the answers. Make it with New; it is not
// safe for use by several goroutines at once.
type Machine struct {
	queries   map[netip.Addr]*addressQuery
	witnesses map[Link]*linkWitnesses
	nodes     map[netip.Addr]*nodeQuery
	hosts     map[Hardware]*knownHost
	reached   map[Link]time.Time
	answered  map[LinkHost]time.Time
	shown     map[Link]time.Time // for each link, the last time in reached that counted as a change of the results
	changed   bool
}

// addressQuery is an address that is probed for.
type addressQuery struct {
	links []Link
	sent  int        // probes of the present round
	at    time.Time  // when the last probe was sent; zero: none was
	free  time.Time  // when it was found to be free; zero: it was not
	use   AddressUse // the host that answers for the address; zero: none has answered
}

// linkWitnesses has the witnesses and nodes of a link, and the state of probing them.
type linkWitnesses struct {
	addresses []netip.Addr
	nodes     []netip.Addr
	next      int
	at        time.Time
	answered  netip.Addr   // the witness that answered last; invalid: none has
	found     []netip.Addr // addresses of hosts that sent requests, the latest first: see NoteRequest
}

// witnessAddresses returns the addresses of the witnesses and of the hosts that were found, but none of nodes.
func (w *linkWitnesses) witnessAddresses() []netip.Addr { return slices.Concat(w.addresses, w.found) }

// nodeQuery is a node whose hardware address is asked for.
type nodeQuery struct {
	asked    int // number of probes sent
	at       time.Time
	hardware Hardware // zero: none has answered
	answered time.Time
}

// knownHost is a host that answers for addresses.
type knownHost struct {
	at      time.Time // when one of its addresses was probed last
	waiting bool      // a probe was sent to it, and its answer has not come yet
}

// New returns a machine without questions.
func New() *Machine {
	return &Machine{queries: map[netip.Addr]*addressQuery{}, witnesses: map[Link]*linkWitnesses{}, nodes: map[netip.Addr]*nodeQuery{}, hosts: map[Hardware]*knownHost{}, reached: map[Link]time.Time{}, answered: map[LinkHost]time.Time{}, shown: map[Link]time.Time{}}
}

// SetQuestions replaces the questions. The results about an address stay if it is asked about again on the
// same links.
func (m *Machine) SetQuestions(q Questions) {
	maps.DeleteFunc(m.queries, func(a netip.Addr, _ *addressQuery) bool { _, asked := q.Addresses[a]; return !asked })
	for address, links := range q.Addresses {
		if before := m.queries[address]; before == nil || !slices.Equal(before.links, links) {
			m.queries[address] = &addressQuery{links: links}
		}
	}
	before := m.witnesses
	m.witnesses = map[Link]*linkWitnesses{}
	for link, addresses := range q.Witnesses {
		m.witnessesOf(link, before).addresses = addresses
	}
	nodes := map[netip.Addr]*nodeQuery{}
	for link, addresses := range q.Nodes {
		m.witnessesOf(link, before).nodes = addresses
		for _, address := range addresses {
			if nodes[address] = m.nodes[address]; nodes[address] == nil {
				nodes[address], m.changed = &nodeQuery{}, true
			}
		}
	}
	m.nodes = nodes
	m.forgetUnusedHosts()
}

// witnessesOf returns the entry of a link in m.witnesses, and adds it if it is missing. The argument
// before has the former entries. If one of them is for the link, probing continues where it was in that
// entry.
func (m *Machine) witnessesOf(link Link, before map[Link]*linkWitnesses) *linkWitnesses {
	w := m.witnesses[link]
	if w == nil {
		w = &linkWitnesses{}
		if b := before[link]; b != nil {
			w.next, w.at, w.answered, w.found = b.next, b.at, b.answered, b.found
		}
		m.witnesses[link] = w
	}
	return w
}

// NoteAnswer records that a host other than this node claimed an address on a link.
func (m *Machine) NoteAnswer(now time.Time, link Link, address netip.Addr, hardware Hardware) {
	m.answered[LinkHost{link, hardware}] = now
	m.noteReceived(now, link)
	if w := m.witnesses[link]; w != nil {
		m.noteWitnessAnswer(now, w, address, hardware)
	}
	q := m.queries[address]
	if q == nil || !slices.Contains(q.links, link) {
		return
	}
	if q.use.Hardware != hardware || q.use.Since.IsZero() {
		q.use, m.changed = AddressUse{Hardware: hardware, Link: link, Since: now}, true
	}
	q.sent, q.free = 0, time.Time{}
	h := m.hosts[hardware]
	if h == nil {
		h = &knownHost{at: now}
		m.hosts[hardware] = h
	}
	h.waiting = false
}

// noteReceived records that this node receives from the segment of a link.
func (m *Machine) noteReceived(now time.Time, link Link) {
	m.reached[link] = now
	if now.Sub(m.shown[link]) >= ReachedLifetime/4 {
		m.shown[link], m.changed = now, true
	}
}

// NoteRequest records that a host that is no node of the cluster requested an address on a link. It returns
// whether the host is new. A new host is probed from then on, at the address from which it sent the
// request, unless that address is unspecified. On a segment without a gateway, requests of such hosts are
// the only sign that the node receives from the segment.
func (m *Machine) NoteRequest(now time.Time, link Link, from netip.Addr) (found bool) {
	w := m.witnesses[link]
	if w == nil {
		return false
	}
	m.noteReceived(now, link)
	if !from.IsValid() || from.IsUnspecified() || from.IsMulticast() || slices.Contains(w.addresses, from) || slices.Contains(w.found, from) {
		return false
	}
	w.found = slices.Insert(w.found, 0, from)
	w.found = w.found[:min(len(w.found), maxFoundHosts)]
	return true
}

// FoundHosts returns the addresses of hosts of a link that sent requests: see NoteRequest.
func (m *Machine) FoundHosts(link Link) []netip.Addr {
	if w := m.witnesses[link]; w != nil {
		return w.found
	}
	return nil
}

// noteWitnessAnswer records an answer for the address of a witness or a node. If two hosts answer for a node,
// the first host counts until it has been silent for nodeTimeout.
func (m *Machine) noteWitnessAnswer(now time.Time, w *linkWitnesses, address netip.Addr, hardware Hardware) {
	if slices.Contains(w.witnessAddresses(), address) {
		w.answered = address
	}
	n := m.nodes[address]
	if n == nil || !slices.Contains(w.nodes, address) || n.hardware != hardware && !n.answered.IsZero() && now.Sub(n.answered) < nodeTimeout {
		return
	}
	m.changed = m.changed || n.hardware != hardware
	n.hardware, n.answered = hardware, now
}

// Step sends the probes that are due. send returns whether it sent the probe. A probe that was
// not sent does not count as unanswered: it is sent again.
func (m *Machine) Step(now time.Time, send func(Probe) bool) {
	for _, link := range slices.Sorted(maps.Keys(m.witnesses)) {
		m.stepWitnesses(now, link, send)
	}
	maps.DeleteFunc(m.answered, func(_ LinkHost, at time.Time) bool { return now.Sub(at) >= ReachedLifetime })
	m.dropSilentHosts(now)
	m.checkHosts(now, send)
	for _, address := range slices.SortedFunc(maps.Keys(m.queries), netip.Addr.Compare) {
		q := m.queries[address]
		if !q.use.Since.IsZero() {
			continue
		}
		if m.stepQuery(now, q) {
			q.probeLinks(now, address, send)
		}
	}
}

// stepQuery returns whether a probe is due for an address for which no host answers. It also records
// when the address is found to be free, and when this result becomes too old.
func (m *Machine) stepQuery(now time.Time, q *addressQuery) bool {
	switch {
	case !q.free.IsZero():
		if now.Sub(q.free) < FreeLifetime {
			return false
		}
		q.free, q.sent, m.changed = time.Time{}, 0, true
		return true // the next series of probes begins at once
	case q.at.IsZero():
		return true
	case q.sent < probeCount:
		return now.Sub(q.at) >= probeInterval
	case now.Sub(q.at) >= answerWait:
		q.free, m.changed = now, true
	}
	return false
}

// probeLinks sends a probe on each link of an address, and returns whether all were sent. If one was not,
// the series of probes begins anew.
func (q *addressQuery) probeLinks(now time.Time, address netip.Addr, send func(Probe) bool) bool {
	q.sent++
	q.at = now
	all := true
	for _, link := range q.links {
		all = send(Probe{Link: link, Address: address}) && all
	}
	if !all {
		q.sent = 0
	}
	return all
}

// stepWitnesses probes some witnesses and nodes of a link: the witness that answered last, the nodes that
// are due, and further witnesses in turn.
func (m *Machine) stepWitnesses(now time.Time, link Link, send func(Probe) bool) {
	w := m.witnesses[link]
	if !w.at.IsZero() && now.Sub(w.at) < witnessInterval {
		return
	}
	w.at = now
	batch := witnessBatchSize
	if now.Sub(m.reached[link]) >= ReachedLifetime {
		batch = searchBatchSize
	}
	var chosen []netip.Addr
	all := w.witnessAddresses()
	if slices.Contains(all, w.answered) {
		chosen = append(chosen, w.answered)
	}
	for _, address := range m.dueNodes(now, w) {
		n := m.nodes[address]
		if n.at = now; send(Probe{Link: link, Address: address}) {
			if n.asked++; n.asked == probeCount {
				m.changed = true // Results.NodesAsked may be true now
			}
		}
		batch--
	}
	for range all {
		if len(chosen) >= batch {
			break
		}
		if w.next >= len(all) {
			w.next = 0
		}
		if next := all[w.next]; !slices.Contains(chosen, next) {
			chosen = append(chosen, next)
		}
		w.next++
	}
	for _, address := range chosen {
		send(Probe{Link: link, Address: address})
	}
}

// dueNodes returns up to maxBatchNodes nodes of a link for which a probe is due. The nodes whose last
// probe is the oldest come first.
func (m *Machine) dueNodes(now time.Time, w *linkWitnesses) (due []netip.Addr) {
	for _, address := range w.nodes {
		n, wait := m.nodes[address], nodeInterval
		if n.answered.IsZero() && n.asked < probeCount {
			wait = witnessInterval
		}
		if n.at.IsZero() || now.Sub(n.at) >= wait {
			due = append(due, address)
		}
	}
	slices.SortStableFunc(due, func(x, y netip.Addr) int { return m.nodes[x].at.Compare(m.nodes[y].at) })
	return due[:min(len(due), maxBatchNodes)]
}

// dropSilentHosts removes the hosts that did not answer for one of their addresses. All addresses of such a
// host are probed anew.
func (m *Machine) dropSilentHosts(now time.Time) {
	for hardware, h := range m.hosts {
		if !h.waiting || now.Sub(h.at) < answerWait {
			continue
		}
		for _, q := range m.queries {
			if q.use.Hardware == hardware {
				q.use, q.sent, q.at, m.changed = AddressUse{}, 0, time.Time{}, true
			}
		}
		delete(m.hosts, hardware)
	}
}

// checkHosts probes each host for the address whose last probe is the oldest.
func (m *Machine) checkHosts(now time.Time, send func(Probe) bool) {
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
		h.at, h.waiting = now, true // NoteAnswer resets waiting when the host answers
		if !m.queries[address].probeLinks(now, address, send) {
			h.waiting = false
		}
	}
}

// forgetUnusedHosts removes the hosts that answer for none of the addresses in the present questions.
func (m *Machine) forgetUnusedHosts() {
	used := map[Hardware]bool{}
	for _, q := range m.queries {
		used[q.use.Hardware] = used[q.use.Hardware] || !q.use.Since.IsZero()
	}
	maps.DeleteFunc(m.hosts, func(h Hardware, _ *knownHost) bool { return !used[h] })
}

// StepInterval is how often the caller must call Step while IsAsking returns true.
const StepInterval = 25 * time.Millisecond

// IsAsking returns whether there are any questions.
func (m *Machine) IsAsking() bool { return len(m.queries)+len(m.witnesses) > 0 }

// TakeChanged returns whether the results may have changed since the last call.
func (m *Machine) TakeChanged() bool {
	changed := m.changed
	m.changed = false
	return changed
}

// Results returns what the answers show at present.
func (m *Machine) Results() Results {
	r := Results{Reached: maps.Clone(m.reached), Hosts: maps.Clone(m.answered), Free: map[netip.Addr]time.Time{}, InUse: map[netip.Addr]AddressUse{}, Nodes: map[netip.Addr]Hardware{}, NodesAsked: true}
	answerFor := map[Hardware]int{}
	for _, n := range m.nodes {
		if !n.answered.IsZero() {
			answerFor[n.hardware]++
		}
	}
	for address, n := range m.nodes {
		if !n.answered.IsZero() && answerFor[n.hardware] == 1 {
			r.Nodes[address] = n.hardware
		}
		r.NodesAsked = r.NodesAsked && (!n.answered.IsZero() || n.asked >= probeCount)
	}
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
