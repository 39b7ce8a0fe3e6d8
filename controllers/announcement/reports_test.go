package announcement

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

const mac = "02:00:00:00:00:99"

var (
	start  = time.Date(2026, 11, 25, 20, 1, 2, 0, time.UTC)
	byAddr = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
	one    = netip.MustParseAddr("192.168.1.240")
	two    = netip.MustParseAddr("192.168.1.241")
)

func owns(node lb.NodeName, epoch int64, addresses ...netip.Addr) reports.Report {
	r := reports.Report{Node: node}
	for _, a := range addresses {
		r.Owned = append(r.Owned, reports.OwnedAddress{Address: a, Node: node, Interfaces: []string{"eth0"}, Epoch: epoch, Since: start})
	}
	return r
}

func withHost(r reports.Report, inUse bool, address netip.Addr) reports.Report {
	r.Foreign = append(r.Foreign, reports.ForeignHost{Address: address, Node: r.Node, Interface: "eth0", MAC: mac, InUse: inUse, Since: start})
	return r
}

func TestPut_ReturnsChanges(t *testing.T) {
	b := NewReports()
	put := func(r reports.Report) []netip.Addr { return b.Put(r).Addresses }
	for _, step := range []struct {
		name string
		do   func() []netip.Addr
		want []netip.Addr
	}{
		{"all of a new report", func() []netip.Addr { return put(owns("n1", 1, one, two)) }, []netip.Addr{one, two}},
		{"nothing of the same again", func() []netip.Addr { return put(owns("n1", 1, one, two)) }, nil},
		{"what is gone", func() []netip.Addr { return put(owns("n1", 1, two)) }, []netip.Addr{one}},
		{"another epoch", func() []netip.Addr { return put(owns("n1", 2, two)) }, []netip.Addr{two}},
		{"a foreign host", func() []netip.Addr { return put(withHost(owns("n1", 2, two), false, one)) }, []netip.Addr{one}},
		{"which address it is on", func() []netip.Addr { return put(withHost(owns("n1", 2, two), false, two)) }, []netip.Addr{one, two}},
		{"that what it is on is announced", func() []netip.Addr { return put(withHost(owns("n1", 2, two), true, two)) }, []netip.Addr{two}},
		{"another node", func() []netip.Addr { return put(owns("n2", 1, two)) }, []netip.Addr{two}},
		{"a node that is gone", func() []netip.Addr { return b.Remove("n1").Addresses }, []netip.Addr{two}},
		{"one that never was", func() []netip.Addr { return b.Remove("n3").Addresses }, nil},
	} {
		if diff := cmp.Diff(step.want, step.do(), byAddr); diff != "" {
			t.Errorf("%s: changed (-want +got):\n%s", step.name, diff)
		}
	}
	if b.Remove("n2"); len(b.owned)+len(b.hosts)+len(b.nodes) != 0 {
		t.Errorf("when all are gone: got %v, %v, %v, want nothing left", b.owned, b.hosts, b.nodes)
	}
}

func TestLook_ReturnsOwnerAndHost(t *testing.T) {
	b := NewReports()
	b.Put(owns("n1", 1, one, two)) // which died
	b.Put(withHost(owns("n2", 2, one), true, one))
	if l := b.ReportOnAddress(one, TrustedNodes{}); !l.Owned || l.Owner.Node != "n2" || !l.Foreign || l.Host.MAC != mac {
		t.Errorf("one: got %+v, want n2 and the foreign host", l)
	}
	if l := b.ReportOnAddress(two, TrustedNodes{}); !l.Owned || l.Owner.Node != "n1" || l.Foreign {
		t.Errorf("two: got %+v, want n1", l)
	}
	if l := b.ReportOnAddress(two.Next(), TrustedNodes{}); l.Owned || l.Foreign {
		t.Errorf("another: got %+v, want nobody", l)
	}
	none := func(lb.NodeName) bool { return false }
	for name, trusted := range map[string]TrustedNodes{"no node": {layer2: none, bgp: none}, "n1": {layer2: func(n lb.NodeName) bool { return n == "n1" }, bgp: none}} {
		if l := b.ReportOnAddress(one, trusted); !l.Untrusted || l.Owned && l.Owner.Node != "n1" {
			t.Errorf("one, trusting %s: got %+v, want that the report of n2 is ignored", name, l)
		}
	}
	if l := b.ReportOnAddress(one, TrustedNodes{}); l.Untrusted {
		t.Errorf("one, trusting all: got %+v, want that no report is ignored", l)
	}
	if !b.HasReported("n1") || b.HasReported("n3") {
		t.Error("who reports: want n1 and not n3")
	}
	if diff := cmp.Diff([]netip.Addr{one, two}, b.OwnedAddresses("n1"), byAddr); diff != "" {
		t.Errorf("owned by n1 (-want +got):\n%s", diff)
	}
}

func TestReports_SpeakerThatOthersMissIsIgnored(t *testing.T) {
	b := NewReports()
	died := owns("n1", 1, one)
	died.Confirmed = true
	b.Put(died)
	b.PutRoutes("n1-0", "n1", []reports.Route{route("192.168.1.241/32", "a")})
	b.Put(owns("n2", 1))
	missing := owns("n2", 1)
	missing.Missing = []lb.NodeName{"n1"}
	want := ReportChanges{Addresses: []netip.Addr{one}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.241/32")}, Sessions: true, Left: []lb.NodeName{"n1"}}
	if diff := cmp.Diff(want, b.Put(missing), byAddr, byPrefix); diff != "" || !b.IsSilent("n1") || b.IsSilent("n2") {
		t.Errorf("n2 misses n1, which is silent: %v; changed (-want +got):\n%s", b.IsSilent("n1"), diff)
	}
	if !b.HasLeft("n1") {
		t.Error("n2 misses n1: got that it may come back in a moment, want that it has left")
	}
	if diff := cmp.Diff(ReportChanges{}, b.Put(missing), byAddr, byPrefix); diff != "" {
		t.Errorf("nothing new, changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, b.Put(owns("n2", 1)), byAddr, byPrefix); diff != "" || b.IsSilent("n1") || b.HasLeft("n1") {
		t.Errorf("n2 receives from n1 again, n1 is silent: %v; changed (-want +got):\n%s", b.IsSilent("n1"), diff)
	}
}

// A speaker that stops has its addresses while the next process starts, until it counts as ended.
func TestReports_SpeakerStopsForGood(t *testing.T) {
	b := NewReports()
	r := owns("n1", 1, one)
	b.Put(r)
	r.Stopped = true
	if b.Put(r); b.IsSilent("n1") {
		t.Error("n1 stops: got silent, want that it may start again")
	}
	r.Ended = true
	if diff := cmp.Diff([]netip.Addr{one}, b.Put(r).Addresses, byAddr); diff != "" || !b.IsSilent("n1") {
		t.Errorf("none starts: got silent %v, want true; changed (-want +got):\n%s", b.IsSilent("n1"), diff)
	}
	r.Stopped, r.Ended = false, false
	if diff := cmp.Diff([]netip.Addr{one}, b.Put(r).Addresses, byAddr); diff != "" || b.IsSilent("n1") {
		t.Errorf("one starts: got silent %v, want false; changed (-want +got):\n%s", b.IsSilent("n1"), diff)
	}
}

func TestRuns(t *testing.T) {
	b := NewReports()
	for _, step := range []struct {
		report reports.Report
		want   bool
	}{
		{reports.Report{Node: "n1", Stopped: true}, false},
		{reports.Report{Node: "n2"}, true},
		{reports.Report{Node: "n2", Stopped: true}, false},
	} {
		b.Put(step.report)
		if got := b.HasRunningSpeaker(); got != step.want || !b.isStopped("n1") {
			t.Errorf("after %+v: got %v, want %v, and the speaker of n1 stopped", step.report, got, step.want)
		}
	}
}

func TestPut_ChangedInterfacesAreWaiting(t *testing.T) {
	b := NewReports()
	first := owns("n1", 1, one)
	b.Put(first)
	if got := b.Put(first); got.Waiting || len(got.Addresses) > 0 {
		t.Errorf("nothing has changed: got %+v, want nothing", got)
	}
	linked := linked(first, "192.168.1.0/24")
	if got := b.Put(linked); !got.Waiting || !slices.Equal(got.Addresses, []netip.Addr{one}) {
		t.Errorf("an interface: got %+v, want those who wait, and what the node has", got)
	}
	linked.Standby = "the node drains"
	if got := b.Put(linked); !got.Waiting || !b.HasLeft("n1") {
		t.Errorf("the node drains: got %+v, want those who wait, and that it has left", got)
	}
}

func TestReports_NodeThatDrainsIsReportedAsLeft(t *testing.T) {
	b := NewReports()
	drains := reports.Report{Node: "n1", Standby: "the node drains"}
	for _, step := range []struct {
		name string
		next reports.Report
		want []lb.NodeName
	}{
		{"first report", reports.Report{Node: "n1"}, nil},
		{"the node drains", drains, []lb.NodeName{"n1"}},
		{"nothing new", drains, nil},
		{"another reason", reports.Report{Node: "n1", Standby: "the node is excluded"}, nil},
		{"the node is back", reports.Report{Node: "n1"}, []lb.NodeName{"n1"}},
	} {
		if diff := cmp.Diff(step.want, b.Put(step.next).Left); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestStanding_RoutedBy(t *testing.T) {
	s := NewServiceRecords()
	web, dns := lb.ServiceKey{Namespace: "a", Name: "web"}, lb.ServiceKey{Namespace: "a", Name: "dns"}
	s.put(web, serviceRecord{routers: map[netip.Addr]namedAnnouncers{one: {nodes: map[lb.NodeName]time.Time{"n1": start, "n2": {}}}}}, 0)
	s.put(dns, serviceRecord{routers: map[netip.Addr]namedAnnouncers{two: {nodes: map[lb.NodeName]time.Time{"n2": {}}}}}, 0)
	if diff := cmp.Diff([]lb.ServiceKey{web}, s.servicesRoutedBy("n1")); diff != "" {
		t.Errorf("announced from n1, a moment ago or now (-want +got):\n%s", diff)
	}
	if got := s.servicesRoutedBy("n3"); len(got) > 0 {
		t.Errorf("announced from n3: got %v, want none", got)
	}
}

// Whether the address of a node that is silent counts as announced depends on whether another
// node could have taken it over, so that each further one that falls silent is a change of it.
func TestReports_AnotherNodeStopsReporting(t *testing.T) {
	b := NewReports()
	misses := func(node lb.NodeName, missing ...lb.NodeName) reports.Report {
		return reports.Report{Node: node, Missing: missing}
	}
	for _, r := range []reports.Report{owns("n1", 1, one), misses("n2", "n1"), misses("n3", "n1")} {
		b.Put(r)
	}
	for _, step := range []struct {
		name string
		put  reports.Report
		want []netip.Addr
	}{
		{"a speaker that misses the owner as well", misses("n4", "n1"), nil},
		{"one speaker misses a node that could have taken over", misses("n3", "n1", "n2"), nil},
		{"all miss it", misses("n4", "n1", "n2"), []netip.Addr{one}},
	} {
		if diff := cmp.Diff(step.want, b.Put(step.put).Addresses, byAddr); diff != "" {
			t.Errorf("%s: changed (-want +got):\n%s", step.name, diff)
		}
	}
}
