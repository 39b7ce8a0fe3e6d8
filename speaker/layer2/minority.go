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

// A speaker that receives from no more than half of the speakers that should be there is
// in a minority: those that it misses are down, or announce its addresses on the other
// side of a cut. The mesh cannot say which; the segment can. In a minority a speaker
//
//   - announces only on links that it receives anything from: a host has answered, or has
//     asked for one of its addresses; nothing without one (Isolated), unless the API server calls the nodes NotReady of all that it misses;
//   - takes an address that no speaker in its view has only when no host answers for it;
//   - gives an address up when another node, that it receives nothing from, announces it
//     and goes on when this one has announced it again;
//   - while the controller reports that a larger group of speakers runs which it is cut from,
//     has no address that a speaker may announce which it misses, unless the node of that
//     speaker answers on the segment: what it announces is received then.
//
// A speaker in the majority does none of this: it acts at once. Only while it misses a speaker that
// it has never received from, it asks the segment about what no speaker ever had, as far as it
// knows, and about what the node of such a speaker announces as well: see standoff.

const (
	// reachWithin is how long a speaker that comes into a minority waits for the first
	// answer on a link. It keeps what it has meanwhile, and takes nothing.
	reachWithin = 300 * time.Millisecond
	// rivalWithin is how long ago another node must have announced an address for its next
	// announcement to count as the second.
	rivalWithin = 5 * time.Second
	// rivalInsists is how long after the first announcement of another node a second one
	// counts: it has received by then that this node announces the address too.
	rivalInsists = 100 * time.Millisecond
	// partitionedFor is how long a report of the controller counts that the speaker is cut from
	// a larger group. An API server that restarts is back by then; one that stays away leaves
	// the last node that is left without its addresses no longer than that.
	partitionedFor = 30 * time.Second
	// maxRivals is how many announcements wait for one round.
	maxRivals = 4096
	// partitionedAfter is how long a speaker must have been in a minority when it reads such a
	// report: speakers that are cut off from the segment have reported by then that they are
	// Isolated, and do not count as a larger group.
	partitionedAfter = 1200 * time.Millisecond
	// kernelAfter is how long the node of a speaker that is received from must have answered for an
	// address that the speaker does not have, for its kernel to be what answers.
	kernelAfter = 2 * time.Second
)

// minority is what a speaker does that is in one. The goroutine of Run owns it.
type minority struct {
	since   time.Time                // when it came into one; zero: it is in none
	latest  time.Time                // when it did last: later than since if it was over meanwhile
	over    time.Time                // since when it has been in the majority again; zero: it is not
	queries map[netip.Addr]query     // what it wants to take, or to announce on more links
	found   map[netip.Addr]struct{}  // what it takes in this round since no host answered
	asked   *Questions               // what the announcer was asked last; nil: nothing
	yields  map[netip.Addr]struct{}  // what is given up in this round
	yielded map[netip.Addr]time.Time // when addresses were given up
	// partitioned: it was cut from a larger group in the round before.
	partitioned bool
	// shared are nodes whose speakers it misses, and that have answered on segments.
	shared map[sharedSegment]struct{}
}

// query is what the segments are asked about an address.
type query struct {
	links []string
	// since when, about these links.
	since time.Time
}

// sharedSegment is one that another node has answered on.
type sharedSegment struct {
	node lb.NodeName
	link string
}

// partition is a report of the controller that a speaker is cut from a larger group.
type partition struct {
	since time.Time // of the minority that it is about, in full seconds
	until time.Time // when it does not count any more
}

// rival is an announcement, by another host, of an address that this node announces.
type rival struct {
	address       netip.Addr
	hardware, own net.HardwareAddr
	at            time.Time
}

// rivalry is what other nodes have announced of one address that this node announces.
type rivalry struct {
	// first is when one did first, or when this node took the address: see noteFirst.
	first  time.Time
	latest rival
	open   bool // the latest one was not decided about
}

// SetSegment sets what the hosts of this node's links have answered.
func (e *Engine) SetSegment(r segment.Results) { e.tell(func(in *inbox) { in.segment = r }) }

// SetPartitioned takes that the controller reported just now that this speaker, which is in a
// minority since a time, is cut from a larger group of speakers that run; a zero time: that it
// is not. What is reported about an earlier minority does not count.
func (e *Engine) SetPartitioned(since time.Time) {
	e.tell(func(in *inbox) { in.partition = partition{since, e.Now().Add(partitionedFor)} })
}

// AddRival adds that another host, with a hardware address, announced an address on a link
// of this node that has the own one. Hosts that are no nodes count only as far as they may be
// nodes after all.
func (e *Engine) AddRival(address netip.Addr, hardware, own net.HardwareAddr) {
	e.tell(func(in *inbox) {
		if len(in.rivals) < maxRivals {
			in.rivals = append(in.rivals, rival{address, hardware, own, e.Now()})
		}
	})
}

// majority returns whether this speaker receives from more than half of the speakers that
// should be there, itself included. One that restarts is left out until its new process is there, as in an
// update of one node at a time; more count, since they may be back in a mesh that this speaker is not in (another
// port, other keys). Those on nodes that the API server calls NotReady count: such a node may be
// cut from the API server alone.
func majority(v mesh.View) bool {
	here, all, restarting := 1, 1+len(v.Missing), 0
	for i := range v.Peers {
		if !runs(&v.Peers[i]) {
			if restarting++; restarting > 1 {
				all++
			}
			continue
		}
		if all++; !v.Peers[i].Late {
			here++
		}
	}
	return 2*here > all
}

// runs returns whether the node of a peer has a process: one that restarts has none until the next one starts.
func runs(p *mesh.Peer) bool { return p.State.Phase != ownership.Restarting || p.Starting }

// alone returns whether the API server calls all nodes NotReady whose speakers are missed, and
// none of those sends to this one, nor is any other late: that a link is silent is no sign then
// that this node is cut off.
func alone(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.Missing) bool { return !down[m.Node] || slices.Contains(v.Unreached, m.Node) }) &&
		!slices.ContainsFunc(v.Peers, func(p mesh.Peer) bool { return p.Late })
}

// unheard returns whether of the speakers that are alive, as far as this one can tell, half or
// more receive nothing from it: they take what it has, and do not learn that it answers too.
// Those that are missing and ask for nothing do not count: they may be dead.
func unheard(v mesh.View) bool {
	with := 1
	for i := range v.Peers {
		if !slices.Contains(v.Unreached, v.Peers[i].Node) && runs(&v.Peers[i]) {
			with++
		}
	}
	return len(v.Unreached) >= with
}

// weigh notes whether this speaker is in a minority, and has the segments asked then. One
// that is in the majority again waits for those that it still misses, as one that starts
// does: what they have looks as if no speaker had it.
func (e *Engine) weigh(now time.Time, in inbox) {
	switch is, all := majority(*in.view), len(in.view.Missing) == 0; {
	case !is && e.minority.since.IsZero():
		e.minority.since, e.minority.latest = now, now
		e.minority.yielded, e.minority.shared = map[netip.Addr]time.Time{}, map[sharedSegment]struct{}{}
		e.ask(e.questions(now, in))
		// A node that announces one of them as well, and cannot talk to this one, answers.
		if own := slices.SortedFunc(maps.Keys(e.claims), netip.Addr.Compare); len(own) > 0 {
			e.Announcer.Repeat(own...)
		}
	case !is && !e.minority.over.IsZero():
		// What the segment answered before is about another cut.
		e.minority.over, e.minority.latest, e.minority.shared = time.Time{}, now, map[sharedSegment]struct{}{}
	case !is:
	case e.minority.since.IsZero():
	case e.minority.over.IsZero() && !all:
		e.minority.over = now
	case all || now.Sub(e.minority.over) >= patience:
		e.minority = minority{asked: e.minority.asked}
		e.ask(nil)
	}
}

// ask has the announcer ask; nil: nothing.
func (e *Engine) ask(q *Questions) {
	if !reflect.DeepEqual(q, e.minority.asked) {
		e.minority.asked = q
		e.Announcer.Ask(q)
	}
}

// inMinority returns whether this speaker is in a minority.
func (e *Engine) inMinority() bool { return !e.minority.since.IsZero() }

// isMinority returns whether it is in one, and not merely careful after one.
func (e *Engine) isMinority() bool { return e.inMinority() && e.minority.over.IsZero() }

// waits returns whether the first answer on a link may still come.
func (e *Engine) waits(now time.Time) bool { return now.Sub(e.minority.since) < reachWithin }

// reached returns the links that this speaker may announce on: in a minority those that it
// receives from, or all while it is alone.
func (e *Engine) reached(now time.Time, in inbox) []Link {
	if e.inMinority() && unheard(*in.view) {
		return nil
	}
	silent := e.silent(now, in)
	return slices.DeleteFunc(in.able(), func(l Link) bool { return slices.Contains(silent, l.Name) })
}

// silent returns the names, ordered, of links that nothing is announced on in a minority, since
// no host answers there.
func (e *Engine) silent(now time.Time, in inbox) (links []string) {
	if !e.isMinority() || e.waits(now) || alone(*in.view, in.want.Down) {
		return nil
	}
	for _, l := range in.able() {
		if now.Sub(in.segment.Reached[l.Name]) >= segment.ReachedFor {
			links = append(links, l.Name)
		}
	}
	slices.Sort(links)
	return links
}

// awaited returns the addresses, ordered, that this node would announce on silent links: a host
// that asks for one of them shows that the node receives from the segment.
func (e *Engine) awaited(now time.Time, in inbox) (list []netip.Addr) {
	silent := e.silent(now, in)
	if len(silent) == 0 || e.subnets == nil {
		return nil
	}
	links := slices.DeleteFunc(told(in.able()), func(l wire.Link) bool { return !slices.Contains(silent, l.Name) })
	for _, a := range e.book.All() {
		own := slices.IndexFunc(a.Candidates, func(c Candidate) bool { return c.Node == e.Self })
		if own >= 0 && len(interfaces(links, &a.Candidates[own], a.Address, e.subnets.near(a.Address))) > 0 {
			list = append(list, a.Address)
		}
	}
	return list
}

// isolated returns whether this speaker receives from too few others, and from no link that it
// would announce an address on.
func (e *Engine) isolated(now time.Time, in inbox) bool {
	if !e.inMinority() || unheard(*in.view) {
		return e.inMinority()
	}
	return e.isMinority() && !e.waits(now) && !alone(*in.view, in.want.Down) && !e.reachesClients(now, in)
}

// reachesClients returns whether this node receives from a link that it announces addresses on:
// the answers of its own pods, or of hosts of another network, do not show that others receive
// what it announces. A node that no address is announced on reaches some while it
// receives from any link that one may be.
func (e *Engine) reachesClients(now time.Time, in inbox) bool {
	reached, serves := e.reached(now, in), false
	if len(reached) == 0 {
		return false
	}
	if e.subnets != nil {
		links := told(in.able())
		for _, a := range e.book.All() {
			own := slices.IndexFunc(a.Candidates, func(c Candidate) bool { return c.Node == e.Self })
			if own < 0 {
				continue
			}
			on := interfaces(links, &a.Candidates[own], a.Address, e.subnets.near(a.Address))
			if slices.ContainsFunc(reached, func(l Link) bool { return slices.Contains(on, l.Name) }) {
				return true
			}
			serves = serves || len(on) > 0
		}
	}
	return !serves && slices.ContainsFunc(reached, func(l Link) bool { return announces(l, in.want.Interfaces) })
}

// noteRivals notes who else announces what this node does. It does so in the majority as
// well: a node that cannot talk to this one any more may announce an address before this one
// has found out.
func (e *Engine) noteRivals(v *view) {
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
		return !claims || v.now.Sub(r.first) >= rivalWithin && v.now.Sub(r.latest.at) >= rivalWithin
	})
}

// faceRivals decides which addresses are given up to nodes that announce them. The caller
// has the book look at them.
func (e *Engine) faceRivals(v *view) {
	e.minority.yields = map[netip.Addr]struct{}{}
	e.noteRivals(v)
	if !e.inMinority() {
		e.insist(v)
		return
	}
	maps.DeleteFunc(e.minority.yielded, func(_ netip.Addr, at time.Time) bool { return v.now.Sub(at) >= rivalWithin })
	for address, r := range e.rivals {
		if !r.open || v.isPeer(r.latest.hardware) {
			continue
		}
		r.open = false
		e.rivals[address] = r
		switch insists := r.latest.at.Sub(r.first) >= rivalInsists; {
		case insists, bytes.Compare(r.latest.hardware, r.latest.own) < 0:
			e.minority.yields[address] = struct{}{}
			e.minority.yielded[address] = v.now
			e.book.Look(address)
			e.Log.Info("another node that this one receives nothing from announces the address too: it keeps it", "address", address, "its", r.latest.hardware.String())
		case r.first.Equal(r.latest.at):
			e.Announcer.Repeat(address)
		}
	}
}

// cutOff returns whether the controller reports that this speaker is cut from a larger group of
// speakers, and the report counts.
func (e *Engine) cutOff(now time.Time, in inbox) bool {
	return e.isMinority() && now.Before(in.partition.until) && in.partition.since.Equal(second(e.minority.since)) &&
		in.partition.until.Sub(e.minority.latest) >= partitionedAfter+partitionedFor
}

// noteShared notes which nodes whose speakers are missed have answered on which segments since
// this speaker is in a minority. They need not answer for ever: nodes that are silent later are
// down, as far as the segment can tell.
func (e *Engine) noteShared(v *view) {
	if !e.isMinority() {
		return
	}
	for host, at := range v.in.segment.Hosts {
		if !at.After(e.minority.latest) {
			continue
		}
		for _, m := range v.in.view.Missing {
			if v.learned[m.Node] == host.Hardware || hasHardware(e.links[m.Node].links, host.Hardware[:]) {
				e.minority.shared[sharedSegment{m.Node, host.Link}] = struct{}{}
			}
		}
	}
}

// shares returns whether the segment of a link connects this node with another one, as it has
// answered there. One that has no link in the same subnets counts there when it has answered on
// another link.
func (e *Engine) shares(node lb.NodeName, link *wire.Link) bool {
	if _, answered := e.minority.shared[sharedSegment{node, link.Name}]; answered {
		return true
	}
	if _, same := counterpart(link, e.links[node].links); same || !e.met(node) {
		return false
	}
	for s := range e.minority.shared {
		if s.node == node {
			return true
		}
	}
	return false
}

// cutFrom returns whether a node has a speaker that is missed, and that cannot be asked on the
// segments of some of these links either.
func (e *Engine) cutFrom(v *view, node lb.NodeName, links []string) bool {
	return v.misses(node) && !v.in.want.Down[node] && slices.ContainsFunc(v.links, func(l wire.Link) bool {
		return slices.Contains(links, l.Name) && !e.shares(node, &l)
	})
}

// second returns a time as the API has it.
func second(t time.Time) time.Time { return t.Truncate(time.Second) }

// leavePartition has the book look at what this speaker has, and may be announced by one that
// it is cut from.
func (e *Engine) leavePartition(v *view) {
	e.noteShared(v)
	before := e.minority.partitioned
	var all []string
	for _, l := range v.links {
		all = append(all, l.Name)
	}
	v.partitioned = e.cutOff(v.now, v.in) && slices.ContainsFunc(v.in.view.Missing, func(m mesh.Missing) bool { return e.cutFrom(v, m.Node, all) })
	if e.minority.partitioned = v.partitioned; !v.partitioned {
		return
	}
	if !before {
		e.Log.Info("a larger group of speakers runs that this one receives nothing from: it gives up what they may announce")
	}
	for address := range e.claims {
		e.book.Look(address)
	}
}

// othersMay returns whether a speaker may announce an address that this one is cut from.
func (e *Engine) othersMay(v *view, address netip.Addr) bool {
	candidates, _ := v.book.Wants(address)
	on := e.interfaces(v, address)
	return slices.ContainsFunc(candidates, func(c ownership.Candidate) bool { return e.cutFrom(v, c.Node, on) })
}

// misses returns whether the speaker of a node should be there and does not live.
func (v *view) misses(node lb.NodeName) bool {
	_, is := slices.BinarySearchFunc(v.in.view.Missing, node, func(m mesh.Missing, n lb.NodeName) int { return strings.Compare(string(m.Node), string(n)) })
	return is
}

// askFirst takes out of a decision what no speaker in the view has and the segment is asked about
// first, and, in a minority, what is given up. It returns on which links nothing is announced yet of
// what this node has: they were silent, and are asked about first.
func (e *Engine) askFirst(v *view, d *decision) (withheld map[netip.Addr][]string) {
	before := e.minority.queries
	e.minority.queries, e.minority.found = map[netip.Addr]query{}, map[netip.Addr]struct{}{}
	defer e.noteFirst(v, d)
	if e.inMinority() || !v.stranger {
		clear(e.standoffs)
	}
	if !e.inMinority() && !v.stranger {
		return nil
	}
	for address := range d.Own {
		if _, yields := e.minority.yields[address]; yields || v.partitioned && e.othersMay(v, address) {
			delete(d.Own, address)
		}
	}
	withheld = map[netip.Addr][]string{}
	for address, claim := range d.Own {
		takes := e.asksAbout(v, claim.Cause)
		q := query{links: e.interfaces(v, address)}
		if !takes {
			had := e.served[address].Interfaces
			q.links = slices.DeleteFunc(q.links, func(l string) bool { return slices.Contains(had, l) })
		}
		switch b, asked := before[address]; {
		case asked && slices.Equal(b.links, q.links):
			q.since = b.since
		case asked || !takes:
			q.since = v.now // what was found before is about other links
		}
		switch {
		case !takes && (len(q.links) == 0 || claim.Cause != ownership.Kept || !e.isMinority()):
			continue
		case !e.waits(v.now) && e.free(v, address, q.since):
			e.minority.found[address] = struct{}{}
			continue
		case !e.waits(v.now) && takes && e.mayTake(v, address, claim.Cause):
			continue
		case takes:
			delete(d.Own, address)
		default:
			withheld[address] = q.links
		}
		e.minority.queries[address] = q
	}
	e.standOff(v, d, withheld)
	return withheld
}

// noteFirst notes what this node takes although no other one has given it up: a node that
// announces it a while later has it.
func (e *Engine) noteFirst(v *view, d *decision) {
	for address, claim := range d.Own {
		if claim.Cause == ownership.First || claim.Cause == ownership.Failure {
			e.rivals[address] = rivalry{first: v.now}
		}
	}
}

// free returns whether the segments were asked about an address lately, and on the links in
// question since a time, after it was given up, and no host answered.
func (e *Engine) free(v *view, address netip.Addr, since time.Time) bool {
	at, is := v.in.segment.Free[address]
	return is && v.now.Sub(at) < segment.FreshFor && at.After(since) && at.After(e.minority.yielded[address])
}

// asksAbout returns whether the segment is asked before an address is taken. In the majority it is
// while a speaker is missed that was never received from: what that one has looks as if no
// speaker ever had it.
func (e *Engine) asksAbout(v *view, cause ownership.Cause) bool {
	switch cause {
	case ownership.First:
		return e.inMinority() || v.stranger
	case ownership.Failure:
		return e.inMinority()
	}
	return false
}

// mayTake returns whether an address is taken although a host answers for it that is no node, such
// as a router that answers for every address. In the majority the announcer probes the address, and
// reports the host, and so it does with the kernel of a node whose speaker is received from. In a minority that is so where such hosts keep no address from being announced, and
// where it was in use, as in the majority. That it is in use by a node must not be possible then: all
// nodes have been received from.
func (e *Engine) mayTake(v *view, address netip.Addr, cause ownership.Cause) bool {
	use, is := v.in.segment.InUse[address]
	if !is {
		return false
	}
	if !e.inMinority() && v.isPeer(use.Hardware[:]) {
		return v.now.Sub(use.Since) >= kernelAfter // it is in no message of that speaker (decision 0033)
	}
	if !e.isForeign(v, use.Hardware[:]) {
		return false
	}
	return !e.inMinority() || v.in.want.Detection != Enforce || cause == ownership.Failure && !e.doubted[address] &&
		!slices.ContainsFunc(v.in.view.Missing, func(m mesh.Missing) bool { return !e.met(m.Node) })
}

// inUse returns what is not taken since hosts answer for it.
func (e *Engine) inUse(v *view) InUse {
	return e.uses(v, maps.Keys(e.minority.queries))
}

// uses returns which of some addresses hosts answer for.
func (e *Engine) uses(v *view, addresses iter.Seq[netip.Addr]) (u InUse) {
	for address := range addresses {
		if use, is := v.in.segment.InUse[address]; is {
			u.First = append(u.First, Use{Address: address, Interface: use.Link, Hardware: slices.Clone(use.Hardware[:]), Node: e.nodeOf(v, use.Hardware)})
		}
	}
	u.Count = len(u.First)
	slices.SortFunc(u.First, func(x, y Use) int { return x.Address.Compare(y.Address) })
	u.First = slices.Clip(u.First[:min(len(u.First), maxUses)])
	return u
}

// nodeOf returns the node with a hardware address whose speaker is missed; empty: none is known.
func (e *Engine) nodeOf(v *view, hardware segment.Hardware) lb.NodeName {
	for _, m := range v.in.view.Missing {
		if v.learned[m.Node] == hardware || hasHardware(e.links[m.Node].links, hardware[:]) {
			return m.Node
		}
	}
	return ""
}

// questions are what the segments are asked.
func (e *Engine) questions(now time.Time, in inbox) *Questions {
	q := &Questions{Addresses: map[netip.Addr][]string{}, Nodes: e.unmet(in), Awaited: e.awaited(now, in)}
	for address, query := range e.minority.queries {
		q.Addresses[address] = query.links
	}
	return q
}

// nextInMinority returns when time alone changes a decision because of what the segment
// answered; zero: it does not.
func (e *Engine) nextInMinority(now time.Time, in inbox) (next time.Time) {
	if !e.inMinority() {
		return time.Time{}
	}
	if e.waits(now) {
		return e.minority.since.Add(reachWithin)
	}
	if !e.minority.over.IsZero() {
		next = e.minority.over.Add(patience)
	}
	if e.cutOff(now, in) {
		next = in.partition.until
	}
	for _, at := range in.segment.Reached {
		if until := at.Add(segment.ReachedFor); until.After(now) && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return next
}
