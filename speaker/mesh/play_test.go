package mesh

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

// play runs a scenario in a world of its own, in which all nodes run and everything
// is owned when it begins.
func play(t *testing.T, seed uint64, count, addresses int, scenario func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(ctx, seed, count)
		if addresses > 0 {
			w.wants(addresses)
			w.run(w.names...)
			w.pass(2*calm + time.Second)
		}
		scenario(t, w)
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
		for _, n := range w.names {
			w.stop(n)
		}
		cancel()
		w.report(t)
	})
}

const seeds = 8 // of each named scenario

// count returns the number in a variable of the environment; 0 if it is not set.
func count(variable string) int {
	n, _ := strconv.Atoi(os.Getenv(variable))
	return n
}

// few returns how many scenarios are played: a quarter with -short, as under the race detector.
func few(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

func orElse(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func each(t *testing.T, nodes, addresses int, scenario func(*testing.T, *world)) {
	t.Helper()
	for seed := range uint64(orElse(count("LBSTACK_SEEDS"), few(seeds))) {
		if play(t, seed, nodes, addresses, scenario); t.Failed() {
			return
		}
	}
}

// pass lets time pass, of which there is as much as one likes.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// look compares who answers with what is promised. The caller holds the lock.
func (w *world) look() {
	if w.over {
		return
	}
	w.steps++
	now := time.Now()
	for i := range w.want.Addresses {
		address := w.want.Addresses[i].Address
		var owners, carers []lb.NodeName
		able := false
		for _, name := range w.names {
			if p := w.nodes[name].p; p != nil {
				owner, carer := p.answers(address, now)
				if owner {
					owners = append(owners, name)
				} else if carer {
					carers = append(carers, name)
				}
				able = able || w.able(name, address) && w.canServe(p)
			}
		}
		w.answering[address] = owners
		w.nobody(address, now, able && len(owners)+len(carers) == 0)
		w.several(address, now, owners)
	}
	maps.DeleteFunc(w.gaps, func(a netip.Addr, _ *span) bool { return w.answering[a] == nil && !w.isWanted(a) })
}

// canServe returns whether a process may be expected to: it does not wait for others any
// more, knows what the cluster wants, the gateway is on its side of the segment, and the
// controller has no outdated report.
func (w *world) canServe(p *process) bool {
	return time.Since(p.begun) > calm && p.wanted == w.wanted && !w.away[p.n.name] && !w.outdated()
}

// outdated returns whether a speaker stands still whose latest report has not reached the API
// server: the controller takes the one before for the truth.
func (w *world) outdated() bool {
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		return p != nil && !p.dead && p.frozen.Load() != nil && !slices.Equal(w.states[n].Missing, p.latest.Missing)
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

func draining(s speaker.Snapshot) []lb.NodeName {
	var nodes []lb.NodeName
	for n, is := range s.Draining {
		if is {
			nodes = append(nodes, n)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func (w *world) isWanted(address netip.Addr) bool {
	return slices.ContainsFunc(w.want.Addresses, func(a speaker.Announced) bool { return a.Address == address })
}

// served is how soon an address that a node could answer for is answered for, after the last
// fault: within a second, or what it takes in the slowest case to notice a death, to find that
// no other watcher refutes it, and to ask the segment: 1.19 s with Default.
func (w *world) served() time.Duration {
	if !w.agreed() {
		return calm // the node that is elected may not know it: the next one acts two seconds later
	}
	return max(time.Second, 2*w.timing.Timeout+w.timing.Interval+500*time.Millisecond)
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
const separatedFor = 3 * time.Second

// handOver is for how long nobody may answer when a node that was restarted takes back what
// others answered for: until its announcement has come after its state.
const handOver = 20 * time.Millisecond

func (w *world) nobody(address netip.Addr, now time.Time, is bool) {
	gap := w.gaps[address]
	switch {
	case is && gap == nil:
		w.gaps[address] = &span{address: address, start: now, calm: now.Sub(w.fault) > calm && len(w.cuts) == 0 && w.firm}
	case !is && gap != nil:
		gap.end = now
		if gap.calm && gap.length() > handOver {
			w.fail("nobody answered for %s for %s, and there was no fault", address, gap.length())
		}
		w.pastGaps = append(w.pastGaps, *gap)
		delete(w.gaps, address)
	case is && now.Sub(gap.start) > w.served() && now.Sub(w.fault) > w.served():
		w.fail("nobody answers for %s since %s", address, gap.start.Sub(w.start))
		gap.start = now
	}
}

func (w *world) several(address netip.Addr, now time.Time, owners []lb.NodeName) {
	double := w.doubles[address]
	owners = w.together(owners)
	is := len(owners) > 1
	switch {
	case is && double == nil:
		w.doubles[address] = &span{address: address, start: now, who: owners}
	case !is && double != nil:
		double.end = now
		w.pastTwice = append(w.pastTwice, *double)
		delete(w.doubles, address)
	case is:
		since, bound := double.start, w.twice()
		if since.Before(w.healed) {
			// Both sides had it: they talk again once a greeting, every second, was answered.
			since, bound = w.healed, time.Second
		}
		if w.oneWay() {
			// The answers to probes are lost, and one of the two receives no announcements: what
			// it takes is given up when it has found that the other receives nothing from it.
			bound = max(bound, time.Second+w.timing.Timeout)
		}
		if !w.firm {
			// One that was taken for dead is greeted, and the greetings are lost as well.
			bound = max(bound, time.Second)
		}
		if w.separated {
			bound = max(bound, separatedFor)
			if since.Before(w.attached) {
				since = w.attached
			}
		}
		// Without the API server nodes that are separated go on: docs/announcing.md.
		goOn := w.separated && slices.ContainsFunc(owners, func(n lb.NodeName) bool { return w.deaf[n] })
		if now.Sub(since) > bound && !goOn {
			w.fail("%v answer for %s since %s", owners, address, double.start.Sub(w.start))
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

// together returns those nodes that others can be reached from as well: of one side of the
// segment.
func (w *world) together(nodes []lb.NodeName) []lb.NodeName {
	for i := range nodes {
		side := slices.DeleteFunc(slices.Clone(nodes), func(n lb.NodeName) bool { return w.sides[n] != w.sides[nodes[i]] })
		if len(side) > 1 {
			return side
		}
	}
	return nil
}
