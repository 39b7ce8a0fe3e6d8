package announcement

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

var byPrefix = cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })

// tells adds that the node announces a prefix to these peers.
func tells(r reports.Report, prefix string, peers ...bgp.PeerName) reports.Report {
	r.Routes = append(r.Routes, reports.Route{Prefix: netip.MustParsePrefix(prefix), Peers: peers})
	return r
}

func TestBoardSaysWhichRoutesHaveChanged(t *testing.T) {
	b := NewBoard()
	n1, n2 := reports.Report{Node: "n1"}, reports.Report{Node: "n2"}
	down := []reports.Session{{Peer: "a", LastError: "refused"}}
	for _, step := range []struct {
		name     string
		do       func() Changes
		prefixes []string
		sessions bool
	}{
		{"all of a new report", func() Changes { return b.Put(tells(tells(n1, "192.168.1.240/32", "a"), "192.168.1.0/24", "a")) }, []string{"192.168.1.0/24", "192.168.1.240/32"}, false},
		{"nothing of the same again", func() Changes { return b.Put(tells(tells(n1, "192.168.1.240/32", "a"), "192.168.1.0/24", "a")) }, nil, false},
		{"another peer", func() Changes {
			return b.Put(tells(tells(n1, "192.168.1.240/32", "a", "b"), "192.168.1.0/24", "a"))
		}, []string{"192.168.1.240/32"}, false},
		{"what is gone", func() Changes { return b.Put(tells(n1, "192.168.1.240/32", "a", "b")) }, []string{"192.168.1.0/24"}, false},
		{"another node", func() Changes { return b.Put(tells(n2, "192.168.1.240/32", "a")) }, []string{"192.168.1.240/32"}, false},
		{"a session", func() Changes {
			r := tells(n2, "192.168.1.240/32", "a")
			r.Sessions = down
			return b.Put(r)
		}, nil, true},
		{"a node that is gone", func() Changes { return b.Remove("n2") }, []string{"192.168.1.240/32"}, true},
		{"the last one", func() Changes { return b.Remove("n1") }, []string{"192.168.1.240/32"}, false},
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
	if n := len(b.routes.told) + len(b.routes.lengths[lb.IPv4]) + len(b.routes.lengths[lb.IPv6]); n != 0 {
		t.Errorf("when all are gone: got %v, want nothing left", b.routes)
	}
}

func TestBoardSaysWhichRoutesHoldAnAddress(t *testing.T) {
	b := NewBoard()
	b.Put(tells(tells(tells(reports.Report{Node: "n1"}, "192.168.1.240/32", "a"), "192.168.0.0/20", "b"), "2001:db8::/64", "a"))
	b.Put(tells(tells(reports.Report{Node: "n2"}, "192.168.1.241/32", "a"), "192.168.0.0/23", "a"))
	for address, want := range map[string][]string{
		"192.168.1.240":   {"n1 192.168.0.0/20 [b]", "n1 192.168.1.240/32 [a]", "n2 192.168.0.0/23 [a]"},
		"192.168.2.1":     {"n1 192.168.0.0/20 [b]"},
		"192.168.16.1":    nil,
		"2001:db8::1":     {"n1 2001:db8::/64 [a]"},
		"2001:db8:0:1::1": nil,
	} {
		var got []string
		for _, p := range b.Look(netip.MustParseAddr(address)).Paths {
			got = append(got, string(p.Node)+" "+p.Prefix.String()+" ["+string(p.Peers[0])+"]")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.168.1.241/32"), netip.MustParsePrefix("192.168.0.0/23")}
	if diff := cmp.Diff(want, b.RoutesOf("n2"), byPrefix); diff != "" {
		t.Errorf("routes of n2 (-want +got):\n%s", diff)
	}
}
