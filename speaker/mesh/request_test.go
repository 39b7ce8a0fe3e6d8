package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// These tests are about addresses for which an administrator requests a node (docs/design/speaker.md).

// begun is how long a node must run until addresses of another healthy node may move to it.
const begun = 31 * time.Second

// request requests a node for an address, or withdraws the request if the name is empty.
func (w *world) request(i int, name lb.NodeName) {
	w.mu.Lock()
	w.note("%s asks for %q", vip(i), name)
	w.mu.Unlock()
	w.change(func(s *layer2.Snapshot) {
		at := slices.IndexFunc(s.Addresses, func(a layer2.AnnouncedAddress) bool { return a.Address == vip(i) })
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

// isAskedFor returns whether the cluster requests a node for the address that is not other and is able to own the
// address. The caller holds the lock.
func (w *world) isAskedFor(address netip.Addr, other lb.NodeName) bool {
	return slices.ContainsFunc(w.want.Addresses, func(a layer2.AnnouncedAddress) bool {
		return a.Address == address && slices.ContainsFunc(a.Candidates, func(c layer2.Candidate) bool {
			return c.Requested && c.Node != other && w.able(c.Node, address)
		})
	})
}

// setNoAPI cuts exactly these nodes from the API server.
func (w *world) setNoAPI(names ...lb.NodeName) {
	w.mu.Lock()
	clear(w.noAPI)
	for _, name := range names {
		w.noAPI[name] = true
	}
	w.mu.Unlock()
	w.differ()
}

// ownerOf returns the node that answers for an address of the test.
func (w *world) ownerOf(i int) lb.NodeName { return w.owners()[vip(i)] }

// another returns a node that is none of these.
func (w *world) another(names ...lb.NodeName) lb.NodeName {
	return w.names[slices.IndexFunc(w.names, func(n lb.NodeName) bool { return !slices.Contains(names, n) })]
}

// highestEpoch returns the highest epoch that any node claims an address with.
func (w *world) highestEpoch(i int) (highest ownership.Epoch) {
	for _, n := range w.names {
		highest = max(highest, claimsOf(w, n)[vip(i)])
	}
	return highest
}

// movesWithoutGap fails if an address had no answer at any time since, or two nodes answered for it
// for longer than a hand-over takes.
func movesWithoutGap(t *testing.T, w *world, since time.Time) {
	t.Helper()
	noGap(t, w, since)
	if twice := w.longestTwice(since); twice > handOver {
		t.Errorf("two nodes answered for %s, want at most %s", twice, handOver)
	}
}

func TestRequest_MovesOneAddressWithoutAGapAndItStays(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.pass(begun)
		want := settled(t, w)
		to, at := w.another(w.ownerOf(0)), time.Now()
		w.request(0, to)
		w.pass(2 * time.Second)
		want[vip(0).String()] = to
		sameOwners(t, w, want, "after the request")
		w.request(0, "")
		w.pass(10 * time.Second)
		sameOwners(t, w, want, "after the request was withdrawn")
		movesWithoutGap(t, w, at)
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
			t.Errorf("no node answered for %s, want less than %s", gap, w.timing.Timeout+150*time.Millisecond)
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
		w.pass(12 * time.Second) // the node lost the address before it received the drain, and takes it only after a grace period
		if owner := w.ownerOf(0); owner != to {
			t.Errorf("%s has the address although %s is not drained any more", owner, to)
		}
		if gap := w.longestGap(at); gap > 0 {
			t.Errorf("no node answered for %s since the node is back", gap)
		}
	})
}

func TestRequest_ThatOneNodeDoesNotReceive(t *testing.T) {
	for name, noAPI := range map[string]func(owner, to, other lb.NodeName) lb.NodeName{
		"its owner":              func(owner, _, _ lb.NodeName) lb.NodeName { return owner },
		"a node beside the two":  func(_, _, other lb.NodeName) lb.NodeName { return other },
		"the one that is to own": func(_, to, _ lb.NodeName) lb.NodeName { return to },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, 4, 12, func(t *testing.T, w *world) {
				w.pass(begun)
				owner, at := w.ownerOf(0), time.Now()
				to := w.another(owner)
				away := noAPI(owner, to, w.another(owner, to))
				w.setNoAPI(away)
				w.request(0, to)
				w.pass(10 * time.Second)
				want := to
				if away == to {
					want = owner // no other node takes the address
				}
				if got := w.ownerOf(0); got != want {
					t.Errorf("%s has the address, want %s", got, want)
				}
				movesWithoutGap(t, w, at)
			})
		})
	}
}

func TestRequest_OutdatedRequestMovesTheAddressRarely(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.pass(begun)
		first, at := w.another(w.ownerOf(0)), time.Now()
		w.request(0, first)
		w.pass(2 * time.Second)
		before := w.highestEpoch(0)
		second := w.another(first)
		w.setNoAPI(first)
		w.request(0, second)
		w.pass(time.Minute)
		if moves := w.highestEpoch(0) - before; moves > 14 { // one in ten seconds in each direction, and one at the beginning
			t.Errorf("the address moved %d times in a minute", moves)
		}
		w.setNoAPI()
		w.request(0, second)
		w.pass(12 * time.Second)
		if got := w.ownerOf(0); got != second {
			t.Errorf("%s has the address once all nodes have received the request, want %s", got, second)
		}
		movesWithoutGap(t, w, at)
	})
}

// TestRequest_DuringRandomFaults requests random nodes for random addresses between random faults. The checker of the
// simulation finds addresses with two owners and addresses without an answer.
func TestRequest_DuringRandomFaults(t *testing.T) {
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
							t.Errorf("%s has %s in the end, want the requested node %s", owner, a.Address, c.Node)
						}
					}
				}
			})
		})
	}
}

// requestSeeds is how many scenarios with requests are played.
const requestSeeds = 12
