package segment_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/segment"
)

var (
	start   = time.Unix(1000, 0)
	a1      = netip.MustParseAddr("192.168.1.240")
	a2      = netip.MustParseAddr("192.168.1.241")
	gateway = netip.MustParseAddr("192.168.1.1")
	equate  = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}
)

// lan is a segment whose hosts answer at once, and how often each address was probed.
type lan struct {
	machine *segment.Machine
	now     time.Time
	hosts   map[netip.Addr]segment.Hardware
	probed  map[netip.Addr]int
}

func newLAN(q segment.Questions) *lan {
	l := &lan{machine: segment.New(), now: start, hosts: map[netip.Addr]segment.Hardware{}, probed: map[netip.Addr]int{}}
	l.machine.Ask(q)
	return l
}

func (l *lan) pass(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(segment.Interval) {
		for _, p := range l.machine.Step(l.now) {
			l.probed[p.Address]++
			if h, here := l.hosts[p.Address]; here {
				l.machine.Answer(l.now, p.Link, p.Address, h)
			}
		}
	}
}

func queries(addresses ...netip.Addr) segment.Questions {
	q := segment.Questions{Addresses: map[netip.Addr][]segment.Link{}}
	for _, a := range addresses {
		q.Addresses[a] = []segment.Link{"eth0"}
	}
	return q
}

func TestAddress(t *testing.T) {
	tests := []struct {
		name  string
		hosts map[netip.Addr]segment.Hardware
		after time.Duration
		free  []netip.Addr
		inUse []netip.Addr
	}{
		{"is not free before the probes have had their time", nil, 325 * time.Millisecond, nil, nil},
		{"is free when no host has answered", nil, 400 * time.Millisecond, []netip.Addr{a1, a2}, nil},
		{"is free no more when that was a second ago", nil, 1450 * time.Millisecond, nil, nil},
		{"is in use at once when a host answers", map[netip.Addr]segment.Hardware{a1: {1}}, segment.Interval, nil, []netip.Addr{a1}},
		{"stays in use while the host answers", map[netip.Addr]segment.Hardware{a1: {1}}, time.Minute, nil, []netip.Addr{a1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLAN(queries(a1, a2))
			l.hosts = tt.hosts
			l.pass(tt.after)
			got := l.machine.Results()
			// The address that is in use has no say in when the other one is free.
			if diff := cmp.Diff(tt.free, slices.SortedFunc(maps.Keys(got.Free), netip.Addr.Compare), equate); diff != "" && len(tt.hosts) == 0 {
				t.Errorf("free (-want +got):\n%s", diff)
			}
			inUse := slices.SortedFunc(maps.Keys(got.InUse), netip.Addr.Compare)
			if diff := cmp.Diff(tt.inUse, inUse, equate); diff != "" {
				t.Errorf("in use (-want +got):\n%s", diff)
			}
		})
	}
}

// The addresses of a host that is gone are free in less than a second, whenever it goes.
func TestAddressesOfAHostThatIsGone(t *testing.T) {
	for offset := range 40 {
		l := newLAN(queries(a1, a2))
		l.hosts[a1], l.hosts[a2] = segment.Hardware{1}, segment.Hardware{1}
		l.pass(time.Second + time.Duration(offset)*segment.Interval)
		clear(l.hosts)
		gone := l.now
		for len(l.machine.Results().Free) < 2 {
			l.pass(segment.Interval)
			if l.now.Sub(gone) > time.Second {
				t.Fatalf("the host is gone %d steps after a second: after another second got free %v, want both", offset, l.machine.Results().Free)
			}
		}
	}
}

// A host that answers for one of its addresses no more loses that one in a bounded time.
func TestAddressThatAHostGivesUp(t *testing.T) {
	l := newLAN(queries(a1, a2))
	l.hosts[a1], l.hosts[a2] = segment.Hardware{1}, segment.Hardware{1}
	l.pass(time.Second)
	delete(l.hosts, a1)
	for l.machine.Results().Free[a1].IsZero() {
		l.pass(segment.Interval)
		if l.now.Sub(start) > 3*time.Second {
			t.Fatalf("got in use %v, want a1 free", l.machine.Results().InUse)
		}
	}
	if _, used := l.machine.Results().InUse[a2]; !used {
		t.Error("got a2 free, want it in use")
	}
}

// A host with many addresses is probed for one of them at a time.
func TestProbesDoNotGrowWithTheAddressesOfAHost(t *testing.T) {
	var many []netip.Addr
	for a := a1; len(many) < 1000; a = a.Next() {
		many = append(many, a)
	}
	l := newLAN(queries(many...))
	for _, a := range many {
		l.hosts[a] = segment.Hardware{1}
	}
	l.pass(segment.Interval)
	clear(l.probed)
	l.pass(10 * time.Second)
	sum := 0
	for _, n := range l.probed {
		sum += n
	}
	if want := 50; sum > want {
		t.Errorf("got %d probes in 10 s, want at most %d", sum, want)
	}
}

func TestWitnesses(t *testing.T) {
	l := newLAN(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": {gateway, a2}, "eth1": {a1}}})
	l.hosts[gateway] = segment.Hardware{9}
	l.pass(time.Second)
	got := l.machine.Results().Reached
	if at := got["eth0"]; l.now.Sub(at) > 200*time.Millisecond {
		t.Errorf("got the last answer on eth0 %s ago, want at most 200ms", l.now.Sub(at))
	}
	if _, answered := l.machine.Results().Hosts[segment.Hardware{9}]; !answered {
		t.Error("got no answer of the gateway's hardware address")
	}
	if _, reached := got["eth1"]; reached {
		t.Error("got an answer on eth1, where no host is")
	}
	clear(l.hosts)
	l.pass(2 * time.Second)
	if at := l.machine.Results().Reached["eth0"]; l.now.Sub(at) < segment.ReachedFor {
		t.Errorf("got the last answer on eth0 %s ago, want none since the gateway is gone", l.now.Sub(at))
	}
	if hosts := l.machine.Results().Hosts; len(hosts) > 0 {
		t.Errorf("got answers of %v within a second, want none since the gateway is gone", hosts)
	}
	l.machine.Ask(segment.Questions{})
	if l.machine.Asking() || len(l.machine.Step(l.now)) > 0 {
		t.Error("got probes although nothing is asked")
	}
}

// The engine works with the results of the last change: it has to learn that answers go on.
func TestAnswersThatGoOnAreChanges(t *testing.T) {
	l := newLAN(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": {gateway}}})
	l.hosts[gateway] = segment.Hardware{9}
	for range 20 {
		l.machine.Changed()
		l.pass(segment.ReachedFor / 2)
		if !l.machine.Changed() {
			t.Fatalf("got no change within %s, in which the gateway answered", segment.ReachedFor/2)
		}
	}
}

func TestChangesAreReportedOnce(t *testing.T) {
	l := newLAN(queries(a1))
	l.hosts[a1] = segment.Hardware{1}
	var changes []bool
	for range 4 {
		l.pass(segment.Interval)
		changes = append(changes, l.machine.Changed())
	}
	if !slices.Equal(changes, []bool{true, false, false, false}) {
		t.Errorf("got changes %v, want one", changes)
	}
}
