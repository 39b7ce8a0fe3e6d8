package bgppeer

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// cluster has these nodes. The suffix of the name is the state of the session:
// "n1 Established", "n2 Active connection refused", "n3 silent" (a report without a
// session), "n4" (no report), "n5 Idle NoNextHop: why" (a session with a problem),
// "n6 Established*4 why" (one that has ended four times), "n7 Active@32 why" (the next
// attempt is within 32 s). "!" before the name: the node is down; "-": it may not
// announce; "?": all others miss its speaker; "=": it was stopped, and no speaker misses it.
func cluster(nodes ...string) clusterState {
	s := clusterState{namespace: "lbstack-system", speakers: map[lb.NodeName]reports.Report{}, silent: map[lb.NodeName]bool{}, left: map[lb.NodeName]bool{}, profiles: map[string]*v1beta1.BFDProfile{
		"fast": {}, "odd": {Spec: v1beta1.BFDProfileSpec{DetectMultiplier: 1}},
	}}
	for _, text := range nodes {
		words := strings.SplitN(text, " ", 3)
		n := eligibility.Node{Name: lb.NodeName(strings.TrimLeft(words[0], "!-?=")), Down: text[0] == '!', Labels: map[string]string{"name": strings.TrimLeft(words[0], "!-?=")}}
		s.silent[n.Name], s.left[n.Name] = text[0] == '?', text[0] == '='
		if text[0] == '-' {
			n.Excluded = "has a label"
		}
		s.nodes = append(s.nodes, n)
		if len(words) == 1 {
			continue
		}
		r := reports.Report{Node: n.Name}
		if words[1] != "silent" {
			state, retry, _ := strings.Cut(words[1], "@")
			state, flaps, _ := strings.Cut(state, "*")
			session := reports.Session{Peer: "tor", State: state, Established: state == "Established"}
			seconds, _ := strconv.Atoi(retry)
			session.Retry = time.Duration(seconds) * time.Second
			session.Flaps, _ = strconv.Atoi(flaps)
			if len(words) > 2 {
				session.LastError = words[2]
				if reason, message, is := strings.Cut(words[2], ": "); is {
					session.Problem = bgp.Problem{Reason: bgp.ProblemReason(reason), Message: message}
				}
			}
			r.Sessions = []reports.Session{{Peer: "other", Established: true}, session}
		}
		s.speakers[n.Name] = r
	}
	return s
}

func tor(edits ...func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	p := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1"}}
	for _, edit := range edits {
		edit(&p.Spec)
	}
	return p
}

func TestReady_SecretOfThePassword(t *testing.T) {
	password := func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{Name: "key"} }
	object := func(kind corev1.SecretType, password string) *corev1.Secret {
		return &corev1.Secret{Type: kind, Data: map[string][]byte{corev1.BasicAuthPasswordKey: []byte(password)}}
	}
	for _, tt := range []struct {
		name   string
		secret *corev1.Secret
		reason string
		part   string
	}{
		{"a valid one", object(corev1.SecretTypeBasicAuth, "x"), v1beta1.ReasonPeerValid, "in effect"},
		{"none", nil, v1beta1.ReasonPasswordMissing, `the Secret "key" of spec.passwordSecret does not exist in the namespace lbstack-system: an established session stays, and no new one begins`},
		{"one of another type", object(corev1.SecretTypeOpaque, "x"), v1beta1.ReasonSecretInvalid, `is of type "Opaque" and not kubernetes.io/basic-auth: an established session stays`},
		{"one without password", object(corev1.SecretTypeBasicAuth, ""), v1beta1.ReasonSecretInvalid, `its entry "password" is missing or empty`},
		{"one with a password that is too long", object(corev1.SecretTypeBasicAuth, strings.Repeat("x", 81)), v1beta1.ReasonSecretInvalid, "at most 80 bytes are allowed"},
	} {
		s := cluster("n1 Established")
		if s.secrets = map[string]*corev1.Secret{}; tt.secret != nil {
			s.secrets["key"] = tt.secret
		}
		if got := s.factsOf(tor(password)).readyResult(); got.Reason != tt.reason || !strings.Contains(got.Message, tt.part) {
			t.Errorf("%s: got %+v, want %s and %q", tt.name, got, tt.reason, tt.part)
		}
	}
}

func TestReady(t *testing.T) {
	profile := func(name v1beta1.ObjectName, strict bool) func(*v1beta1.BGPPeerSpec) {
		return func(s *v1beta1.BGPPeerSpec) { s.BFDProfile, s.StrictBFD = name, strict }
	}
	only := func(name string) func(*v1beta1.BGPPeerSpec) {
		return func(s *v1beta1.BGPPeerSpec) {
			s.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"name": name}}}
		}
	}
	for _, tt := range []struct {
		name    string
		peer    *v1beta1.BGPPeer
		cluster clusterState
		reason  string
		part    string
	}{
		{"all is well", tor(), cluster("n1 Established"), v1beta1.ReasonPeerValid, "in effect"},
		{"a session that is down is another matter", tor(), cluster("n1 Idle no route"), v1beta1.ReasonPeerValid, ""},
		{"so is a speaker without one", tor(), cluster("n1 silent"), v1beta1.ReasonPeerValid, ""},
		{"invalid spec is reported with its field", tor(func(s *v1beta1.BGPPeerSpec) { s.MyASN = 0 }), cluster("n1"), v1beta1.ReasonInvalidPeer, "spec.myASN: 0 is not"},
		{"a profile that is there", tor(profile("fast", true)), cluster("n1"), v1beta1.ReasonPeerValid, ""},
		{"one that is not", tor(profile("slow", false)), cluster("n1"), v1beta1.ReasonUnknownBFDProfile, `the BFDProfile "slow", which spec.bfdProfile names, does not exist: create it; until then sessions with BFD keep their settings, and other sessions run without BFD`},
		{"one that is not and is waited for", tor(profile("slow", true)), cluster("n1"), v1beta1.ReasonUnknownBFDProfile, "and no other session is opened, as spec.strictBFD requires"},
		{"invalid BFDProfile is reported with its field", tor(profile("odd", false)), cluster("n1"), v1beta1.ReasonInvalidProfile, `is invalid (spec.detectMultiplier: 1 is not`},
		{"no node is meant", tor(only("n9")), cluster("n1", "n2"), v1beta1.ReasonNoNodes, "spec.nodeSelectors match none of the 2 nodes"},
		{"there is no node", tor(), cluster(), v1beta1.ReasonNoNodes, "the cluster has no node"},
		{"the Secret is missing", tor(), cluster("n1 Established", "n2 Idle PasswordMissing: the Secret is missing"), v1beta1.ReasonPasswordMissing, "on the node n2: the Secret is missing"},
		{"it is invalid on nodes with an established session, too", tor(), cluster("n1 Established SecretInvalid: wrong type", "n2 Idle SecretInvalid: wrong type"), v1beta1.ReasonSecretInvalid, "on the nodes n1 and n2: wrong type"},
		{"messages differ", tor(), cluster("n1 Idle NoNextHop: no IPv6", "n2 Idle NoNextHop: no IPv4", "n3 Idle NoNextHop: no IPv6"), v1beta1.ReasonNoNextHop, "on the nodes n1 and n3: no IPv6; on the node n2: no IPv4"},
		{"the router does not take a family", tor(), cluster("n1 Established AddressFamilyMissing: no IPv6"), v1beta1.ReasonAddressFamilyMissing, "on the node n1: no IPv6"},
		{"the router did not take a family in the last session", tor(), cluster("n1 Active AddressFamilyMissing: no IPv6"), v1beta1.ReasonAddressFamilyMissing, "on the node n1: no IPv6"},
		{"the most severe problem comes first", tor(), cluster("n1 Idle NoNextHop: no IPv6", "n2 Idle DuplicatePeer: a is in effect"), v1beta1.ReasonDuplicatePeer, "on the node n2: a is in effect"},
		{"a node that is down reports nothing any more", tor(), cluster("!n1 Idle PasswordMissing: why"), v1beta1.ReasonPeerValid, ""},
		{"nor does a speaker that the others miss", tor(), cluster("n2 Established", "?n1 Idle DuplicatePeer: why"), v1beta1.ReasonPeerValid, ""},
	} {
		got := tt.cluster.factsOf(tt.peer).readyResult()
		if got.Reason != tt.reason || got.Ready != (tt.reason == v1beta1.ReasonPeerValid) || !strings.Contains(got.Message, tt.part) {
			t.Errorf("%s: got %+v, want %s and %q", tt.name, got, tt.reason, tt.part)
		}
	}
}

func TestEstablished(t *testing.T) {
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprintf("n%d Idle", i))
	}
	for _, tt := range []struct {
		name      string
		cluster   clusterState
		up, nodes int
		reason    string
		message   string
	}{
		{"all", cluster("n1 Established", "n2 Established", "n3 Established"), 3, 3, v1beta1.ReasonAllEstablished, "the session is established on 3 of 3 nodes"},
		{"the only one", cluster("n1 Established"), 1, 1, v1beta1.ReasonAllEstablished, "the session is established on 1 of 1 node"},
		{"some", cluster("n3 Idle", "n2 Active connection refused", "n1 Established", "n4 silent"), 1, 4, v1beta1.ReasonNotEstablished,
			"the session is established on 1 of 4 nodes; n2: connection refused; n3: Idle; n4: the speaker does not report this session: see the SpeakerState of the node"},
		{"attempts back off", cluster("n1 Active@128 connection refused", "n2 Established"), 1, 2, v1beta1.ReasonNotEstablished, "the session is established on 1 of 2 nodes; n1: connection refused (next attempt within 2m8s)"},
		{"one reason is named once, with the latest attempt", cluster("n1 Active@8 refused", "n2 Active@32 refused", "n3 Active timeout"), 0, 3, v1beta1.ReasonNoSession,
			"the session is established on 0 of 3 nodes; n1 and n2: refused (next attempt within 32s); n3: timeout"},
		{"many reasons", cluster("n1 Active a", "n2 Active b", "n3 Active c", "n4 Active d", "n5 Active e", "n6 Active f", "n7 Active f"), 0, 7, v1beta1.ReasonNoSession,
			"the session is established on 0 of 7 nodes; n1: a; n2: b; n3: c; n4: d; n5: e; 2 more nodes"},
		{"the condition Ready has the sentence", cluster("n1 Idle PortClosed: why", "n2 Idle PortClosed: why"), 0, 2, v1beta1.ReasonNoSession, "the session is established on 0 of 2 nodes; n1 and n2: PortClosed, see the condition Ready"},
		{"a problem with routes is no reason for no session", cluster("n1 Active NoNextHop: why"), 0, 1, v1beta1.ReasonNoSession, "the session is established on 0 of 1 node; n1: NoNextHop: why"},
		{"the condition Ready has another sentence", cluster("n1 Idle PasswordMissing: x", "n2 Idle PortClosed: why"), 0, 2, v1beta1.ReasonNoSession,
			"the session is established on 0 of 2 nodes; n1: PasswordMissing, see the condition Ready; n2: PortClosed: why"},
		{"none", cluster("n1 Connect"), 0, 1, v1beta1.ReasonNoSession, "the session is established on 0 of 1 node; n1: Connect"},
		{"many", cluster(many...), 0, 9, v1beta1.ReasonNoSession, "the session is established on 0 of 9 nodes; n0, n1, n2 and 6 more: Idle"},
		{"so is the report of a speaker that the others miss", cluster("n1 Established", "?n2 Established"), 1, 2, v1beta1.ReasonNotEstablished, "the session is established on 1 of 2 nodes; n2: the other speakers receive nothing from the speaker of this node: look at the speaker's pod"},
		{"a node whose speaker was stopped for good needs no session", cluster("n1 Established", "=n2 Idle stopped"), 1, 1, v1beta1.ReasonAllEstablished, "the session is established on 1 of 1 node"},
		{"the report of a dead node does not count", cluster("n1 Established", "!n2 Established"), 1, 2, v1beta1.ReasonNotEstablished, "the session is established on 1 of 2 nodes; n2: the node is not ready"},
		{"nodes without a speaker do not count", cluster("n1 Established", "n2"), 1, 1, v1beta1.ReasonAllEstablished, "the session is established on 1 of 1 node"},
		{"no speaker reports", cluster("n1", "n2"), 0, 0, v1beta1.ReasonNoSpeaker, "the peer selects 2 nodes, but no speaker on these nodes reports: look at the speaker's pods"},
		{"there is no node", cluster(), 0, 0, v1beta1.ReasonNoNodes, "no node should have a session with the router: the condition Ready says why"},
		{"a node that may not announce and has a session", cluster("-n1 Idle", "-n2 silent"), 0, 1, v1beta1.ReasonNoSession, "the session is established on 0 of 1 node; n1: Idle"},
		{"another peer is in effect on some nodes", cluster("n1 Established", "n2 Idle DuplicatePeer: why"), 1, 1, v1beta1.ReasonAllEstablished, "the session is established on 1 of 1 node"},
		{"another peer is in effect on all nodes", cluster("n1 Idle DuplicatePeer: why"), 0, 0, v1beta1.ReasonNoNodes, "no node should have a session with the router: the condition Ready says why"},
		{"a long error is cut", cluster("n1 Idle " + strings.Repeat("x", 300)), 0, 1, v1beta1.ReasonNoSession, "the session is established on 0 of 1 node; n1: " + strings.Repeat("x", 197) + "..."},
	} {
		f := tt.cluster.factsOf(tor())
		f.down = time.Hour
		c := f.establishedCondition(3)
		if c.Reason != tt.reason || (c.Status == metav1.ConditionTrue) != (tt.reason == v1beta1.ReasonAllEstablished) || c.Message != tt.message || c.ObservedGeneration != 3 {
			t.Errorf("%s: got %+v, want %s: %q", tt.name, c, tt.reason, tt.message)
		}
		if int(f.countEstablished()) != tt.up || len(f.nodes) != tt.nodes {
			t.Errorf("%s: got %d of %d, want %d of %d", tt.name, f.countEstablished(), len(f.nodes), tt.up, tt.nodes)
		}
	}
}

func TestEstablished_ReasonFollowsHowLongNoSessionIsEstablished(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name    string
		cluster clusterState
		down    time.Duration
		reason  string
		next    time.Duration
		message string
	}{
		{"sessions begin", cluster("n1 Active"), s, v1beta1.ReasonConnecting, 2 * s, "the session is established on 0 of 1 node; n1: Active"},
		{"sessions are late", cluster("n1 Active"), 3 * s, v1beta1.ReasonNoSession, 0, "the session is established on 0 of 1 node; n1: Active"},
		{"two ends are not flapping", cluster("n1 Established*2 closed"), 0, v1beta1.ReasonAllEstablished, 0, "the session is established on 1 of 1 node"},
		{"an established session is flapping", cluster("n1 Established", "n2 Established*4 closed"), 0, v1beta1.ReasonFlapping, 0,
			"the session is established on 2 of 2 nodes; n2: the session is flapping: it ended 4 times without staying established for 10 minutes; last error: closed"},
		{"a flapping session is between two attempts", cluster("n1 Active*3 closed"), 5 * s, v1beta1.ReasonFlapping, 55 * s,
			"the session is established on 0 of 1 node; n1: the session is flapping: it ended 3 times without staying established for 10 minutes; last error: closed"},
		{"attempts back off after flapping", cluster("n1 Active*3@8 closed"), 5 * s, v1beta1.ReasonFlapping, 55 * s,
			"the session is established on 0 of 1 node; n1: the session is flapping: it ended 3 times without staying established for 10 minutes; last error: closed (next attempt within 8s)"},
		{"a session that was flapping is down for good", cluster("n1 Active*3 closed"), 60 * s, v1beta1.ReasonNoSession, 0,
			"the session is established on 0 of 1 node; n1: the session is flapping: it ended 3 times without staying established for 10 minutes; last error: closed"},
		{"a dead node is not flapping", cluster("n1 Established", "!n2 Established*3 closed"), 0, v1beta1.ReasonNotEstablished, 0, "the session is established on 1 of 2 nodes; n2: the node is not ready"},
	} {
		f := tt.cluster.factsOf(tor())
		f.down = tt.down
		c := f.establishedCondition(1)
		if c.Reason != tt.reason || c.Message != tt.message || (c.Status == metav1.ConditionTrue) != (tt.reason == v1beta1.ReasonAllEstablished) {
			t.Errorf("%s: got %+v, want %s: %q", tt.name, c, tt.reason, tt.message)
		}
		if f.countEstablished() == 0 && f.untilNextReason() != tt.next {
			t.Errorf("%s: the reason changes in %s, want %s", tt.name, f.untilNextReason(), tt.next)
		}
	}
}

func TestInvalidPeer_SessionsThatStayedCount(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cluster clusterState
		up      int32
		message string
	}{
		{"all have one", cluster("n1 Established", "n2 Established"), 2, "the session is established on 2 of 2 nodes"},
		{"one has, one began since", cluster("n1 Established", "n2 silent", "n3"), 1, "the session is established on 1 of 1 node"},
		{"one lost its", cluster("n1 Established", "n2 Idle hold timer expired"), 1, "the session is established on 1 of 2 nodes; n2: hold timer expired"},
		{"nobody has", cluster("n1 silent", "n2"), 0, "no node should have a session with the router: the condition Ready says why"},
	} {
		f := tt.cluster.factsOf(tor(func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "router" }))
		if c := f.establishedCondition(1); c.Message != tt.message || f.countEstablished() != tt.up {
			t.Errorf("%s: got %d, %q, want %d, %q", tt.name, f.countEstablished(), c.Message, tt.up, tt.message)
		}
		if v := f.readyResult(); v.Reason != v1beta1.ReasonInvalidPeer || v.Ready {
			t.Errorf("%s: got %+v, want %s", tt.name, v, v1beta1.ReasonInvalidPeer)
		}
	}
}

func TestEvents_SessionsComeAndGo(t *testing.T) {
	status := func(established, nodes int32, reason ...string) v1beta1.BGPPeerStatus {
		c := metav1.Condition{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNotEstablished}
		if nodes > 0 && established == nodes {
			c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAllEstablished
		}
		for _, r := range reason {
			c.Status, c.Reason = metav1.ConditionFalse, r
		}
		return v1beta1.BGPPeerStatus{Established: established, Nodes: nodes, Conditions: []metav1.Condition{c}}
	}
	const flapping = v1beta1.ReasonFlapping
	for _, tt := range []struct {
		name        string
		before, now v1beta1.BGPPeerStatus
		want        string
	}{
		{"up for the first time", v1beta1.BGPPeerStatus{}, status(3, 3), v1beta1.ReasonEstablished},
		{"not up yet", v1beta1.BGPPeerStatus{}, status(0, 3), ""},
		{"one more is up, not all", status(1, 3), status(2, 3), ""},
		{"all are back", status(2, 3), status(3, 3), v1beta1.ReasonEstablished},
		{"still up", status(3, 3), status(3, 3), ""},
		{"one is lost", status(3, 3), status(2, 3), v1beta1.ReasonSessionLost},
		{"another one is lost", status(2, 3), status(1, 3), v1beta1.ReasonSessionLost},
		{"a node that is new has no session yet", status(3, 3), status(3, 4), ""},
		{"a node needs none any more", status(2, 3), status(1, 2), ""},
		{"nobody needs one any more", status(3, 3), status(0, 0), ""},
		{"flapping begins", status(3, 3), status(2, 3, flapping), flapping},
		{"a flapping session is back", status(2, 3, flapping), status(3, 3, flapping), ""},
		{"a flapping session ends", status(3, 3, flapping), status(2, 3, flapping), ""},
		{"flapping is over", status(3, 3, flapping), status(3, 3), v1beta1.ReasonEstablished},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := eventReason(tt.before, tt.now); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
