package reports

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestTrusted(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	before, later := now.Add(-time.Minute), now.Add(time.Hour)
	own, other, free := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	trust := TrustRules{
		Now:         now,
		Exists:      func(node lb.NodeName) bool { return node != "ghost" },
		MayAnnounce: func(_ lb.NodeName, a netip.Addr) bool { return a != other },
		Claimed:     func(a netip.Addr) bool { return a != free },
	}
	owned := func(a netip.Addr, since time.Time, epoch int64) Report {
		return Report{Node: "n1", Owned: []OwnedAddress{{Address: a, Node: "n1", Since: since, Epoch: epoch}}}
	}
	withRival := func(a netip.Addr, since time.Time) Report {
		return Report{Node: "n1", Foreign: []ForeignHost{{Address: a, Node: "n1", MAC: "02:00:00:00:00:99", Since: since}}}
	}
	nothing := []Report{{Node: "n1"}}
	tests := []struct {
		name   string
		report Report
		want   []Report
	}{
		{"report of a node that may announce counts", owned(own, before, 3), []Report{owned(own, before, 3)}},
		{"report of a node that does not exist does not count", Report{Node: "ghost", Owned: owned(own, before, 3).Owned}, nil},
		{"address that the node may not announce does not count", owned(other, before, 3), nothing},
		{"ownership since a later time is since now", owned(own, later, 3), []Report{owned(own, now, 3)}},
		{"epoch at the bound counts", owned(own, before, maxEpoch), []Report{owned(own, before, maxEpoch)}},
		{"epoch out of bounds does not count", owned(own, before, maxEpoch+1), nothing},
		{"negative epoch does not count", owned(own, before, -1), nothing},
		{"conflict of a candidate counts", withRival(own, before), []Report{withRival(own, before)}},
		{"conflict on an address that the node may not announce does not count", withRival(other, before), nothing},
		{"conflict on an address that nobody has claimed does not count", withRival(free, before), nothing},
		{"ownership of an address that nobody has claimed counts: it ends a conflict", owned(free, before, 3), []Report{owned(free, before, 3)}},
		{"conflict since a later time is since now", withRival(own, later), []Report{withRival(own, now)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			given := tt.report
			copied := Report{Node: given.Node, Owned: append([]OwnedAddress(nil), given.Owned...), Foreign: append([]ForeignHost(nil), given.Foreign...)}
			got := trust.TrustedParts([]Report{given})
			options := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(x, y netip.Addr) bool { return x == y })}
			if diff := cmp.Diff(tt.want, got, options); diff != "" {
				t.Errorf("trusted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(copied, given, options); diff != "" {
				t.Errorf("the report itself has changed:\n%s", diff)
			}
		})
	}
}
