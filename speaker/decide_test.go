package speaker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func candidates(nodes ...lb.NodeName) []Candidate {
	var list []Candidate
	for _, n := range nodes {
		list = append(list, Candidate{Node: n})
	}
	return list
}

// peers are speakers that are alive, each with the link eth0.
func peers(nodes ...lb.NodeName) []Peer {
	var list []Peer
	for _, n := range nodes {
		list = append(list, Peer{Node: n, Links: []Link{{Name: "eth0"}}})
	}
	return list
}

func TestDecide(t *testing.T) {
	vip := netip.MustParseAddr("192.168.1.240")
	all := []lb.NodeName{"node1", "node2", "node3"}
	owner, _ := election.Owner(vip, all)
	var others []lb.NodeName
	for _, n := range all {
		if n != owner {
			others = append(others, n)
		}
	}
	heir, _ := election.Owner(vip, others)
	links := []Link{{Name: "eth0"}, {Name: "eth1"}, {Name: "cni0", Internal: true}}
	want := func(interfaces ...string) Snapshot {
		list := candidates(all...)
		for i := range list {
			list[i].Interfaces = interfaces
		}
		return Snapshot{Addresses: []Announced{{Address: vip, Candidates: list}}}
	}
	six := Snapshot{Addresses: []Announced{{Address: netip.MustParseAddr("2001:db8::1"), Candidates: candidates(owner)}}}
	everyone := peers(all...)
	with := func(node lb.NodeName, change func(*Peer)) []Peer {
		list := peers(all...)
		for i := range list {
			if list[i].Node == node {
				change(&list[i])
			}
		}
		return list
	}
	unplugged := with(owner, func(p *Peer) { p.Links = nil })
	crowded := with(owner, func(p *Peer) { p.Links, p.More = nil, true })
	on := func(interfaces ...string) map[netip.Addr]Owned {
		return map[netip.Addr]Owned{vip: {Interfaces: interfaces}}
	}
	none := map[netip.Addr]Owned{}

	tests := []struct {
		name string
		view view
		want map[netip.Addr]Owned
	}{
		{"the elected node announces on all its outer links", view{owner, want(), everyone, links}, on("eth0", "eth1")},
		{"the others are silent", view{heir, want(), everyone, links}, none},
		{"when the owner is dead the next one takes over", view{heir, want(), peers(others...), links}, on("eth0", "eth1")},
		{"when the owner lives but has lost its link the next one takes over", view{heir, want(), unplugged, links}, on("eth0", "eth1")},
		{"and the owner is silent at once, whatever the others know", view{owner, want(), everyone, nil}, none},
		{"an owner with more links than it can tell is taken for able", view{heir, want(), crowded, links}, none},
		{"an interface that only one candidate has makes it the owner", view{heir, want("eth7"), with(heir, func(p *Peer) { p.Links = []Link{{Name: "eth7"}} }), []Link{{Name: "eth7"}}}, on("eth7")},
		{"a link can be named", view{owner, want("eth1"), everyone, links}, on("eth1")},
		{"even one of the pods", view{owner, want("cni0"), everyone, links}, on("cni0")},
		{"without a link nothing is announced", view{owner, want("eth9"), everyone, links}, none},
		{"a node that is no candidate announces nothing", view{"node9", want(), peers(append(all, "node9")...), links}, none},
		{"nobody alive, nobody announces", view{owner, want(), nil, links}, none},
		{"IPv6 addresses are not announced yet", view{owner, six, everyone, links}, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decide(tt.view), byValue); diff != "" {
				t.Errorf("owned (-want +got):\n%s", diff)
			}
		})
	}
}
