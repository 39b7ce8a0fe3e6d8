package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
)

// The checker compares who answers on the wire, in each part of each segment, with what is promised
// (docs/design/speaker.md, "What the simulation checks"):
//
//   - no two hardware addresses that are both reached from one part of a segment answer for an address
//     for longer than twice;
//   - no address that a node could serve in a part of its segment is without an answer there for
//     longer than served.
//
// It looks each time that somebody begins or ends to answer, and every few milliseconds.

// look compares who answers with what is promised. The caller holds the lock.
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
			owner, carer := p.answers(address, now)
			side := w.lanOf(linkOf(address)).sides[name]
			if owner {
				owners = append(owners, name)
			}
			if owner || carer {
				served = true
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

// closeOthers ends what lasts about parts of a segment that are no more.
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

// canServe returns whether a process may be expected to answer for an address: it does not wait for
// others any more, knows what the cluster wants, and receives from most of the others, or from the
// gateway while the controller does not report that it is to give way.
func (w *world) canServe(p *process, address netip.Addr) bool {
	if !w.ready(p) || p.wanted != w.wanted || w.outdated() || w.isUnheard(p) || w.isDeceived(p) {
		return false
	}
	if linkOf(address) == "eth1" {
		return w.isMost(p) || time.Now().After(p.partitioned)
	}
	return w.isMost(p) || !w.away[p.n.name] && time.Now().After(p.partitioned)
}

// ready returns whether a process has done waiting: one that starts waits for the states of all that
// should be there for startWait, and for what the cluster wants as long again while the API server is
// away, when it publishes nothing yet either.
func (w *world) ready(p *process) bool {
	wait := time.Duration(0)
	if w.deaf[p.n.name] {
		wait = startWait
	}
	if !w.firm || slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		return !w.receives(p, n) || w.deaf[n] && time.Since(w.nodes[n].p.begun) < startWait+time.Second
	}) {
		wait += startWait
	}
	return time.Since(p.begun) > wait
}

// receives returns whether a process and the one of a node, which runs, receive from each other.
func (w *world) receives(p *process, from lb.NodeName) bool {
	q := w.nodes[from].p
	return q == p || q != nil && !q.dead && !time.Now().Before(w.rekeyed) && q.frozen.Load() == nil && !w.blocked(from, p.n.name) && !w.blocked(p.n.name, from)
}

// isSilent returns whether a process is sent by the one of a node that it is silent.
func (w *world) isSilent(p *process, from lb.NodeName) bool {
	q := w.nodes[from].p
	return q != nil && !q.dead && (q.latest.Isolated || q.silentHere) && !w.blocked(from, p.n.name)
}

// isUnheard returns whether half or more of the others that run, as far as a process can tell, receive
// nothing from it: it is silent. Those that are silent themselves do not count.
func (w *world) isUnheard(p *process) bool {
	with, without := 1, 0
	for _, name := range w.names {
		q := w.nodes[name].p
		switch {
		case q == p || q == nil || q.dead || w.isSilent(p, name) || w.blocked(name, p.n.name):
		case w.blocked(p.n.name, name):
			without++
		default:
			with++
		}
	}
	return without >= with
}

// isDeceived returns whether recorded greetings make a process believe that one which does not run receives nothing from
// it. They are greetings that it has not read: they came under a key that it did not have yet, or while it stood still and
// its socket was full.
func (w *world) isDeceived(p *process) bool {
	return slices.ContainsFunc(p.unreached, func(n lb.NodeName) bool {
		q := w.nodes[n].p
		return q == nil || q.dead || q.frozen.Load() != nil
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

// anyStarts returns whether a process may still wait, or has just waited, for others: what it then takes
// up nobody else has.
func (w *world) anyStarts() bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && time.Since(p.begun) < 2*startWait+secondServed
	})
}

// outdated returns whether a speaker stands still whose latest report has not reached the API
// server: the controller takes the one before for the truth, until it has learned from the kubelet that
// the speaker does not answer, and the others have read what follows.
func (w *world) outdated() bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.frozen.Load() != nil && !slices.Equal(w.states[n].Missing, p.latest.Missing) && !w.isUnready(n, unreadyFor+readInterval+secondServed)
	})
}

// agreed returns whether all processes know what the cluster wants, and have acted on it. The
// caller holds the lock.
func (w *world) agreed() bool {
	return time.Since(w.changed) > time.Second && !slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.wanted != w.wanted
	})
}

const (
	// handOver is for how long nobody may answer when a node that was restarted takes back what
	// others answered for: until its announcement has come after its state.
	handOver = 20 * time.Millisecond
	// watchingAll is up to how many speakers each watches all others.
	watchingAll = 25
	// sampled is how late it is seen at most that parts of a segment have become one.
	sampled = 50 * time.Millisecond
	// secondServed is how soon survivors serve with Default.
	secondServed = time.Second
	// passedOver is how long an elected node has that does not act, as it does not know what the
	// cluster wants: actWithin of the engine.
	passedOver = 2 * time.Second
	// reportsCount is how long a speaker must be in a minority before a report of the controller about
	// it counts: partitionedAfter of the engine.
	reportsCount = 1200 * time.Millisecond
	// askedAnew is how much longer it takes where several are left, and none is in the majority: who
	// is elected follows the loads, which change as addresses are taken, and asks the segment anew.
	askedAnew = 800 * time.Millisecond
	// restartFor is how long speakers are covered for that restart.
	restartFor = 30 * time.Second
)

// served is how soon an address that a node could answer for is answered for, after the last
// fault.
func (w *world) served(at part) time.Duration {
	bound := max(secondServed, 2*w.timing.Timeout+w.timing.Interval+500*time.Millisecond)
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
	bound += time.Duration(w.uninformed()) * passedOver
	if w.deafStarts(at.side, l) || !w.agreed() && w.uninformed() == 0 {
		bound += passedOver
	}
	return bound + time.Duration(w.giveWayUnseen(at.side, l))*passedOver
}

// uninformed returns how many speakers do not know what the cluster wants. Each of them is elected for what is new, and
// passed over.
func (w *world) uninformed() (n int) {
	for _, name := range w.names {
		if p := w.nodes[name].p; p != nil && !p.dead && p.wanted != w.wanted {
			n++
		}
	}
	return n
}

// deafStarts returns whether a speaker in a part of a segment starts without the API server. What no
// speaker has, as far as the others know, may be elected to it, and waits until it is passed over.
func (w *world) deafStarts(side int, l *lan) bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return w.deaf[n] && p != nil && !p.dead && l.sides[n] == side && !w.ready(p)
	})
}

// giveWayUnseen returns how many speakers in a part of a segment have read that they are cut from a larger group, if
// another one there does not reach the API server: it does not know that these take nothing, and passes over one after
// the other.
func (w *world) giveWayUnseen(side int, l *lan) (give int) {
	deaf := false
	for _, n := range w.names {
		if p := w.nodes[n].p; p != nil && !p.dead && l.sides[n] == side {
			deaf = deaf || w.deaf[n]
			if time.Now().Before(p.partitioned) {
				give++
			}
		}
	}
	if !deaf {
		return 0
	}
	return give
}

// twice is for how long two nodes of a segment may answer: a detection time, an interval longer
// where the two do not begin to miss each other at once, or until one
// that does not receive from the other has received its second announcement, if that takes
// longer (see faceRivals).
func (w *world) twice() time.Duration {
	return max(w.timing.Timeout+w.timing.Interval, settleTime+rivalTime) + 2*mostDelay
}

// separatedFor is for how long two nodes may answer that are separated: until both have reported
// whom they miss, and the one that is to give way has read it.
func (w *world) separatedFor() time.Duration {
	return w.timing.Timeout + w.timing.Interval + reportsCount + readInterval + 2*mostDelay
}

func (w *world) nobody(at part, now time.Time, is bool) {
	gap := w.gaps[at]
	switch {
	case is && gap == nil:
		w.gaps[at] = &span{address: at.address, start: now, calm: now.Sub(w.fault) > calm && !w.parted() && w.firm && !w.anyStarts()}
	case !is && gap != nil:
		gap.end = now
		if gap.calm && gap.length() > handOver {
			w.fail("nobody answered for %s for %s, and there was no fault", at.address, gap.length())
		}
		w.pastGaps = append(w.pastGaps, *gap)
		delete(w.gaps, at)
	case is && now.Sub(gap.start) > w.served(at) && now.Sub(w.fault) > w.served(at):
		w.fail("nobody answers for %s in part %d of its segment since %s", at.address, at.side, gap.start.Sub(w.start))
		gap.start = now
	}
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
			// Both sides had it: they talk again once a greeting, every second, was answered.
			since, bound = w.healed, time.Second
		}
		if len(w.names) > watchingAll && time.Now().Before(w.rekeyed) {
			// One of the few with the new key watches eight, and finds the others dead in several rounds.
			bound = max(bound, 4*w.timing.Timeout)
		}
		if w.oneWay() {
			// The answers to probes are lost, and one of the two receives no announcements: what
			// it takes is given up when it has found that the other receives nothing from it.
			bound = max(bound, time.Second+w.timing.Timeout)
		}
		if !w.firm {
			// One that was taken for dead is greeted, and the greetings are lost as well. What comes
			// late makes a speaker look alive for as long.
			lost := 3 * w.timing.Interval
			if w.oneWay() {
				lost = time.Second // so are those that show that the other one receives nothing
			}
			bound = max(bound+lost, time.Second)
		}
		if len(w.walls) > 0 {
			bound += w.timing.Interval // whether others receive from a speaker it notes once per heartbeat
		}
		if w.separated {
			bound = max(bound, w.separatedFor())
			if since.Before(w.attached) {
				since = w.attached
			}
		}
		if w.parted() && slices.ContainsFunc(answering, func(n lb.NodeName) bool { return w.nodes[n].p.caresFor(at.address) }) {
			// One that covers for a node that restarts, and never announces, does not learn that
			// another one has the address.
			bound = restartFor
		}
		// Without the API server nodes that are separated go on: docs/announcing.md. What one of them reported before
		// makes its group look smaller than it is.
		goOn := w.separated && slices.ContainsFunc(w.names, func(n lb.NodeName) bool { return w.deaf[n] })
		if now.Sub(since) > bound && !goOn {
			w.fail("%v answer for %s since %s", answering, at.address, double.start.Sub(w.start))
			double.start = now
		}
	}
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
