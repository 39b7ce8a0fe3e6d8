package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
)

// The checker compares the nodes that answer on the wire, in each part of each segment, with the promises
// (docs/design/speaker.md, "What the simulation checks"):
//
//   - no two hardware addresses that are both reached from one part of a segment answer for an address
//     for longer than twice;
//   - no address that a node could serve in a part of its segment is without an answer there for
//     longer than served.
//
// It runs each time that a node begins or stops answering, and every few milliseconds.

// look compares the answering nodes with the promises. The caller holds the lock.
func (w *world) look() {
	if w.over {
		return
	}
	w.steps++
	now := time.Now()
	for i := range w.want.Addresses {
		address := w.want.Addresses[i].Address
		var owners []lb.NodeName
		answering, able, served := map[int][]lb.NodeName{}, map[int]bool{}, false
		for _, name := range w.names {
			p := w.nodes[name].p
			if p == nil {
				continue
			}
			owner, covers := p.answers(address, now)
			side := w.lanOf(linkOf(address)).sides[name]
			if owner {
				owners = append(owners, name)
			}
			if owner || covers {
				served, w.had[address] = true, true
				answering[side] = append(answering[side], name)
			}
			if _, listed := able[side]; !listed || !able[side] {
				able[side] = w.able(name, address) && w.canServe(p, address)
			}
		}
		w.answering[address] = owners
		for side := range able {
			unserved := able[side] && len(answering[side]) == 0
			if linkOf(address) == "eth1" && served {
				unserved = false // see docs/design/speaker.md: not noticed while the mesh runs over another link
			}
			w.nobody(part{address, side}, now, unserved)
			w.several(part{address, side}, now, answering[side])
		}
		w.closeOthers(address, now, able)
	}
	maps.DeleteFunc(w.gaps, func(at part, _ *span) bool { return !w.isWanted(at.address) })
}

// closeOthers ends the spans of parts of a segment that no longer exist.
func (w *world) closeOthers(address netip.Addr, now time.Time, sides map[int]bool) {
	for at := range w.gaps {
		if _, is := sides[at.side]; at.address == address && !is {
			w.nobody(at, now, false)
		}
	}
	for at := range w.doubles {
		if _, is := sides[at.side]; at.address == address && !is {
			w.several(at, now, nil)
		}
	}
}

// canServe returns whether a process must be able to answer for an address: the process does not wait for
// others any more, has the wanted snapshot, and receives from most of the others, or from the
// gateway while the controller does not report that the process must give way.
func (w *world) canServe(p *process, address netip.Addr) bool {
	if !w.ready(p) || p.wanted != w.wanted || w.outdated() || w.isNotReceived(p) || w.isDeceived(p) {
		return false
	}
	if linkOf(address) == "eth1" {
		return w.isMost(p) || time.Now().After(p.partitioned)
	}
	return w.isMost(p) || !w.away[p.n.name] && time.Now().After(p.partitioned)
}

// ready returns whether a process no longer waits. A starting process waits for a snapshot, startWait for
// that of the checkpoint while the API server is away, and then as long for the states of all others. Until
// then it publishes nothing.
func (w *world) ready(p *process) bool {
	wait := time.Duration(0)
	if !w.firm || slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		return !w.receives(p, n) || w.noAPI[n] && time.Since(w.nodes[n].p.begun) < startWait+time.Second
	}) {
		wait = startWait
	}
	return !p.informed.IsZero() && time.Since(p.informed) > wait
}

// receives returns whether a process and the running process of a node receive from each other.
func (w *world) receives(p *process, from lb.NodeName) bool {
	q := w.nodes[from].p
	return q == p || q != nil && !q.dead && !time.Now().Before(w.rekeyed) && q.frozen.Load() == nil && !w.blocked(from, p.n.name) && !w.blocked(p.n.name, from)
}

// isSilent returns whether a process receives from the process of a node that the latter announces nothing.
func (w *world) isSilent(p *process, from lb.NodeName) bool {
	q := w.nodes[from].p
	return q != nil && !q.dead && (q.latest.Isolated || q.silentHere) && !w.blocked(from, p.n.name)
}

// isNotReceived returns whether, in the view of a process, half or more of the running others receive
// nothing from it, so that it announces nothing. Others that announce nothing do not count, nor do those that stand still.
func (w *world) isNotReceived(p *process) bool {
	with, without := 1, 0
	for _, name := range w.names {
		q := w.nodes[name].p
		switch {
		case q == p || q == nil || q.dead || q.frozen.Load() != nil || w.isSilent(p, name) || w.blocked(name, p.n.name):
		case w.blocked(p.n.name, name):
			without++
		default:
			with++
		}
	}
	return without >= with
}

// isDeceived returns whether greetings show a process, falsely, that a process which does not run receives nothing
// from it: the last ones that it sent, or recorded ones that the process has not read before, since they came under a key that
// it did not have yet, or while it was frozen and its socket was full. The world tracks what was read: see noteRead.
func (w *world) isDeceived(p *process) bool {
	return slices.ContainsFunc(p.unreached, func(n lb.NodeName) bool {
		q := w.nodes[n].p
		return (q == nil || q.dead || q.frozen.Load() != nil) && time.Since(p.greeted[n]) < greetingsCount
	})
}

// isMost returns whether a process receives from most of the others.
func (w *world) isMost(p *process) bool {
	n := 0
	for _, name := range w.names {
		if w.receives(p, name) {
			n++
		}
	}
	return 2*n > len(w.names)
}

// anyStarts returns whether a process may still wait, or has just waited, for others. No other node has the
// addresses that this process takes up afterwards.
func (w *world) anyStarts() bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && time.Since(p.begun) < 2*startWait+secondServed
	})
}

// outdated returns whether a speaker is frozen whose latest report has not reached the API server. The
// controller uses the report before until the kubelet has reported that
// the speaker does not answer, and the others have read the result.
func (w *world) outdated() bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.frozen.Load() != nil && !slices.Equal(w.states[n].Missing, p.latest.Missing) && !w.isUnready(n, unreadyFor+readInterval+secondServed)
	})
}

// isSilencedByStill returns whether the controller reports a process to be cut from a larger group, and a speaker that stands
// still lists the process as missing. The list counts until the kubelet has reported that the speaker does not answer, and the
// process has read the result.
func (w *world) isSilencedByStill(p *process) bool {
	return time.Now().Before(p.partitioned) && slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		q := w.nodes[n].p
		return q != nil && !q.dead && q.frozen.Load() != nil && slices.Contains(w.states[n].Missing, p.n.name) && !w.isUnready(n, unreadyFor+readInterval)
	})
}

// agreed returns whether all processes have the wanted snapshot, and have acted on it. The
// caller holds the lock.
func (w *world) agreed() bool {
	return time.Since(w.changed) > time.Second && !slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.wanted != w.wanted
	})
}

const (
	// handOver is how long no node may answer when a restarted node takes back addresses that
	// others answered for: until its announcement arrives after its state.
	handOver = 20 * time.Millisecond
	// watchingAll is up to how many speakers each watches all others. In a larger cluster each watches
	// watchedByEach others.
	watchingAll   = 25
	watchedByEach = 8
	// sampled bounds the delay until the checker sees that parts of a segment have become one, that a report of the
	// controller has stopped counting, or that a drain has ended.
	sampled = 50 * time.Millisecond
	// secondServed is how soon survivors serve with ProfileDefault.
	secondServed = time.Second
	// askedFor is how long a speaker in a minority takes to ask the segment, and to announce then.
	askedFor = 500 * time.Millisecond
	// passedOver is how long an elected node may stay inactive, since it does not have the
	// wanted snapshot: claimTimeout of the engine.
	passedOver = 2 * time.Second
	// reportsCount is how long a speaker must be in a minority before a report of the controller about
	// it counts: partitionDelay of the engine.
	reportsCount = 1200 * time.Millisecond
	// askedAnew is how much longer it takes where several nodes are left, and none is in the majority. The
	// election depends on the loads, which change as addresses are taken. A newly elected node probes anew.
	askedAnew = 800 * time.Millisecond
	// greetingsCount is how long the greetings of a speaker count at most: 5/2 of the longest pause
	// between two of them, maxGreetGap of internal/mesh.
	greetingsCount = 6250 * time.Millisecond
	// restartFor is how long restarting speakers are covered for.
	restartFor = 30 * time.Second
)

// served bounds the time without an answer for an address that a node could answer for, after the last
// fault.
func (w *world) served(at part) time.Duration {
	bound := max(secondServed, w.timing.Timeout+2*w.timing.Interval+askedFor)
	if w.mayDisagree() {
		bound = max(bound, 2*w.timing.Timeout+w.timing.Interval+askedFor)
	}
	l := w.lanOf(linkOf(at.address))
	if l == w.second {
		bound += askEvery
	}
	if !slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return l.sides[n] == at.side && p != nil && !p.dead && p.frozen.Load() == nil && w.isMost(p)
	}) {
		bound += askedAnew
	}
	if len(w.names) > watchingAll && w.parted() {
		// Each speaker watches some others, and finds the rest dead in rounds.
		rounds := (w.lostTo(at.side, l) + watchedByEach - 1) / watchedByEach
		bound += time.Duration(max(2, rounds+1)) * w.timing.Timeout
	}
	bound += time.Duration(w.uninformed()) * passedOver
	if w.uninformed() > 0 && w.isRestartingOwner(at.address) {
		bound = max(bound, restartFor) // the node that is to cover may not have the address
	}
	if w.startsWithoutAPI(at.side, l) || !w.agreed() && w.uninformed() == 0 {
		bound += passedOver
	}
	return bound + time.Duration(w.giveWayUnseen(at.side, l))*passedOver
}

// lostTo returns how many nodes no process in a part of a segment receives from.
func (w *world) lostTo(side int, l *lan) (lost int) {
	for _, name := range w.names {
		if !slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
			p := w.nodes[n].p
			return l.sides[n] == side && p != nil && !p.dead && w.receives(p, name)
		}) {
			lost++
		}
	}
	return lost
}

// mayDisagree returns whether a watcher of a dead speaker may neither suspect nor refute it, so that the suspicion of another
// watcher has to last for a second timeout.
func (w *world) mayDisagree() bool {
	return !w.firm || w.parted() || w.anyStarts() || slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.frozen.Load() != nil
	})
}

// uninformed returns how many speakers do not have the wanted snapshot. Each of them is elected for new addresses, and
// passed over.
func (w *world) uninformed() (n int) {
	for _, name := range w.names {
		if p := w.nodes[name].p; p != nil && !p.dead && p.wanted != w.wanted {
			n++
		}
	}
	return n
}

// isRestartingOwner returns whether the speaker of a node has ended that had an address, and the node runs.
func (w *world) isRestartingOwner(address netip.Addr) bool {
	return slices.ContainsFunc(w.names, func(name lb.NodeName) bool {
		n := w.nodes[name]
		_, had := n.kept.Claims[address]
		return had && n.kernel && (n.p == nil || n.p.dead)
	})
}

// startsWithoutAPI returns whether a speaker in a part of a segment starts without the API server. An address
// without an owner may be elected to this speaker, and waits until the speaker is passed over.
func (w *world) startsWithoutAPI(side int, l *lan) bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return w.noAPI[n] && p != nil && !p.dead && l.sides[n] == side && !w.ready(p) && time.Since(p.begun) <= 2*startWait
	})
}

// giveWayUnseen returns how many speakers in a part of a segment have read that they are cut from a larger group, if
// another speaker there does not reach the API server: that speaker does not have their reports, and passes over one after
// the other.
func (w *world) giveWayUnseen(side int, l *lan) (give int) {
	noAPI := false
	for _, n := range w.names {
		if p := w.nodes[n].p; p != nil && !p.dead && l.sides[n] == side {
			noAPI = noAPI || w.noAPI[n]
			if time.Now().Before(p.partitioned) {
				give++
			}
		}
	}
	if !noAPI {
		return 0
	}
	return give
}

// twice bounds how long two nodes of a segment may answer: a detection time, and an interval longer
// where the two do not begin to miss each other at once; or until a node
// that does not receive from the other has received its second announcement, if that takes
// longer (see yieldToRivals).
func (w *world) twice() time.Duration {
	return max(w.timing.Timeout+w.timing.Interval, settleTime+rivalTime) + 2*mostDelay
}

// separatedFor bounds how long two separated nodes may answer: until both have reported
// the nodes that they miss, and the node that must give way has read the result.
func (w *world) separatedFor() time.Duration {
	return w.timing.Timeout + w.timing.Interval + reportsCount + readInterval + 2*mostDelay
}

func (w *world) nobody(at part, now time.Time, is bool) {
	gap := w.gaps[at]
	switch {
	case is && gap == nil:
		w.gaps[at] = &span{address: at.address, start: now, calm: now.Sub(w.fault) > calm && !w.parted() && w.firm && !w.anyStarts() && w.had[at.address] && !w.reportEnds(at) && !w.drainEnds(at)}
	case !is && gap != nil:
		gap.end = now
		if gap.calm && gap.length() > handOver {
			w.fail("no node answered for %s for %s, and there was no fault", at.address, gap.length())
		}
		w.pastGaps = append(w.pastGaps, *gap)
		delete(w.gaps, at)
	case is:
		// A speaker may wait for what was so when its wait began.
		gap.bound = max(gap.bound, w.served(at))
		if now.Sub(gap.start) > gap.bound && now.Sub(w.fault) > gap.bound {
			w.fail("no node answers for %s in part %d of its segment since %s", at.address, at.side, gap.start.Sub(w.start))
			gap.start = now
		}
	}
}

// reportEnds returns whether a report of the controller has just stopped counting at a node that then may have an
// address: nothing has failed, and the node takes the address as after a failure.
func (w *world) reportEnds(at part) bool {
	l := w.lanOf(linkOf(at.address))
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		if l.sides[n] != at.side || !w.able(n, at.address) {
			return false
		}
		ended := time.Since(w.nodes[n].p.partitioned)
		return ended >= 0 && ended <= sampled
	})
}

// drainEnds returns whether the drain of a node in a minority has just ended. While it lasted, no other node could have
// the address. Nothing has failed, and the node takes the address once the segment was asked.
func (w *world) drainEnds(at part) bool {
	l := w.lanOf(linkOf(at.address))
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		return l.sides[n] == at.side && w.able(n, at.address) && !w.isMost(w.nodes[n].p) && time.Since(w.nodes[n].p.undrained) <= sampled
	})
}

func (w *world) several(at part, now time.Time, answering []lb.NodeName) {
	double := w.doubles[at]
	with := map[segment.Hardware]bool{}
	for _, n := range answering {
		with[w.nodes[n].p.answersWith(at.address)] = true
	}
	is := len(with) > 1
	switch {
	case is && double == nil:
		w.doubles[at] = &span{address: at.address, start: now, who: answering}
	case !is && double != nil:
		double.end = now
		w.pastTwice = append(w.pastTwice, *double)
		delete(w.doubles, at)
	case is:
		since, bound := double.start, w.twice()
		if since.Before(w.healed.Add(sampled)) {
			// Both sides had the address. They receive from each other again once a greeting, one a second, was answered.
			since, bound = w.healed, time.Second
		}
		if len(w.names) > watchingAll && (time.Now().Before(w.rekeyed) || len(w.walls) > 0) {
			// A node with the new key, or on the smaller side of a wall, watches eight others, and confirms the rest
			// dead in several rounds.
			bound = max(bound, 4*w.timing.Timeout)
		}
		if time.Now().Before(w.rekeyed) {
			// Another watcher that has got the new key meanwhile can neither suspect nor refute.
			bound = max(bound, 2*w.timing.Timeout+w.timing.Interval+2*mostDelay)
		}
		if w.oneWay() {
			// The answers to probes are lost, and one of the two receives no announcements. The addresses that
			// this node takes are given up when it has found that the other receives nothing from it.
			bound = max(bound, time.Second+w.timing.Timeout)
		}
		if !w.firm {
			// A node that was falsely confirmed dead is greeted, and the greetings are lost as well. Late
			// messages make a speaker look alive for as long.
			lost := 3 * w.timing.Interval
			if w.oneWay() {
				lost = time.Second // greetings that show that the other node receives nothing are lost as well
			}
			bound = max(bound+lost, time.Second)
		}
		if len(w.walls) > 0 {
			bound += w.timing.Interval // a speaker updates once per heartbeat whether others receive from it
		}
		stranger, noAPI := w.isStranger(at.address, answering), slices.ContainsFunc(w.names, func(n lb.NodeName) bool { return w.noAPI[n] })
		if stranger && noAPI {
			double.excused = now
		}
		if since.Before(double.excused) {
			since = double.excused
		}
		if w.separated || stranger {
			bound = max(bound, w.separatedFor())
			if w.anyStarts() {
				bound += startWait // of a speaker that starts the controller has no report until it has waited for others
			}
			for _, at := range []time.Time{w.attached, w.fault} { // each failure changes the reports that decide
				if since.Before(at) {
					since = at
				}
			}
		}
		if w.parted() && slices.ContainsFunc(answering, func(n lb.NodeName) bool { return w.nodes[n].p.coversFor(at.address) }) {
			// A node that covers for a node which restarts, and never announces, does not receive that
			// another node has the address.
			bound, double.covered = restartFor, now
		} else if since.Before(double.covered) {
			since = double.covered
		}
		// Without the API server separated nodes go on: docs/announcing.md. An earlier report of one of them
		// can make its group look smaller than it is.
		goOn := w.separated && (noAPI || w.findsOthersDown(at.address, answering))
		if now.Sub(since) > bound && !goOn && !w.strangers(answering) {
			w.fail("%v answer for %s since %s", answering, at.address, double.start.Sub(w.start))
			double.start = now
		}
	}
}

// findsOthersDown returns whether one of these nodes goes on that the controller reports to be cut from a larger group. The
// nodes of all speakers that it misses, another one of these among them, have answered on the segment since it missed
// them: as far as the segment shows, a node that is silent later is down.
func (w *world) findsOthersDown(address netip.Addr, answering []lb.NodeName) bool {
	return linkOf(address) == w.lan.name && slices.ContainsFunc(answering, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return time.Now().Before(p.partitioned) && slices.ContainsFunc(answering, func(o lb.NodeName) bool { return p.shared[o] }) &&
			!slices.ContainsFunc(p.latest.Missing, func(m lb.NodeName) bool { return !p.shared[m] && !w.want.Down[m] })
	})
}

// isStranger returns whether one of these nodes is in a minority, and the other one is a foreign host to it: the address is
// on the segment without a gateway, the addresses of the nodes are not, and the speakers have never received from each
// other, so that the hardware address of the other one there is not known. The two are as if cut from each other on that
// segment: the controller decides.
func (w *world) isStranger(address netip.Addr, answering []lb.NodeName) bool {
	return linkOf(address) == w.second.name && slices.ContainsFunc(answering, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return !w.isMost(p) && slices.ContainsFunc(answering, func(o lb.NodeName) bool { return o != n && !p.knows[o] })
	})
}

// strangers returns whether frames go in one direction only between two of these nodes, and the process that receives
// has had no session with the other one, since one of the two has started meanwhile, or stood still: it cannot distinguish
// greetings of the other one from recorded ones, and its own announcements and questions do not arrive.
func (w *world) strangers(answering []lb.NodeName) bool {
	for way := range w.cuts {
		receiver, sender := w.nodes[way[0]].p, w.nodes[way[1]].p
		if slices.Contains(answering, way[0]) && slices.Contains(answering, way[1]) && !w.cuts[[2]lb.NodeName{way[1], way[0]}] && receiver.met[way[1]] != sender {
			return true
		}
	}
	return false
}

// oneWay returns whether frames go from one node to another and not back. The caller holds
// the lock.
func (w *world) oneWay() bool {
	for way := range w.cuts {
		if !w.cuts[[2]lb.NodeName{way[1], way[0]}] {
			return true
		}
	}
	return false
}
