package bgp

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp/wire"
	"github.com/lbstack/lbstack/internal/routes"
)

var (
	one, two = netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("203.0.113.2/32")
	three    = netip.MustParsePrefix("203.0.113.3/32")
	six      = netip.MustParsePrefix("2001:db8:1::1/128")
	red      = &routes.Attributes{Communities: []routes.Community{1}}
	blue     = &routes.Attributes{MED: routes.OptionalNumber{Value: 7, Set: true}}
	// monstrous does not fit into an UPDATE.
	monstrous = &routes.Attributes{Communities: make([]routes.Community, 2000)}
	both      = wire.Encoding{
		ASN: 64512, FourOctetASN: true,
		NextHop4: wire.NextHop{Address: netip.MustParseAddr("10.0.0.1")}, NextHop6: wire.NextHop{Address: netip.MustParseAddr("2001:db8::1")},
	}
)

// sends returns what a table sends, in words.
func sends(t *testing.T, table *routeTable, s wire.Encoding) string {
	t.Helper()
	var words []string
	for more := true; more; {
		var octets []byte
		octets, more = table.nextMessages(s)
		for len(octets) > 0 {
			m, err := packet.ParseBGPMessage(octets)
			if err != nil {
				t.Fatal(err)
			}
			octets = octets[m.Header.Len:]
			update, ok := m.Body.(*packet.BGPUpdate)
			if !ok {
				t.Fatalf("a message is %T", m.Body)
			}
			words = append(words, inWords(update)...)
		}
	}
	return strings.Join(words, ", ")
}

func inWords(u *packet.BGPUpdate) (words []string) {
	for _, n := range u.WithdrawnRoutes {
		words = append(words, "-"+n.NLRI.String())
	}
	mark := ""
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeCommunities:
			for _, c := range a.Value {
				if routes.Community(c) == routes.GracefulShutdown {
					mark = "!"
				}
			}
		case *packet.PathAttributeMpReachNLRI:
			for _, n := range a.Value {
				words = append(words, "+"+n.NLRI.String())
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, n := range a.Value {
				words = append(words, "-"+n.NLRI.String())
			}
		}
	}
	for _, n := range u.NLRI {
		words = append(words, "+"+n.NLRI.String()+mark)
	}
	return words
}

func TestTable(t *testing.T) {
	onlyIPv6 := both
	onlyIPv6.NextHop4 = wire.NextHop{}
	type step struct {
		do   func(*routeTable)
		want string
	}
	announce := func(prefix netip.Prefix, a *routes.Attributes) func(*routeTable) {
		return func(t *routeTable) { t.changeWanted(routes.Table{prefix: a}, nil) }
	}
	withdraw := func(prefix netip.Prefix) func(*routeTable) {
		return func(t *routeTable) { t.changeWanted(nil, []netip.Prefix{prefix}) }
	}
	depart := func(leaving, gone bool) func(*routeTable) { return func(t *routeTable) { t.setLeaving(leaving, gone) } }
	tests := []struct {
		name    string
		session wire.Encoding
		begins  routes.Table
		steps   []step
		problem string
	}{
		{"all is sent at the beginning, and once", both, routes.Table{one: red, two: red}, []step{{nil, "+203.0.113.1/32, +203.0.113.2/32"}, {nil, ""}}, ""},
		{"what did not change is not sent", both, routes.Table{one: red}, []step{{nil, "+203.0.113.1/32"}, {announce(one, red), ""}, {announce(one, blue), "+203.0.113.1/32"}}, ""},
		{"what comes and goes in one moment is not sent", both, nil, []step{{func(t *routeTable) {
			announce(one, red)(t)
			withdraw(one)(t)
		}, ""}}, ""},
		{"what the router never had is not withdrawn", both, nil, []step{{withdraw(one), ""}}, ""},
		{"routes without a next hop are not sent", onlyIPv6, routes.Table{one: red, six: red}, []step{{nil, "+2001:db8:1::1/128"}, {withdraw(six), "-2001:db8:1::1/128"}}, ""},
		{"a new session has everything again", both, routes.Table{one: red}, []step{{nil, "+203.0.113.1/32"}, {(*routeTable).beginSession, "+203.0.113.1/32"}}, ""},
		{"so has a router that asks", both, routes.Table{one: red}, []step{{nil, "+203.0.113.1/32"}, {(*routeTable).resendAll, "+203.0.113.1/32"}, {nil, ""}}, ""},
		{"and what is to go still goes", both, routes.Table{one: red}, []step{{nil, "+203.0.113.1/32"}, {func(t *routeTable) {
			withdraw(one)(t)
			t.resendAll()
		}, "-203.0.113.1/32"}}, ""},
		{"routes are marked, withdrawn, and announced again", both, routes.Table{one: red}, []step{
			{nil, "+203.0.113.1/32"}, {depart(true, false), "+203.0.113.1/32!"}, {announce(two, red), "+203.0.113.2/32!"},
			{depart(true, true), "-203.0.113.1/32, -203.0.113.2/32"}, {announce(two, blue), ""}, {depart(false, false), "+203.0.113.1/32, +203.0.113.2/32"}}, ""},
		{"what cannot be written holds up nothing else", both, routes.Table{one: red, two: monstrous}, []step{{nil, "+203.0.113.1/32"}}, "1 routes cannot be sent to the router"},
		{"and is no problem when it has been mended", both, routes.Table{two: monstrous}, []step{{nil, ""}, {announce(two, red), "+203.0.113.2/32"}}, ""},
		{"what the router has stays what it has", both, routes.Table{two: red}, []step{{nil, "+203.0.113.2/32"}, {announce(two, monstrous), ""}, {withdraw(two), "-203.0.113.2/32"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.begins == nil {
				tt.begins = routes.Table{}
			}
			table := newRouteTable(tt.begins)
			table.beginSession()
			mirror := map[netip.Prefix]bool{}
			for i, s := range tt.steps {
				if s.do != nil {
					s.do(table)
				}
				got := strings.Split(sends(t, table, tt.session), ", ")
				if want := strings.Split(s.want, ", "); !sameWords(got, want) {
					t.Fatalf("step %d: sent %v, want %v", i, got, want)
				}
				table.takeChanges().apply(mirror)
				if got, want := slices.Collect(maps.Keys(mirror)), slices.Collect(maps.Keys(table.sent)); !sameWords(words(got), words(want)) {
					t.Fatalf("step %d: by the news the router has %v, want %v", i, got, want)
				}
			}
			if err := table.encodingProblem(); (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("the problem is %v, want %q", err, tt.problem)
			}
		})
	}
}

// apply applies changes.
func (n RouteChanges) apply(mirror map[netip.Prefix]bool) {
	if n.Whole {
		clear(mirror)
	}
	for _, p := range n.Withdrawn {
		delete(mirror, p)
	}
	for _, p := range n.Announced {
		mirror[p] = true
	}
}

func words(list []netip.Prefix) (text []string) {
	for _, p := range list {
		text = append(text, p.String())
	}
	return text
}

// sameWords compares two lists in any order: messages have none.
func sameWords(got, want []string) bool {
	count := map[string]int{}
	for _, w := range want {
		count[w]++
	}
	for _, g := range got {
		count[g]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestTableSendsMuchInParts(t *testing.T) {
	want := routes.Table{}
	for i := range 5000 {
		want[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)] = red
	}
	table := newRouteTable(want)
	table.beginSession()
	parts := 0
	for more := true; more; parts++ {
		var octets []byte
		octets, more = table.nextMessages(both)
		if n := bytes.Count(octets, bytes.Repeat([]byte{0xff}, 16)); n > 4 {
			t.Errorf("part %d has %d messages, want at most 4: prefixes go together", parts, n)
		}
	}
	if parts != 3 || len(table.sent) != 5000 {
		t.Errorf("%d routes went out in %d parts, want 5000 in 3", len(table.sent), parts)
	}
	table.markAll()
	if octets, more := table.nextMessages(both); len(octets) > 0 || more {
		t.Errorf("what the router has is looked at to the end at once: got %d octets, and more: %t", len(octets), more)
	}
}
