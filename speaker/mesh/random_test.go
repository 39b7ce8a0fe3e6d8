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
	"github.com/lbstack/lbstack/speaker/layer2"
)

// randomSeeds is how many scenarios are played by default. LBSTACK_SEEDS sets another number;
// LBSTACK_SEED plays the scenario of one seed. largeSeed, the first one of 30 nodes, is played as well.
const randomSeeds, largeSeed = 30, 49

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
	if len(list) == randomSeeds {
		list = append(list, largeSeed)
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
		most, first = time.Millisecond, 1000 // a single scenario tests the soak itself; make soak-mesh plays many
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

// outcome counts the results of many scenarios.
type outcome struct {
	played, failed, steps int
	gaps, twice           []time.Duration
}

func (o *outcome) String() string {
	return fmt.Sprintf("%d scenarios, %d failed, %d steps; no node answered: %s; several nodes answered: %s", o.played, o.failed, o.steps, quantiles(o.gaps), quantiles(o.twice))
}

// playRandom plays the scenario of a seed.
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

// storm injects random faults one after the other, some before the fault before has ended. At the end
// it checks that every address has an owner.
func storm(t *testing.T, w *world, rng *rand.Rand) {
	w.mu.Lock()
	w.loss = []float64{0, 0, 0.01, 0.05, 0.1, 0.2}[rng.IntN(6)]
	w.dup = []float64{0, 0.05, 0.2}[rng.IntN(3)]
	w.late = []float64{0, 0, 0.01, 0.1}[rng.IntN(4)]
	profile := []Profile{ProfileDefault, ProfileDefault, ProfileFast, ProfileRelaxed}[rng.IntN(4)]
	w.timing, w.replay = profile.timing(), true
	w.storage = rng.IntN(3) == 0
	w.mixed = w.storage
	for i, mac := range rng.Perm(len(w.names)) {
		w.nodes[w.names[i]].mac = byte(mac) // of two claims with one epoch the lower hardware address wins: not in the order of names
	}
	go w.replayAlways(rand.New(rand.NewPCG(w.seed, 98)))
	go w.askForAddresses()
	grace := time.Second + time.Duration(rng.Int64N(int64(8*time.Second)))
	go w.watchNodes(grace) // 40 s in a cluster; shorter here, so that more faults follow
	// Of two nodes that are left, each confirms the other dead when three or four heartbeats in
	// a row are lost.
	w.firm = w.loss+w.late <= 0.01
	w.note("%d nodes, %s, loss %.2f, doubled %.2f, late %.2f, not ready after %s, a second segment: %v", len(w.names), profile, w.loss, w.dup, w.late, grace, w.mixed)
	w.mu.Unlock()
	s := &stormy{world: w, rng: rng, grace: grace, order: shuffled(rng, w.names), part: w.part}
	if w.seed%4 == 3 {
		s.part = w.separate
	}
	w.wants(1 + rng.IntN(12))
	if rng.IntN(4) == 0 {
		w.wall(s.several()...) // before they have ever received from each other
	}
	w.run(w.names...)
	w.pass(11 * time.Second)
	for range 12 {
		s.happen()
		w.pass(time.Duration(rng.Int64N(int64(6 * time.Second))))
	}
	s.end()
	settled(t, w)
}

func shuffled(rng *rand.Rand, names []lb.NodeName) []lb.NodeName {
	order := slices.Clone(names)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// stormy is a world with random faults.
type stormy struct {
	*world
	rng   *rand.Rand
	grace time.Duration
	order []lb.NodeName
	part  func(...lb.NodeName)
	// away: no node reaches the API server. apart: some nodes do not.
	away, apart bool
}

// several returns some nodes, never all: the first ones of the random order.
func (s *stormy) several() []lb.NodeName { return s.order[:1+s.rng.IntN(len(s.order)-1)] }

// happen injects one random fault, or ends one.
func (s *stormy) happen() {
	w, rng := s.world, s.rng
	n := w.names[rng.IntN(len(w.names))]
	w.mu.Lock()
	p := w.nodes[n].p
	running, up, off := p != nil && !p.dead && p.frozen.Load() == nil, w.nodes[n].up["eth0"], !w.nodes[n].kernel
	frozen := p != nil && p.frozen.Load() != nil
	draining, up1 := w.want.Draining[n], w.nodes[n].up["eth1"]
	cut, rotating, wide := w.cutOrWalled(), !w.rotated.Before(time.Now()), w.cutOrWalled() && !w.narrow()
	w.swapped = rng.IntN(2) == 0
	w.mu.Unlock()
	switch what := rng.IntN(20); {
	case what == 11 && !rotating:
		w.rotate(rng, rng.IntN(2) == 0)
	case what == 12:
		s.away, s.apart = !s.away, false
		w.outage(s.away)
	case what == 15 && !cut && !s.away:
		// The cut separates one side from the API server as well, and lasts until that side is NotReady.
		side := s.several()
		if rng.IntN(2) == 0 {
			w.wall(side...)
		} else {
			s.part(side...)
		}
		s.apart = true
		w.unreachable(side...)
		w.pass(s.grace)
	case what == 14 && !s.away:
		// One node, or all nodes on one side of a cut, lose the API server.
		if s.apart = !s.apart; s.apart {
			w.unreachable(w.aside(n)...)
		} else {
			w.unreachable()
		}
	case what == 13 && rng.IntN(2) == 0:
		w.restartAll(rng)
	case what == 16 && !cut:
		s.reboot()
	case what == 17:
		w.setClock(n, time.Duration(rng.Int64N(int64(4*time.Hour)))-2*time.Hour)
	case what == 18 && w.storage:
		w.setLink(n, "eth1", !up1)
	case what == 19 && !cut && w.storage:
		w.partSecond(s.several()...)
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
	case what == 2 && !wide:
		w.leave(n)
	case what == 3 && !s.apart:
		w.change(func(s *layer2.Snapshot) { s.Draining[n] = !draining })
	case what == 4:
		w.setLinks(n, !up)
	case what == 5 && !cut:
		s.part(n)
	case what == 6 && !cut:
		s.part(s.several()...)
	case what == 7 && !cut:
		s.cutSome(n)
	case what == 8 && !cut:
		w.wall(n)
	case what == 9 && !cut:
		w.wall(s.several()...)
	case cut:
		w.heal()
	case s.apart:
		// A change of the wanted addresses would not reach the nodes without the API server.
	default:
		w.wants(1 + rng.IntN(12))
		w.fresh()
	}
}

// cutSome drops one of these: all messages of the mesh from a node, the messages of the mesh between two
// nodes, everything to a node, or everything from one node to another.
func (s *stormy) cutSome(n lb.NodeName) {
	to := s.order[0]
	if to == n {
		to = s.order[1]
	}
	switch s.rng.IntN(4) {
	case 0:
		s.mute(n)
	case 1:
		s.wallBetween(n, to)
	case 2:
		s.deafen(n)
		if s.apart { // the only API server is on this node, and makes the others NotReady
			s.unreachable(slices.DeleteFunc(slices.Clone(s.names), func(o lb.NodeName) bool { return o == n })...)
			s.pass(s.grace)
		}
	default:
		s.cutFrom(n, to)
	}
}

// narrow returns whether the only fault of the network is that two of several speakers do not receive from
// each other. The others relay the states of both, so that either may restart. The caller holds the lock.
func (w *world) narrow() bool {
	for way := range w.walls {
		if !w.walls[[2]lb.NodeName{way[1], way[0]}] {
			return false
		}
	}
	return len(w.walls) == 2 && len(w.cuts)+len(w.second.cuts) == 0 && len(w.names) > 2
}

// reboot reboots the switch of all nodes. The links may lose their carriers meanwhile.
func (s *stormy) reboot() {
	carrier := s.rng.IntN(2) == 0
	s.cutAll()
	var down []lb.NodeName
	for _, n := range s.names {
		if !carrier && s.nodes[n].up["eth0"] {
			down = append(down, n)
			s.setLinks(n, false)
		}
	}
	s.pass(200*time.Millisecond + time.Duration(s.rng.Int64N(int64(10*time.Second))))
	for _, n := range down {
		s.setLinks(n, true)
		s.pass(time.Duration(s.rng.Int64N(int64(100 * time.Millisecond))))
	}
	s.heal()
}

// end ends all faults.
func (s *stormy) end() {
	w := s.world
	w.heal()
	w.pass(2 * rotateFor)
	w.outage(false)
	for _, n := range w.names {
		w.mu.Lock()
		p := w.nodes[n].p
		frozen, dead := p.frozen.Load() != nil, p.dead
		w.mu.Unlock()
		switch {
		case frozen:
			w.thaw(n)
		case dead:
			w.run(n)
		}
		for _, link := range []string{"eth0", "eth1"} {
			w.setLink(n, link, true)
		}
	}
	w.change(func(s *layer2.Snapshot) { clear(s.Draining) })
	w.pass(15 * time.Second)
	// Where a fifth of the packets is lost, a node now and then confirms another dead that is alive. Both
	// answer until the node receives from the other again.
	for until := time.Now().Add(falseAlarm); !single(w) && time.Now().Before(until); {
		w.pass(100 * time.Millisecond)
	}
}

// falseAlarm is how long a node may have another confirmed dead that is alive.
const falseAlarm = 3 * time.Second

// single returns whether every address has exactly one owner.
func single(w *world) bool {
	for _, owner := range w.owners() {
		if !slices.Contains(w.names, owner) {
			return false
		}
	}
	return true
}

// alone sets the time of the last fault when only one node is left: this node may answer nothing, since
// it lost all others.
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

// fresh sets the time of the last fault, since addresses are wanted that no node had before.
func (w *world) fresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = time.Now()
}
