package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestResolve(t *testing.T) {
	tests := []struct {
		name      string
		pools     []Pool // oldest first
		taken     []TakenRange
		gives     []string
		conflicts map[lb.PoolName][]string
	}{
		{name: "neighbours are fine, and ranges that touch are joined", pools: pools(newPool("a", "10.0.0.5-10.0.0.9 10.0.0.1-10.0.0.4"), newPool("b", "10.0.0.10 ::1")), gives: []string{"10.0.0.1-10.0.0.9", "10.0.0.10 ::1"}},
		{name: "what is excluded is not given", pools: pools(newPool("a", "10.0.0.1-10.0.0.9", without("10.0.0.0-10.0.0.2 10.0.0.5 10.0.0.9"))), gives: []string{"10.0.0.3-10.0.0.4 10.0.0.6-10.0.0.8"}},
		{name: "a pool may give nothing", pools: pools(newPool("a", "10.0.0.1", without("10.0.0.0/24")), newPool("b", "")), gives: []string{"", ""}},
		{name: "of two pools the older one has what both list", pools: pools(newPool("z-old", "10.0.0.1-10.0.0.9"), newPool("a-new", "10.0.0.8-10.0.0.20")), gives: []string{"10.0.0.1-10.0.0.9", "10.0.0.10-10.0.0.20"},
			conflicts: map[lb.PoolName][]string{"a-new": {`10.0.0.8-10.0.0.9 belongs to the older pool "z-old"`}}},
		{name: "a younger pool around an older one keeps both ends", pools: pools(newPool("old", "10.0.0.5"), newPool("new", "10.0.0.1-10.0.0.9")), gives: []string{"10.0.0.5", "10.0.0.1-10.0.0.4 10.0.0.6-10.0.0.9"},
			conflicts: map[lb.PoolName][]string{"new": {`10.0.0.5 belongs to the older pool "old"`}}},
		{name: "what the older one excludes the younger one can have", pools: pools(newPool("old", "10.0.0.1-10.0.0.9", without("10.0.0.5")), newPool("new", "10.0.0.5")), gives: []string{"10.0.0.1-10.0.0.4 10.0.0.6-10.0.0.9", "10.0.0.5"}},
		{name: "what the younger one excludes is no conflict", pools: pools(newPool("old", "10.0.0.5"), newPool("new", "10.0.0.1-10.0.0.9", without("10.0.0.5"))), gives: []string{"10.0.0.5", "10.0.0.1-10.0.0.4 10.0.0.6-10.0.0.9"}},
		{name: "a third pool has the conflict with the first that owns it", pools: pools(newPool("a", "10.0.0.1-10.0.0.2"), newPool("b", "10.0.0.2-10.0.0.3"), newPool("c", "10.0.0.1-10.0.0.4")), gives: []string{"10.0.0.1-10.0.0.2", "10.0.0.3", "10.0.0.4"},
			conflicts: map[lb.PoolName][]string{"b": {`10.0.0.2 belongs to the older pool "a"`}, "c": {`10.0.0.1-10.0.0.2 belongs to the older pool "a"`, `10.0.0.3 belongs to the older pool "b"`}}},
		{name: "what is taken is held back", pools: pools(newPool("a", "10.0.0.1-10.0.0.9")), taken: []TakenRange{{Range: rangesIn("10.0.0.4")[0], By: `the node "n1"`}, {Range: rangesIn("10.0.0.8/29")[0], By: "the Service network"}, {Range: rangesIn("10.5.0.0/16")[0], By: "the pod network"}}, gives: []string{"10.0.0.1-10.0.0.3 10.0.0.5-10.0.0.7"},
			conflicts: map[lb.PoolName][]string{"a": {`10.0.0.4 belongs to the node "n1"`, "10.0.0.8-10.0.0.9 belongs to the Service network"}}},
		{name: "an address that two own is reported twice", pools: pools(newPool("a", "10.0.0.1-10.0.0.9")), taken: []TakenRange{{Range: rangesIn("10.0.0.4")[0], By: `the node "n1"`}, {Range: rangesIn("10.0.0.4")[0], By: `the node "n2"`}}, gives: []string{"10.0.0.1-10.0.0.3 10.0.0.5-10.0.0.9"},
			conflicts: map[lb.PoolName][]string{"a": {`10.0.0.4 belongs to the node "n1"`, `10.0.0.4 belongs to the node "n2"`}}},
		{name: "what is excluded and taken is no conflict", pools: pools(newPool("a", "10.0.0.1-10.0.0.9", without("10.0.0.1"))), taken: []TakenRange{{Range: rangesIn("10.0.0.1")[0], By: "x"}}, gives: []string{"10.0.0.2-10.0.0.9"}},
		{name: "an older pool hides what is taken from the younger one", pools: pools(newPool("a", "10.0.0.1"), newPool("b", "10.0.0.1")), taken: []TakenRange{{Range: rangesIn("10.0.0.1")[0], By: "x"}}, gives: []string{"", ""},
			conflicts: map[lb.PoolName][]string{"a": {"10.0.0.1 belongs to x"}, "b": {`10.0.0.1 belongs to the older pool "a"`}}},
		{name: "an address that is listed twice is reported and given", pools: pools(newPool("a", "10.0.0.1-10.0.0.9 10.0.0.5")), gives: []string{"10.0.0.1-10.0.0.9"},
			conflicts: map[lb.PoolName][]string{"a": {`10.0.0.5 belongs to the pool "a" twice`}}},
		{name: "a range inside of another that is not its neighbour is reported too", pools: pools(newPool("a", "10.0.0.1-10.0.0.9 10.0.0.2 10.0.0.8-10.0.0.12")), gives: []string{"10.0.0.1-10.0.0.12"},
			conflicts: map[lb.PoolName][]string{"a": {`10.0.0.2 belongs to the pool "a" twice`, `10.0.0.8-10.0.0.9 belongs to the pool "a" twice`}}},
		{name: "families do not touch", pools: pools(newPool("a", "255.255.255.255 :: 0.0.0.0"), newPool("b", "255.255.255.254 ::1")), gives: []string{"0.0.0.0 255.255.255.255 ::", "255.255.255.254 ::1"}},
		{name: "conflicts are in the order of the addresses", pools: pools(newPool("old", "10.0.0.9"), newPool("a", "10.0.0.1-10.0.0.9 10.0.0.5")), taken: []TakenRange{{Range: rangesIn("10.0.0.3")[0], By: "x"}}, gives: []string{"10.0.0.9", "10.0.0.1-10.0.0.2 10.0.0.4-10.0.0.8"},
			conflicts: map[lb.PoolName][]string{"a": {"10.0.0.3 belongs to x", `10.0.0.5 belongs to the pool "a" twice`, `10.0.0.9 belongs to the older pool "old"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := Resolve(tt.pools, tt.taken)
			for i, p := range tt.pools {
				if diff := cmp.Diff(rangesIn(tt.gives[i]), p.Gives, byValue); diff != "" {
					t.Errorf("%s gives (-want +got):\n%s", p.Name, diff)
				}
			}
			got := map[lb.PoolName][]string{}
			for name, list := range found {
				for _, c := range list {
					got[name] = append(got[name], c.String())
				}
			}
			if tt.conflicts == nil {
				tt.conflicts = map[lb.PoolName][]string{}
			}
			if diff := cmp.Diff(tt.conflicts, got); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}

// Three times the same is one conflict.
func TestResolve_ReportsEachConflictOnce(t *testing.T) {
	list := pools(newPool("a", "10.0.0.5 10.0.0.5 10.0.0.5"))
	found := Resolve(list, nil)["a"]
	if want := []Conflict{{Range: rangesIn("10.0.0.5")[0], With: `the pool "a" twice`}}; !slices.Equal(found, want) {
		t.Errorf("conflicts: got %v, want %v", found, want)
	}
}

// The caller's pools are not changed, but for what Resolve sets.
func TestPoolsOfTheCallerAreNotChanged(t *testing.T) {
	build := func() []Pool {
		return pools(newPool("b", "10.0.0.9 10.0.0.1-10.0.0.5 10.0.0.2", without("10.0.0.4 10.0.0.3"), quota(3)), newPool("a", "10.0.0.5-10.0.0.7 2001:db8::/64"))
	}
	got, want := build(), build()
	Resolve(got, []TakenRange{{Range: rangesIn("10.0.0.1")[0], By: "x"}})
	for i := range got {
		want[i].Gives, want[i].Conflicts = slices.Clone(got[i].Gives), slices.Clone(got[i].Conflicts)
	}
	a := New()
	a.SetPools(got)
	decide(t, a, ask("web"), "keep 10.0.0.6@a")
	a.SetPools(got[:1])
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
}

// What a pool gives is not of order n²: this is a smoke test against an accident,
// the numbers are in the benchmarks.
func TestResolveManyRanges(t *testing.T) {
	var p Pool
	for i := range 2000 {
		p.Listed = append(p.Listed, rangesIn(fmt.Sprintf("10.%d.%d.0/25", i/256, i%256))...)
	}
	p.Name = "p"
	list := []Pool{p}
	if found := Resolve(list, nil); len(found) != 0 || len(list[0].Gives) != 2000 {
		t.Errorf("got %d ranges and %d conflicts, want 2000 and none", len(list[0].Gives), len(found))
	}
}

func TestResolve_ReportsConflictsInOneOrder(t *testing.T) {
	r := lb.RangeOf(netip.MustParsePrefix("10.0.0.5/32"))
	mk := func(names ...string) string {
		p := []Pool{{Name: "p", Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/28"))}}}
		var taken []TakenRange
		for _, n := range names {
			taken = append(taken, TakenRange{Range: r, By: "the node " + n})
		}
		return fmt.Sprint(Resolve(p, taken)["p"])
	}
	if x, y := mk("a", "b"), mk("b", "a"); x != y {
		t.Errorf("order of the cache's list decides the message:\n%s\n%s", x, y)
	}
}
