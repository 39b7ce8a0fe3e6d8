package speaker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

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
		return Snapshot{Addresses: []Announced{{Address: vip, Candidates: all, Interfaces: interfaces}}}
	}
	on := func(interfaces ...string) map[netip.Addr]Owned {
		return map[netip.Addr]Owned{vip: {Interfaces: interfaces}}
	}
	none := map[netip.Addr]Owned{}

	tests := []struct {
		name string
		view view
		want map[netip.Addr]Owned
	}{
		{"the elected node announces on all its outer links", view{owner, want(), all, links}, on("eth0", "eth1")},
		{"the others are silent", view{heir, want(), all, links}, none},
		{"when the owner is dead the next one takes over", view{heir, want(), others, links}, on("eth0", "eth1")},
		{"a link can be named", view{owner, want("eth1"), all, links}, on("eth1")},
		{"even one of the pods", view{owner, want("cni0"), all, links}, on("cni0")},
		{"without a link nothing is announced", view{owner, want("eth9"), all, links}, none},
		{"a node that is no candidate announces nothing", view{"node9", want(), append(all, "node9"), links}, none},
		{"nobody alive, nobody announces", view{owner, want(), nil, links}, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decide(tt.view), byValue); diff != "" {
				t.Errorf("owned (-want +got):\n%s", diff)
			}
		})
	}
}
