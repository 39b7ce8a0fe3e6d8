package reports

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// alone is the report of a speaker in a minority.
func alone(node lb.NodeName, missing ...lb.NodeName) Report {
	r := misses(node, missing...)
	r.MinoritySince = at(1)
	return r
}

func isolated(r Report) Report { r.Isolated = true; return r }

func unready(r Report) Report { r.Unready = true; return r }

func standby(r Report) Report { r.Standby = "the node drains"; return r }

func TestPartitioned(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reports []Report
		stale   []lb.NodeName
		want    map[lb.NodeName]SpeakerGroup
	}{
		{"all receive from each other", []Report{misses("a"), misses("b")}, nil, nil},
		{"one is cut from three", []Report{alone("a", "b", "c", "d"), misses("b", "a"), misses("c", "a"), misses("d", "a")}, nil, map[lb.NodeName]SpeakerGroup{"a": {"b", 3}}},
		{"two of five are cut from three", []Report{alone("a", "c", "d", "e"), alone("b", "c", "d", "e"), misses("c", "a", "b"), misses("d", "a", "b"), misses("e", "a", "b")}, nil,
			map[lb.NodeName]SpeakerGroup{"a": {"c", 3}, "b": {"c", 3}}},
		{"two halves: the one with the first name goes on", []Report{alone("a", "c", "d"), alone("b", "c", "d"), alone("c", "a", "b"), alone("d", "a", "b")}, nil,
			map[lb.NodeName]SpeakerGroup{"c": {"a", 2}, "d": {"a", 2}}},
		{"one of two", []Report{alone("a", "b"), alone("b", "a")}, nil, map[lb.NodeName]SpeakerGroup{"b": {"a", 1}}},
		{"three groups of two, two and one", []Report{alone("a", "b", "c", "d", "e"), alone("b", "a", "d", "e"), alone("c", "a", "d", "e"), alone("d", "a", "b", "c"), alone("e", "a", "b", "c")}, nil,
			map[lb.NodeName]SpeakerGroup{"a": {"b", 2}, "d": {"b", 2}, "e": {"b", 2}}},
		{"survivor: the others died together", []Report{misses("a"), misses("b"), alone("c", "a", "b")}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"survivor: the others died one after the other", []Report{misses("a"), misses("b", "a"), alone("c", "a", "b")}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"survivor of three that were cut from it before they died, when that is known", []Report{alone("a", "b", "c"), misses("b", "a"), misses("c", "a")}, []lb.NodeName{"b", "c"}, map[lb.NodeName]SpeakerGroup{}},
		{"the others have not reported yet", []Report{alone("b", "a", "c"), misses("a"), misses("c")}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"the others are silent", []Report{alone("a", "b", "c"), isolated(alone("b", "a", "c")), isolated(alone("c", "a", "b"))}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"the only other one stands still", []Report{alone("b", "a"), unready(alone("a", "b"))}, nil, map[lb.NodeName]SpeakerGroup{"a": {"b", 1}}},
		{"one of two others stands still", []Report{alone("a", "b", "c"), unready(misses("b", "a")), misses("c", "a")}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"one of three others stands still", []Report{alone("a", "b", "c", "d"), unready(misses("b", "a")), misses("c", "a"), misses("d", "a")}, nil, map[lb.NodeName]SpeakerGroup{"a": {"c", 2}}},
		{"one that is cut from two stands still", []Report{unready(alone("a", "b", "c")), misses("b", "a"), misses("c", "a")}, nil, map[lb.NodeName]SpeakerGroup{"a": {"b", 2}}},
		{"one that stands still with the larger group", []Report{unready(misses("a", "d")), misses("b", "d"), misses("c", "d"), alone("d", "a", "b", "c")}, nil, map[lb.NodeName]SpeakerGroup{"d": {"b", 2}}},
		{"all stand still", []Report{unready(alone("a", "b")), unready(alone("b", "a"))}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"the others take no address", []Report{alone("a", "b", "c"), standby(misses("b", "a")), standby(misses("c", "a"))}, nil, map[lb.NodeName]SpeakerGroup{}},
		{"one of the others takes addresses", []Report{alone("a", "b", "c"), standby(misses("b", "a")), misses("c", "a")}, nil, map[lb.NodeName]SpeakerGroup{"a": {"b", 2}}},
		{"one of the two others does not reach the API server", []Report{misses("a"), alone("b", "a", "c"), misses("c", "b")}, nil, map[lb.NodeName]SpeakerGroup{"b": {"a", 2}}},
		{"the one that it is not cut from takes addresses", []Report{alone("a", "b", "c"), standby(misses("b", "a")), misses("c")}, nil, map[lb.NodeName]SpeakerGroup{"a": {"b", 2}}},
		{"a speaker reports alone that it misses one that receives from others", []Report{misses("a"), misses("b"), misses("c", "a", "b")}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, stale := map[lb.NodeName]Report{}, map[lb.NodeName]Staleness{}
			for _, r := range tt.reports {
				all[r.Node] = r
			}
			for _, node := range tt.stale {
				stale[node] = SpeakerMissed
			}
			if diff := cmp.Diff(tt.want, PartitionedNodes(all, stale)); diff != "" {
				t.Errorf("partitioned (-want +got):\n%s", diff)
			}
		})
	}
}

// However a mesh is cut, the speakers of one group go on, and none of any other does.
func TestPartitioned_OneGroupGoesOn(t *testing.T) {
	const most = 256
	for _, sizes := range [][]int{{1, 1}, {1, 1, 1}, {2, 2, 1}, {3, 1, 3, 2}, {30, 30}, {300, 300}, {600, 300, 300}} {
		group, all := map[lb.NodeName]int{}, map[lb.NodeName]Report{}
		for g, size := range sizes {
			for range size {
				group[lb.NodeName(fmt.Sprintf("n%04d", len(group)))] = g
			}
		}
		names := slices.Sorted(maps.Keys(group))
		for node, g := range group {
			r := alone(node)
			for _, other := range names {
				if group[other] != g && len(r.Missing) < most {
					r.Missing = append(r.Missing, other)
				}
			}
			r.MissingBounded = len(r.Missing) == most
			all[node] = r
		}
		cut, goOn := PartitionedNodes(all, nil), map[int]int{}
		for node, g := range group {
			if _, is := cut[node]; !is {
				goOn[g]++
			}
		}
		if len(goOn) != 1 {
			t.Errorf("groups of %v: got %v speakers that go on, by group, want those of one group", sizes, goOn)
		}
		for g, n := range goOn {
			if n != sizes[g] || sizes[g] != slices.Max(sizes) {
				t.Errorf("groups of %v: got %d speakers of group %d that go on, want all of a largest one", sizes, n, g)
			}
		}
	}
}
