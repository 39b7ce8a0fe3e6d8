package layer2

import (
	"bytes"
	"iter"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"

	"github.com/lbstack/lbstack/internal/lb"
)

// A speaker that receives from at most half of the speakers that should be there is in a minority. The
// missing speakers are down, or they run on the other side of a partition and announce its addresses. The
// mesh cannot show which of the two is true; the segment can. In a minority a speaker
//
//   - announces only on links that it receives from: a host on the link has answered, or has requested one of
//     its addresses. Without such a link it announces nothing (phase Isolated), unless it would be in the
//     majority if no speaker restarted. It makes no difference whether the API server reports the nodes of
//     the missing speakers as NotReady: the API server may run on this node, and this node may be the one
//     that is cut off;
//   - asks the segment about each address that has no owner in its view, and takes the address only if no
//     host answers for it (mayTake has the exceptions);
//   - asks the segment about its own addresses after its process stood still, and announces each address
//     again only if no host answers for it;
//   - gives up an address that another node announces, if it receives nothing from the speaker of that node.
//     The other node must have the lower hardware address, or go on announcing the address after this node
//     has announced it again;
//   - announces its addresses again when the node of a missing speaker answers after a time of silence: two
//     parts of the segment may have become one, and both parts may have an owner of the same address;
//   - gives up each address that a missing speaker may announce, while the controller reports that this
//     speaker is cut off from a larger group of speakers. It keeps the address if the node of the missing
//     speaker answers on the segment: then it would also receive announcements of that node.
//
// A speaker in the majority does none of this: it acts at once. It asks the segment only while a speaker is
// missing that has never sent a message to it. Then it asks about addresses that never had an owner in its
// view, and about its own addresses that the node of the missing speaker announces too (see standoff).

const (
	// reachTimeout is how long a speaker that comes into a minority waits for the first answer on a link.
	// Meanwhile it keeps its addresses, and takes no others.
	reachTimeout = 300 * time.Millisecond
	// rivalTimeout is how long an announcement of another node is remembered. A further announcement of the same
	// address within this time counts as a repetition.
	rivalTimeout = 5 * time.Second
	// rivalRepeatTime decides whether another node goes on announcing an address of this node: it does if it
	// announces the address at least rivalRepeatTime after its first announcement. By then it has received an
	// announcement of this node.
	rivalRepeatTime = 100 * time.Millisecond
	// partitionLifetime is how long a partitionReport is valid. A restarting API server answers again by then.
	// If it does not, and the larger group has failed meanwhile, this node takes its addresses back after this
	// time.
	partitionLifetime = 30 * time.Second
	// maxRivalAnnouncements bounds the announcements of other hosts that wait for a round.
	maxRivalAnnouncements = 4096
	// partitionDelay is how long a speaker must have been in a minority for a partitionReport to count. In this
	// time, speakers that are cut off from the segment report the phase Isolated, and the controller then does
	// not count them as part of a larger group.
	partitionDelay = 1200 * time.Millisecond
	// answerTimeout is the longest time between two answers of a node that stays in the same part of the
	// segment. In this time, each witness (segment.Questions) is probed at least once, even on a link with the
	// largest number of witnesses.
	answerTimeout = 15 * time.Second
	// kernelDelay is how long a node must answer for an address until its answers count as answers of its
	// kernel. It applies if messages of the node's speaker arrive and do not claim the address.
	kernelDelay = 2 * time.Second
)

// minorityState is the state of a speaker that is in a minority; queries, found and asked are used in
// the majority too. The goroutine of Run owns it.
type minorityState struct {
	since   time.Time                   // when the minority began; zero: there is none
	latest  time.Time                   // when the minority began, or when the speaker came back into it after a time in the majority
	over    time.Time                   // since when the speaker has been in the majority again; zero: it is not
	queries map[netip.Addr]addressQuery // addresses to take, or to announce on more links, if no host on the segment answers for them
	found   map[netip.Addr]struct{}     // addresses that are taken in this round, since no host answered for them
	asked   *Questions                  // the questions that were passed to the announcer last; nil: none
	yields  map[netip.Addr]struct{}     // addresses that are given up in this round
	yielded map[netip.Addr]time.Time    // when addresses were given up
	// partitioned: the speaker gave way to a larger group in the last round.
	partitioned bool
	// missed has the nodes whose speakers are missing, and since when each has been missing.
	missed map[lb.NodeName]time.Time
	// shared has the segments on which nodes of missing speakers have answered, and when each node answered
	// last there.
	shared map[sharedSegment]time.Time
	// joined is when addresses were last announced again because a node of a missing speaker had answered.
	joined time.Time
}

// addressQuery is what the segments are asked about an address.
type addressQuery struct {
	links []string
	// since is when the address was first asked about on these links.
	since time.Time
}

// sharedSegment is the segment of a link of this node on which another node has answered.
type sharedSegment struct {
	node lb.NodeName
	link string
}

// partitionReport is a report of the controller that this speaker is cut off from a larger group.
type partitionReport struct {
	since time.Time // when the minority in the report began, in full seconds
	until time.Time // until when the report counts
}

// rivalAnnouncement is an announcement, by another host, of an address that this node announces.
type rivalAnnouncement struct {
	address       netip.Addr
	hardware, own net.HardwareAddr
	at            time.Time
}

// rivalry records that other nodes announce an address that this node claims.
type rivalry struct {
	// first is when the first announcement arrived, or when this node took the address: see noteUnreleased.
	first  time.Time
	latest rivalAnnouncement
	open   bool // no decision was made yet about the latest announcement
}

// SetSegment sets what hosts on the links of this node have answered.
func (e *Engine) SetSegment(r segment.Results) { e.updateInbox(func(in *inbox) { in.segment = r }) }

// SetPartitioned records a report of the controller: the minority of this speaker that began at the given
// time is cut off from a larger group of running speakers. A zero time means that it is not cut off. A report
// about an earlier minority does not count.
func (e *Engine) SetPartitioned(since time.Time) {
	e.updateInbox(func(in *inbox) { in.partition = partitionReport{since, e.Now().Add(partitionLifetime)} })
}

// AddRival records that another host announced an address on a link of this node. hardware is the hardware
// address of the host, and own is that of the link. If the host is not known as a node, the announcement
// counts only while the hardware address of some node is not known: the host may be that node.
func (e *Engine) AddRival(address netip.Addr, hardware, own net.HardwareAddr) {
	e.updateInbox(func(in *inbox) {
		if len(in.rivals) < maxRivalAnnouncements {
			in.rivals = append(in.rivals, rivalAnnouncement{address, hardware, own, e.Now()})
		}
	})
}

// hasMajority reports whether this speaker receives from more than half of the speakers that should be there,
// itself included. One restarting speaker is not counted until its new process runs, since updates restart
// one speaker at a time. Each further restarting speaker counts as missing: it may run again with another
// mesh port or other keys, so that this speaker receives nothing from it. Missing speakers count even if the
// API server reports their nodes as NotReady, since such a node may be cut off from the API server alone.
func hasMajority(v mesh.View) bool {
	here, away, restarting := countSpeakers(v)
	return here > away+max(0, restarting-1)
}

// hasMajorityWithRestarting reports whether this speaker would be in the majority if no speaker restarted. If
// so, a silent link does not show that this node is cut off. This node has received from the restarting
// speakers that they restart, and the kernels of their nodes still answer: otherwise these speakers would
// count as dead.
func hasMajorityWithRestarting(v mesh.View) bool {
	here, away, restarting := countSpeakers(v)
	return here+restarting > away
}

// countSpeakers returns three numbers of speakers: those from which this speaker receives, itself included
// (here), those from which it does not receive (away), and those that restart.
func countSpeakers(v mesh.View) (here, away, restarting int) {
	here, away = 1, len(v.Missing)
	for i := range v.Peers {
		switch p := &v.Peers[i]; {
		case !hasProcess(p):
			restarting++
		case p.Late:
			away++
		default:
			here++
		}
	}
	return here, away, restarting
}

// hasProcess reports whether a process of the peer runs. After the peer has published that it restarts, none
// runs until the next one starts.
func hasProcess(p *mesh.Peer) bool { return p.State.Phase != ownership.Restarting || p.Starting }

// isAlone reports whether all missing speakers are on nodes that the API server reports as NotReady, no
// missing speaker sends to this one, and no peer is silent (mesh.Peer.Late).
func isAlone(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.MissingPeer) bool { return !down[m.Node] || slices.Contains(v.Unreached, m.Node) }) &&
		!slices.ContainsFunc(v.Peers, func(p mesh.Peer) bool { return p.Late })
}

// isMissed reports whether at least half of the speakers that run, as far as this speaker knows, receive
// nothing from this speaker. These speakers take its addresses, and do not receive its claims to them.
// Missing speakers that do not ask for a session do not count, since they may be dead.
func isMissed(v mesh.View) bool {
	with := 1
	for i := range v.Peers {
		if !slices.Contains(v.Unreached, v.Peers[i].Node) && hasProcess(&v.Peers[i]) {
			with++
		}
	}
	return len(v.Unreached) >= with
}

// updateMinority records whether this speaker is in a minority. In a minority the segments are asked. When
// the speaker is in the majority again, it goes on asking for up to startTimeout while speakers are missing,
// since their addresses look as if they had no owner.
func (e *Engine) updateMinority(now time.Time, in inbox) {
	switch is, all := hasMajority(*in.view), len(in.view.Missing) == 0; {
	case !is && e.minority.since.IsZero():
		e.minority.since, e.minority.latest = now, now
		e.minority.yielded, e.minority.shared = map[netip.Addr]time.Time{}, map[sharedSegment]time.Time{}
		e.passQuestions(e.currentQuestions(now, in))
		// A node whose speaker is cut off from this one may announce some of these addresses too. When it receives
		// an announcement of this node, it announces the address again, and this node receives that.
		e.repeatAll()
	case !is && !e.minority.over.IsZero():
		// Earlier answers of the segment are from before the speaker was in the majority in between.
		e.minority.over, e.minority.latest, e.minority.shared = time.Time{}, now, map[sharedSegment]time.Time{}
	case !is:
	case e.minority.since.IsZero():
	case e.minority.over.IsZero() && !all:
		e.minority.over = now
	case all || now.Sub(e.minority.over) >= startTimeout:
		e.minority = minorityState{asked: e.minority.asked, queries: e.minority.queries} // decide examines these queries once more
		e.passQuestions(nil)
	}
}

// repeatAll announces all addresses of this node again.
func (e *Engine) repeatAll() {
	if own := slices.SortedFunc(maps.Keys(e.claims), netip.Addr.Compare); len(own) > 0 {
		e.Announcer.Repeat(own...)
	}
}

// passQuestions passes questions to the announcer if they have changed; nil: there are no questions.
func (e *Engine) passQuestions(q *Questions) {
	if !reflect.DeepEqual(q, e.minority.asked) {
		e.minority.asked = q
		e.Announcer.SetQuestions(q)
	}
}

// isMinorityMode reports whether this speaker acts as in a minority: it is in a minority, or left one a short
// time ago (see updateMinority).
func (e *Engine) isMinorityMode() bool { return !e.minority.since.IsZero() }

// isMinority reports whether this speaker is in a minority now.
func (e *Engine) isMinority() bool { return e.isMinorityMode() && e.minority.over.IsZero() }

// awaitsFirstAnswer reports whether a minority has just begun, so that the first answers on the links may
// still arrive.
func (e *Engine) awaitsFirstAnswer(now time.Time) bool {
	return now.Sub(e.minority.since) < reachTimeout
}

// needsAnswers reports whether this speaker may announce only on links from which it receives.
func (e *Engine) needsAnswers(now time.Time, in inbox) bool {
	return e.isMinority() && !e.awaitsFirstAnswer(now) && !hasMajorityWithRestarting(*in.view)
}

// reachedLinks returns the links that this speaker may announce on. In the majority these are all links. In a
// minority they are the links from which it receives (see needsAnswers). If half of the other speakers
// receive nothing from this one (isMissed), there are none.
func (e *Engine) reachedLinks(now time.Time, in inbox) []Link {
	if e.isMinorityMode() && isMissed(*in.view) {
		return nil
	}
	silent := e.silentLinks(now, in)
	return slices.DeleteFunc(in.usableLinks(), func(l Link) bool { return slices.Contains(silent, l.Name) })
}

// silentLinks returns the names, sorted, of the links on which nothing is announced in a minority, since
// nothing is received from them.
func (e *Engine) silentLinks(now time.Time, in inbox) (links []string) {
	if !e.needsAnswers(now, in) {
		return nil
	}
	for _, l := range in.usableLinks() {
		if now.Sub(in.segment.Reached[l.Name]) >= segment.ReachedLifetime {
			links = append(links, l.Name)
		}
	}
	slices.Sort(links)
	return links
}

// awaitedAddresses returns the addresses, sorted, that this node would announce on silent links. If a host
// asks for one of these addresses, this node receives from the segment.
func (e *Engine) awaitedAddresses(now time.Time, in inbox) (list []netip.Addr) {
	silent := e.silentLinks(now, in)
	if len(silent) == 0 || e.subnets == nil {
		return nil
	}
	links := slices.DeleteFunc(wireLinks(in.usableLinks()), func(l wire.Link) bool { return !slices.Contains(silent, l.Name) })
	for _, a := range e.owners.WantedAddresses() {
		own := slices.IndexFunc(a.Candidates, func(c Candidate) bool { return c.Node == e.Self })
		if own >= 0 && len(candidateInterfaces(links, &a.Candidates[own], a.Address, e.subnets.isNear(a.Address))) > 0 {
			list = append(list, a.Address)
		}
	}
	return list
}

// isIsolated reports whether this speaker must announce nothing. That is so in a minority if it receives
// from no link on which it would announce an address, or if half of the other speakers receive nothing from
// it (isMissed).
func (e *Engine) isIsolated(now time.Time, in inbox) bool {
	if !e.isMinorityMode() || isMissed(*in.view) {
		return e.isMinorityMode()
	}
	return e.needsAnswers(now, in) && !e.reachesClients(now, in)
}

// reachesClients reports whether this node receives from a link on which it would announce an address.
// Answers of its own pods, or of hosts on another network, do not show that clients receive its
// announcements. If the node would announce no address, each link on which an address could be announced
// counts.
func (e *Engine) reachesClients(now time.Time, in inbox) bool {
	reached, serves := e.reachedLinks(now, in), false
	if len(reached) == 0 {
		return false
	}
	if e.subnets != nil {
		links := wireLinks(in.usableLinks())
		for _, a := range e.owners.WantedAddresses() {
			own := slices.IndexFunc(a.Candidates, func(c Candidate) bool { return c.Node == e.Self })
			if own < 0 {
				continue
			}
			on := candidateInterfaces(links, &a.Candidates[own], a.Address, e.subnets.isNear(a.Address))
			if slices.ContainsFunc(reached, func(l Link) bool { return slices.Contains(on, l.Name) }) {
				return true
			}
			serves = serves || len(on) > 0
		}
	}
	return !serves && slices.ContainsFunc(reached, func(l Link) bool { return announcesOn(l, in.want.Interfaces) })
}

// noteRivals records which other nodes announce addresses of this node. It does so in the majority too: a
// node that is cut off from this node may announce an address before this node detects the partition.
func (e *Engine) noteRivals(v *roundView) {
	if e.rivals == nil {
		e.rivals = map[netip.Addr]rivalry{}
	}
	for _, r := range v.in.rivals {
		if !e.isNode(v, r.hardware) {
			continue
		}
		known := e.rivals[r.address]
		if known.first.IsZero() {
			known.first = r.at
		}
		known.latest, known.open = r, true
		e.rivals[r.address] = known
	}
	maps.DeleteFunc(e.rivals, func(a netip.Addr, r rivalry) bool {
		_, claims := e.claims[a]
		return !claims || v.now.Sub(r.first) >= rivalTimeout && v.now.Sub(r.latest.at) >= rivalTimeout
	})
}

// yieldToRivals decides, in a minority, which addresses this node gives up to other nodes that announce them.
// The other node keeps an address if it has the lower hardware address, or if it goes on announcing the
// address after this node has announced it again. In the majority this node only announces its addresses
// again: see announceContested.
func (e *Engine) yieldToRivals(v *roundView) {
	e.minority.yields = map[netip.Addr]struct{}{}
	e.noteRivals(v)
	if !e.isMinorityMode() {
		e.announceContested(v)
		return
	}
	maps.DeleteFunc(e.minority.yielded, func(_ netip.Addr, at time.Time) bool { return v.now.Sub(at) >= rivalTimeout })
	for address, r := range e.rivals {
		if !r.open || v.isPeer(r.latest.hardware) {
			continue
		}
		r.open = false
		e.rivals[address] = r
		switch insists := r.latest.at.Sub(r.first) >= rivalRepeatTime; {
		case insists, bytes.Compare(r.latest.hardware, r.latest.own) < 0:
			e.minority.yields[address] = struct{}{}
			e.minority.yielded[address] = v.now
			e.owners.Reexamine(address)
			e.Log.Info("another node announces an address of this node, and nothing arrives from the speaker of the other node: this node gives the address up", "address", address, "hardwareAddress", r.latest.hardware.String())
		case r.first.Equal(r.latest.at):
			e.Announcer.Repeat(address)
		}
	}
}

// isPartitioned reports whether this speaker is cut off from a larger group of speakers, according to a
// partitionReport that is valid and about the present minority.
func (e *Engine) isPartitioned(now time.Time, in inbox) bool {
	return e.isMinority() && now.Before(in.partition.until) && in.partition.since.Equal(truncateToSecond(e.minority.since)) &&
		in.partition.until.Sub(e.minority.latest) >= partitionDelay+partitionLifetime
}

// noteShared records on which segments the nodes of missing speakers have answered. An answer counts only if
// it arrived after this speaker came into the minority and after the other speaker was found missing. One
// answer is enough: if the node is silent later, it counts as down, and not as cut off.
//
// If such a node answers after a silence, two parts of the segment may have become one while the mesh is
// still cut. Both parts may have an owner of the same address, and neither owner would have a reason to
// announce the address now. So this node announces all its addresses again.
func (e *Engine) noteShared(v *roundView) {
	if !e.isMinority() {
		return
	}
	if e.minority.missed == nil {
		e.minority.missed = map[lb.NodeName]time.Time{}
	}
	for _, m := range v.in.view.Missing {
		if _, known := e.minority.missed[m.Node]; !known {
			e.minority.missed[m.Node] = v.now
		}
	}
	maps.DeleteFunc(e.minority.missed, func(node lb.NodeName, _ time.Time) bool { return !v.isMissing(node) })
	maps.DeleteFunc(e.minority.shared, func(s sharedSegment, _ time.Time) bool { return !v.isMissing(s.node) })
	joined := false
	for host, at := range v.in.segment.Hosts {
		if !at.After(e.minority.latest) {
			continue
		}
		for _, m := range v.in.view.Missing {
			if !at.After(e.minority.missed[m.Node]) {
				continue
			}
			if v.learned[m.Node] == host.Hardware || hasHardware(e.links[m.Node].links, host.Hardware[:]) {
				joined = e.noteAnswer(sharedSegment{m.Node, host.Link}, at) || joined
			}
		}
	}
	if joined && v.now.Sub(e.minority.joined) >= insistInterval {
		e.minority.joined = v.now
		e.repeatAll()
	}
}

// noteAnswer records that the node of a missing speaker answered on a segment, and reports whether the node
// was silent there before. The result is false for the first answer of a node whose speaker has never sent a
// message to this speaker. That answer shows the hardware address of the node, and updateNodeHardware then
// announces all addresses again anyway.
func (e *Engine) noteAnswer(s sharedSegment, at time.Time) bool {
	last, answered := e.minority.shared[s]
	if answered && !at.After(last) {
		return false // the answer was recorded before, or is an older one of another hardware address of the node
	}
	e.minority.shared[s] = at
	if answered {
		return at.Sub(last) >= answerTimeout
	}
	return e.hasMet(s.node) && at.Sub(e.minority.latest) >= reachTimeout && at.Sub(e.minority.missed[s.node]) >= reachTimeout
}

// sharesSegment reports whether the segment of a link connects this node with another node: the other node
// has answered there. If the other node has no link in the same subnets, an answer on any link counts.
func (e *Engine) sharesSegment(node lb.NodeName, link *wire.Link) bool {
	if _, answered := e.minority.shared[sharedSegment{node, link.Name}]; answered {
		return true
	}
	if _, same := counterpart(link, e.links[node].links); same || !e.hasMet(node) {
		return false
	}
	for s := range e.minority.shared {
		if s.node == node {
			return true
		}
	}
	return false
}

// isCutFrom reports whether this node is cut off from another node: the speaker of the other node has been
// missing for partitionDelay, and on at least one of the given links the other node has not answered. A node
// that the API server reports as NotReady does not count.
func (e *Engine) isCutFrom(v *roundView, node lb.NodeName, links []string) bool {
	missed := v.isMissing(node) && v.now.Sub(e.minority.missed[node]) >= partitionDelay
	return missed && !v.in.want.Down[node] && slices.ContainsFunc(v.links, func(l wire.Link) bool {
		return slices.Contains(links, l.Name) && !e.sharesSegment(node, &l)
	})
}

// truncateToSecond returns a time in full seconds, as the API server stores it.
func truncateToSecond(t time.Time) time.Time { return t.Truncate(time.Second) }

// yieldToLargerGroup records whether this speaker gives way to a larger group from which it is cut off. If
// so, the next decision examines all addresses that this node claims, and askBeforeTaking gives up each
// address for which hasCutOffCandidate is true.
func (e *Engine) yieldToLargerGroup(v *roundView) {
	e.noteShared(v)
	before := e.minority.partitioned
	var all []string
	for _, l := range v.links {
		all = append(all, l.Name)
	}
	v.partitioned = e.isPartitioned(v.now, v.in) && slices.ContainsFunc(v.in.view.Missing, func(m mesh.MissingPeer) bool { return e.isCutFrom(v, m.Node, all) })
	if e.minority.partitioned = v.partitioned; !v.partitioned {
		return
	}
	if !before {
		e.Log.Info("this node receives nothing from a larger group of speakers: this node gives up the addresses that these speakers may announce")
	}
	for address := range e.claims {
		e.owners.Reexamine(address)
	}
}

// hasCutOffCandidate reports whether this node is cut off from a candidate of the address: see isCutFrom.
func (e *Engine) hasCutOffCandidate(v *roundView, address netip.Addr) bool {
	candidates, _ := v.owners.WantedCandidates(address)
	on := e.announcingInterfaces(v, address)
	return slices.ContainsFunc(candidates, func(c ownership.Candidate) bool { return e.isCutFrom(v, c.Node, on) })
}

// isMissing reports whether the speaker of a node should be there and is not alive.
func (v *roundView) isMissing(node lb.NodeName) bool {
	_, is := slices.BinarySearchFunc(v.in.view.Missing, node, func(m mesh.MissingPeer, n lb.NodeName) int { return strings.Compare(string(m.Node), string(n)) })
	return is
}

// askBeforeTaking removes from a decision the addresses about which the segment is asked before this node
// takes them. In a minority it also removes the addresses that this node gives up. For addresses that this
// node keeps, it returns the links on which they are not announced yet: these links were silent, so their
// segments are asked first.
func (e *Engine) askBeforeTaking(v *roundView, d *decision) (withheld map[netip.Addr][]string) {
	before := e.minority.queries
	e.minority.queries, e.minority.found = map[netip.Addr]addressQuery{}, map[netip.Addr]struct{}{}
	defer e.noteUnreleased(v, d)
	if e.isMinorityMode() || !v.stranger {
		clear(e.standoffs)
	}
	if !e.isMinorityMode() && !v.stranger {
		return nil
	}
	for address := range d.Own {
		if _, yields := e.minority.yields[address]; yields || v.partitioned && e.hasCutOffCandidate(v, address) {
			delete(d.Own, address)
		}
	}
	withheld = map[netip.Addr][]string{}
	for address, claim := range d.Own {
		takes := e.asksAbout(v, claim.Cause)
		q := addressQuery{links: e.announcingInterfaces(v, address)}
		if !takes && !v.stalled {
			had := e.served[address].Interfaces
			q.links = slices.DeleteFunc(q.links, func(l string) bool { return slices.Contains(had, l) })
		}
		switch b, asked := before[address]; {
		case asked && slices.Equal(b.links, q.links) && !v.stalled:
			q.since = b.since
		case asked || !takes:
			q.since = v.now // earlier answers are about other links
		}
		switch {
		case !takes && (len(q.links) == 0 || claim.Cause != ownership.CauseKept || !e.isMinority()):
			continue
		case !e.awaitsFirstAnswer(v.now) && e.isFree(v, address, q.since):
			e.minority.found[address] = struct{}{}
			continue
		case !e.awaitsFirstAnswer(v.now) && e.mayTake(v, address, claim.Cause):
			continue
		case takes:
			delete(d.Own, address)
		default:
			withheld[address] = q.links
		}
		e.minority.queries[address] = q
	}
	e.handleStandoffs(v, d, withheld)
	return withheld
}

// noteUnreleased records addresses that this node takes and that no other node has given up. If another node
// announces such an address rivalRepeatTime later, it had the address already: it counts as a node that goes
// on announcing it.
func (e *Engine) noteUnreleased(v *roundView, d *decision) {
	for address, claim := range d.Own {
		if claim.Cause == ownership.CauseFirst || claim.Cause == ownership.CauseFailure {
			e.rivals[address] = rivalry{first: v.now}
		}
	}
}

// isFree reports whether no host answered for an address when the segments were asked last. That result must
// not be older than segment.FreeLifetime, and it must be later than the given time and than the time at which
// this node gave the address up.
func (e *Engine) isFree(v *roundView, address netip.Addr, since time.Time) bool {
	at, is := v.in.segment.Free[address]
	return is && v.now.Sub(at) < segment.FreeLifetime && at.After(since) && at.After(e.minority.yielded[address])
}

// asksAbout reports whether the segment is asked before an address is taken for this cause. In the majority
// it is asked only while a speaker is missing that has never sent a message to this speaker: the addresses of
// that speaker look as if they never had an owner.
func (e *Engine) asksAbout(v *roundView, cause ownership.Cause) bool {
	switch cause {
	case ownership.CauseFirst:
		return e.isMinorityMode() || v.stranger
	case ownership.CauseFailure:
		return e.isMinorityMode()
	}
	return false
}

// mayTake reports whether this node may take an address although a host answers for it.
//
// In the majority it may if the host is no node, for example a router that answers for every address. It also
// may if the answers come from the kernel of a node whose speaker sends to this one. In both cases the
// announcer then probes the address and reports the host.
//
// In a minority it may only if the host is no node, and if one of two conditions holds. The first is that
// foreign hosts do not prevent announcements, since the setting is not DetectionEnforce. The second is that
// the address was announced before, and that each missing speaker has sent a message to this speaker at some
// time. Then the hardware addresses of all nodes are known, so that the host cannot be a node.
func (e *Engine) mayTake(v *roundView, address netip.Addr, cause ownership.Cause) bool {
	use, is := v.in.segment.InUse[address]
	if !is {
		return false
	}
	if !e.isMinorityMode() && v.isPeer(use.Hardware[:]) {
		return v.now.Sub(use.Since) >= kernelDelay // no message of the node's speaker claims the address (decision 0033)
	}
	if !e.isForeign(v, use.Hardware[:]) {
		return false
	}
	return !e.isMinorityMode() || v.in.want.Detection != DetectionEnforce || cause != ownership.CauseFirst && !e.doubted[address] &&
		!slices.ContainsFunc(v.in.view.Missing, func(m mesh.MissingPeer) bool { return !e.hasMet(m.Node) })
}

// addressesInUse returns those of the queried addresses for which hosts answer.
func (e *Engine) addressesInUse(v *roundView) UsedAddresses {
	return e.usedAddresses(v, maps.Keys(e.minority.queries))
}

// usedAddresses returns those of the given addresses for which hosts answer.
func (e *Engine) usedAddresses(v *roundView, addresses iter.Seq[netip.Addr]) (u UsedAddresses) {
	for address := range addresses {
		if use, is := v.in.segment.InUse[address]; is {
			u.First = append(u.First, AddressUse{Address: address, Interface: use.Link, Hardware: slices.Clone(use.Hardware[:]), Node: e.nodeOf(v, use.Hardware)})
		}
	}
	u.Count = len(u.First)
	slices.SortFunc(u.First, func(x, y AddressUse) int { return x.Address.Compare(y.Address) })
	u.First = slices.Clip(u.First[:min(len(u.First), maxListedUses)])
	return u
}

// nodeOf returns the node that has a hardware address and whose speaker is missing; empty: no such node is
// known.
func (e *Engine) nodeOf(v *roundView, hardware segment.Hardware) lb.NodeName {
	for _, m := range v.in.view.Missing {
		if v.learned[m.Node] == hardware || hasHardware(e.links[m.Node].links, hardware[:]) {
			return m.Node
		}
	}
	return ""
}

// currentQuestions returns what the segments are to be asked.
func (e *Engine) currentQuestions(now time.Time, in inbox) *Questions {
	q := &Questions{Addresses: map[netip.Addr][]string{}, Nodes: e.unmetHosts(in), Awaited: e.awaitedAddresses(now, in)}
	for address, query := range e.minority.queries {
		q.Addresses[address] = query.links
	}
	return q
}

// nextMinorityChange returns when the next decision in a minority is due if no input changes earlier; zero:
// then no decision is due.
func (e *Engine) nextMinorityChange(now time.Time, in inbox) (next time.Time) {
	if !e.isMinorityMode() {
		return time.Time{}
	}
	if e.awaitsFirstAnswer(now) {
		return e.minority.since.Add(reachTimeout)
	}
	if !e.minority.over.IsZero() {
		next = e.minority.over.Add(startTimeout)
	}
	if e.isPartitioned(now, in) {
		next = in.partition.until
	}
	for _, at := range in.segment.Reached {
		if until := at.Add(segment.ReachedLifetime); until.After(now) && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return next
}
