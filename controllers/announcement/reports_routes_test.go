package announcement

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

var byPrefix = cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })

// route is a prefix that is announced to these peers.
func route(prefix string, peers ...bgp.PeerName) reports.Route {
	return reports.Route{Prefix: netip.MustParsePrefix(prefix), Peers: peers}
}

func TestPutRoutes_ReturnsChangedRoutes(t *testing.T) {
	b := NewReports()
	report := func(node lb.NodeName, sessions ...reports.Session) func() ReportChanges {
		return func() ReportChanges { return b.Put(reports.Report{Node: node, Sessions: sessions}) }
	}
	slice := func(name string, node lb.NodeName, routes ...reports.Route) func() ReportChanges {
		return func() ReportChanges { return b.PutRoutes(name, node, routes) }
	}
	up, down := reports.Session{Peer: "a", Established: true}, reports.Session{Peer: "a", LastError: "refused"}
	for _, step := range []struct {
		name     string
		do       func() ReportChanges
		prefixes []string
		sessions bool
	}{
		{"all of a new slice", slice("n1-0", "n1", route("192.168.1.240/32", "a"), route("192.168.1.0/24", "a")), []string{"192.168.1.0/24", "192.168.1.240/32"}, false},
		{"nothing of the same again", slice("n1-0", "n1", route("192.168.1.240/32", "a"), route("192.168.1.0/24", "a")), nil, false},
		{"the routes of a node that reports again", report("n1"), []string{"192.168.1.0/24", "192.168.1.240/32"}, false},
		{"another peer", slice("n1-0", "n1", route("192.168.1.240/32", "a", "b"), route("192.168.1.0/24", "a")), []string{"192.168.1.240/32"}, false},
		{"another slice", slice("n1-1", "n1", route("192.168.1.241/32", "a")), []string{"192.168.1.241/32"}, false},
		{"a prefix that moves to another slice", slice("n1-1", "n1", route("192.168.1.241/32", "a"), route("192.168.1.0/24", "a")), []string{"192.168.1.0/24"}, false},
		{"a slice without what is in another", slice("n1-0", "n1", route("192.168.1.240/32", "a", "b")), []string{"192.168.1.0/24"}, false},
		{"what is gone", slice("n1-1", "n1", route("192.168.1.241/32", "a")), []string{"192.168.1.0/24"}, false},
		{"what is gone, again", slice("n1-0", "n1", route("192.168.1.240/32", "a", "b")), nil, false},
		{"another node", slice("n2-0", "n2", route("192.168.1.240/32", "a")), []string{"192.168.1.240/32"}, false},
		{"its report", report("n2"), []string{"192.168.1.240/32"}, false},
		{"a session that is down", report("n2", down), []string{"192.168.1.240/32"}, true},
		{"the same", report("n2", down), nil, false},
		{"a session that is up", report("n2", up), []string{"192.168.1.240/32"}, true},
		{"a node that is gone", func() ReportChanges { return b.Remove("n2") }, []string{"192.168.1.240/32"}, true},
		{"its slice", slice("n2-0", ""), []string{"192.168.1.240/32"}, false},
		{"a slice of another node now", slice("n1-1", "n3", route("192.168.1.241/32", "a")), []string{"192.168.1.241/32"}, false},
		{"that slice", slice("n1-1", ""), []string{"192.168.1.241/32"}, false},
		{"the last one", slice("n1-0", ""), []string{"192.168.1.240/32"}, false},
	} {
		got := step.do()
		var prefixes []string
		for _, p := range got.Prefixes {
			prefixes = append(prefixes, p.String())
		}
		if diff := cmp.Diff(step.prefixes, prefixes); diff != "" || got.Sessions != step.sessions {
			t.Errorf("%s: sessions %v, want %v; prefixes (-want +got):\n%s", step.name, got.Sessions, step.sessions, diff)
		}
	}
	if n := len(b.routes.slices) + len(b.routes.index); n != 0 {
		t.Errorf("when all are gone: got %v, want nothing left", b.routes)
	}
}

func TestLook_ReturnsTheRoutesOfAnAddress(t *testing.T) {
	b := NewReports()
	b.PutRoutes("n1-0", "n1", []reports.Route{route("192.168.1.240/32", "a"), route("192.168.0.0/20", "b")})
	b.PutRoutes("n1-1", "n1", []reports.Route{route("2001:db8::/64", "a", "c")})
	b.PutRoutes("n2-0", "n2", []reports.Route{route("192.168.1.241/32", "a"), route("192.168.0.0/23", "a")})
	b.PutRoutes("n3-0", "n3", []reports.Route{route("192.168.1.240/32", "a")})
	b.PutRoutes("n1-2", "n1", []reports.Route{route("192.168.1.240/32", "a")})                                  // for a moment in two slices
	b.Put(reports.Report{Node: "n1", Sessions: []reports.Session{{Peer: "a", Established: true}, {Peer: "c"}}}) // b is one that is not listed
	b.Put(reports.Report{Node: "n2"})
	for address, want := range map[string][]string{
		"192.168.1.240":   {"n1 192.168.0.0/20 [b]", "n1 192.168.1.240/32 [a]", "n2 192.168.0.0/23 [a]"}, // n3 does not report
		"192.168.2.1":     {"n1 192.168.0.0/20 [b]"},
		"192.168.16.1":    nil,
		"2001:db8::1":     {"n1 2001:db8::/64 [a]"},
		"2001:db8:0:1::1": nil,
	} {
		var got []string
		for _, p := range b.ReportOnAddress(netip.MustParseAddr(address), TrustedNodes{}).Paths {
			got = append(got, fmt.Sprint(p.Node, " ", p.Prefix, " ", p.Peers))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/23"), netip.MustParsePrefix("192.168.1.241/32")}
	if diff := cmp.Diff(want, b.RoutesOf("n2"), byPrefix); diff != "" {
		t.Errorf("routes of n2 (-want +got):\n%s", diff)
	}
}
