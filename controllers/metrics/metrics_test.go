package metrics

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func key(name string) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: name} }

// values collects all metrics, one a line: name{label="value"} number. Of a
// histogram these are the count and the sum.
func values(t *testing.T, m *Metrics) (lines []string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			var labels []string
			for _, l := range sample.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case sample.Histogram != nil:
				lines = append(lines, fmt.Sprintf("%s %d in %g", name, sample.Histogram.GetSampleCount(), sample.Histogram.GetSampleSum()))
			case sample.Counter != nil:
				lines = append(lines, fmt.Sprintf("%s %g", name, sample.Counter.GetValue()))
			default:
				lines = append(lines, fmt.Sprintf("%s %g", name, sample.GetGauge().GetValue()))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func TestServicesThatAreNotAnnouncedAreCountedByTheReason(t *testing.T) {
	m := New(allocations.New())
	m.SetNotAnnounced(func() map[string]int { return map[string]int{"NoNode": 2, "NoEndpoints": 1} })
	var got []string
	for _, line := range values(t, m) {
		if strings.HasPrefix(line, "lbstack_announcement") {
			got = append(got, line)
		}
	}
	want := []string{`lbstack_announcement_services_not_announced{reason="NoEndpoints"} 1`, `lbstack_announcement_services_not_announced{reason="NoNode"} 2`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestEverythingIsCounted(t *testing.T) {
	l := allocations.New()
	pools := []ipam.Pool{
		{Name: "both", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/31")), lb.RangeOf(netip.MustParsePrefix("2001:db8::/64"))}},
		{Name: "shrunk", Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.1.0/31"))}},
	}
	ipam.Resolve(pools, nil)
	l.Load(pools, []allocations.ClaimContent{{Address: netip.MustParseAddr("10.0.1.7"), Pool: "shrunk", Holders: []allocations.Holder{{Service: key("old")}}}})
	for _, name := range []string{"old", "a", "b", "c", "d"} {
		l.Assign(ipam.Request{Service: key(name), Families: []lb.Family{lb.IPv4}})
	}
	l.Assign(ipam.Request{Service: key("e"), Pool: "nope", Families: []lb.Family{lb.IPv4}})
	l.RefuseInvalid(ipam.Request{Service: key("f")}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	m := New(l)
	m.CountConflict()
	m.CountConflict()
	m.SetPoolConflicts(map[lb.PoolName]int{"gone": 9})
	m.SetPoolConflicts(map[lb.PoolName]int{"both": 0, "shrunk": 3})
	for _, name := range []string{"a", "b", "gone"} {
		m.SetClaimRefused(key(name), true)
	}
	m.SetClaimRefused(key("a"), false)
	m.Forget(key("gone"))
	want := []string{
		`lbstack_address_conflicts_total{} 2`,
		`lbstack_allocation_seconds{} 0 in 0`,
		`lbstack_pool_addresses_in_use{family="IPv4",pool="both"} 2`,
		`lbstack_pool_addresses_in_use{family="IPv4",pool="shrunk"} 0`,
		`lbstack_pool_addresses_in_use{family="IPv6",pool="both"} 0`,
		`lbstack_pool_addresses_outside{pool="both"} 0`,
		`lbstack_pool_addresses_outside{pool="shrunk"} 1`,
		`lbstack_pool_addresses{family="IPv4",pool="both"} 2`,
		`lbstack_pool_addresses{family="IPv4",pool="shrunk"} 2`,
		`lbstack_pool_addresses{family="IPv6",pool="both"} 1.8446744073709552e+19`,
		`lbstack_pool_conflicts{pool="both"} 0`,
		`lbstack_pool_conflicts{pool="shrunk"} 3`,
		`lbstack_services_pending{reason="ClaimRefused"} 1`,
		`lbstack_services_pending{reason="InvalidRequest"} 1`,
		`lbstack_services_pending{reason="PoolExhausted"} 2`,
		`lbstack_services_pending{reason="UnknownPool"} 1`,
	}
	if diff := cmp.Diff(want, values(t, m)); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestAllocationIsTimedOfThoseThatDidNotWait(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	after := func(m *Metrics, d time.Duration) { clock = clock.Add(d); m.now = func() time.Time { return clock } }
	a, b := key("a"), key("b")
	tests := []struct {
		name  string
		story func(*Metrics)
		want  string
	}{
		{name: "one that gets its address", story: func(m *Metrics) { m.NoteArrival(a); after(m, time.Second); m.NoteReconciled(a, true) }, want: "1 in 1"},
		{name: "from when it was first seen", story: func(m *Metrics) {
			m.NoteArrival(a)
			after(m, time.Second)
			m.NoteArrival(a)
			after(m, time.Second)
			m.NoteReconciled(a, true)
		}, want: "1 in 2"},
		{name: "once", story: func(m *Metrics) {
			m.NoteArrival(a)
			after(m, time.Second)
			m.NoteReconciled(a, true)
			m.NoteReconciled(a, true)
		}, want: "1 in 1"},
		{name: "each by itself", story: func(m *Metrics) {
			m.NoteArrival(a)
			after(m, time.Second)
			m.NoteArrival(b)
			after(m, time.Second)
			m.NoteReconciled(b, true)
			m.NoteReconciled(a, true)
		}, want: "2 in 3"},
		{name: "not one that was refused at first", story: func(m *Metrics) {
			m.NoteArrival(a)
			m.NoteReconciled(a, false)
			after(m, time.Hour)
			m.NoteReconciled(a, true)
		}, want: "0 in 0"},
		{name: "not one that had its address all the time", story: func(m *Metrics) { m.NoteReconciled(a, true) }, want: "0 in 0"},
		{name: "not one that went", story: func(m *Metrics) { m.NoteArrival(a); m.Forget(a); after(m, time.Hour); m.NoteReconciled(a, true) }, want: "0 in 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := New(allocations.New())
			after(m, 0)
			tt.story(m)
			want := []string{`lbstack_address_conflicts_total{} 0`, `lbstack_allocation_seconds{} ` + tt.want}
			if diff := cmp.Diff(want, values(t, m)); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if got := len(m.arrived); got != 0 {
				t.Errorf("remembered: got %d Services, want none", got)
			}
		})
	}
}

func TestNilCountsNothing(t *testing.T) {
	var m *Metrics
	m.NoteArrival(key("a"))
	m.NoteReconciled(key("a"), true)
	m.Forget(key("a"))
	m.CountConflict()
	m.SetPoolConflicts(nil)
}

func TestMetricsAreSafeForConcurrentUse(t *testing.T) {
	m := New(allocations.New())
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 100 {
				k := key(fmt.Sprint(i, n))
				m.NoteArrival(k)
				m.NoteReconciled(k, true)
				m.CountConflict()
				m.SetPoolConflicts(map[lb.PoolName]int{"p": n})
			}
		})
	}
	group.Go(func() { values(t, m) })
	group.Wait()
	if got := values(t, m)[0]; got != "lbstack_address_conflicts_total{} 800" {
		t.Errorf("got %s, want 800", got)
	}
}
