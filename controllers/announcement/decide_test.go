package announcement

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// factsOf returns the facts of an address after these reports.
func factsOf(address netip.Addr, list ...reports.Report) addressFacts {
	b := NewReports()
	for _, r := range list {
		b.Put(r)
	}
	return addressFacts{AddressReport: b.ReportOnAddress(address, TrustedNodes{}), address: address}
}

func refused(f addressFacts, reason eligibility.Reason, why string) addressFacts {
	f.plan = eligibility.Result{Address: f.address, Reason: reason, Why: why}
	return f
}

// may reports that these nodes may announce; nodes with a reason after the name cannot now:
// "n2 not ready".
func may(f addressFacts, nodes ...string) addressFacts {
	f.unavailable = map[lb.NodeName]string{}
	for _, text := range nodes {
		name, why, idle := strings.Cut(text, " ")
		f.plan.Candidates = append(f.plan.Candidates, eligibility.Candidate{Node: lb.NodeName(name)})
		if idle {
			f.unavailable[lb.NodeName(name)] = why
		}
	}
	return f
}

func down(f addressFacts) addressFacts {
	f.ownerDown = true
	return f
}

// unable reports that the candidates with a reason after the name have no interface.
func unable(f addressFacts, nodes ...string) addressFacts {
	f = may(f, nodes...)
	f.unable, f.unavailable = f.unavailable, map[lb.NodeName]string{}
	return f
}

// stands reports that the owner's node takes no address.
func stands(f addressFacts) addressFacts {
	f.onStandby, f.Standby = true, "the node has the label x"
	return f
}

// linked adds an interface with a subnet to a report.
func linked(r reports.Report, subnet string) reports.Report {
	r.Links = []reports.Link{{Name: "eth0", Families: []lb.Family{lb.IPv4}, Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)}}}
	return r
}

func withoutSpeakers(f addressFacts) addressFacts {
	f.noSpeaker = true
	return f
}

func notListed(f addressFacts) addressFacts {
	f.plan.Refused = `its pool "gold" does not list it`
	return f
}

func broken(f addressFacts, sentence string) addressFacts {
	f.invalid = []string{sentence}
	return f
}

func TestDecide(t *testing.T) {
	const (
		yes, no   = metav1.ConditionTrue, metav1.ConditionFalse
		announced = "192.168.1.240 is announced by n1 on eth0 since 2026-11-25T20:01:02Z"
		foreign   = "a foreign host with the MAC 02:00:00:00:00:99 (reported by the node \"n1\" on eth0)"
	)
	many := owns("n1", 1, one)
	many.Owned[0].Interfaces = []string{"eth0", "eth1"}
	nowhere := owns("n1", 1, one)
	nowhere.Owned[0].Interfaces = nil
	elsewhere := owns("n1", 1, one)
	elsewhere.Owned[0].Since = start.In(time.FixedZone("here", 3600))
	tests := []struct {
		name    string
		facts   []addressFacts
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		{"a node announces the address", []addressFacts{factsOf(one, owns("n1", 1, one))}, yes, v1beta1.ReasonAnnounced, announced},
		{"the higher epoch does", []addressFacts{factsOf(one, owns("n1", 2, one), owns("n2", 1, one))}, yes, v1beta1.ReasonAnnounced, announced},
		{"times are in UTC", []addressFacts{factsOf(one, elsewhere)}, yes, v1beta1.ReasonAnnounced, announced},
		{"on two interfaces", []addressFacts{factsOf(one, many)}, yes, v1beta1.ReasonAnnounced, "192.168.1.240 is announced by n1 on eth0 and eth1 since 2026-11-25T20:01:02Z"},
		{"its owner announces it on no interface", []addressFacts{factsOf(one, nowhere)}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: the node n1 owns the address and announces it on no interface now: see the condition Ready of the SpeakerState n1"},
		{"two addresses are announced", []addressFacts{factsOf(one, owns("n1", 1, one)), factsOf(two, owns("n2", 1, two))}, yes, v1beta1.ReasonAnnounced,
			announced + "; 192.168.1.241 is announced by n2 on eth0 since 2026-11-25T20:01:02Z"},
		{"one of two is", []addressFacts{factsOf(one, owns("n1", 1, one)), refused(factsOf(two), eligibility.NoNode, "no node may.")}, no, v1beta1.ReasonNoNode,
			announced + "; 192.168.1.241 is not announced: no node may."},
		{"of two reasons the worse counts", []addressFacts{may(factsOf(one), "n1"), refused(factsOf(two), eligibility.NoAdvertisement, "none")}, no, v1beta1.ReasonNoAdvertisement,
			"192.168.1.240 is not announced yet; nodes that may announce it: n1; 192.168.1.241 is not announced: none"},
		{"whatever their order", []addressFacts{refused(factsOf(one), eligibility.NoAdvertisement, "none"), refused(factsOf(two), eligibility.NoEndpoints, "no pod")}, no, v1beta1.ReasonNoAdvertisement,
			"192.168.1.240 is not announced: none; 192.168.1.241 is not announced: no pod"},
		{"an advertisement is invalid", []addressFacts{broken(refused(factsOf(one), eligibility.NoAdvertisement, "none"), `the L2Advertisement "x", whose spec is wrong`)}, no, v1beta1.ReasonNoAdvertisement,
			`192.168.1.240 is not announced: none; not in effect: the L2Advertisement "x", whose spec is wrong`},
		{"a reason without a rank comes last, and is none to call the address announced",
			[]addressFacts{refused(factsOf(one), "Unranked", "none"), refused(factsOf(two), eligibility.NoNode, "no node")}, no, v1beta1.ReasonNoNode,
			"192.168.1.240 is not announced: none; 192.168.1.241 is not announced: no node"},
		{"a reason without a rank is alone", []addressFacts{refused(factsOf(one), "Unranked", "none")}, no, "Unranked", "192.168.1.240 is not announced: none"},
		{"an invalid advertisement does not matter to a Service without endpoints", []addressFacts{broken(refused(factsOf(one), eligibility.NoEndpoints, "no pod"), "x")}, no, v1beta1.ReasonNoEndpoints, "192.168.1.240 is not announced: no pod"},
		{"nobody does yet", []addressFacts{may(factsOf(one), "n1", "n2 not ready")}, no, v1beta1.ReasonNotAnnounced, "192.168.1.240 is not announced yet; nodes that may announce it: n1, n2 (not ready)"},
		{"nobody can", []addressFacts{may(factsOf(one), "n1 its speaker has not reported", "n2 not ready")}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced yet; nodes that may announce it: n1 (its speaker has not reported), n2 (not ready); look at these nodes, and at the speaker's pods"},
		{"many may", []addressFacts{may(factsOf(one), "n1", "n2", "n3", "n4", "n5", "n6", "n7")}, no, v1beta1.ReasonNotAnnounced, "192.168.1.240 is not announced yet; nodes that may announce it: n1, n2, n3, n4, n5, 2 more"},
		{"a foreign host uses it", []addressFacts{factsOf(one, withHost(owns("n1", 1, one), false, one))}, no, v1beta1.ReasonAddressConflict,
			"192.168.1.240 is not announced because " + foreign + " uses the address: turn that host off or give it another address, or have the Service request another address"},
		{"a foreign host uses it and nobody lists it", []addressFacts{may(factsOf(one, withHost(owns("n1", 1), false, one)), "n1")}, no, v1beta1.ReasonAddressConflict,
			"192.168.1.240 is not announced because " + foreign + " uses the address: turn that host off or give it another address, or have the Service request another address"},
		{"a foreign host uses what is announced", []addressFacts{factsOf(one, withHost(owns("n1", 1, one), true, one))}, yes, v1beta1.ReasonAnnounced,
			announced + ", but " + foreign + " uses the address as well, so that traffic can reach that host instead of the Service: turn that host off or give it another address"},
		{"no candidate has an interface", []addressFacts{unable(factsOf(one), "n1 has no interface eth7", "n2 has no IPv4 address on eth0")}, no, v1beta1.ReasonNoInterface,
			"192.168.1.240 is not announced: none of the nodes that may announce it has an interface for it: n1 (has no interface eth7), n2 (has no IPv4 address on eth0); change spec.interfaces or spec.requireSubnet of the L2Advertisement, or the addresses of the nodes"},
		{"one candidate has an interface", []addressFacts{unable(factsOf(one), "n1 has no interface eth7", "n2")}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced yet; nodes that may announce it: n1 (has no interface eth7), n2"},
		{"no speaker runs", []addressFacts{withoutSpeakers(may(factsOf(one), "n1 its speaker has not reported"))}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced yet; nodes that may announce it: n1 (its speaker has not reported); no speaker runs: look at spec.speaker.nodeSelector of the LoadBalancerStack, and at the speaker's pods"},
		{"no node has an interface in the subnet", []addressFacts{factsOf(one, linked(owns("n1", 1, one), "10.0.0.0/8"))}, yes, v1beta1.ReasonAnnounced,
			announced + ", but no node has an interface in a subnet that contains the address: hosts reach the address only through a router that forwards its traffic to the node n1; give the nodes an address of such a subnet, or announce the address by BGP"},
		{"the owner has an interface in the subnet", []addressFacts{factsOf(one, linked(owns("n1", 1, one), "192.168.1.0/24"))}, yes, v1beta1.ReasonAnnounced, announced},
		{"another node has an interface in the subnet", []addressFacts{factsOf(one, linked(owns("n1", 1, one), "10.0.0.0/8"), linked(reports.Report{Node: "n2"}, "192.168.1.0/24"))}, yes, v1beta1.ReasonAnnounced, announced},
		{"all nodes are excluded and the owner keeps the address", []addressFacts{stands(refused(factsOf(one, owns("n1", 1, one)), eligibility.NoNode, "no node may announce: n1 has the label x"))}, yes, v1beta1.ReasonAnnounced,
			announced + ", and stays on that node, since no other node may announce the address: no node may announce: n1 has the label x"},
		{"the owner is excluded and the others cannot", []addressFacts{stands(may(factsOf(one, owns("n1", 1, one)), "n2 not ready", "n3 the node drains"))}, yes, v1beta1.ReasonAnnounced,
			announced + ", and stays on that node (the node has the label x), since no other node can announce the address: n2 (not ready), n3 (the node drains)"},
		{"the owner is excluded and another one is about to take over", []addressFacts{stands(may(factsOf(one, owns("n1", 1, one)), "n2"))}, yes, v1beta1.ReasonAnnounced, announced},
		{"the pool does not list the address", []addressFacts{notListed(may(factsOf(one), "n1"))}, no, v1beta1.ReasonAddressRefused,
			`192.168.1.240 is not announced: its pool "gold" does not list it, and no node has announced it before: add the address to the pool, or have the IPAddressClaim of the address deleted`},
		{"the pool does not list the address, which is announced", []addressFacts{notListed(factsOf(one, owns("n1", 1, one)))}, yes, v1beta1.ReasonAnnounced, announced},
		{"the pool does not list the address, and no pod is ready", []addressFacts{notListed(refused(factsOf(one), eligibility.NoEndpoints, "no pod"))}, no, v1beta1.ReasonNoEndpoints, "192.168.1.240 is not announced: no pod"},
		{"the owner's node is down and nobody takes over who could", []addressFacts{down(may(factsOf(one, owns("n1", 1, one)), "n1 not ready", "n2"))}, yes, v1beta1.ReasonAnnounced, announced},
		{"the owner's node is down and nobody else can", []addressFacts{down(may(factsOf(one, owns("n1", 1, one)), "n1 not ready", "n2 not ready"))}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: the node n1, which owns the address, is not ready, or its speaker does not run; none of the nodes that may announce it can do so now: n1 (not ready), n2 (not ready); bring the node and its speaker back, or permit other nodes to announce the address"},
		{"the owner's node is down and no other node has an interface", []addressFacts{down(unable(factsOf(one, owns("n1", 1, one)), "n1 has no interface eth7", "n2 has no interface eth7"))}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: the node n1, which owns the address, is not ready, or its speaker does not run; none of the nodes that may announce it can do so now: n1 (has no interface eth7), n2 (has no interface eth7); bring the node and its speaker back, or permit other nodes to announce the address"},
		{"the owner's node is down and no other node may", []addressFacts{down(refused(factsOf(one, owns("n1", 1, one)), eligibility.NoNode, "no node may."))}, no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: the node n1, which owns the address, is not ready, or its speaker does not run; no other node may announce it now; bring the node and its speaker back, or permit other nodes to announce the address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Generation: 4}}
			want := metav1.Condition{Type: v1beta1.ServiceAnnounced, Status: tt.status, Reason: tt.reason, Message: tt.message, ObservedGeneration: 4}
			if diff := cmp.Diff(want, announcedCondition(svc, tt.facts)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheMessageFitsIntoACondition(t *testing.T) {
	var list []addressFacts
	for i := range 32 {
		list = append(list, refused(factsOf(one), eligibility.NoNode, strings.Repeat(fmt.Sprint(i), 500)))
	}
	if n := len(announcedCondition(&corev1.Service{}, list).Message); n > 4096 {
		t.Errorf("message: got %d bytes, want 4096 at most", n)
	}
}

func TestEvents(t *testing.T) {
	n1, n2 := factsOf(one, owns("n1", 1, one)), factsOf(one, owns("n2", 2, one))
	both := []addressFacts{n2, factsOf(two, owns("n1", 1, two))}
	none, noPods := may(factsOf(one), "n1"), refused(factsOf(one), eligibility.NoEndpoints, "no pod")
	host, visited := factsOf(one, withHost(owns("n1", 1), false, one)), factsOf(one, withHost(owns("n1", 1, one), true, one))
	type look struct {
		at    time.Duration
		facts []addressFacts
		want  []string
		again time.Duration
	}
	const s = time.Second
	announced := func(words string) []string { return []string{"Normal Announced: 192.168.1.240 " + words} }
	late := func(f addressFacts) []string {
		c := announcedCondition(&corev1.Service{}, []addressFacts{f})
		return []string{"Warning " + c.Reason + ": " + c.Message}
	}
	tests := []struct {
		name  string
		was   []addressFacts // what stands in the condition, of a controller before
		looks []look
	}{
		{"who announces, once", nil, []look{{0, []addressFacts{n1}, announced("is announced by n1"), 0}, {5 * s, []addressFacts{n1}, nil, 0}}},
		{"a move, from where and to where", nil, []look{{0, []addressFacts{n1}, announced("is announced by n1"), 0}, {s, []addressFacts{n2}, announced("moved from n1 to n2"), 0}}},
		{"of two addresses the one that moved", nil, []look{
			{0, []addressFacts{n1, both[1]}, append(announced("is announced by n1"), "Normal Announced: 192.168.1.241 is announced by n1"), 0}, {s, both, announced("moved from n1 to n2"), 0}}},
		{"a gap is no news if it is short", nil, []look{{0, []addressFacts{n1}, announced("is announced by n1"), 0}, {s, []addressFacts{none}, nil, 2 * s}, {2 * s, []addressFacts{n2}, announced("moved from n1 to n2"), 0}}},
		{"and none at all if the owner is the same", nil, []look{{0, []addressFacts{n1}, announced("is announced by n1"), 0}, {s, []addressFacts{none}, nil, 2 * s}, {2 * s, []addressFacts{n1}, nil, 0}}},
		{"a gap that lasts, once", nil, []look{{0, []addressFacts{none}, nil, 2 * s}, {s, []addressFacts{none}, nil, s}, {2 * s, []addressFacts{none}, late(none), 0}, {9 * s, []addressFacts{none}, nil, 0}}},
		{"another reason has its own event", nil, []look{{0, []addressFacts{none}, nil, 2 * s}, {2 * s, []addressFacts{none}, late(none), 0}, {9 * s, []addressFacts{noPods}, nil, 2 * s}, {11 * s, []addressFacts{noPods}, late(noPods), 0}}},
		{"reasons that alternate wait no longer", nil, []look{{0, []addressFacts{none}, nil, 2 * s}, {s, []addressFacts{noPods}, nil, s}, {2 * s, []addressFacts{none}, late(none), 0}}},
		{"a foreign host at once", nil, []look{{0, []addressFacts{none}, nil, 2 * s}, {s, []addressFacts{host}, late(host), 0}, {2 * s, []addressFacts{host}, nil, 0}}},
		{"one on what is announced, once", nil, []look{{0, []addressFacts{n1}, announced("is announced by n1"), 0},
			{s, []addressFacts{visited}, []string{"Warning AddressConflict: " + visited.announcersMessage()}, 0}, {2 * s, []addressFacts{visited}, nil, 0}, {3 * s, []addressFacts{n1}, nil, 0}}},
		{"no event that a controller before sent", []addressFacts{n1}, []look{{0, []addressFacts{n1}, nil, 0}, {s, []addressFacts{n2}, announced("moved from n1 to n2"), 0}}},
		{"no reason that a controller before reported", []addressFacts{none}, []look{{0, []addressFacts{none}, nil, 0}, {9 * s, []addressFacts{none}, nil, 0}}},
		{"what happened while there was none", []addressFacts{n1}, []look{{0, []addressFacts{n2}, announced("is announced by n2"), 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m serviceRecord
			var was *metav1.Condition
			if tt.was != nil {
				was = new(announcedCondition(&corev1.Service{}, tt.was))
			}
			for i, l := range tt.looks {
				now := announcedCondition(&corev1.Service{}, l.facts)
				notes, next, again := compareRecord(m, was, now, l.facts, start.Add(l.at))
				m, was = next, &now
				var got []string
				for _, n := range notes {
					got = append(got, n.kind+" "+n.reason+": "+n.text)
				}
				if diff := cmp.Diff(l.want, got); diff != "" || again != l.again {
					t.Errorf("look %d: again after %s, want %s; events (-want +got):\n%s", i, again, l.again, diff)
				}
			}
		})
	}
}

func TestStandingCounts(t *testing.T) {
	s := NewServiceRecords()
	key := func(name string) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: name} }
	s.put(key("a"), serviceRecord{reconciled: true, reason: "NoNode"}, 0)
	s.put(key("b"), serviceRecord{reconciled: true, reason: "NoNode"}, 0)
	s.put(key("c"), serviceRecord{reconciled: true}, 0)
	s.put(key("d"), serviceRecord{reconciled: true, reason: "NoEndpoints"}, 0)
	s.put(key("e"), serviceRecord{reconciled: true, untrusted: true}, 0)
	s.forget(key("d"))
	if diff := cmp.Diff(map[string]int{"NoNode": 2}, s.CountNotAnnounced()); diff != "" {
		t.Errorf("not announced (-want +got):\n%s", diff)
	}
	if got := len(s.waitingServices()); got != 3 || !s.isWaiting(key("a")) || s.isWaiting(key("c")) || !s.isWaiting(key("e")) {
		t.Errorf("waiting: got %v, want a, b and e", s.waitingServices())
	}
}

// A change that comes after a reconcile has read the objects, and before it has recorded the Service, finds
// no Service that waits.
func TestStanding_ChangeDuringAReconcile(t *testing.T) {
	key := lb.ServiceKey{Namespace: "n", Name: "a"}
	nothing := func(*ServiceRecords) {}
	changes := func(s *ServiceRecords) { s.waitingServices() }
	for name, tt := range map[string]struct {
		during func(*ServiceRecords)
		record serviceRecord
		want   bool
	}{
		"nothing changes":                        {nothing, serviceRecord{reason: "NoNode"}, false},
		"an advertisement":                       {changes, serviceRecord{reason: "NoNode"}, true},
		"endpoints":                              {func(s *ServiceRecords) { s.isWaiting(key) }, serviceRecord{reason: "NoNode"}, true},
		"an advertisement, a report is ignored":  {changes, serviceRecord{untrusted: true}, true},
		"an advertisement, and it does not wait": {changes, serviceRecord{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServiceRecords()
			s.waitingServices()
			mark := s.currentMark()
			tt.during(s)
			if got := s.put(key, tt.record, mark); got != tt.want {
				t.Errorf("reconcile again: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNotAnnouncedIsNotReportedTooEarly(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	waits := serviceRecord{reason: v1beta1.ReasonNotAnnounced, since: start}
	for name, tt := range map[string]struct {
		was  *metav1.Condition
		next serviceRecord
		at   time.Duration
		want time.Duration
	}{
		"the address has just come":        {next: waits, want: firstConditionDelay},
		"it came a moment ago":             {next: waits, at: firstConditionDelay / 5, want: firstConditionDelay - firstConditionDelay/5},
		"it has been there for long":       {next: waits, at: firstConditionDelay},
		"a condition was reported before":  {was: &metav1.Condition{}, next: waits},
		"somebody announces it":            {next: serviceRecord{}},
		"waiting for speakers is no use":   {next: serviceRecord{reason: v1beta1.ReasonNoAdvertisement, since: start}},
		"long after it should have looked": {next: waits, at: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if got := firstConditionWait(tt.was, tt.next, start.Add(tt.at)); got != tt.want {
				t.Errorf("early: got %s, want %s", got, tt.want)
			}
		})
	}
}
