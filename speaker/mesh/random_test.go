package mesh

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

// randomSeeds is how many scenarios are played; LBSTACK_SEEDS says otherwise, and
// LBSTACK_SEED plays a single one.
const randomSeeds = 60

func seedsToPlay(t *testing.T) []uint64 {
	t.Helper()
	if s := os.Getenv("LBSTACK_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	var list []uint64
	for seed := range uint64(orElse(count("LBSTACK_SEEDS"), few(randomSeeds))) {
		list = append(list, seed)
	}
	return list
}

func TestRandomScenarios(t *testing.T) {
	var all outcome
	for _, seed := range seedsToPlay(t) {
		if playRandom(t, seed, &all); all.failed == 5 {
			break
		}
	}
	t.Log(all.String())
}

// TestSoak plays scenarios for LBSTACK_SOAK, from LBSTACK_SEED on, and reports each minute.
func TestSoak(t *testing.T) {
	most, err := time.ParseDuration(os.Getenv("LBSTACK_SOAK"))
	first := uint64(orElse(count("LBSTACK_SEED"), int(time.Now().Unix())))
	if err != nil {
		most, first = time.Millisecond, 1000 // one scenario shows that it runs: make soak-mesh plays many
	}
	var all outcome
	reported := time.Now()
	for seed, end := first, time.Now().Add(most); time.Now().Before(end) && all.failed < 20; seed++ {
		playRandom(t, seed, &all)
		if time.Since(reported) > time.Minute {
			reported = time.Now()
			fmt.Fprintf(os.Stderr, "seeds %d to %d: %s\n", first, seed, &all)
		}
	}
	t.Log(all.String())
}

// outcome is of many scenarios.
type outcome struct {
	played, failed, steps int
	gaps, twice           []time.Duration
}

func (o *outcome) String() string {
	return fmt.Sprintf("%d scenarios, %d failed, %d steps; nobody answered: %s; several answered: %s", o.played, o.failed, o.steps, quantiles(o.gaps), quantiles(o.twice))
}

// playRandom plays what comes of a seed.
func playRandom(t *testing.T, seed uint64, all *outcome) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 99))
	nodes := 2 + rng.IntN(6)
	if seed%50 == 49 {
		nodes = 30
	}
	all.played++
	ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		play(t, seed, nodes, 0, func(t *testing.T, w *world) {
			storm(t, w, rng)
			w.mu.Lock()
			defer w.mu.Unlock()
			all.steps += w.steps
			for _, s := range w.pastGaps {
				all.gaps = append(all.gaps, s.length())
			}
			for _, s := range w.pastTwice {
				all.twice = append(all.twice, s.length())
			}
		})
	})
	if !ok {
		all.failed++
	}
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "never"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d times, median %s, 90 %% %s, 99 %% %s, most %s", len(d), at(0.5), at(0.9), at(0.99), at(1))
}

// storm has things happen to the nodes, one after the other and sometimes before the
// last one is over, and at the end looks whether everything is owned.
func storm(t *testing.T, w *world, rng *rand.Rand) {
	w.mu.Lock()
	w.loss = []float64{0, 0, 0.01, 0.05, 0.1, 0.2}[rng.IntN(6)]
	w.dup = []float64{0, 0.05, 0.2}[rng.IntN(3)]
	w.late = []float64{0, 0, 0.01, 0.1}[rng.IntN(4)]
	profile := []Profile{Default, Default, Fast, Relaxed}[rng.IntN(4)]
	w.timing, w.replay = profile.timing(), true
	go w.replayAlways(rand.New(rand.NewPCG(w.seed, 98)))
	grace := time.Second + time.Duration(rng.Int64N(int64(8*time.Second)))
	go w.watchNodes(grace) // 40 s in a cluster: sooner, so that more happens afterwards
	// Where two are left, one believes the other dead when three or four beats in a row
	// are lost.
	w.firm = w.loss+w.late <= 0.01
	w.note("%d nodes, %s, loss %.2f, doubled %.2f, late %.2f, not ready after %s", len(w.names), profile, w.loss, w.dup, w.late, grace)
	w.mu.Unlock()
	addresses := 1 + rng.IntN(12)
	w.wants(addresses)
	if rng.IntN(4) == 0 {
		w.wall(w.names[1+rng.IntN(len(w.names)-1):]...) // they have never met
	}
	w.run(w.names...)
	w.pass(11 * time.Second)
	// At least one node always stays, and is never touched.
	some := func() lb.NodeName { return w.names[1+rng.IntN(len(w.names)-1)] }
	away, apart := false, false
	part := w.part
	if w.seed%4 == 3 {
		part = w.separate
	}
	for range 12 {
		n := some()
		w.mu.Lock()
		p := w.nodes[n].p
		running, links, off := p != nil && !p.dead && p.frozen.Load() == nil, w.nodes[n].links, !w.nodes[n].kernel
		frozen := p != nil && p.frozen.Load() != nil
		draining := w.want.Draining[n]
		cut, rotating := len(w.cuts)+len(w.walls) > 0, !w.rotated.Before(time.Now())
		w.mu.Unlock()
		switch what := rng.IntN(16); {
		case what == 11 && !rotating:
			w.rotate(rng, rng.IntN(2) == 0)
		case what == 12:
			away, apart = !away, false
			w.outage(away)
		case what == 15 && !cut && !away:
			// A cut takes the API server from some as well, and lasts until they are called NotReady.
			side := w.names[1+rng.IntN(len(w.names)-1):]
			if rng.IntN(2) == 0 {
				w.wall(side...)
			} else {
				part(side...)
			}
			apart = true
			w.unreachable(side...)
			w.pass(grace)
		case what == 14 && !away:
			// Some nodes lose the API server: one, or all that are on one side of a cut.
			if apart = !apart; apart {
				w.unreachable(w.aside(n)...)
			} else {
				w.unreachable()
			}
		case what == 13 && rng.IntN(2) == 0:
			w.restartAll(rng)
		case frozen:
			w.thaw(n)
		case !running:
			if off && rng.IntN(3) == 0 {
				w.lose(n)
			}
			w.run(n)
		case what == 0:
			w.crash(n, rng.IntN(2) == 0)
			w.alone()
		case what == 1:
			w.freeze(n)
			w.alone()
		case what == 2 && !cut:
			w.leave(n)
		case what == 3 && !apart:
			w.change(func(s *speaker.Snapshot) { s.Draining[n] = !draining })
		case what == 4:
			w.setLinks(n, !links)
		case what == 5 && !cut:
			part(n)
		case what == 6 && !cut:
			part(w.names[:1+rng.IntN(len(w.names)-1)]...)
		case what == 7 && !cut:
			w.cutFrom(n, w.names[0])
		case what == 8 && !cut:
			w.wall(n)
		case what == 9 && !cut:
			w.wall(w.names[:1+rng.IntN(len(w.names)-1)]...)
		case cut:
			w.heal()
		case apart:
			// Those without the API server would not learn what is wanted
		default:
			addresses = 1 + rng.IntN(12)
			w.wants(addresses)
			w.fresh()
		}
		w.pass(time.Duration(rng.Int64N(int64(6 * time.Second))))
	}
	w.heal()
	w.pass(2 * rotateFor)
	w.outage(false)
	for _, n := range w.names {
		w.mu.Lock()
		p := w.nodes[n].p
		frozen, dead, links := p.frozen.Load() != nil, p.dead, w.nodes[n].links
		w.mu.Unlock()
		switch {
		case frozen:
			w.thaw(n)
		case dead:
			w.run(n)
		}
		if !links {
			w.setLinks(n, true)
		}
	}
	w.change(func(s *speaker.Snapshot) { clear(s.Draining) })
	w.pass(15 * time.Second)
	// Where a fifth of the packets is lost, a node takes another for dead now and then, and
	// answers as well until it hears of it again.
	for until := time.Now().Add(falseAlarm); !single(w) && time.Now().Before(until); {
		w.pass(100 * time.Millisecond)
	}
	settled(t, w)
}

// falseAlarm is how long a node may take another for dead that is not.
const falseAlarm = 3 * time.Second

// single says whether every address has exactly one owner.
func single(w *world) bool {
	for _, owner := range w.owners() {
		if !slices.Contains(w.names, owner) {
			return false
		}
	}
	return true
}

// alone notes when only one node is left: it may be silent, since it lost all others.
func (w *world) alone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := 0
	for _, n := range w.nodes {
		if n.p != nil && !n.p.dead && n.p.frozen.Load() == nil {
			left++
		}
	}
	if left == 1 {
		w.fault, w.split = time.Now(), time.Now()
	}
}

// fresh notes that there are addresses that nobody had before.
func (w *world) fresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = time.Now()
}
