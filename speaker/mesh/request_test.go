package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// These tests are about addresses that an administrator asks a node for (docs/design/speaker.md).

// begun is until a node has run for long enough to be given an address of a node that may have it.
const begun = 31 * time.Second

// request has the cluster ask for a node of an address; empty: for none.
func (w *world) request(i int, name lb.NodeName) {
	w.mu.Lock()
	w.note("%s asks for %q", vip(i), name)
	w.mu.Unlock()
	w.change(func(s *layer2.Snapshot) {
		at := slices.IndexFunc(s.Addresses, func(a layer2.Announced) bool { return a.Address == vip(i) })
		if at < 0 {
			return
		}
		list := slices.Clone(s.Addresses[at].Candidates)
		for j := range list {
			list[j].Requested = list[j].Node == name
		}
		s.Addresses[at].Candidates = list
	})
}

// isAskedFor returns whether another node than this one is asked for by an address, and could own it, in truth. The caller
// holds the lock.
func (w *world) isAskedFor(address netip.Addr, other lb.NodeName) bool {
	return slices.ContainsFunc(w.want.Addresses, func(a layer2.Announced) bool {
		return a.Address == address && slices.ContainsFunc(a.Candidates, func(c layer2.Candidate) bool {
			return c.Requested && c.Node != other && w.able(c.Node, address)
		})
	})
}

// setDeaf has nodes learn nothing of the API server, and all others everything.
func (w *world) setDeaf(names ...lb.NodeName) {
	w.mu.Lock()
	clear(w.deaf)
	for _, name := range names {
		w.deaf[name] = true
	}
	w.mu.Unlock()
	w.differ()
}

// ownerOf is who has an address of the test.
func (w *world) ownerOf(i int) lb.NodeName { return w.owners()[vip(i)] }

// another is a node that is none of these.
func (w *world) another(names ...lb.NodeName) lb.NodeName {
	return w.names[slices.IndexFunc(w.names, func(n lb.NodeName) bool { return !slices.Contains(names, n) })]
}

// highestEpoch is that of an address.
func (w *world) highestEpoch(i int) (highest ownership.Epoch) {
	for _, n := range w.names {
		highest = max(highest, claimsOf(w, n)[vip(i)])
	}
	return highest
}

func TestRequest_MovesOneAddressWithoutAGapAndItStays(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.pass(begun)
		want := settled(t, w)
		to, at := w.another(w.ownerOf(0)), time.Now()
		w.request(0, to)
		w.pass(2 * time.Second)
		want[vip(0).String()] = to
		if diff := cmp.Diff(want, settled(t, w)); diff != "" {
			t.Errorf("owners after the request (-want +got):\n%s", diff)
		}
		w.request(0, "")
		w.pass(10 * time.Second)
		if diff := cmp.Diff(want, settled(t, w)); diff != "" {
			t.Errorf("owners after the request was withdrawn (-want +got):\n%s", diff)
		}
		if gap, twice := w.longestGap(at), w.longestTwice(at); gap > 0 || twice > handOver {
			t.Errorf("nobody answered for %s, and two for %s, want 0 and at most %s", gap, twice, handOver)
		}
	})
}

func TestRequest_EndsWithTheNodeAndIsBackWithIt(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.pass(begun)
		to := w.another(w.ownerOf(0))
		w.request(0, to)
		w.pass(2 * time.Second)
		at := time.Now()
		w.crash(to, true)
		w.pass(2 * time.Second)
		if owner := w.ownerOf(0); owner == to || !slices.Contains(w.names, owner) {
			t.Errorf("%s has the address after %s has died", owner, to)
		}
		if gap := w.longestGap(at); gap >= w.timing.Timeout+150*time.Millisecond {
			t.Errorf("nobody answered for %s, want less than %s", gap, w.timing.Timeout+150*time.Millisecond)
		}
		at = time.Now()
		w.run(to)
		w.pass(begun + 2*time.Second)
		if owner := w.ownerOf(0); owner != to {
			t.Errorf("%s has the address although %s is back", owner, to)
		}
		w.change(func(s *layer2.Snapshot) { s.Draining[to] = true })
		w.pass(2 * time.Second)
		if owner := w.ownerOf(0); owner == to {
			t.Errorf("%s is drained and has the address", to)
		}
		w.change(func(s *layer2.Snapshot) { s.Draining[to] = false })
		w.pass(12 * time.Second) // it had lost the address before it learned of the drain, and leaves it alone for a while
		if owner := w.ownerOf(0); owner != to {
			t.Errorf("%s has the address although %s is not drained any more", owner, to)
		}
		if gap := w.longestGap(at); gap > 0 {
			t.Errorf("nobody answered for %s since the node is back", gap)
		}
	})
}

func TestRequest_OfWhichOneNodeDoesNotLearn(t *testing.T) {
	for name, deaf := range map[string]func(owner, to, other lb.NodeName) lb.NodeName{
		"its owner":              func(owner, _, _ lb.NodeName) lb.NodeName { return owner },
		"a node beside the two":  func(_, _, other lb.NodeName) lb.NodeName { return other },
		"the one that is to own": func(_, to, _ lb.NodeName) lb.NodeName { return to },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, 4, 12, func(t *testing.T, w *world) {
				w.pass(begun)
				owner, at := w.ownerOf(0), time.Now()
				to := w.another(owner)
				away := deaf(owner, to, w.another(owner, to))
				w.setDeaf(away)
				w.request(0, to)
				w.pass(10 * time.Second)
				want := to
				if away == to {
					want = owner // nobody else takes it
				}
				if got := w.ownerOf(0); got != want {
					t.Errorf("%s has the address, want %s", got, want)
				}
				if gap, twice := w.longestGap(at), w.longestTwice(at); gap > 0 || twice > handOver {
					t.Errorf("nobody answered for %s, and two for %s, want 0 and at most %s", gap, twice, handOver)
				}
			})
		})
	}
}

func TestRequest_AnOldOneStartsNoWar(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.pass(begun)
		first, at := w.another(w.ownerOf(0)), time.Now()
		w.request(0, first)
		w.pass(2 * time.Second)
		before := w.highestEpoch(0)
		second := w.another(first)
		w.setDeaf(first)
		w.request(0, second)
		w.pass(time.Minute)
		if moves := w.highestEpoch(0) - before; moves > 14 { // one in ten seconds each way, and one to begin
			t.Errorf("the address moved %d times in a minute", moves)
		}
		w.setDeaf()
		w.request(0, second)
		w.pass(12 * time.Second)
		if got := w.ownerOf(0); got != second {
			t.Errorf("%s has the address once all have learned of the request, want %s", got, second)
		}
		if gap, twice := w.longestGap(at), w.longestTwice(at); gap > 0 || twice > handOver {
			t.Errorf("nobody answered for %s, and two for %s, want 0 and at most %s", gap, twice, handOver)
		}
	})
}

// TestRequest_AnyWhileMuchHappens asks for any node of any address between all that happens in the scenarios at random, whose
// checker finds two owners and addresses that nobody answers for.
func TestRequest_AnyWhileMuchHappens(t *testing.T) {
	for seed := range uint64(orElse(count("LBSTACK_SEEDS"), few(requestSeeds))) {
		rng := rand.New(rand.NewPCG(seed, 97))
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			play(t, seed, 3+rng.IntN(4), 0, func(t *testing.T, w *world) {
				go w.askForAddresses()
				s := &stormy{world: w, rng: rng, grace: 3 * time.Second, order: shuffled(rng, w.names), part: w.part}
				go w.watchNodes(s.grace)
				const addresses = 6
				w.wants(addresses)
				w.run(w.names...)
				w.pass(begun)
				for range 20 {
					if rng.IntN(3) == 0 {
						s.happen()
					} else if !s.away && !s.apart {
						w.request(rng.IntN(addresses), append(w.names, "")[rng.IntN(len(w.names)+1)])
					}
					w.pass(time.Duration(rng.Int64N(int64(6 * time.Second))))
				}
				s.end()
				w.pass(begun)
				settled(t, w)
				for _, a := range w.want.Addresses {
					for _, c := range a.Candidates {
						if owner := w.owners()[a.Address]; c.Requested && owner != c.Node {
							t.Errorf("%s has %s in the end, and %s is asked for", owner, a.Address, c.Node)
						}
					}
				}
			})
		})
	}
}

// requestSeeds is how many scenarios with requests are played.
const requestSeeds = 12
