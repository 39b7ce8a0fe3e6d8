package announcement

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	core "github.com/lbstack/lbstack/internal/routes"
)

// routedFacts returns the facts of an address after these reports, with nodes that are down.
func routedFacts(address netip.Addr, down []lb.NodeName, list ...speakerReport) addressFacts {
	b := NewReports()
	for _, s := range list {
		b.Put(s.Report)
		b.PutRoutes(string(s.Node)+"-0", s.Node, s.routes)
	}
	f := addressFacts{AddressReport: b.ReportOnAddress(address, TrustedNodes{}), address: address}
	gone := map[lb.NodeName]bool{}
	for _, node := range down {
		gone[node] = true
	}
	f.routed = bgpAnnouncementOf(f.Paths, gone)
	return f
}

// speakerReport is the report of a speaker, with the routes that it announces.
type speakerReport struct {
	reports.Report
	routes []reports.Route
}

// withRoute adds a prefix that the node announces to these peers.
func withRoute(s speakerReport, prefix string, peers ...bgp.PeerName) speakerReport {
	s.routes = append(s.routes, route(prefix, peers...))
	return s
}

// announcedTo returns the report of a node that announces the address one to these peers.
func announcedTo(node lb.NodeName, peers ...bgp.PeerName) speakerReport {
	return withRoute(speakerReport{Report: reports.Report{Node: node}}, one.String()+"/32", peers...)
}

// mayRoute reports that these nodes may announce the address to tor-a and tor-b; those
// with a reason after the name cannot now.
func mayRoute(f addressFacts, nodes ...string) addressFacts {
	f.router.unavailable, f.router.sessions = map[lb.NodeName]string{}, map[lb.NodeName][]reports.Session{}
	for _, text := range nodes {
		name, why, idle := strings.Cut(text, " ")
		f.router.plan.Announcers = append(f.router.plan.Announcers, core.Announcer{Node: lb.NodeName(name), Peers: []bgp.PeerName{"tor-a", "tor-b"}})
		if idle {
			f.router.unavailable[lb.NodeName(name)] = why
		}
	}
	return f
}

func session(f addressFacts, node lb.NodeName, peer bgp.PeerName, state, lastError string) addressFacts {
	up := state == string(v1beta1.BGPEstablished)
	s := reports.Session{Peer: peer, State: state, LastError: lastError, Established: up, IPv4: up && lastError == ""}
	f.router.sessions[node] = append(f.router.sessions[node], s)
	return f
}

// of6 makes tor-a a peer for IPv6 routes alone.
func of6(f addressFacts) addressFacts {
	f.router.peers = map[bgp.PeerName]*bgp.Peer{"tor-a": {Name: "tor-a", Address: netip.MustParseAddr("2001:db8::1")}}
	return f
}

func unrouted(f addressFacts, reason eligibility.Reason, why string) addressFacts {
	f.router.plan = core.Result{Address: f.address, Reason: reason, Why: why}
	return f
}

func TestDecideWithRouters(t *testing.T) {
	const (
		yes, no = metav1.ConditionTrue, metav1.ConditionFalse
		layer2  = "192.168.1.240 is announced by n1 on eth0 since 2026-11-25T20:01:02Z"
		foreign = "a foreign host with the MAC 02:00:00:00:00:99 (reported by the node \"n1\" on eth0)"
	)
	not := func() addressFacts { return refused(factsOf(one), eligibility.NoAdvertisement, "no L2") }
	tests := []struct {
		name    string
		facts   addressFacts
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		{"three nodes announce to two routers", routedFacts(one, nil, announcedTo("n2", "tor-a"), announcedTo("n1", "tor-a", "tor-b"), announcedTo("n3", "tor-b")), yes, v1beta1.ReasonAnnounced,
			"192.168.1.240 is announced by BGP from n1, n2 and n3 to the peers tor-a and tor-b"},
		{"one node announces to one router", routedFacts(one, nil, announcedTo("n1", "tor-a")), yes, v1beta1.ReasonAnnounced, "192.168.1.240 is announced by BGP from n1 to the peer tor-a"},
		{"many do", routedFacts(one, nil, announcedTo("n1", "1", "2", "3", "4", "5"), announcedTo("n2", "6"), announcedTo("n3", "6"), announcedTo("n4", "6"), announcedTo("n5", "6"), announcedTo("n6", "7"), announcedTo("n7", "7")), yes, v1beta1.ReasonAnnounced,
			"192.168.1.240 is announced by BGP from n1, n2, n3, n4, n5 and 2 more to the peers 1, 2, 3, 4, 5 and 2 more"},
		{"a wider prefix holds it", routedFacts(one, nil, withRoute(withRoute(speakerReport{Report: reports.Report{Node: "n1"}}, "192.168.1.0/24", "tor-a"), "192.168.0.0/16", "tor-b")), yes, v1beta1.ReasonAnnounced,
			"192.168.1.240 is announced by BGP as part of 192.168.1.0/24 from n1 to the peers tor-a and tor-b"},
		{"a node that died is not named", routedFacts(one, []lb.NodeName{"n2"}, announcedTo("n1", "tor-a"), announcedTo("n2", "tor-b")), yes, v1beta1.ReasonAnnounced,
			"192.168.1.240 is announced by BGP from n1 to the peer tor-a"},
		{"in both ways", routedFacts(one, nil, withRoute(speakerReport{Report: owns("n1", 1, one)}, "192.168.1.240/32", "tor-a")), yes, v1beta1.ReasonAnnounced,
			layer2 + ", and by BGP from n1 to the peer tor-a"},
		{"in both ways, and a foreign host uses it", routedFacts(one, nil, withRoute(speakerReport{Report: withHost(owns("n1", 1, one), true, one)}, "192.168.1.240/32", "tor-a")), yes, v1beta1.ReasonAnnounced,
			layer2 + ", and by BGP from n1 to the peer tor-a, but " + foreign + " uses the address as well, so that traffic can reach that host instead of the Service: turn that host off or give it another address"},
		{"a foreign host keeps it from the local network only", routedFacts(one, nil, withRoute(speakerReport{Report: withHost(owns("n1", 1, one), false, one)}, "192.168.1.240/32", "tor-a")), yes, v1beta1.ReasonAnnounced,
			"192.168.1.240 is announced by BGP from n1 to the peer tor-a, but " + foreign + " uses the address as well, so that traffic can reach that host instead of the Service: turn that host off or give it another address"},
		{"only an L2Advertisement applies to it", unrouted(may(factsOf(one), "n1"), eligibility.NoAdvertisement, "no BGP"), no, v1beta1.ReasonNotAnnounced, "192.168.1.240 is not announced yet; nodes that may announce it: n1"},
		{"none of either kind is", unrouted(not(), eligibility.NoAdvertisement, "no BGP"), no, v1beta1.ReasonNoAdvertisement, "192.168.1.240 is not announced: no L2; no BGP"},
		{"only a BGPAdvertisement is, and no pod serves", unrouted(not(), eligibility.NoEndpoints, "no pod"), no, v1beta1.ReasonNoEndpoints, "192.168.1.240 is not announced: no pod"},
		{"and no node may", unrouted(not(), eligibility.NoNode, "no peer"), no, v1beta1.ReasonNoNode, "192.168.1.240 is not announced: no peer"},
		{"and no session is up", session(session(session(mayRoute(not(), "n1", "n2"), "n1", "tor-a", "Connect", ""), "n2", "tor-a", "Active", "connection refused"), "n2", "tor-b", "Idle", ""), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no session is established; nodes that may announce it to routers: n1 and n2; sessions of the node n2: tor-a (connection refused) and tor-b (Idle)"},
		{"and no session is known", mayRoute(not(), "n1"), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no session is established; nodes that may announce it to routers: n1; sessions of the node n1: tor-a (the speaker does not report this session) and tor-b (the speaker does not report this session)"},
		{"and a session has just come up", session(mayRoute(not(), "n1", "n2 not ready"), "n1", "tor-b", "Established", ""), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no router has received the address yet; nodes that may announce it to routers: n1 and n2 (not ready)"},
		{"and no session carries routes of the family", session(session(session(mayRoute(not(), "n1", "n2"), "n1", "tor-a", "Active", "connection refused"), "n2", "tor-a", "Established", "no IPv4 next hop: give eth0 an address"), "n2", "tor-b", "Idle", ""), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no session carries IPv4 routes; nodes that may announce it to routers: n1 and n2; sessions of the node n2: tor-a (no IPv4 next hop: give eth0 an address) and tor-b (Idle)"},
		{"and the peers are for the other family", of6(session(mayRoute(not(), "n1"), "n1", "tor-a", "Established", "closed")), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no session carries IPv4 routes; nodes that may announce it to routers: n1; sessions of the node n1: tor-a (the session is not for IPv4 routes: set spec.dualStackAddressFamily of the BGPPeer) and tor-b (the speaker does not report this session)"},
		{"and no node can", mayRoute(not(), "n1 not ready"), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no router has received the address; nodes that may announce it to routers: n1 (not ready); look at these nodes, and at the speaker's pods"},
		{"both are, and no pod serves", unrouted(refused(factsOf(one), eligibility.NoEndpoints, "no pod"), eligibility.NoEndpoints, "no pod"), no, v1beta1.ReasonNoEndpoints, "192.168.1.240 is not announced: no pod"},
		{"both are, and BGP is closer", mayRoute(refused(factsOf(one), eligibility.NoNode, "no node"), "n1 not ready"), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced: no node; by BGP: no router has received the address; nodes that may announce it to routers: n1 (not ready); look at these nodes, and at the speaker's pods"},
		{"both are, and BGP is further away", unrouted(may(factsOf(one), "n1"), eligibility.NoNode, "no peer"), no, v1beta1.ReasonNotAnnounced,
			"192.168.1.240 is not announced yet; nodes that may announce it: n1; by BGP: no peer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := metav1.Condition{Type: v1beta1.ServiceAnnounced, Status: tt.status, Reason: tt.reason, Message: tt.message}
			if diff := cmp.Diff(want, announcedCondition(&corev1.Service{}, []addressFacts{tt.facts})); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessageNamesInvalidObjectsLeftOut(t *testing.T) {
	f := unrouted(refused(factsOf(one), eligibility.NoAdvertisement, "no L2"), eligibility.NoNode, "no peer")
	f.router.invalid = []string{`the BGPPeer "x", whose spec is wrong`}
	want := `192.168.1.240 is not announced: no peer; not in effect: the BGPPeer "x", whose spec is wrong`
	if got := f.result().message; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoAdvertisementOfEitherKind(t *testing.T) {
	const none = `192.168.1.240 is not announced: there is no L2Advertisement and no BGPAdvertisement, so nothing is announced: create one that selects the pool "pool"`
	for name, tt := range map[string]struct {
		layer2, bgp bool
		want        string
	}{
		"there is none at all":             {false, false, none + "; not in effect: x; y"},
		"there are only L2Advertisements":  {true, false, "192.168.1.240 is not announced: no L2; not in effect: x"},
		"there are only BGPAdvertisements": {false, true, "192.168.1.240 is not announced: no BGP; not in effect: x; y"},
		"there are both":                   {true, true, "192.168.1.240 is not announced: no L2; not in effect: x; no BGP; not in effect: y"},
	} {
		f := unrouted(refused(factsOf(one), eligibility.NoAdvertisement, "no L2"), eligibility.NoAdvertisement, "no BGP")
		f.invalid, f.router.invalid = []string{"x"}, []string{"y"}
		f.mergeReasons("pool", tt.layer2, tt.bgp)
		if got := f.result(); got.message != tt.want || got.reason != v1beta1.ReasonNoAdvertisement {
			t.Errorf("%s: got %+v, want %q", name, got, tt.want)
		}
	}
}

func TestSettle(t *testing.T) {
	const s = time.Second
	both := []speakerReport{announcedTo("n1", "tor-a"), announcedTo("n2", "tor-b")}
	type look struct {
		at       time.Duration
		reported []speakerReport
		want     string
		again    time.Duration
	}
	wide := []speakerReport{both[0], withRoute(speakerReport{Report: reports.Report{Node: "n2"}}, "192.168.1.0/24", "tor-b")}
	all := "by BGP from n1 and n2 to the peers tor-a and tor-b"
	for _, tt := range []struct {
		name  string
		looks []look
		left  lb.NodeName // a node that drains after the first look
	}{
		{"a node that joins is named at once", []look{{0, both[:1], "by BGP from n1 to the peer tor-a", 0}, {s, both, all, 0}}, ""},
		{"a node that is away for a short time is named all the while", []look{{0, both, all, 0}, {s, both[:1], all, 30 * s}, {20 * s, both[:1], all, 11 * s}, {21 * s, both, all, 0}}, ""},
		{"one after the other", []look{{0, both, all, 0}, {s, both[:1], all, 30 * s}, {29 * s, both[1:], all, 30 * s}, {40 * s, both[1:], all, 19 * s}, {41 * s, both, all, 0}}, ""},
		{"who stays away is not", []look{{0, both, all, 0}, {s, both[:1], all, 30 * s}, {31 * s, both[:1], "by BGP from n1 to the peer tor-a", 0}}, ""},
		{"a wider prefix is named when the node stays away", []look{{0, wide, all, 0}, {s, wide[1:], all, 30 * s}, {31 * s, wide[1:], "by BGP as part of 192.168.1.0/24 from n2 to the peer tor-b", 0}}, ""},
		{"that no node is left is reported at once", []look{{0, both, all, 0}, {s, nil, "", 0}, {2 * s, both[1:], "by BGP from n2 to the peer tor-b", 0}}, ""},
		{"a draining node without a route is not named", []look{{0, both, all, 0}, {s, both, all, 0}, {2 * s, both[:1], "by BGP from n1 to the peer tor-a", 0}}, "n2"},
		{"a node that drains is no reason to leave another one out", []look{{0, both, all, 0}, {s, both[1:], "by BGP from n1 and n2 to the peer tor-b", 30 * s}}, "n2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m serviceRecord
			for i, l := range tt.looks {
				list := []addressFacts{routedFacts(one, nil, l.reported...)}
				routers, again := addMissing(m, list, func(node lb.NodeName) bool { return node == tt.left && l.at > 0 }, start.Add(l.at))
				m.routers = routers
				got := ""
				if list[0].routed.exists() {
					got = list[0].routed.String()
				}
				if got != l.want || again != l.again {
					t.Errorf("look %d: got %q, again after %s, want %q, %s", i, got, again, l.want, l.again)
				}
			}
		})
	}
}

func TestEventsOfRouters(t *testing.T) {
	n1, all := routedFacts(one, nil, announcedTo("n1", "tor-a")), routedFacts(one, nil, announcedTo("n1", "tor-a"), announcedTo("n2", "tor-a"))
	none := mayRoute(refused(factsOf(one), eligibility.NoAdvertisement, "x"), "n1 not ready")
	const s = time.Second
	announcedEvent := "Normal Announced: 192.168.1.240 is announced by BGP from n1 to the peer tor-a"
	late := "Warning NotAnnounced: " + none.result().message
	for _, tt := range []struct {
		name  string
		was   *addressFacts
		looks []addressFacts
		after []time.Duration
		want  []string
	}{
		{"once, also if a node joins", nil, []addressFacts{n1, all, n1}, []time.Duration{0, s, 2 * s}, []string{announcedEvent}},
		{"a short gap has no event", nil, []addressFacts{n1, none, n1}, []time.Duration{0, s, 2 * s}, []string{announcedEvent}},
		{"a gap that was reported ends with an event", nil, []addressFacts{n1, none, none, n1}, []time.Duration{0, s, 4 * s, 5 * s}, []string{announcedEvent, late, announcedEvent}},
		{"no event that a controller before sent", &n1, []addressFacts{n1, all}, []time.Duration{0, s}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m serviceRecord
			var was *metav1.Condition
			if tt.was != nil {
				was = new(announcedCondition(&corev1.Service{}, []addressFacts{*tt.was}))
			}
			var got []string
			for i, f := range tt.looks {
				now := announcedCondition(&corev1.Service{}, []addressFacts{f})
				notes, next, _ := compareRecord(m, was, now, []addressFacts{f}, start.Add(tt.after[i]))
				m, was = next, &now
				for _, n := range notes {
					got = append(got, n.kind+" "+n.reason+": "+n.text)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// since returns a report of a node that has announced the address to a router since a time.
func since(node lb.NodeName, at time.Time) speakerReport {
	s := announcedTo(node, "tor")
	s.routes[0].Since = at
	return s
}

func TestSettle_Since(t *testing.T) {
	const m = time.Minute
	at := func(d time.Duration) time.Time { return start.Add(d) }
	for _, tt := range []struct {
		name  string
		looks [][]speakerReport
		want  []time.Time // at each look; zero: not known, or not announced
	}{
		{"the first of two nodes counts", [][]speakerReport{{since("n1", at(m)), since("n2", at(0))}}, []time.Time{at(0)}},
		{"restart of the first node changes nothing", [][]speakerReport{{since("n1", at(0)), since("n2", at(m))}, {since("n2", at(m))}, {since("n1", at(2*m)), since("n2", at(3*m))}}, []time.Time{at(0), at(0), at(0)}},
		{"begins anew after nobody has announced it", [][]speakerReport{{since("n1", at(0))}, nil, {since("n1", at(m))}}, []time.Time{at(0), {}, at(m)}},
		{"is not known", [][]speakerReport{{announcedTo("n1", "tor")}, {since("n1", at(m))}}, []time.Time{{}, at(m)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m serviceRecord
			for i, look := range tt.looks {
				list := []addressFacts{routedFacts(one, nil, look...)}
				m.routers, _ = addMissing(m, list, func(lb.NodeName) bool { return false }, start)
				if got := list[0].routed.since; !got.Equal(tt.want[i]) {
					t.Errorf("look %d: got since %v, want %v", i, got, tt.want[i])
				}
			}
		})
	}
	f := routedFacts(one, nil, since("n1", start))
	if got, want := f.routed.String(), "by BGP from n1 to the peer tor since "+start.UTC().Format(time.RFC3339); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
