package pool

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/validity"
)

const mac = "02:00:00:00:00:99"

var (
	one    = netip.MustParseAddr("10.0.0.1")
	byAddr = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

// host returns a foreign host that uses 10.0.0.1 since the start, as node1 reports.
func host() foreignHost {
	return foreignHost{ForeignHost: reports.ForeignHost{Address: one, Node: "node1", Interface: "eth0", MAC: mac, Since: start}}
}

func until(f foreignHost, minutes int) foreignHost {
	f.until = start.Add(time.Duration(minutes) * time.Minute)
	return f
}

func inUse(f foreignHost) foreignHost {
	f.InUse = true
	return f
}

func reporting(list ...foreignHost) reports.MergedReports {
	p := reports.MergedReports{Owners: map[netip.Addr]reports.OwnedAddress{}, Hosts: map[netip.Addr]reports.ForeignHost{}}
	for _, f := range list {
		p.Hosts[f.Address] = f.ForeignHost
	}
	return p
}

func owning(node lb.NodeName, minutes int) reports.MergedReports {
	p := reporting()
	p.Owners[one] = reports.OwnedAddress{Address: one, Node: node, Since: start.Add(time.Duration(minutes) * time.Minute)}
	return p
}

func TestRemember(t *testing.T) {
	other := host()
	other.MAC = "02:00:00:00:00:98"
	tests := []struct {
		name   string
		before []foreignHost
		now    reports.MergedReports
		at     int // minutes after the start
		want   []foreignHost
	}{
		{name: "nobody was there, and nobody is", now: reporting()},
		{name: "a host is reported", now: reporting(host()), want: []foreignHost{host()}},
		{name: "it still is, and nothing changes", before: []foreignHost{host()}, now: reporting(host()), at: 60, want: []foreignHost{host()}},
		{name: "another one is", before: []foreignHost{host()}, now: reporting(other), at: 60, want: []foreignHost{other}},
		{name: "it is reported no more, and the address is held back", before: []foreignHost{host()}, now: reporting(), at: 5, want: []foreignHost{until(host(), 15)}},
		{name: "the end does not move", before: []foreignHost{until(host(), 15)}, now: reporting(), at: 14, want: []foreignHost{until(host(), 15)}},
		{name: "the time is over", before: []foreignHost{until(host(), 15)}, now: reporting(), at: 15},
		{name: "it is there again", before: []foreignHost{until(host(), 15)}, now: reporting(host()), at: 14, want: []foreignHost{host()}},
		{name: "the reporting node announces the address", before: []foreignHost{host()}, now: owning("node1", -1), at: 5},
		{name: "another node announces it since", before: []foreignHost{until(host(), 15)}, now: owning("node2", 2), at: 5},
		{name: "the report of a dead node does not count", before: []foreignHost{host()}, now: owning("node2", -1), at: 5, want: []foreignHost{until(host(), 15)}},
		{name: "a Service that had it keeps it when the report is gone for a moment", before: []foreignHost{inUse(host())}, now: reporting(), at: 5, want: []foreignHost{until(inUse(host()), 15)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, want := map[netip.Addr]foreignHost{}, map[netip.Addr]foreignHost{}
			for _, f := range tt.before {
				before[f.Address] = f
			}
			for _, f := range tt.want {
				want[f.Address] = f
			}
			got := rememberHosts(before, tt.now, start.Add(time.Duration(tt.at)*time.Minute))
			if diff := cmp.Diff(want, got, byAddr, cmp.AllowUnexported(foreignHost{})); diff != "" {
				t.Errorf("remembered (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForeignHostsInPoolStatusOutliveTheController(t *testing.T) {
	hosts := map[netip.Addr]foreignHost{one: until(host(), 15)}
	pools := []v1beta1.IPAddressPool{object("p", 1, "10.0.0.1-10.0.0.9"), object("other", 1, "10.0.1.0/30")}
	plan, results := validity.Pools(pools, takenHostRanges(hosts))
	for i := range pools {
		for _, p := range plan {
			if string(p.Name) == pools[i].Name {
				v := results[p.Name]
				v.Foreign = foreignStatus(p, hosts)
				pools[i].Status = desiredStatus(&pools[i], v, ipam.PoolState{})
			}
		}
	}
	want := []v1beta1.ForeignAddress{{
		Address: "10.0.0.1", HardwareAddress: mac, Node: "node1", Interface: "eth0",
		Since: metav1.NewTime(start), Until: &metav1.Time{Time: start.Add(15 * time.Minute)},
	}}
	if diff := cmp.Diff(want, pools[0].Status.Foreign); diff != "" {
		t.Errorf("status.foreign (-want +got):\n%s", diff)
	}
	if got := pools[1].Status.Foreign; got != nil {
		t.Errorf("status.foreign of the other pool: got %v, want none", got)
	}
	if diff := cmp.Diff(hosts, storedHosts(pools), byAddr, cmp.AllowUnexported(foreignHost{})); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

func TestPoolConditionOfForeignHosts(t *testing.T) {
	overlap := ipam.Conflict{Range: lb.Range{First: one.Next(), Last: one.Next()}, With: `the node "n"`}
	foreignConflict := ipam.Conflict{Range: lb.Range{First: one, Last: one}, With: host().Describe(false), Foreign: true}
	used := foreignConflict
	used.InUse = true
	const (
		rest = ": the pool gives an address again 10 minutes after the last report about its host; turn the host off, or add the address to spec.excludeAddresses; if the host is a node, turn off another load balancer, such as MetalLB, that announces the address from there, or else remove the address from the interfaces of the node"
		by   = `10.0.0.1 is used by a foreign host with the MAC 02:00:00:00:00:99 (reported by the node "node1" on eth0)`
		node = `10.0.0.2 belongs to the node "n": the pool gives no address that belongs to something else; correct spec.addresses, or add these addresses to spec.excludeAddresses`
	)
	tests := []struct {
		name            string
		conflicts       []ipam.Conflict
		reason, message string
	}{
		{"nothing", nil, v1beta1.ReasonNoConflict, "no address of the pool is known to belong to something else"},
		{"a host", []ipam.Conflict{foreignConflict}, v1beta1.ReasonForeignHost, by + rest},
		{"a host on an address in use", []ipam.Conflict{used}, v1beta1.ReasonForeignHost, by + ", and stays announced while a Service has the address, since that Service used the address first" + rest},
		{"an overlap", []ipam.Conflict{overlap}, v1beta1.ReasonOverlap, node},
		{"both", []ipam.Conflict{foreignConflict, overlap}, v1beta1.ReasonForeignHost, by + rest + ". Besides, " + node},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, reason, message := conflictCondition(tt.conflicts)
			if reason != tt.reason || message != tt.message {
				t.Errorf("got  %s: %s\nwant %s: %s", reason, message, tt.reason, tt.message)
			}
		})
	}
	if got := until(host(), 1).Describe(true); !strings.Contains(got, "last reported") {
		t.Errorf("got %q, want that the host is not reported any more", got)
	}
}

func TestWhenTheNextAddressIsGivenAgain(t *testing.T) {
	r := &Reconciler{Now: func() time.Time { return start }}
	if got := r.untilNextReconcile(); got != recheckDelay {
		t.Errorf("nothing is held back: got %s, want %s", got, recheckDelay)
	}
	soon := host()
	soon.until = start.Add(3 * time.Second)
	r.hosts = map[netip.Addr]foreignHost{one: until(host(), 5), one.Next(): soon, one.Prev(): host()}
	if got := r.untilNextReconcile(); got != 3*time.Second {
		t.Errorf("one is given again soon: got %s, want 3s", got)
	}
}

func TestBound_ReportsOnlyWhatAPoolMayNotLose(t *testing.T) {
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, last}) }
	pools := []v1beta1.IPAddressPool{object("p", 1, "10.0.0.1-10.0.0.4")}
	on := func(last byte) foreignHost {
		f := host()
		f.Address = at(last)
		return f
	}
	reported := func(f foreignHost) foreignHost {
		f.reportedOnly = true
		return f
	}
	tests := []struct {
		name         string
		hosts        []foreignHost
		before       []foreignHost
		losses       int // within the hour
		reportedOnly []byte
	}{
		{name: "half of the pool is lost", hosts: []foreignHost{on(1), on(2)}},
		{name: "more is reported only", hosts: []foreignHost{on(1), on(2), on(3), on(4)}, reportedOnly: []byte{3, 4}},
		{name: "what was lost stays lost", hosts: []foreignHost{on(3), on(4)}, before: []foreignHost{on(3)}, losses: 2, reportedOnly: []byte{4}},
		{name: "what was reported only is lost when there is room", hosts: []foreignHost{on(3)}, before: []foreignHost{reported(on(3))}, losses: 1},
		{name: "address in use does not count", hosts: []foreignHost{inUse(on(1)), inUse(on(2)), on(3), on(4)}},
		{name: "address that was in use counts when its Service is gone", hosts: []foreignHost{until(inUse(on(1)), 10), until(inUse(on(2)), 10)}, before: []foreignHost{inUse(on(1)), inUse(on(2))}, losses: 1, reportedOnly: []byte{2}},
		{name: "address that was in use and is held back stays so", hosts: []foreignHost{until(inUse(on(1)), 10)}, before: []foreignHost{until(inUse(on(1)), 10)}, losses: 2},
		{name: "address of no pool is left alone", hosts: []foreignHost{on(9)}, losses: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts, before, losses := map[netip.Addr]foreignHost{}, map[netip.Addr]foreignHost{}, ipam.Losses{}
			for _, f := range tt.hosts {
				hosts[f.Address] = f
			}
			for _, f := range tt.before {
				before[f.Address] = f
			}
			for range tt.losses {
				losses.Restore("p", start)
			}
			limitLosses(hosts, before, pools, losses, start.Add(time.Minute))
			var got []byte
			for last := range byte(10) {
				if hosts[at(last)].reportedOnly {
					got = append(got, last)
				}
			}
			if diff := cmp.Diff(tt.reportedOnly, got); diff != "" {
				t.Errorf("reported only (-want +got):\n%s", diff)
			}
		})
	}
}

// A pool has lost as many addresses as it may, and the host has not been seen for so long that they are
// given again, when a new controller starts: within the hour the pool loses no others.
func TestLosses_CountAfterARestart(t *testing.T) {
	hosts := func(first byte) map[netip.Addr]foreignHost {
		list := map[netip.Addr]foreignHost{}
		for i := range byte(ipam.MaxLosses) {
			f := host()
			f.Address = netip.AddrFrom4([4]byte{10, 0, 0, first + i})
			list[f.Address] = f
		}
		return list
	}
	reportedOnly := func(list map[netip.Addr]foreignHost) (n int) {
		for _, f := range list {
			if f.reportedOnly {
				n++
			}
		}
		return n
	}
	pools := []v1beta1.IPAddressPool{object("p", 1, "10.0.0.1-10.0.0.64")}
	losses, first := ipam.Losses{}, hosts(1)
	if limitLosses(first, nil, pools, losses, start); reportedOnly(first) != 0 {
		t.Fatalf("the first ones: got %d reported only, want none", reportedOnly(first))
	}
	pools[0].Status = desiredStatus(&pools[0], validity.PoolResult{Losses: losses.Recent("p", start)}, ipam.PoolState{})
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  int
	}{
		{"after 11 minutes", holdBackPeriod + time.Minute, ipam.MaxLosses},
		{"before the hour ends", ipam.LossPeriod - time.Second, ipam.MaxLosses},
		{"after the hour", ipam.LossPeriod, 0},
		{"times in the future count for an hour from now", -2 * time.Hour, ipam.MaxLosses},
	} {
		at, more := start.Add(tt.after), hosts(33)
		restored := storedLosses(pools, at)
		if limitLosses(more, nil, pools, restored, at); reportedOnly(more) != tt.want {
			t.Errorf("%s: got %d reported only, want %d", tt.name, reportedOnly(more), tt.want)
		}
		if n := len(restored.Recent("p", at.Add(ipam.LossPeriod))); n != 0 {
			t.Errorf("%s, an hour later: got %d losses, want none", tt.name, n)
		}
	}
}

func TestCommon_NamesTheHostOfMostAddresses(t *testing.T) {
	uses := func(macs ...string) (list []v1beta1.ForeignAddress) {
		for _, m := range macs {
			list = append(list, v1beta1.ForeignAddress{HardwareAddress: m})
		}
		return list
	}
	for _, tt := range []struct {
		list []v1beta1.ForeignAddress
		want string
	}{
		{uses(), ""},
		{uses("a"), ""},
		{uses("a", "b"), ""},
		{uses("a", "b", "b"), "the host with the MAC b uses 2 of the 3 addresses in status.foreign: "},
		{uses("b", "a", "b", "a"), "the host with the MAC a uses 2 of the 4 addresses in status.foreign: "},
	} {
		if got := commonMACMessage(tt.list); got != tt.want {
			t.Errorf("commonMAC(%v): got %q, want %q", tt.list, got, tt.want)
		}
	}
}
