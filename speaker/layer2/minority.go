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

// A speaker that receives from no more than half of the speakers that should be there is in a
// minority: the missing ones are down, or they run on the other side of a partition and
// announce its addresses. The mesh cannot show which of the two is true; the segment can. In a
// minority a speaker
//
//   - announces only on links that it receives from: a host has answered, or has requested one
//     of its addresses. Without such a link it announces nothing (Isolated), unless all missing
//     speakers are on nodes that the API server reports as NotReady, or it would be in the
//     majority if no speaker restarted;
//   - takes an address that no speaker in its view has only when no host answers for it;
//   - asks about what it has when it stood still, and announces nothing of it until no host answers;
//   - gives an address up when another node, from whose speaker it receives nothing, announces it
//     and has the lower hardware address, or goes on after this one announced it again;
//   - announces again what it has when the node of a missing speaker answers that was silent for a
//     while: two parts of the segment may have become one, and both may have an owner;
//   - gives up, while the controller reports that it is cut off from a larger group of speakers,
//     each address that a missing speaker may announce, unless the node of that speaker answers on
//     the segment: then this node receives the announcements of that node.
//
// A speaker in the majority does none of this: it acts at once. It asks the segment only while a
// speaker that it has never received from is missing: about addresses that no speaker ever had, as
// far as it knows, and about addresses that the node of such a speaker announces too (see standoff).

const (
	// reachTimeout is how long a speaker that comes into a minority waits for the first
	// answer on a link. Meanwhile it keeps what it has, and takes nothing.
	reachTimeout = 300 * time.Millisecond
	// rivalTimeout is how long after an announcement of another node the next one still counts as
	// its second.
	rivalTimeout = 5 * time.Second
	// rivalRepeatTime is how long after the first announcement of another node a second one shows
	// that the node goes on: by then it has received that this one announces the address too.
	rivalRepeatTime = 100 * time.Millisecond
	// partitionLifetime is how long the report of the controller counts that the speaker is cut off
	// from a larger group. A restarting API server is back by then. If it stays away, the last
	// remaining node is without its addresses for no longer than this.
	partitionLifetime = 30 * time.Second
	// maxRivals is the largest number of announcements that wait for a round.
	maxRivals = 4096
	// partitionDelay is how long a speaker must have been in a minority when it receives the
	// report of partitionLifetime: by then speakers that are cut off from the segment have reported
	// that they are Isolated, and do not count as a larger group.
	partitionDelay = 1200 * time.Millisecond
	// answerTimeout is how long after an answer of a node the next one may come while both are in one
	// part of a segment: each of the most witnesses of a link is asked within this time.
	answerTimeout = 15 * time.Second
	// kernelDelay is how long a node must have answered for an address before the answers count as
	// those of its kernel. It applies if the messages of the node's speaker arrive and do not
	// claim the address.
	kernelDelay = 2 * time.Second
)

// minorityState is the state of a speaker that is in a minority; queries, found and asked are used in
// the majority too. The goroutine of Run owns it.
type minorityState struct {
	since   time.Time                   // when the minority began; zero: there is none
	latest  time.Time                   // when it began last: later than since if it was over in between
	over    time.Time                   // since when the speaker has been in the majority again; zero: it is not
	queries map[netip.Addr]addressQuery // addresses to take, or to announce on more links, once the segment has answered
	found   map[netip.Addr]struct{}     // addresses that are taken in this round since no host answered
	asked   *Questions                  // what the announcer was asked last; nil: nothing
	yields  map[netip.Addr]struct{}     // addresses that are given up in this round
	yielded map[netip.Addr]time.Time    // when addresses were given up
	// partitioned: the speaker gave way to a larger group in the round before.
	partitioned bool
	// missed are the nodes whose speakers are missing, with the time since when.
	missed map[lb.NodeName]time.Time
	// shared are the segments on which nodes of missing speakers have answered, and when each answered
	// last there.
	shared map[sharedSegment]time.Time
	// joined is when addresses were last announced again because of such an answer.
	joined time.Time
}

// addressQuery is what the segments are asked about an address.
type addressQuery struct {
	links []string
	// since is when it was first asked about these links.
	since time.Time
}

// sharedSegment is the segment of a link of this node on which another node has answered.
type sharedSegment struct {
	node lb.NodeName
	link string
}

// partitionReport is a report of the controller that this speaker is cut off from a larger group.
type partitionReport struct {
	since time.Time // when the minority that it is about began, in full seconds
	until time.Time // until when it counts
}

// rivalAnnouncement is an announcement, by another host, of an address that this node announces.
type rivalAnnouncement struct {
	address       netip.Addr
	hardware, own net.HardwareAddr
	at            time.Time
}

// rivalry is the announcements by other nodes of an address that this node claims.
type rivalry struct {
	// first is when the first came, or when this node took the address: see noteUnreleased.
	first  time.Time
	latest rivalAnnouncement
	open   bool // nothing was decided yet about the latest announcement
}

// SetSegment sets what the hosts of this node's links have answered.
func (e *Engine) SetSegment(r segment.Results) { e.updateInbox(func(in *inbox) { in.segment = r }) }

// SetPartitioned records a report of the controller: this speaker, in a minority since the given
// time, is cut off from a larger group of speakers that run. A zero time means that it is not. A
// report about an earlier minority does not count.
func (e *Engine) SetPartitioned(since time.Time) {
	e.updateInbox(func(in *inbox) { in.partition = partitionReport{since, e.Now().Add(partitionLifetime)} })
}

// AddRival records that another host, with a hardware address, announced an address on a link of
// this node. The hardware address of the link is own. A host that is no known node counts only while it
// may be a node whose hardware address is not known.
func (e *Engine) AddRival(address netip.Addr, hardware, own net.HardwareAddr) {
	e.updateInbox(func(in *inbox) {
		if len(in.rivals) < maxRivals {
			in.rivals = append(in.rivals, rivalAnnouncement{address, hardware, own, e.Now()})
		}
	})
}

// hasMajority reports whether this speaker receives from more than half of the speakers that should be
// there, itself included. A single restarting speaker is left out until its new process runs, as in
// an update of one node at a time. Further restarting speakers count as missing, since they may be
// back in a mesh that this speaker is not in (another port, other keys). Speakers on nodes that the
// API server reports as NotReady count: such a node may be cut off from the API server alone.
func hasMajority(v mesh.View) bool {
	here, away, restarting := countSpeakers(v)
	return here > away+max(0, restarting-1)
}

// onlyRestartsMissing reports whether this speaker is in a minority only since others restart: they
// have published that, and are found dead as soon as their kernels do not answer. So a silent link
// is no sign that this node is cut off.
func onlyRestartsMissing(v mesh.View) bool {
	here, away, restarting := countSpeakers(v)
	return here+restarting > away
}

// countSpeakers returns how many speakers this one receives from, itself included, how many it does
// not, and how many restart.
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

// hasProcess reports whether the speaker of a peer has a process: a restarting one has none until
// the next one starts.
func hasProcess(p *mesh.Peer) bool { return p.State.Phase != ownership.Restarting || p.Starting }

// isAlone reports whether all missing speakers are on nodes that the API server reports as NotReady,
// none of them sends to this one, and no peer is late. Then a silent link is no sign that this node
// is cut off.
func isAlone(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.MissingPeer) bool { return !down[m.Node] || slices.Contains(v.Unreached, m.Node) }) &&
		!slices.ContainsFunc(v.Peers, func(p mesh.Peer) bool { return p.Late })
}

// isMissed reports whether at least half of the speakers that are alive, as far as this one knows,
// receive nothing from it: they take its addresses, and do not receive that it answers too.
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

// updateMinority records whether this speaker is in a minority, and then has the segments asked.
// When it is in the majority again, it goes on asking for up to startTimeout while speakers are
// missing: the addresses of these look as if no speaker had them.
func (e *Engine) updateMinority(now time.Time, in inbox) {
	switch is, all := hasMajority(*in.view), len(in.view.Missing) == 0; {
	case !is && e.minority.since.IsZero():
		e.minority.since, e.minority.latest = now, now
		e.minority.yielded, e.minority.shared = map[netip.Addr]time.Time{}, map[sharedSegment]time.Time{}
		e.passQuestions(e.currentQuestions(now, in))
		// A node that announces one of these addresses too, and whose speaker is cut off from this one, then
		// announces it again.
		e.repeatAll()
	case !is && !e.minority.over.IsZero():
		// Earlier answers of the segment are about another partition.
		e.minority.over, e.minority.latest, e.minority.shared = time.Time{}, now, map[sharedSegment]time.Time{}
	case !is:
	case e.minority.since.IsZero():
	case e.minority.over.IsZero() && !all:
		e.minority.over = now
	case all || now.Sub(e.minority.over) >= startTimeout:
		e.minority = minorityState{asked: e.minority.asked, queries: e.minority.queries} // which decide looks at once more
		e.passQuestions(nil)
	}
}

// repeatAll announces again what this node has.
func (e *Engine) repeatAll() {
	if own := slices.SortedFunc(maps.Keys(e.claims), netip.Addr.Compare); len(own) > 0 {
		e.Announcer.Repeat(own...)
	}
}

// passQuestions passes questions to the announcer if they have changed; nil: it asks nothing.
func (e *Engine) passQuestions(q *Questions) {
	if !reflect.DeepEqual(q, e.minority.asked) {
		e.minority.asked = q
		e.Announcer.SetQuestions(q)
	}
}

// inMinority reports whether this speaker acts as in a minority: it is in one, or left one a
// short time ago (see updateMinority).
func (e *Engine) inMinority() bool { return !e.minority.since.IsZero() }

// isMinority reports whether this speaker is in a minority now.
func (e *Engine) isMinority() bool { return e.inMinority() && e.minority.over.IsZero() }

// awaitsFirstAnswer reports whether the first answer on a link may still come.
func (e *Engine) awaitsFirstAnswer(now time.Time) bool {
	return now.Sub(e.minority.since) < reachTimeout
}

// needsAnswers reports whether this speaker announces only on links that it receives from.
func (e *Engine) needsAnswers(now time.Time, in inbox) bool {
	return e.isMinority() && !e.awaitsFirstAnswer(now) && !onlyRestartsMissing(*in.view) && !isAlone(*in.view, in.want.Down)
}

// reachedLinks returns the links that this speaker may announce on. In the majority, or while it is
// alone, these are all links. Otherwise they are the links that it receives from, and none if half
// of the others receive nothing from it (isMissed).
func (e *Engine) reachedLinks(now time.Time, in inbox) []Link {
	if e.inMinority() && isMissed(*in.view) {
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
		if now.Sub(in.segment.Reached[l.Name]) >= segment.ReachedFor {
			links = append(links, l.Name)
		}
	}
	slices.Sort(links)
	return links
}

// awaitedAddresses returns the addresses, sorted, that this node would announce on silent links: if
// a host asks for one of them, the node receives from the segment.
func (e *Engine) awaitedAddresses(now time.Time, in inbox) (list []netip.Addr) {
	silent := e.silentLinks(now, in)
	if len(silent) == 0 || e.subnets == nil {
		return nil
	}
	links := slices.DeleteFunc(wireLinks(in.usableLinks()), func(l wire.Link) bool { return !slices.Contains(silent, l.Name) })
	for _, a := range e.owners.All() {
		own := slices.IndexFunc(a.Candidates, func(c Candidate) bool { return c.Node == e.Self })
		if own >= 0 && len(candidateInterfaces(links, &a.Candidates[own], a.Address, e.subnets.isNear(a.Address))) > 0 {
			list = append(list, a.Address)
		}
	}
	return list
}

// isIsolated reports whether this speaker is in a minority and, in addition, receives from no link on
// which it would announce an address, or half of the others receive nothing from it (isMissed).
func (e *Engine) isIsolated(now time.Time, in inbox) bool {
	if !e.inMinority() || isMissed(*in.view) {
		return e.inMinority()
	}
	return e.needsAnswers(now, in) && !e.reachesClients(now, in)
}

// reachesClients reports whether this node receives from a link on which it would announce an
// address: answers of its own pods, or of hosts on another network, do not show that clients receive
// what it announces. For a node that would announce no address, any link on which one could be
// announced counts.
func (e *Engine) reachesClients(now time.Time, in inbox) bool {
	reached, serves := e.reachedLinks(now, in), false
	if len(reached) == 0 {
		return false
	}
	if e.subnets != nil {
		links := wireLinks(in.usableLinks())
		for _, a := range e.owners.All() {
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

// noteRivals records which other nodes announce addresses of this one. It does so in the majority
// too: a node that is cut off from this one may announce an address before this one detects the
// partition.
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

// yieldToRivals decides, in a minority, which addresses this node gives up to other nodes that announce
// them: the other node keeps an address if it has the lower hardware address, or if it goes on after
// this one announced the address again. In the majority this node only announces the addresses
// again: see announceContested.
func (e *Engine) yieldToRivals(v *roundView) {
	e.minority.yields = map[netip.Addr]struct{}{}
	e.noteRivals(v)
	if !e.inMinority() {
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
			e.Log.Info("another node announces an address of this node, and this node receives nothing from its speaker: this node gives the address up", "address", address, "hardwareAddress", r.latest.hardware.String())
		case r.first.Equal(r.latest.at):
			e.Announcer.Repeat(address)
		}
	}
}

// isPartitioned reports whether there is a report of the controller that this speaker is cut off from a
// larger group of speakers, and the report counts.
func (e *Engine) isPartitioned(now time.Time, in inbox) bool {
	return e.isMinority() && now.Before(in.partition.until) && in.partition.since.Equal(truncateToSecond(e.minority.since)) &&
		in.partition.until.Sub(e.minority.latest) >= partitionDelay+partitionLifetime
}

// noteShared records which nodes of missing speakers have answered on which segments since this
// speaker came into the minority and misses them. One answer is enough: as far as the segment shows, a
// node that is silent later is down.
//
// If such a node answers that did not before, two parts of the segment may have become one while the
// mesh is still cut. Both may have an owner of an address, and neither announces anything by itself.
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

// noteAnswer records that the node of a missing speaker answered on a segment, and reports whether it was
// silent there before. Of a node that was never received from, the first answer shows only its hardware
// address: then all addresses are announced again anyway.
func (e *Engine) noteAnswer(s sharedSegment, at time.Time) bool {
	last, answered := e.minority.shared[s]
	if answered && !at.After(last) {
		return false // the answer counts already, or is that of another hardware address of the node
	}
	e.minority.shared[s] = at
	if answered {
		return at.Sub(last) >= answerTimeout
	}
	return e.hasMet(s.node) && at.Sub(e.minority.latest) >= reachTimeout && at.Sub(e.minority.missed[s.node]) >= reachTimeout
}

// sharesSegment reports whether the segment of a link connects this node with another one: the other
// one has answered there. If the other node has no link in the same subnets, an answer on any
// link counts.
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

// isCutFrom reports whether the speaker of a node is missing and there is one of these links on whose
// segment the node has not answered either. A node that the API server reports as NotReady does not count.
func (e *Engine) isCutFrom(v *roundView, node lb.NodeName, links []string) bool {
	missed := v.isMissing(node) && v.now.Sub(e.minority.missed[node]) >= partitionDelay
	return missed && !v.in.want.Down[node] && slices.ContainsFunc(v.links, func(l wire.Link) bool {
		return slices.Contains(links, l.Name) && !e.sharesSegment(node, &l)
	})
}

// truncateToSecond returns a time in full seconds, as the API has it.
func truncateToSecond(t time.Time) time.Time { return t.Truncate(time.Second) }

// yieldToLargerGroup records whether this speaker gives way to a larger group that it is cut off from.
// Then it has the index look at all addresses that this node claims; askBeforeTaking gives up those that
// hasCutOffCandidate announce.
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
		e.Log.Info("this node receives nothing from a larger group of speakers that run: it gives up the addresses that they may announce")
	}
	for address := range e.claims {
		e.owners.Reexamine(address)
	}
}

// hasCutOffCandidate reports whether an address has a candidate whose speaker this one is cut off from.
func (e *Engine) hasCutOffCandidate(v *roundView, address netip.Addr) bool {
	candidates, _ := v.owners.Wants(address)
	on := e.announcingInterfaces(v, address)
	return slices.ContainsFunc(candidates, func(c ownership.Candidate) bool { return e.isCutFrom(v, c.Node, on) })
}

// isMissing reports whether the speaker of a node should be there and is not alive.
func (v *roundView) isMissing(node lb.NodeName) bool {
	_, is := slices.BinarySearchFunc(v.in.view.Missing, node, func(m mesh.MissingPeer, n lb.NodeName) int { return strings.Compare(string(m.Node), string(n)) })
	return is
}

// askBeforeTaking removes from a decision the addresses that the segment is asked about before this node
// takes them, and, in a minority, those that it gives up. For addresses that the node keeps, it
// returns the links on which they are not announced yet: those links were silent, and the segment is
// asked there first too.
func (e *Engine) askBeforeTaking(v *roundView, d *decision) (withheld map[netip.Addr][]string) {
	before := e.minority.queries
	e.minority.queries, e.minority.found = map[netip.Addr]addressQuery{}, map[netip.Addr]struct{}{}
	defer e.noteUnreleased(v, d)
	if e.inMinority() || !v.stranger {
		clear(e.standoffs)
	}
	if !e.inMinority() && !v.stranger {
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

// noteUnreleased records addresses that this node takes and that no other node has given up. A node that
// announces such an address rivalRepeatTime later or more had it already, and counts as one that goes
// on.
func (e *Engine) noteUnreleased(v *roundView, d *decision) {
	for address, claim := range d.Own {
		if claim.Cause == ownership.CauseFirst || claim.Cause == ownership.CauseFailure {
			e.rivals[address] = rivalry{first: v.now}
		}
	}
}

// isFree reports whether no host answered for an address when the segments were asked last. The
// result must be less than segment.FreshFor old, later than the given time, and later than when this
// node gave the address up.
func (e *Engine) isFree(v *roundView, address netip.Addr, since time.Time) bool {
	at, is := v.in.segment.Free[address]
	return is && v.now.Sub(at) < segment.FreshFor && at.After(since) && at.After(e.minority.yielded[address])
}

// asksAbout reports whether the segment is asked before an address is taken for this cause. In the
// majority it is asked only while a speaker is missing that was never received from: the addresses of
// that speaker look as if no speaker ever had them.
func (e *Engine) asksAbout(v *roundView, cause ownership.Cause) bool {
	switch cause {
	case ownership.CauseFirst:
		return e.inMinority() || v.stranger
	case ownership.CauseFailure:
		return e.inMinority()
	}
	return false
}

// mayTake reports whether an address is taken although a host answers for it.
//
// In the majority the address is taken if the host is no node, such as a router that answers for
// every address, or if it is the kernel of a node whose speaker is received from. The announcer
// then probes the address and reports the host. In a minority the host must be no node, and it must
// not prevent announcing: the setting is not DetectionEnforce, or the address was announced before
// and every missing speaker was received from once, so that no node can be that host.
func (e *Engine) mayTake(v *roundView, address netip.Addr, cause ownership.Cause) bool {
	use, is := v.in.segment.InUse[address]
	if !is {
		return false
	}
	if !e.inMinority() && v.isPeer(use.Hardware[:]) {
		return v.now.Sub(use.Since) >= kernelDelay // none of its speaker's messages claims the address (decision 0033)
	}
	if !e.isForeign(v, use.Hardware[:]) {
		return false
	}
	return !e.inMinority() || v.in.want.Detection != DetectionEnforce || cause != ownership.CauseFirst && !e.doubted[address] &&
		!slices.ContainsFunc(v.in.view.Missing, func(m mesh.MissingPeer) bool { return !e.hasMet(m.Node) })
}

// addressesInUse returns the addresses that are asked about and for which hosts answer.
func (e *Engine) addressesInUse(v *roundView) UsedAddresses {
	return e.usesOf(v, maps.Keys(e.minority.queries))
}

// usesOf returns those of the given addresses for which hosts answer.
func (e *Engine) usesOf(v *roundView, addresses iter.Seq[netip.Addr]) (u UsedAddresses) {
	for address := range addresses {
		if use, is := v.in.segment.InUse[address]; is {
			u.First = append(u.First, AddressUse{Address: address, Interface: use.Link, Hardware: slices.Clone(use.Hardware[:]), Node: e.nodeOf(v, use.Hardware)})
		}
	}
	u.Count = len(u.First)
	slices.SortFunc(u.First, func(x, y AddressUse) int { return x.Address.Compare(y.Address) })
	u.First = slices.Clip(u.First[:min(len(u.First), maxUses)])
	return u
}

// nodeOf returns the node of a missing speaker that has a hardware address; empty: none is known.
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

// nextMinorityChange returns when a decision in a minority changes if nothing else happens before; zero:
// none does.
func (e *Engine) nextMinorityChange(now time.Time, in inbox) (next time.Time) {
	if !e.inMinority() {
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
		if until := at.Add(segment.ReachedFor); until.After(now) && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return next
}
