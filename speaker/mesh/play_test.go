package mesh

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// play runs a scenario in a new world. If there are addresses, all nodes run and every address has an
// owner when the scenario begins.
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

// few returns how many scenarios are played: a tenth with -short, as under the race detector.
func few(n int) int {
	if testing.Short() {
		return max(1, n/10)
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

// pass advances the clock of the bubble, which costs no real time.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

func draining(s layer2.Snapshot) []lb.NodeName {
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
	return slices.ContainsFunc(w.want.Addresses, func(a layer2.AnnouncedAddress) bool { return a.Address == address })
}
