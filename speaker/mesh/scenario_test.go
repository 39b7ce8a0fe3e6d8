package mesh

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// settled fails unless every address has exactly one owner.
func settled(t *testing.T, w *world) map[string]lb.NodeName {
	t.Helper()
	owners := map[string]lb.NodeName{}
	for address, owner := range w.owners() {
		if !slices.Contains(w.names, owner) {
			t.Errorf("%s is answered for by %q, want exactly one node", address, owner)
		}
		owners[address.String()] = owner
	}
	return owners
}

// sameOwners fails unless every address has exactly one owner, and the same as in want.
func sameOwners(t *testing.T, w *world, want map[string]lb.NodeName, when string) {
	t.Helper()
	if diff := cmp.Diff(want, settled(t, w)); diff != "" {
		t.Errorf("owners %s (-want +got):\n%s", when, diff)
	}
}

// noGap fails if an address had no answer at any time since.
func noGap(t *testing.T, w *world, since time.Time) {
	t.Helper()
	if gap := w.longestGap(since); gap > 0 {
		t.Errorf("no node answered for %s", gap)
	}
}

func TestASingleNodeOwnsEverything(t *testing.T) {
	each(t, 1, 3, func(t *testing.T, w *world) { settled(t, w) })
}

func TestNodesThatStartTogetherShare(t *testing.T) {
	each(t, 5, 10, func(t *testing.T, w *world) {
		settled(t, w)
		for _, n := range w.names {
			if got := len(of(w.owners(), n)); got != 2 {
				t.Errorf("%s owns %d addresses, want 2", n, got)
			}
		}
	})
}

func TestACrashedOwnerIsReplaced(t *testing.T) {
	var gaps, twice []time.Duration
	defer func() { t.Logf("no node answered: %s; two nodes answered: %s", quantiles(gaps), quantiles(twice)) }()
	for _, power := range []bool{false, true} {
		each(t, 4, 12, func(t *testing.T, w *world) {
			before, at := settled(t, w), time.Now()
			w.crash("n2", power)
			w.pass(2 * time.Second)
			after := settled(t, w)
			for a, owner := range before {
				if owner != "n2" && after[a] != owner {
					t.Errorf("%s moved from %s to %s, which has nothing to do with n2", a, owner, after[a])
				}
			}
			gaps, twice = append(gaps, w.longestGap(at)), append(twice, w.longestTwice(at))
			if gap := w.longestGap(at); gap == 0 || gap >= w.timing.Timeout+150*time.Millisecond {
				t.Errorf("no node answered for %s, want less than %s", gap, w.timing.Timeout+150*time.Millisecond)
			}
		})
	}
}

func TestAReturningNodeTakesNothingBack(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.crash("n2", false)
		w.pass(10 * time.Second)
		before := settled(t, w)
		w.run("n2")
		w.pass(10 * time.Second)
		sameOwners(t, w, before, "at the end")
	})
}

func TestAReturningNodeTakesNothingBackAlthoughMessagesAreLost(t *testing.T) {
	for range 3 {
		each(t, 3, 12, func(t *testing.T, w *world) {
			w.crash("n2", false)
			w.pass(10 * time.Second)
			before := settled(t, w)
			w.mu.Lock()
			w.nodes["n2"].kept = layer2.Checkpoint{}
			w.loss = 0.3
			w.mu.Unlock()
			w.run("n2")
			w.pass(250 * time.Millisecond)
			w.mu.Lock()
			w.loss = 0
			w.mu.Unlock()
			w.pass(10 * time.Second)
			sameOwners(t, w, before, "at the end")
		})
	}
}

func TestGradualFailbackMovesOneAddressASecond(t *testing.T) {
	each(t, 4, 0, func(t *testing.T, w *world) {
		w.failback = true
		w.wants(24)
		w.run(w.names...)
		w.pass(10 * time.Second)
		w.crash("n2", false)
		w.crash("n3", false)
		w.pass(10 * time.Second)
		before, at := settled(t, w), time.Now()
		w.run("n2", "n3")
		w.pass(500 * time.Millisecond) // during a move both nodes answer for a short time
		for range 60 {
			w.pass(time.Second)
			now := settled(t, w)
			moved := 0
			for a, owner := range now {
				if owner != before[a] {
					moved++
				}
			}
			if moved > 1 {
				t.Errorf("%d addresses moved within a second", moved)
			}
			before = now
		}
		for _, n := range w.names {
			if got := len(of(w.owners(), n)); got < 5 || got > 7 {
				t.Errorf("%s owns %d of 24 addresses, want about 6", n, got)
			}
		}
		noGap(t, w, at)
	})
}

func TestACrashedSpeakerThatStartsAtOnce(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.crash("n2", false)
		w.pass(100 * time.Millisecond)
		w.run("n2")
		w.pass(10 * time.Second)
		settled(t, w)
	})
}

func TestALostLink(t *testing.T) { lostLink(t, false) }

func TestALostLinkBesideOneInAnotherSubnet(t *testing.T) { lostLink(t, true) }

func lostLink(t *testing.T, storage bool) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.storage = storage
		for _, name := range w.names {
			w.setLinks(name, true)
		}
		w.pass(time.Second)
		at := time.Now()
		w.setLinks("n1", false)
		w.pass(time.Second)
		settled(t, w)
		if got := of(w.owners(), "n1"); len(got) > 0 {
			t.Errorf("n1 has no link and owns %v", got)
		}
		if gap := w.longestGap(at); gap > 50*time.Millisecond {
			t.Errorf("no node answered for %s, want less than a heartbeat interval: no heartbeat has to be missed", gap)
		}
		before := settled(t, w)
		w.setLinks("n1", true)
		w.pass(10 * time.Second)
		sameOwners(t, w, before, "after the link came back")
	})
}

func TestADrainHasNoGap(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		at := time.Now()
		w.change(func(s *layer2.Snapshot) { s.Draining["n3"] = true })
		w.pass(2 * time.Second)
		settled(t, w)
		if got := of(w.owners(), "n3"); len(got) > 0 {
			t.Errorf("n3 is drained and owns %v", got)
		}
		w.leave("n3")
		w.pass(10 * time.Second)
		settled(t, w)
		noGap(t, w, at)
	})
}

// startsAgain starts the speaker of a node. It checks that owners are as before and that a node has
// answered for each address at any time since.
func startsAgain(t *testing.T, w *world, node lb.NodeName, before map[string]lb.NodeName, since time.Time) {
	t.Helper()
	w.run(node)
	w.pass(10 * time.Second)
	sameOwners(t, w, before, "at the end")
	noGap(t, w, since)
}

func TestAnAnnouncedRestartHasNoGap(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		before, at := settled(t, w), time.Now()
		w.leave("n3")
		w.pass(8 * time.Second)
		startsAgain(t, w, "n3", before, at)
	})
}

// A speaker that receives nothing from the restarting one covers as well: others relay the restart.
func TestRestart_WithoutAGapWhereAPeerReceivesNothing(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		before, at := settled(t, w), time.Now()
		w.wallBetween("n1", "n3")
		w.pass(3 * time.Second)
		w.leave("n3")
		w.pass(8 * time.Second)
		startsAgain(t, w, "n3", before, at)
	})
}

// setSilent sets whether the speakers of a node, the present and later ones, send nothing to the segments.
func (w *world) setSilent(name lb.NodeName, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name].silent = silent
}

func TestRestart_SpeakerThatDoesNotAnnounceIsCovered(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		before, at := settled(t, w), time.Now()
		w.leave("n3")
		w.setSilent("n3", true)
		w.pass(4 * time.Second)
		w.run("n3")
		w.pass(40 * time.Second)
		for address, owner := range before {
			if got := w.covered(netip.MustParseAddr(address)); got != (owner == "n3") {
				t.Errorf("%s of %s: another node answers for it: %t", address, owner, got)
			}
		}
		w.leave("n3")
		w.setSilent("n3", false)
		w.pass(4 * time.Second)
		startsAgain(t, w, "n3", before, at)
	})
}

func TestAllRestartOneAfterTheOther(t *testing.T) {
	each(t, 3, 9, func(t *testing.T, w *world) {
		before, at := settled(t, w), time.Now()
		for _, n := range w.names {
			w.leave(n)
			w.pass(3 * time.Second)
			w.run(n)
			w.pass(3 * time.Second)
		}
		w.pass(10 * time.Second)
		sameOwners(t, w, before, "at the end")
		noGap(t, w, at)
	})
}

func TestARestartThatNeverEnds(t *testing.T) {
	t.Run("the node is dead", func(t *testing.T) {
		each(t, 4, 12, func(t *testing.T, w *world) {
			w.leave("n3")
			w.crash("n3", true)
			w.pass(time.Second)
			settled(t, w)
		})
	})
	t.Run("the node is dead, and a peer did not receive from it", func(t *testing.T) {
		each(t, 4, 12, func(t *testing.T, w *world) {
			w.wallBetween("n1", "n3")
			w.pass(3 * time.Second)
			w.leave("n3")
			w.crash("n3", true)
			w.pass(time.Second)
			settled(t, w)
		})
	})
	t.Run("the time is up", func(t *testing.T) {
		each(t, 4, 12, func(t *testing.T, w *world) {
			w.leave("n3")
			w.pass(29*time.Second + 900*time.Millisecond)
			w.differ()
			w.pass(2 * time.Second)
			settled(t, w)
		})
	})
}

func TestNodeStartsWhileAnotherRestarts(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.crash("n1", false)
		w.pass(10 * time.Second)
		before := settled(t, w)
		w.leave("n3")
		w.run("n1")
		w.pass(8 * time.Second)
		if got := of(w.owners(), "n1"); len(got) > 0 {
			t.Errorf("n1 starts while n3 restarts and takes %v", got)
		}
		w.run("n3")
		w.pass(8 * time.Second)
		sameOwners(t, w, before, "at the end")
	})
}

func TestCoveringSpeakerRestarts(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		before, at := settled(t, w), time.Now()
		w.leave("n3")
		w.pass(6 * time.Second)
		w.leave("n2")
		w.pass(time.Second)
		w.leave("n1")
		w.pass(time.Second)
		w.run("n1", "n2", "n3")
		w.pass(11 * time.Second)
		sameOwners(t, w, before, "at the end")
		noGap(t, w, at)
	})
}

// While all nodes that run are drained, no node takes an address. When a drain ends, nothing has failed, but the node
// does not announce the addresses at once: it probes those that no node ever had, and in a minority it asks the segment.
func TestAddressesWaitForTheEndOfADrain(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		each(t, 2, 6, func(t *testing.T, w *world) {
			w.change(func(s *layer2.Snapshot) { s.Draining["n2"] = true })
			w.pass(6 * time.Second)
			if fresh {
				w.change(func(s *layer2.Snapshot) { s.Draining["n1"] = true })
				w.pass(time.Second)
				w.wants(8)
			} else {
				w.crash("n1", true)
			}
			w.pass(6 * time.Second)
			at := time.Now()
			w.change(func(s *layer2.Snapshot) { s.Draining["n2"] = false })
			w.pass(time.Second)
			settled(t, w)
			if gap := w.longestGap(at); gap == 0 || gap > secondServed {
				t.Errorf("fresh: %v: no node answered for %s", fresh, gap)
			}
		})
	}
}

func TestTheLastOfThreeGoesOnWhenTheOthersHaveLeft(t *testing.T) {
	for _, drained := range []bool{true, false} {
		each(t, 3, 6, func(t *testing.T, w *world) {
			at := time.Now()
			if drained {
				w.change(func(s *layer2.Snapshot) { s.Draining["n2"], s.Draining["n3"] = true, true })
				w.pass(6 * time.Second)
			}
			w.leave("n2")
			w.leave("n3")
			w.pass(29 * time.Second)
			if gap := w.longestGap(at); gap > 0 {
				t.Errorf("drained: %v: no node answered for %s", drained, gap)
			}
			w.differ()
			w.pass(4 * time.Second)
			if got := of(w.owners(), "n1"); len(got) != 6 {
				t.Errorf("drained: %v: n1 answers for %v, want all", drained, got)
			}
		})
	}
}

func TestCoveringSpeakerCrashes(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.leave("n3")
		w.pass(time.Second)
		w.crash("n1", true)
		w.pass(2 * time.Second)
		for address, owner := range w.owners() {
			if owner == "" && !w.covered(address) {
				t.Errorf("no node answers for %s", address)
			}
		}
		w.run("n3")
		w.pass(10 * time.Second)
		settled(t, w)
	})
}

func TestIsolatedNodeAnswersNothing(t *testing.T) {
	for _, count := range []int{3, 5} {
		each(t, count, 12, func(t *testing.T, w *world) {
			at := time.Now()
			before := settled(t, w)
			w.part("n1")
			w.pass(w.timing.Timeout + 2*w.timing.Interval + mostDelay)
			for range 100 {
				if got := of(w.owners(), "n1"); len(got) > 0 {
					t.Fatalf("%s after it was cut off, n1 answers for %v", time.Since(at), got)
				}
				w.pass(100 * time.Millisecond)
			}
			isolated := settled(t, w)
			for a, owner := range before {
				if owner != "n1" && isolated[a] != owner {
					t.Errorf("%s moved from %s to %s, which has nothing to do with n1", a, owner, isolated[a])
				}
			}
			w.heal()
			w.pass(10 * time.Second)
			sameOwners(t, w, isolated, "after healing")
		})
	}
}

func TestIsolatedNodeWhileOthersAreDown(t *testing.T) {
	each(t, 3, 6, func(t *testing.T, w *world) {
		w.part("n1")
		w.crash("n2", true)
		w.crash("n3", true)
		w.pass(2 * time.Second)
		if got := of(w.owners(), "n1"); len(got) > 0 {
			t.Errorf("n1 lost all others at once and answers for %v", got)
		}
		w.change(func(s *layer2.Snapshot) { s.Down["n2"], s.Down["n3"] = true, true })
		w.pass(10 * time.Second)
		if got := of(w.owners(), "n1"); len(got) > 0 {
			t.Errorf("the others are NotReady, n1 receives nothing and answers for %v", got)
		}
		w.heal()
		w.pass(secondServed)
		if got := of(w.owners(), "n1"); len(got) != 6 {
			t.Errorf("n1 is the last node, reaches the gateway and answers for %v, want all", got)
		}
	})
}

func TestTheSurvivorOfTwoGoesOn(t *testing.T) {
	each(t, 2, 6, func(t *testing.T, w *world) {
		w.crash("n2", true)
		w.pass(time.Second)
		settled(t, w)
	})
}

func TestASplitHeals(t *testing.T) {
	var twice []time.Duration
	defer func() { t.Logf("two nodes answered after healing: %s", quantiles(twice)) }()
	heals := func(t *testing.T, w *world) {
		w.pass(5 * time.Second)
		at := time.Now()
		w.heal()
		w.pass(10 * time.Second)
		settled(t, w)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.pastTwice {
			if s.end.After(at) {
				twice = append(twice, s.end.Sub(at))
			}
		}
	}
	for _, part := range [][]lb.NodeName{{"n1", "n2"}, {"n1", "n2", "n3"}} {
		each(t, len(part)*2, 12, func(t *testing.T, w *world) {
			w.part(part...)
			heals(t, w)
		})
	}
	each(t, 2, 12, func(t *testing.T, w *world) {
		w.part("n1")
		heals(t, w)
	})
}

func TestStalledNodeProbesFirst(t *testing.T) {
	for _, still := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 320 * time.Millisecond, 400 * time.Millisecond, 5 * time.Second} {
		each(t, 4, 12, func(t *testing.T, w *world) {
			w.freeze("n2")
			w.pass(still)
			at := time.Now()
			w.thaw("n2")
			w.pass(5 * time.Second)
			settled(t, w)
			if twice := w.longestTwice(at); twice > 2*mostDelay {
				t.Errorf("still for %s: two nodes answered for %s", still, twice)
			}
		})
	}
}

func TestNodeStalledWhileAnotherLeftAnswersAgain(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.freeze("n3")
		w.pass(time.Second)
		w.leave("n2")
		w.pass(200 * time.Millisecond)
		w.thaw("n3")
		w.pass(time.Second)
		w.mu.Lock()
		p := w.nodes["n3"].p
		w.mu.Unlock()
		if !p.runner.MayAnswer() {
			t.Error("a second after n3 runs again n3 still waits for an answer of n2, which restarts")
		}
	})
}

func TestOneWayLossConfirmsNoNodeDead(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		before := settled(t, w)
		w.cutFrom("n1", "n2")
		w.pass(10 * time.Second)
		sameOwners(t, w, before, "at the end")
		w.crash("n1", true)
		w.pass(time.Second)
		settled(t, w)
	})
}

func TestNodeThatIsNotReceivedFrom_GivesUp(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		for _, n := range w.names[1:] {
			w.cutFrom("n1", n)
		}
		w.pass(2 * time.Second)
		settled(t, w)
		if got := of(w.owners(), "n1"); len(got) > 0 {
			t.Errorf("no node receives from n1, and n1 answers for %v", got)
		}
		w.heal()
		w.pass(10 * time.Second)
		settled(t, w)
	})
}

// A node sends and does not receive, so that its announcements would reach all nodes.
func TestNodeThatReceivesNothingAnswersNothing(t *testing.T) {
	for _, count := range []int{2, 4} {
		var gaps, twice []time.Duration
		each(t, count, 12, func(t *testing.T, w *world) {
			at := time.Now()
			w.deafen("n1")
			w.pass(4 * time.Second)
			settled(t, w)
			gaps, twice = append(gaps, w.longestGap(at)), append(twice, w.longestTwice(at))
			if got := of(w.owners(), "n1"); len(got) > 0 {
				t.Errorf("of %d nodes n1 receives nothing and answers for %v", count, got)
			}
			w.heal()
			w.pass(10 * time.Second)
			settled(t, w)
		})
		t.Logf("%d nodes: no node answered: %s; two nodes answered: %s", count, quantiles(gaps), quantiles(twice))
	}
}

func TestNodeWithoutTheAPIServerIsPassedOver(t *testing.T) {
	each(t, 4, 0, func(t *testing.T, w *world) {
		w.wants(0)
		w.run(w.names...)
		w.pass(10 * time.Second)
		w.mu.Lock()
		w.noAPI["n2"] = true
		w.mu.Unlock()
		w.differ()
		w.wants(12)
		w.pass(4 * time.Second)
		settled(t, w)
	})
}

func TestNodeWithAnOldSnapshotDoesNotFightForAddresses(t *testing.T) {
	each(t, 4, 0, func(t *testing.T, w *world) {
		w.wants(2, "n1", "n2")
		w.run(w.names...)
		w.pass(11 * time.Second)
		w.mu.Lock()
		w.noAPI["n1"] = true
		w.mu.Unlock()
		w.differ()
		w.wants(2, "n3")
		w.pass(5 * time.Second)
		var highest uint64
		for _, n := range w.names {
			for _, epoch := range claimsOf(w, n) {
				highest = max(highest, uint64(epoch))
			}
		}
		if highest > 10 {
			t.Errorf("an address had %d owners in five seconds, want a few", highest)
		}
	})
}

func TestTheAPIServerIsAway(t *testing.T) {
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.mu.Lock()
		for _, n := range w.names {
			w.noAPI[n] = true
		}
		w.mu.Unlock()
		w.crash("n2", true)
		w.pass(time.Second)
		settled(t, w)
		w.pass(calm)
		w.run("n2")
		w.pass(calm)
		w.crash("n1", true)
		w.pass(time.Second)
		settled(t, w)
	})
}

func TestThirtyNodes(t *testing.T) {
	play(t, 1, 30, 60, func(t *testing.T, w *world) {
		unmoved := func(before map[string]lb.NodeName, except lb.NodeName) {
			t.Helper()
			after := settled(t, w)
			for a, owner := range before {
				if owner != except && after[a] != owner {
					t.Errorf("%s moved from %s to %s, which has nothing to do with %s", a, owner, after[a], except)
				}
			}
		}
		before, at := settled(t, w), time.Now()
		w.crash("n7", true)
		w.pass(2 * time.Second)
		unmoved(before, "n7")
		if gap := w.longestGap(at); gap == 0 || gap >= w.timing.Timeout+150*time.Millisecond {
			t.Errorf("no node answered for %s", gap)
		}

		before = settled(t, w)
		w.part("n1")
		// A node that watches few peers has to probe the others before it finds itself isolated.
		w.pass(w.timing.Timeout + 4*w.timing.Interval)
		for range 30 {
			if got := of(w.owners(), "n1"); len(got) > 0 {
				t.Errorf("n1 is cut off and answers for %v", got)
				break
			}
			w.pass(100 * time.Millisecond)
		}
		unmoved(before, "n1")
		before = settled(t, w)
		w.heal()
		w.pass(4 * time.Second)
		unmoved(before, "")

		w.part(w.names[:15]...)
		w.pass(4 * time.Second)
		w.heal()
		w.pass(4 * time.Second)
		settled(t, w)
	})
}
