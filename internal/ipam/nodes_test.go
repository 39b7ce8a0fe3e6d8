package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

type nodeOption func(*Node)

func newNode(name lb.NodeName, addresses string, options ...nodeOption) Node {
	n := Node{Name: name}
	for a := range strings.FieldsSeq(addresses) {
		n.Addresses = append(n.Addresses, addr(a))
	}
	for _, o := range options {
		o(&n)
	}
	return n
}

func prefixesIn(s string) (list []netip.Prefix) {
	for p := range strings.FieldsSeq(s) {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func pods(cidrs string) nodeOption { return func(n *Node) { n.PodCIDRs = prefixesIn(cidrs) } }
func onInterfaces(addresses string) nodeOption {
	return func(n *Node) { n.Interfaces = newNode("", addresses).Addresses }
}
func onSubnets(s string) nodeOption {
	return func(n *Node) { n.Subnets = prefixesIn(s) }
}

func TestTakenByNodes(t *testing.T) {
	tests := []struct {
		name  string
		nodes []Node
		want  []string
	}{
		{name: "no nodes take nothing"},
		{name: "each node takes its addresses, in order of the names", nodes: []Node{newNode("b", "10.0.0.2"), newNode("a", "10.0.0.1 2001:db8::1")},
			want: []string{`10.0.0.1 belongs to the node "a"`, `2001:db8::1 belongs to the node "a"`, `10.0.0.2 belongs to the node "b"`}},
		{name: "addresses of interfaces are taken, each once", nodes: []Node{newNode("a", "10.0.0.1", onInterfaces("10.0.0.1 10.0.0.9"))},
			want: []string{`10.0.0.1 belongs to the node "a"`, `10.0.0.9 belongs to the node "a"`}},
		{name: "but make no subnet plausible", nodes: []Node{newNode("a", "10.0.0.1", onInterfaces("203.0.113.7"), onSubnets("203.0.113.0/24"))},
			want: []string{`10.0.0.1 belongs to the node "a"`, `203.0.113.7 belongs to the node "a"`}},
		{name: "one node alone takes the network of its pods, one of each family", nodes: []Node{newNode("a", "", pods("10.244.0.0/24 10.245.0.0/24 fd00::/64"))},
			want: []string{`10.244.0.0-10.244.0.255 belongs to the pods of the node "a" (podCIDR 10.244.0.0/24)`, `fd00::-fd00::ffff:ffff:ffff:ffff belongs to the pods of the node "a" (podCIDR fd00::/64)`}},
		{name: "podCIDRs of one cluster take their addresses", nodes: []Node{newNode("a", "", pods("10.244.0.0/24 fd00::/64")), newNode("b", "", pods("10.244.200.0/24 fd00:0:0:7::/64")), newNode("new", "")},
			want: []string{`10.244.0.0-10.244.0.255 belongs to the pods of the node "a" (podCIDR 10.244.0.0/24)`, `fd00::-fd00::ffff:ffff:ffff:ffff belongs to the pods of the node "a" (podCIDR fd00::/64)`,
				`10.244.200.0-10.244.200.255 belongs to the pods of the node "b" (podCIDR 10.244.200.0/24)`, `fd00:0:0:7::-fd00::7:ffff:ffff:ffff:ffff belongs to the pods of the node "b" (podCIDR fd00:0:0:7::/64)`}},
		{name: "all addresses are no podCIDR of a cluster", nodes: []Node{newNode("a", "", pods("10.244.0.0/24")), newNode("b", "", pods("10.244.1.0/24")), newNode("evil", "", pods("0.0.0.0/0 ::/0"))},
			want: []string{`10.244.0.0-10.244.0.255 belongs to the pods of the node "a" (podCIDR 10.244.0.0/24)`, `10.244.1.0-10.244.1.255 belongs to the pods of the node "b" (podCIDR 10.244.1.0/24)`,
				`given: 0.0.0.0-255.255.255.255 belongs to the pods of the node "evil" (podCIDR 0.0.0.0/0)`, `given: ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff belongs to the pods of the node "evil" (podCIDR ::/0)`}},
		{name: "a podCIDR elsewhere is only reported", nodes: []Node{newNode("a", "", pods("10.244.0.0/24")), newNode("b", "", pods("10.244.1.0/24")), newNode("evil", "", pods("203.0.113.0/24"))},
			want: []string{`10.244.0.0-10.244.0.255 belongs to the pods of the node "a" (podCIDR 10.244.0.0/24)`, `10.244.1.0-10.244.1.255 belongs to the pods of the node "b" (podCIDR 10.244.1.0/24)`,
				`given: 203.0.113.0-203.0.113.255 belongs to the pods of the node "evil" (podCIDR 203.0.113.0/24)`}},
		{name: "and one that is wider than that of the other node", nodes: []Node{newNode("a", "", pods("10.244.0.0/24")), newNode("evil", "", pods("10.244.16.0/20"))},
			want: []string{`given: 10.244.0.0-10.244.0.255 belongs to the pods of the node "a" (podCIDR 10.244.0.0/24)`, `given: 10.244.16.0-10.244.31.255 belongs to the pods of the node "evil" (podCIDR 10.244.16.0/20)`}},
		{name: "and one where the other node has none", nodes: []Node{newNode("a", ""), newNode("evil", "", pods("192.168.1.240/28"))},
			want: []string{`given: 192.168.1.240-192.168.1.255 belongs to the pods of the node "evil" (podCIDR 192.168.1.240/28)`}},
		{name: "and one with an address of another node in it", nodes: []Node{newNode("a", "192.168.1.11", pods("192.168.2.0/24")), newNode("evil", "192.168.2.12", pods("192.168.1.0/24"))},
			want: []string{`192.168.1.11 belongs to the node "a"`, `given: 192.168.2.0-192.168.2.255 belongs to the pods of the node "a" (podCIDR 192.168.2.0/24)`, `192.168.2.12 belongs to the node "evil"`, `given: 192.168.1.0-192.168.1.255 belongs to the pods of the node "evil" (podCIDR 192.168.1.0/24)`}},
		{name: "of a subnet of a node the network and broadcast addresses cannot be given", nodes: []Node{newNode("a", "192.168.1.11", onSubnets("192.168.1.0/24")), newNode("b", "192.168.1.12", onSubnets("192.168.1.0/24"))},
			want: []string{`192.168.1.11 belongs to the node "a"`, `192.168.1.12 belongs to the node "b"`, `192.168.1.0 is the network address of the subnet 192.168.1.0/24 (node "a")`, `192.168.1.255 is the broadcast address of the subnet 192.168.1.0/24 (node "a")`}},
		{name: "of an IPv6 subnet the anycast address of its routers cannot be given", nodes: []Node{newNode("a", "2001:db8::11", onSubnets("2001:db8::/64"))},
			want: []string{`2001:db8::11 belongs to the node "a"`, `2001:db8:: is the subnet-router anycast address of the subnet 2001:db8::/64 (node "a")`}},
		{name: "links between two and single addresses have no such addresses", nodes: []Node{newNode("a", "10.0.0.1 2001:db8::1", onSubnets("10.0.0.0/31 10.0.0.1/32 2001:db8::/127 2001:db8::1/128"))},
			want: []string{`10.0.0.1 belongs to the node "a"`, `2001:db8::1 belongs to the node "a"`}},
		{name: "a subnet without a node's address counts if two nodes are in it", nodes: []Node{newNode("a", "", onSubnets("10.5.0.0/30 10.6.0.0/30")), newNode("b", "", onSubnets("10.5.0.0/30"))},
			want: []string{`10.5.0.0 is the network address of the subnet 10.5.0.0/30 (node "a")`, `10.5.0.3 is the broadcast address of the subnet 10.5.0.0/30 (node "a")`}},
		{name: "a subnet is named as such whatever address it was given by", nodes: []Node{newNode("a", "10.0.0.1", onSubnets("10.0.0.1/30"))},
			want: []string{`10.0.0.1 belongs to the node "a"`, `10.0.0.0 is the network address of the subnet 10.0.0.0/30 (node "a")`, `10.0.0.3 is the broadcast address of the subnet 10.0.0.0/30 (node "a")`}},
		{name: "all of IPv4 is no subnet", nodes: []Node{newNode("a", "10.0.0.1", onSubnets("0.0.0.0/0 8.0.0.0/7"))}, want: []string{`10.0.0.1 belongs to the node "a"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, nodes := range [][]Node{tt.nodes, slices.Collect(func(yield func(Node) bool) {
				for _, n := range slices.Backward(tt.nodes) {
					if !yield(n) {
						return
					}
				}
			})} {
				var got []string
				for _, taken := range NodeRanges(nodes) {
					if !taken.Node {
						t.Errorf("%v: got no mark that a node reports it", taken)
					}
					text := Conflict{Range: taken.Range, With: taken.By, As: taken.As}.String()
					if taken.ReportedOnly {
						text = "given: " + text
					}
					got = append(got, text)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("taken (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Whatever a node, its kubelet and its speaker report, the reports take few addresses from a pool.
func TestOneNodeTakesFewAddresses(t *testing.T) {
	evil := newNode("evil", "", pods("10.0.0.0/24 10.0.1.0/24"))
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)})
		evil.Addresses = append(evil.Addresses, a)
		for bits := 8; bits <= 30; bits++ {
			evil.Subnets = append(evil.Subnets, netip.PrefixFrom(a, bits))
		}
	}
	p := pools(newPool("p", "10.0.0.0/16"))
	Resolve(p, NodeRanges([]Node{newNode("a", "10.0.9.1"), newNode("b", "10.0.9.2"), evil}))
	a := New()
	a.SetPools(p)
	const bound = 2 + maxNodeAddresses + 2*maxNodeSubnets
	if free := a.PoolStates()["p"].Usage[lb.IPv4].Total.Int64(); free < 65536-bound {
		t.Errorf("got %d addresses that the pool gives, want all of 65536 but %d at most", free, bound)
	}
}

func TestAPodCIDRThatNoNodeConfirmsTakesNothing(t *testing.T) {
	p := pools(newPool("p", "192.168.1.240/28"))
	found := Resolve(p, NodeRanges([]Node{newNode("a", ""), newNode("evil", "", pods("192.168.1.240/28"))}))
	if diff := cmp.Diff(p[0].Listed, p[0].Gives, cmp.Comparer(func(x, y lb.Range) bool { return x == y })); diff != "" {
		t.Errorf("gives (-want +got):\n%s", diff)
	}
	if len(p[0].OfNodes) > 0 {
		t.Errorf("addresses of nodes: got %v, want none", p[0].OfNodes)
	}
	if got := found["p"]; len(got) != 1 || !got[0].ReportedOnly {
		t.Errorf("conflicts: got %v, want one that is only reported", got)
	}
}

// A pool may lie in the network in which the podCIDRs of the nodes are: the network is a guess from their
// lengths. One node cannot take a range from it all the same.
func TestPodCIDRsInAPool(t *testing.T) {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) nodeOption { return func(n *Node) { n.Created = created.Add(d) } }
	const before, after = -time.Hour, time.Hour // than the pool
	a, b := newNode("a", "", pods("10.0.0.0/24"), at(before)), newNode("b", "", pods("10.0.1.0/24"), at(before))
	for _, c := range []struct {
		about, pool string
		nodes       []Node
		gives       string
		reported    []bool // for each conflict
	}{
		{"node that is younger than the pool takes nothing", "10.0.200.0/24", []Node{a, b, newNode("new", "", pods("10.0.200.0/24"), at(after))}, "[10.0.200.0-10.0.200.255]", []bool{true}},
		{"node that is younger takes no part either", "10.0.200.0/23", []Node{a, b, newNode("new", "", pods("10.0.200.0/24"), at(after))}, "[10.0.200.0-10.0.201.255]", []bool{true}},
		{"node that is older keeps its podCIDR", "10.0.200.0/24", []Node{a, b, newNode("old", "", pods("10.0.200.0/24"), at(before))}, "[]", []bool{false}},
		{"two podCIDRs of younger nodes make the pool a part of the pod network", "10.0.200.0/23",
			[]Node{a, b, newNode("c", "", pods("10.0.200.0/24"), at(after)), newNode("d", "", pods("10.0.201.0/24"), at(after))}, "[]", []bool{false, false}},
		{"podCIDRs of both families of one younger node are those of one node", "10.0.200.0/24 fd00:0:0:5::/120",
			[]Node{newNode("a", "", pods("10.0.0.0/24 fd00::/120")), newNode("new", "", pods("10.0.200.0/24 fd00:0:0:5::/120"), at(after))}, "[10.0.200.0-10.0.200.255 fd00:0:0:5::-fd00:0:0:5::ff]", []bool{true, true}},
		{"only node takes its podCIDR, whatever its age", "10.0.200.0/24", []Node{newNode("only", "", pods("10.0.200.0/24"), at(after))}, "[]", []bool{false}},
		{"address of a younger node is its own", "10.0.200.0/24", []Node{a, b, newNode("new", "10.0.200.7", at(after))}, "[10.0.200.0-10.0.200.6 10.0.200.8-10.0.200.255]", []bool{false}},
	} {
		p := pools(newPool("p", c.pool))
		p[0].Created = created
		var reported []bool
		for _, conflict := range Resolve(p, NodeRanges(c.nodes))["p"] {
			reported = append(reported, conflict.ReportedOnly)
		}
		if got := fmt.Sprint(p[0].Gives); got != c.gives || !slices.Equal(reported, c.reported) {
			t.Errorf("%s: got a pool that gives %s and conflicts reported only %v, want %s and %v", c.about, got, reported, c.gives, c.reported)
		}
	}
}

// Reports of nodes take nothing from a Service, not even where the pool evicts.
func TestReportsOfNodesEvictNoAddress(t *testing.T) {
	taken := []TakenRange{{Range: rangesIn("10.0.0.0/24")[0], By: `the node "evil"`, Node: true}}
	list := func(options ...poolOption) []Pool {
		return pools(newPool("p", "10.0.0.0/24", append(options, evicting)...))
	}
	tests := []struct {
		name  string
		pools []Pool
		taken []TakenRange
		want  string
		kept  int
	}{
		{"an address that a node reports as its own stays", list(), taken, "keep 10.0.0.7@p", 1},
		{"and if a foreign host uses it besides and it is announced", list(), append(slices.Clone(taken), host("10.0.0.7", true)), "keep 10.0.0.7@p", 1},
		{"the pool itself still evicts", list(without("10.0.0.7")), taken, "drop 10.0.0.7@p, lost 10.0.0.7@p, refused NoPool", 0},
		{"and so does a network of the cluster", list(), append(slices.Clone(taken), TakenRange{Range: rangesIn("10.0.0.0/25")[0], By: "the Services"}), "drop 10.0.0.7@p, lost 10.0.0.7@p, refused NoPool", 0},
		{"and another selection", list(forNamespaces("other")), taken, "drop 10.0.0.7@p, lost 10.0.0.7@p, refused PoolNotAllowed", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(newPool("p", "10.0.0.0/24"))
			take(t, a, "web", "10.0.0.7@p")
			Resolve(tt.pools, tt.taken)
			a.SetPools(tt.pools)
			settle(t, a, ask("web"), tt.want)
			kept := a.PoolStates()["p"].OutsidePool
			if len(kept) != tt.kept {
				t.Errorf("kept: got %v, want %d", kept, tt.kept)
			}
			if want := `the address belongs to the node "evil"`; tt.kept == 1 && kept[0].Why != want {
				t.Errorf("why: got %q, want %q", kept[0].Why, want)
			}
		})
	}
}

func TestRequestForABroadcastAddressIsRefused(t *testing.T) {
	p := pools(newPool("p", "192.168.1.240-192.168.1.255"))
	Resolve(p, NodeRanges([]Node{newNode("n1", "192.168.1.11", onSubnets("192.168.1.0/24"))}))
	a := New()
	a.SetPools(p)
	d := decide(t, a, ask("web", wants("192.168.1.255")), "refused AddressNotInPool")
	const want = `the Service asks for 192.168.1.255, which the pool "p" does not give: the address is the broadcast address of the subnet 192.168.1.0/24 (node "n1"); ask for another address`
	if d.Refusal.Message != want {
		t.Errorf("refusal: got  %s\nwant %s", d.Refusal.Message, want)
	}
	for i := range 15 {
		decide(t, a, ask(fmt.Sprint("web-", i)), fmt.Sprintf("keep 192.168.1.%d@p", 240+i))
	}
	decide(t, a, ask("last"), "refused PoolExhausted")
}
