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

// lan is a segment whose hosts answer at once. It counts the probes of each address.
type lan struct {
	machine *segment.Machine
	now     time.Time
	hosts   map[netip.Addr]segment.Hardware
	probed  map[netip.Addr]int
	broken  bool // nothing can be sent
}

func newLAN(q segment.Questions) *lan {
	l := &lan{machine: segment.New(), now: start, hosts: map[netip.Addr]segment.Hardware{}, probed: map[netip.Addr]int{}}
	l.machine.SetQuestions(q)
	return l
}

func (l *lan) pass(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(segment.StepInterval) {
		l.machine.Step(l.now, l.send)
	}
}

// send sends a probe, and has the host with the address answer.
func (l *lan) send(p segment.Probe) bool {
	if l.broken {
		return false
	}
	l.probed[p.Address]++
	if h, here := l.hosts[p.Address]; here {
		l.machine.NoteAnswer(l.now, p.Link, p.Address, h)
	}
	return true
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
		{"is in use at once when a host answers", map[netip.Addr]segment.Hardware{a1: {1}}, segment.StepInterval, nil, []netip.Addr{a1}},
		{"stays in use while the host answers", map[netip.Addr]segment.Hardware{a1: {1}}, time.Minute, nil, []netip.Addr{a1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLAN(queries(a1, a2))
			l.hosts = tt.hosts
			l.pass(tt.after)
			got := l.machine.Results()
			// The address that is in use does not delay that the other address is free.
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

// The addresses of a host that leaves are free in less than a second, whenever it leaves.
func TestAddressesOfAHostThatLeft(t *testing.T) {
	for offset := range 40 {
		l := newLAN(queries(a1, a2))
		l.hosts[a1], l.hosts[a2] = segment.Hardware{1}, segment.Hardware{1}
		l.pass(time.Second + time.Duration(offset)*segment.StepInterval)
		clear(l.hosts)
		gone := l.now
		for len(l.machine.Results().Free) < 2 {
			l.pass(segment.StepInterval)
			if l.now.Sub(gone) > time.Second {
				t.Fatalf("the host is gone %d steps after a second: after another second got free %v, want both", offset, l.machine.Results().Free)
			}
		}
	}
}

// A host that no longer answers for one of its addresses loses that address in a bounded time.
func TestAddressThatAHostGivesUp(t *testing.T) {
	l := newLAN(queries(a1, a2))
	l.hosts[a1], l.hosts[a2] = segment.Hardware{1}, segment.Hardware{1}
	l.pass(time.Second)
	delete(l.hosts, a1)
	for l.machine.Results().Free[a1].IsZero() {
		l.pass(segment.StepInterval)
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
	l.pass(segment.StepInterval)
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
	if _, answered := l.machine.Results().Hosts[segment.LinkHost{Link: "eth0", Hardware: segment.Hardware{9}}]; !answered {
		t.Error("got no answer of the gateway's hardware address")
	}
	if _, reached := got["eth1"]; reached {
		t.Error("got an answer on eth1, where no host is")
	}
	clear(l.hosts)
	l.pass(2 * time.Second)
	if at := l.machine.Results().Reached["eth0"]; l.now.Sub(at) < segment.ReachedLifetime {
		t.Errorf("got the last answer on eth0 %s ago, want none since the gateway is gone", l.now.Sub(at))
	}
	if hosts := l.machine.Results().Hosts; len(hosts) > 0 {
		t.Errorf("got answers of %v within a second, want none since the gateway is gone", hosts)
	}
	l.machine.SetQuestions(segment.Questions{})
	clear(l.probed)
	if l.pass(segment.StepInterval); l.machine.IsAsking() || len(l.probed) > 0 {
		t.Error("got probes although nothing is asked")
	}
}

// many returns addresses of one subnet.
func many(n int) (list []netip.Addr) {
	for a := netip.MustParseAddr("10.0.0.1"); len(list) < n; a = a.Next() {
		list = append(list, a)
	}
	return list
}

// Among many witnesses, the one that answers is found, and probed from then on.
func TestOneWitnessOfManyAnswers(t *testing.T) {
	all := many(100)
	l := newLAN(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": all}})
	l.hosts[all[90]] = segment.Hardware{9}
	l.pass(700 * time.Millisecond)
	for range 100 {
		if at := l.machine.Results().Reached["eth0"]; l.now.Sub(at) > 200*time.Millisecond {
			t.Fatalf("got the last answer %s ago, want at most 200ms", l.now.Sub(at))
		}
		l.pass(100 * time.Millisecond)
	}
	if len(l.probed) < len(all) {
		t.Errorf("got probes of %d witnesses, want of all %d", len(l.probed), len(all))
	}
	clear(l.probed)
	l.pass(10 * time.Second)
	sum := 0
	for _, n := range l.probed {
		sum += n
	}
	if want := 400; sum > want {
		t.Errorf("got %d probes in 10 s, want at most %d", sum, want)
	}
}

func TestProbesThatAreNotSentDoNotCount(t *testing.T) {
	l := newLAN(queries(a1, a2))
	l.hosts[a2] = segment.Hardware{1}
	l.pass(time.Second)
	l.broken = true
	l.machine.SetQuestions(queries(a1, a2, gateway))
	l.pass(3 * time.Second)
	got := l.machine.Results()
	if _, used := got.InUse[a2]; !used || len(got.Free) > 0 {
		t.Errorf("nothing could be sent for three seconds: got free %v and in use %v, want none free and a2 in use", got.Free, got.InUse)
	}
	l.broken = false
	l.pass(500 * time.Millisecond)
	if got := l.machine.Results().Free; len(got) != 2 {
		t.Errorf("half a second after probes could be sent again got free %v, want two", got)
	}
}

func TestHardwareAddressesOfNodes(t *testing.T) {
	n1, n2, n3 := many(3)[0], many(3)[1], many(3)[2]
	first, second := segment.Hardware{1}, segment.Hardware{2}
	for _, tt := range []struct {
		name   string
		before map[netip.Addr]segment.Hardware // hosts that answer for 3 s
		after  map[netip.Addr]segment.Hardware // hosts that answer afterwards
		lasts  time.Duration
		want   map[netip.Addr]segment.Hardware
	}{
		{"each that answers is known", map[netip.Addr]segment.Hardware{n1: first, n2: second}, nil, 0, map[netip.Addr]segment.Hardware{n1: first, n2: second}},
		{"one that is silent is known still", map[netip.Addr]segment.Hardware{n1: first}, nil, time.Minute, map[netip.Addr]segment.Hardware{n1: first}},
		{"a host that answers for two is no node", map[netip.Addr]segment.Hardware{n1: first, n2: first, n3: second}, nil, 0, map[netip.Addr]segment.Hardware{n3: second}},
		{"a second host does not count at once", map[netip.Addr]segment.Hardware{n1: first}, map[netip.Addr]segment.Hardware{n1: second}, 3 * time.Second, map[netip.Addr]segment.Hardware{n1: first}},
		{"a second host counts when the first one has been silent", map[netip.Addr]segment.Hardware{n1: first}, map[netip.Addr]segment.Hardware{n1: second}, 10 * time.Second, map[netip.Addr]segment.Hardware{n1: second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLAN(segment.Questions{Nodes: map[segment.Link][]netip.Addr{"eth0": {n1, n2, n3}}})
			l.hosts = tt.before
			l.pass(3 * time.Second)
			l.hosts = tt.after
			l.pass(tt.lasts)
			got := l.machine.Results()
			if diff := cmp.Diff(tt.want, got.Nodes, equate); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if !got.NodesAsked {
				t.Error("got nodes that were not asked after three seconds")
			}
		})
	}
}

// The hardware addresses of a few nodes are known at once; those of many cost no more probes.
func TestProbesOfNodes(t *testing.T) {
	l := newLAN(segment.Questions{Nodes: map[segment.Link][]netip.Addr{"eth0": many(1000)}})
	for i, a := range many(1000)[:500] {
		l.hosts[a] = segment.Hardware{0, byte(i / 256), byte(i)}
	}
	l.pass(100 * time.Millisecond)
	if got := len(l.machine.Results().Nodes); got != 2 || l.machine.Results().NodesAsked {
		t.Errorf("got %d nodes at once, all asked: %v, want 2 and not all", got, l.machine.Results().NodesAsked)
	}
	l.pass(2 * time.Minute)
	if got := len(l.machine.Results().Nodes); got != 500 {
		t.Errorf("got %d nodes after two minutes, want those that answer, 500", got)
	}
	sum := 0
	for _, n := range l.probed {
		sum += n
	}
	if want := 2410; sum > want {
		t.Errorf("got %d probes in two minutes, want at most %d", sum, want)
	}
}

// The engine uses the results of the last change, so that results must change while answers go on.
func TestAnswersThatGoOnAreChanges(t *testing.T) {
	l := newLAN(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": {gateway}}})
	l.hosts[gateway] = segment.Hardware{9}
	for range 20 {
		l.machine.TakeChanged()
		l.pass(segment.ReachedLifetime / 2)
		if !l.machine.TakeChanged() {
			t.Fatalf("got no change within %s, in which the gateway answered", segment.ReachedLifetime/2)
		}
	}
}

func TestChangesAreReportedOnce(t *testing.T) {
	l := newLAN(queries(a1))
	l.hosts[a1] = segment.Hardware{1}
	var changes []bool
	for range 4 {
		l.pass(segment.StepInterval)
		changes = append(changes, l.machine.TakeChanged())
	}
	if !slices.Equal(changes, []bool{true, false, false, false}) {
		t.Errorf("got changes %v, want one", changes)
	}
}

func TestMachine_HostThatAsks(t *testing.T) {
	client := netip.MustParseAddr("192.168.1.77")
	l := newLAN(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": nil}})
	since := func() time.Duration { return l.now.Sub(l.machine.Results().Reached["eth0"]) }
	l.pass(time.Second)
	if since() < segment.ReachedLifetime {
		t.Fatal("the link counts as reached, and no host is there")
	}
	l.hosts[client] = segment.Hardware{7}
	if !l.machine.NoteRequest(l.now, "eth0", client) || l.machine.NoteRequest(l.now, "eth0", client) || !l.machine.TakeChanged() {
		t.Error("got no new host, or one twice, or no change")
	}
	l.pass(5 * time.Second)
	if got := since(); got > 200*time.Millisecond {
		t.Errorf("five seconds after a host asked the last answer came %s ago, want at most 200ms: it is probed", got)
	}
	l.machine.SetQuestions(segment.Questions{Witnesses: map[segment.Link][]netip.Addr{"eth0": nil}})
	if diff := cmp.Diff([]netip.Addr{client}, l.machine.FoundHosts("eth0"), equate); diff != "" {
		t.Errorf("hosts that were found, after other questions (-want +got):\n%s", diff)
	}
	clear(l.hosts)
	l.pass(2 * time.Second)
	if got := since(); got < segment.ReachedLifetime {
		t.Errorf("the host is gone for two seconds, and the link was reached %s ago", got)
	}
	if l.machine.NoteRequest(l.now, "eth0", netip.IPv4Unspecified()) || since() > 0 {
		t.Error("a host that asks from no address is no witness, but the link is reached")
	}
	for i := range 40 {
		l.machine.NoteRequest(l.now, "eth0", netip.AddrFrom4([4]byte{192, 168, 2, byte(i)}))
	}
	if got := len(l.machine.FoundHosts("eth0")); got != 16 {
		t.Errorf("got %d hosts of 40 that asked, want 16", got)
	}
	if l.machine.NoteRequest(l.now, "eth9", client) {
		t.Error("got a host of a link that is not asked")
	}
}
