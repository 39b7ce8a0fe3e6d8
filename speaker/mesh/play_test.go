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

func orElse(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func each(t *testing.T, nodes, addresses int, scenario func(*testing.T, *world)) {
	t.Helper()
	for seed := range uint64(orElse(count("LBSTACK_SEEDS"), seeds)) {
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
				able = able || w.able(name, address) && now.Sub(p.begun) > calm
			}
		}
		w.answering[address] = owners
		w.nobody(address, now, able && len(owners)+len(carers) == 0)
		w.several(address, now, owners)
	}
	maps.DeleteFunc(w.gaps, func(a netip.Addr, _ *span) bool { return w.answering[a] == nil && !w.wanted(a) })
}

func (w *world) wanted(address netip.Addr) bool {
	return slices.ContainsFunc(w.want.Addresses, func(a speaker.Announced) bool { return a.Address == address })
}

func (w *world) nobody(address netip.Addr, now time.Time, is bool) {
	gap := w.gaps[address]
	switch {
	case is && gap == nil:
		w.gaps[address] = &span{address: address, start: now}
		if now.Sub(w.fault) > calm && len(w.cuts) == 0 && w.firm {
			w.fail("nobody answers for %s, and there was no fault", address)
		}
	case !is && gap != nil:
		gap.end = now
		w.pastGaps = append(w.pastGaps, *gap)
		delete(w.gaps, address)
	case is && len(w.cuts) == 0 && now.Sub(gap.start) > calm && now.Sub(w.fault) > calm:
		w.fail("nobody answers for %s since %s", address, gap.start.Sub(w.start))
		gap.start = now
	}
}

func (w *world) several(address netip.Addr, now time.Time, owners []lb.NodeName) {
	double := w.doubles[address]
	is := len(owners) > 1
	switch {
	case is && double == nil:
		w.doubles[address] = &span{address: address, start: now, who: owners}
	case !is && double != nil:
		double.end = now
		w.pastTwice = append(w.pastTwice, *double)
		delete(w.doubles, address)
	case is && len(w.cuts) == 0:
		since, bound := double.start, w.timing.Timeout+4*w.timing.Interval
		if since.Before(w.healed) {
			since, bound = w.healed, time.Second
		}
		if now.Sub(since) > bound {
			w.fail("%v answer for %s since %s", owners, address, double.start.Sub(w.start))
			double.start = now
		}
	}
}
