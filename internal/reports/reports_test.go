package reports

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

var (
	one   = netip.MustParseAddr("192.168.1.240")
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	value = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

func owns(node lb.NodeName, epoch int64, since int) Report {
	return Report{Node: node, Owned: []OwnedAddress{{Address: one, Node: node, Epoch: epoch, Since: at(since)}}}
}

func (r Report) withHost(mac string, since int) Report {
	r.Foreign = append(r.Foreign, ForeignHost{Address: one, Node: r.Node, MAC: mac, Since: at(since)})
	return r
}

func TestTogether(t *testing.T) {
	tests := []struct {
		name    string
		reports []Report
		owner   lb.NodeName
		host    string
	}{
		{name: "nobody reports anything"},
		{"one has the address", []Report{owns("n1", 1, 0)}, "n1", ""},
		{"the higher epoch has it, whatever the report of a dead node has", []Report{owns("n1", 3, 9), owns("n2", 4, 5)}, "n2", ""},
		{"of equal epochs the newer has it", []Report{owns("n1", 3, 9), owns("n2", 3, 5)}, "n1", ""},
		{"of equal ones the name decides", []Report{owns("n2", 3, 5), owns("n1", 3, 5)}, "n1", ""},
		{"a host is reported on an address without an owner", []Report{Report{Node: "n1"}.withHost("a", 1)}, "", "a"},
		{"the owner reports a host", []Report{owns("n1", 1, 5).withHost("a", 1)}, "n1", "a"},
		{"the report of a dead node does not count", []Report{owns("n1", 1, 0).withHost("a", 1), owns("n2", 2, 5)}, "n2", ""},
		{"the report of another node counts", []Report{owns("n2", 2, 5), Report{Node: "n1"}.withHost("a", 6)}, "n2", "a"},
		{"the owner's word counts first", []Report{owns("n2", 2, 5).withHost("b", 6), Report{Node: "n1"}.withHost("a", 9)}, "n2", "b"},
		{"of others the latest", []Report{Report{Node: "n1"}.withHost("a", 9), Report{Node: "n2"}.withHost("b", 6)}, "", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Merge(tt.reports)
			if got := p.Owners[one].Node; got != tt.owner {
				t.Errorf("owner: got %q, want %q", got, tt.owner)
			}
			if got := p.Hosts[one].MAC; got != tt.host {
				t.Errorf("host: got %q, want %q", got, tt.host)
			}
		})
	}
	backwards := []Report{owns("n2", 2, 5), owns("n1", 1, 0).withHost("a", 7)}
	forwards := []Report{backwards[1], backwards[0]}
	if diff := cmp.Diff(Merge(forwards), Merge(backwards), value); diff != "" {
		t.Errorf("the order of the reports changes the picture:\n%s", diff)
	}
}
