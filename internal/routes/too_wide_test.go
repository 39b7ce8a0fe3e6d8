package routes_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestPlanner_AnAggregateWiderThanThePoolIsSingleRoutes(t *testing.T) {
	ranges := func(prefixes ...string) (list []lb.Range) {
		for _, p := range prefixes {
			list = append(list, lb.RangeOf(netip.MustParsePrefix(p)))
		}
		return lb.Union(list...)
	}
	for _, tt := range []struct {
		name             string
		listed, excluded []lb.Range
		ads              []ad
		want             []string
	}{
		{"the pool is the aggregate", ranges("10.0.0.0/24"), nil, []ad{{Length: 24}}, []string{"10.0.0.0/24"}},
		{"the pool is wider", ranges("10.0.0.0/8"), nil, []ad{{Length: 24}}, []string{"10.0.0.0/24"}},
		{"the pool is narrower", ranges("10.0.0.0/25"), nil, []ad{{Length: 24}}, []string{"10.0.0.1/32", "10.0.0.2/32"}},
		{"the pool excludes an address of the aggregate", ranges("10.0.0.0/24"), ranges("10.0.0.77/32"), []ad{{Length: 24}}, []string{"10.0.0.1/32", "10.0.0.2/32"}},
		{"the pool excludes others", ranges("10.0.0.0/16"), ranges("10.0.1.0/24"), []ad{{Length: 24}}, []string{"10.0.0.0/24"}},
		{"only one address is in an aggregate that fits", ranges("10.0.0.2/31", "10.0.0.1/32"), nil, []ad{{Length: 31}}, []string{"10.0.0.1/32", "10.0.0.2/31"}},
		{"another advertisement fits", ranges("10.0.0.0/25"), nil, []ad{{Scope: scope{Name: "a"}, Length: 24}, {Scope: scope{Name: "b"}, Length: 25}},
			[]string{"10.0.0.0/25", "10.0.0.1/32", "10.0.0.2/32"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := base(tt.ads...).with(shows(one, two))
			s.config.Pools = []eligibility.Pool{{Name: "gold", Listed: tt.listed, Excluded: tt.excluded}}
			want := map[netip.Prefix]bool{}
			for _, p := range tt.want {
				want[netip.MustParsePrefix(p)] = true
			}
			got := map[netip.Prefix]bool{}
			for p := range s.planner().Table("left") {
				got[p] = true
			}
			if diff := cmp.Diff(want, got, byValue); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
}
