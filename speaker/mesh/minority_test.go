package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// fewDoubles fails if two nodes answered for an address for longer than the bound of the checker.
func fewDoubles(t *testing.T, w *world, since time.Time) {
	t.Helper()
	if got := w.longestTwice(since); got > w.twice() {
		t.Errorf("two nodes answered for %s, want at most %s", got, w.twice())
	}
}

func TestSurvivorsOfSeveralServeWithinASecond(t *testing.T) {
	tests := []struct{ nodes, die int }{{2, 1}, {3, 2}, {5, 2}, {5, 3}, {5, 4}}
	for _, tt := range tests {
		for _, power := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d of %d, power lost: %v", tt.die, tt.nodes, power), func(t *testing.T) {
				var gaps []time.Duration
				each(t, tt.nodes, 12, func(t *testing.T, w *world) {
					w.mu.Lock()
					for _, n := range w.names {
						w.noAPI[n] = true // the API server is away
					}
					w.mu.Unlock()
					w.differ()
					at := time.Now()
					for _, n := range w.names[:tt.die] {
						w.crash(n, power)
					}
					w.pass(2 * time.Second)
					settled(t, w)
					gap := w.longestGap(at)
					gaps = append(gaps, gap)
					if gap > time.Second {
						t.Errorf("no node answered for %s, want at most a second", gap)
					}
				})
				t.Logf("no node answered: %s", quantiles(gaps))
			})
		}
	}
}

func TestSpeakerThatReceivesNothingTakesNothing(t *testing.T) {
	each(t, 3, 0, func(t *testing.T, w *world) {
		w.wants(12)
		w.wall("n3")
		w.run("n1", "n2")
		w.pass(10 * time.Second)
		before, at := settled(t, w), time.Now()
		w.run("n3")
		w.pass(20 * time.Second)
		sameOwners(t, w, before, "after n3 started")
		if twice := w.longestTwice(at); twice > 0 {
			t.Errorf("two nodes answered for %s, want never", twice)
		}
		w.heal()
		w.pass(10 * time.Second)
		sameOwners(t, w, before, "after n3 received from the others")
	})
}

func TestWallLeavesOneOwner(t *testing.T) {
	tests := []struct {
		nodes int
		some  []lb.NodeName
		moves bool // addresses of the minority move to the majority
	}{
		{2, []lb.NodeName{"n1"}, false},
		{3, []lb.NodeName{"n1"}, true},
		{3, []lb.NodeName{"n3"}, true},
		{4, []lb.NodeName{"n1", "n2"}, false},
		{5, []lb.NodeName{"n4", "n5"}, true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d of %d", len(tt.some), tt.nodes), func(t *testing.T) {
			var twice []time.Duration
			each(t, tt.nodes, 12, func(t *testing.T, w *world) {
				before, at := settled(t, w), time.Now()
				w.wall(tt.some...)
				w.pass(10 * time.Second)
				during := settled(t, w)
				if diff := cmp.Diff(before, during); diff != "" && !tt.moves {
					t.Errorf("owners (-before +after):\n%s", diff)
				}
				twice = append(twice, w.longestTwice(at))
				fewDoubles(t, w, at)
				if gap := w.longestGap(at); gap > time.Second {
					t.Errorf("no node answered for %s, want at most a second", gap)
				}
				w.crash(tt.some[0], true)
				w.pass(3 * time.Second)
				settled(t, w)
				w.run(tt.some[0])
				w.heal()
				w.pass(15 * time.Second)
				settled(t, w)
			})
			t.Logf("two nodes answered: %s", quantiles(twice))
		})
	}
}

// Where nodes are cut from each other and all reach the gateway, nothing in the network decides which
// group goes on. The controller decides.
func TestSeparatedNodesThatReachTheGateway(t *testing.T) {
	tests := []struct {
		nodes int
		some  []lb.NodeName
		goOn  bool // some is the group that goes on
	}{
		{2, []lb.NodeName{"n1"}, true},
		{3, []lb.NodeName{"n1"}, false},
		{3, []lb.NodeName{"n3"}, false},
		{4, []lb.NodeName{"n3", "n4"}, false},
		{5, []lb.NodeName{"n1", "n2"}, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d of %d", len(tt.some), tt.nodes), func(t *testing.T) {
			var twice, gaps []time.Duration
			each(t, tt.nodes, 12, func(t *testing.T, w *world) {
				at := time.Now()
				w.separate(tt.some...)
				w.pass(10 * time.Second)
				for address, owner := range settled(t, w) {
					if slices.Contains(tt.some, owner) != tt.goOn {
						t.Errorf("%s is answered for by %s, want one of the group that goes on", address, owner)
					}
				}
				twice, gaps = append(twice, w.longestTwice(at)), append(gaps, w.longestGap(at))
				if got := w.longestTwice(at); got == 0 || got > w.separatedFor() {
					t.Errorf("two nodes answered for %s, want some time, as the controller decides which group goes on, and at most %s", got, w.separatedFor())
				}
				if gap := w.longestGap(at); gap > time.Second {
					t.Errorf("no node answered for %s, want at most a second", gap)
				}
				// The group that goes on dies, and its nodes become NotReady.
				left := slices.DeleteFunc(slices.Clone(w.names), func(n lb.NodeName) bool { return slices.Contains(tt.some, n) == tt.goOn })
				dead := slices.DeleteFunc(slices.Clone(w.names), func(n lb.NodeName) bool { return slices.Contains(left, n) })
				for _, n := range dead {
					w.crash(n, true)
				}
				w.lost(dead...)
				w.pass(5 * time.Second)
				settled(t, w)
				w.lost()
				w.heal()
				w.run(dead...)
				w.pass(15 * time.Second)
				settled(t, w)
			})
			t.Logf("two nodes answered: %s; none: %s", quantiles(twice), quantiles(gaps))
		})
	}
}

func TestAddressThatBecomesWantedBehindAWall(t *testing.T) {
	each(t, 4, 0, func(t *testing.T, w *world) {
		w.wants(2)
		w.run(w.names...)
		w.pass(11 * time.Second)
		w.wall("n1", "n2")
		w.pass(5 * time.Second)
		w.differ()
		at := time.Now()
		w.wants(12)
		w.pass(5 * time.Second)
		settled(t, w)
		fewDoubles(t, w, at)
	})
}

func TestIsolatedSpeakerStartsAnewWithItsLink(t *testing.T) {
	each(t, 3, 12, func(t *testing.T, w *world) {
		w.part("n1")
		w.pass(5 * time.Second)
		w.change(func(s *layer2.Snapshot) { s.Draining["n2"] = true })
		w.heal()
		w.pass(15 * time.Second)
		settled(t, w)
	})
}

func TestWallOfASlowProfileLeavesOneOwner(t *testing.T) {
	// n3 is confirmed dead, and its addresses are announced elsewhere, long before n3 confirms the
	// others dead.
	each(t, 3, 0, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.timing, w.loss, w.late, w.firm = ProfileRelaxed.timing(), 0.1, 0.1, false
		w.mu.Unlock()
		w.wants(12)
		w.run(w.names...)
		w.pass(11 * time.Second)
		at := time.Now()
		w.wall("n3")
		w.pass(8 * time.Second)
		settled(t, w)
		fewDoubles(t, w, at)
	})
}

func TestOfTwoSpeakersTheOneThatIsNotReceivedAnswersNothing(t *testing.T) {
	each(t, 2, 6, func(t *testing.T, w *world) {
		at := time.Now()
		w.cutFrom("n2", "n1")
		w.pass(5 * time.Second)
		settled(t, w)
		if got := of(w.owners(), "n1"); len(got) != 6 {
			t.Errorf("n1 receives nothing from n2 and answers for %v, want all", got)
		}
		fewDoubles(t, w, at)
		w.heal()
		w.pass(10 * time.Second)
		settled(t, w)
	})
}

// A node that is NotReady because it does not reach the API server may still announce addresses.
func TestNotReadyNodesMakeNoMajority(t *testing.T) {
	for _, tt := range []struct {
		nodes int
		cut   []lb.NodeName // from the API server and, in the mesh alone, from the others
	}{{2, []lb.NodeName{"n2"}}, {3, []lb.NodeName{"n2", "n3"}}, {5, []lb.NodeName{"n3", "n4", "n5"}}} {
		t.Run(fmt.Sprintf("%d of %d", len(tt.cut), tt.nodes), func(t *testing.T) {
			each(t, tt.nodes, 12, func(t *testing.T, w *world) {
				at := time.Now()
				w.wall(tt.cut...)
				w.unreachable(tt.cut...)
				w.pass(40 * time.Second)
				before := settled(t, w)
				w.lost(tt.cut...)
				w.pass(20 * time.Second)
				sameOwners(t, w, before, "after the nodes became NotReady")
				fewDoubles(t, w, at)
				w.unreachable()
				w.lost()
				w.heal()
				w.pass(10 * time.Second)
				settled(t, w)
			})
		})
	}
}

// The only API server is on a node that no longer receives from the segment, and makes all other nodes NotReady. These serve.
func TestNodeOfTheOnlyAPIServerReceivesNothing(t *testing.T) {
	for name, cut := range map[string]func(*world){
		"it sends":         func(w *world) { w.deafen("n1") },
		"nor does it send": func(w *world) { w.part("n1") },
	} {
		for _, nodes := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s, %d nodes", name, nodes), func(t *testing.T) {
				each(t, nodes, 12, func(t *testing.T, w *world) {
					at := time.Now()
					cut(w)
					w.unreachable(w.names[1:]...)
					w.pass(5 * time.Second)
					before := settled(t, w)
					if got := of(w.owners(), "n1"); len(got) > 0 {
						t.Errorf("n1 receives nothing and answers for %v", got)
					}
					w.lost(w.names[1:]...)
					w.pass(5 * time.Second)
					sameOwners(t, w, before, "after the others became NotReady")
					w.lost()
					w.unreachable()
					w.heal()
					w.pass(10 * time.Second)
					sameOwners(t, w, before, "after n1 received from the others")
					fewDoubles(t, w, at)
				})
			})
		}
	}
}

// Nodes that have never received from each other do not know each other's hardware addresses.
func TestNodesThatHaveNeverMet(t *testing.T) {
	for _, tt := range []struct {
		nodes int
		walls [][]lb.NodeName
	}{
		{2, [][]lb.NodeName{{"n1"}}},
		{3, [][]lb.NodeName{{"n3"}}},
		{3, [][]lb.NodeName{{"n1"}, {"n2"}}},
		{4, [][]lb.NodeName{{"n1", "n2"}}},
	} {
		t.Run(fmt.Sprint(tt.nodes, tt.walls), func(t *testing.T) {
			each(t, tt.nodes, 0, func(t *testing.T, w *world) {
				for _, some := range tt.walls {
					w.wall(some...)
				}
				w.wants(12)
				w.run(w.names...)
				w.pass(10 * time.Second)
				settled(t, w)
				at := time.Now()
				w.crash(w.names[0], true)
				w.pass(3 * time.Second)
				settled(t, w)
				w.run(w.names[0])
				w.pass(10 * time.Second)
				settled(t, w)
				fewDoubles(t, w, at)
				w.heal()
				w.pass(10 * time.Second)
				settled(t, w)
			})
		})
	}
}

// All nodes are isolated while the switch reboots. Afterwards no node waits for nodes that died before.
func TestSwitchThatReboots(t *testing.T) {
	for _, dead := range []int{0, 1, 2} {
		t.Run(fmt.Sprintf("%d of 5 nodes are dead", dead), func(t *testing.T) {
			var gaps []time.Duration
			each(t, 5, 12, func(t *testing.T, w *world) {
				for _, n := range w.names[:dead] {
					w.crash(n, true)
					w.pass(2 * time.Second)
				}
				w.cutAll()
				w.pass(5 * time.Second)
				if owners := len(of(w.owners(), "")); owners != 12 {
					t.Errorf("%d addresses have no answer while the switch reboots, want 12", owners)
				}
				at := time.Now()
				w.heal()
				for !single(w) && time.Since(at) < 10*time.Second {
					w.pass(time.Millisecond)
				}
				gaps = append(gaps, time.Since(at))
				if gap := time.Since(at); gap > secondServed {
					t.Errorf("it took %s until one node answered for each address, want at most %s", gap, secondServed)
				}
				w.pass(10 * time.Second)
				settled(t, w)
			})
			t.Logf("until one node answered: %s", quantiles(gaps))
		})
	}
}

// The last report of a speaker stays while the speaker is frozen. The failing probes of the kubelet
// show the controller that the report does not count.
func TestSeparatedNodes_StalledNodeIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name string
		does func(*world)
	}{
		{"since after the cut", func(w *world) {
			w.separate("n1")
			w.pass(10 * time.Second)
			w.freeze("n1")
		}},
		{"since before the cut, with a report about an earlier cut", func(w *world) {
			w.separate("n1")
			w.pass(10 * time.Second)
			w.unreachable("n1")
			w.heal()
			w.pass(10 * time.Second)
			w.freeze("n1")
			w.separate("n1")
			w.unreachable()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, 2, 6, func(t *testing.T, w *world) {
				tt.does(w)
				w.pass(10 * time.Second)
				if got := of(w.owners(), "n2"); len(got) > 0 {
					t.Errorf("n1 counts, and n2 answers for %v", got)
				}
				w.pass(probed + unreadyFor + readInterval + secondServed - 10*time.Second)
				if got := of(w.owners(), "n2"); len(got) != 6 {
					t.Errorf("n1 stands still, and n2 answers for %v, want all", got)
				}
				w.thaw("n1")
				w.pass(10 * time.Second)
				settled(t, w)
			})
		})
	}
}

// n1 stands still during a cut, so that its report shows the cut after it has ended. When n4 loses its link, the group of n1
// counts as larger than that of n3. n2 stands still too, and does not answer on the segment: n3 gives way until the kubelet
// of n1 has reported that its speaker does not answer.
func TestReportOfASpeakerThatStandsStillSilencesAnotherOneForItsTime(t *testing.T) {
	each(t, 4, 6, func(t *testing.T, w *world) {
		w.setLinks("n2", false)
		w.freeze("n2")
		w.pass(time.Second)
		w.wall("n1")
		w.pass(3 * time.Second)
		w.freeze("n1")
		still := time.Now()
		w.pass(time.Second)
		w.heal()
		w.pass(calm + time.Second)
		w.setLinks("n4", false)
		w.pass(4 * time.Second)
		if got := of(w.owners(), "n3"); len(got) > 0 {
			t.Errorf("n3 answers for %v while the group of n1 counts as larger", got)
		}
		w.pass(time.Until(still.Add(probed + unreadyFor + 2*readInterval + secondServed)))
		settled(t, w)
	})
}

// On a segment in whose subnet no node has its address, a speaker knows the nodes by what their speakers have sent to
// it. Without that two nodes in different parts of the mesh are foreign hosts for each other, and the controller decides.
func TestOwnersOnTheSecondSegmentThatComeBackInAMajority(t *testing.T) {
	for _, met := range []bool{true, false} {
		t.Run(fmt.Sprintf("they have received from each other: %v", met), func(t *testing.T) {
			each(t, 3, 0, func(t *testing.T, w *world) {
				w.mu.Lock()
				w.storage, w.mixed = true, true
				go w.askForAddresses()
				w.mu.Unlock()
				w.wants(12)
				if !met {
					w.wall("n1")
				}
				w.run(w.names...)
				w.pass(10 * time.Second)
				w.wall("n1")
				w.outage(true)
				w.pass(partitionedFor + 10*time.Second) // no report of the controller counts any more
				settled(t, w)
				w.crash("n2", false)
				w.crash("n3", false)
				w.pass(5 * time.Second)
				for address, by := range w.owners() {
					if by != "n1" {
						t.Errorf("%s is answered for by %q, want n1, the only node that runs", address, by)
					}
				}
				at := time.Now()
				w.run("n2", "n3")
				w.pass(10 * time.Second)
				if met {
					settled(t, w)
					fewDoubles(t, w, at)
				}
				w.outage(false)
				w.pass(w.separatedFor())
				settled(t, w)
				w.heal()
				w.pass(10 * time.Second)
				settled(t, w)
			})
		})
	}
}
