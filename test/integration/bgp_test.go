package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestServiceReportsItsRouters(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.announced("web", v1beta1.ReasonNoAdvertisement, "there is no L2Advertisement and no BGPAdvertisement")
	b.advertiseToRouters("all")
	b.announced("web", v1beta1.ReasonNoEndpoints, b.namespace+"/web")
	b.endpoints("web", "node1")
	b.announced("web", v1beta1.ReasonNoNode, "no BGPPeer selects the nodes node1 and node2")
	b.peer("tor-a")
	b.peer("tor-b")
	b.announced("web", v1beta1.ReasonNotAnnounced, "nodes that may announce it to routers: node1 (its speaker has not reported) and node2 (its speaker has not reported)")
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	node1.session("tor-a", v1beta1.BGPActive, "connection refused")
	node2.session("tor-a", v1beta1.BGPActive, "connection refused")
	b.announced("web", v1beta1.ReasonNotAnnounced, "no session is established; nodes that may announce it to routers: ", "; sessions of the node node1: tor-a (connection refused)")
	b.warned("web", v1beta1.ReasonNotAnnounced)

	const noNextHop = "the node has no IPv4 address that the router could send packets to"
	node1.session("tor-a", v1beta1.BGPEstablished, noNextHop, func(p *v1beta1.SpeakerBGPPeer) {
		p.Families, p.Problem = []string{"IPv6"}, &v1beta1.SpeakerBGPProblem{Reason: v1beta1.ReasonNoNextHop, Message: noNextHop}
	})
	b.announced("web", v1beta1.ReasonNotAnnounced, "no session carries IPv4 routes; nodes that may announce it to routers: ", "; sessions of the node node1: tor-a ("+noNextHop+")")
	b.hasCondition("tor-a", &v1beta1.BGPPeer{}, v1beta1.ConditionReady, v1beta1.ReasonNoNextHop, "on the node node1: "+noNextHop)

	node1.session("tor-a", v1beta1.BGPEstablished, "")
	node1.routes("10.9.0.1/32", "tor-a")
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by BGP from node1 to the peer tor-a")
	b.serviceEvent("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by BGP from node1 to the peer tor-a")
	node2.session("tor-a", v1beta1.BGPEstablished, "")
	node2.session("tor-b", v1beta1.BGPEstablished, "")
	node2.routes("10.9.0.0/24", "tor-a", "tor-b") // an aggregate that holds the address
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by BGP from node1 and node2 to the peers tor-a and tor-b")
	b.has("web", "10.9.0.1")
	b.nothingIsWritten()

	// One after the other is away for a moment: nothing is written of that.
	writes := b.countWrites()
	node1.routes("")
	time.Sleep(time.Second)
	node1.routes("10.9.0.1/32", "tor-a")
	node2.routes("")
	time.Sleep(time.Second)
	node2.routes("10.9.0.0/24", "tor-a", "tor-b")
	time.Sleep(time.Second)
	if got := writes(); got != 0 {
		t.Errorf("writes of Services while speakers restart: got %d, want none", got)
	}

	// On the local network too.
	b.advertise("all")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "10.9.0.1 is announced by node1 on eth0 since ", ", and by BGP from node1 and node2 to the peers tor-a and tor-b")
	node1.owns(1)

	// All sessions are lost.
	node1.routes("")
	node1.session("tor-a", v1beta1.BGPIdle, "hold timer expired")
	node2.routes("")
	node2.session("tor-b", v1beta1.BGPIdle, "")
	node2.session("tor-a", v1beta1.BGPIdle, "hold timer expired")
	b.announced("web", v1beta1.ReasonNotAnnounced, "10.9.0.1 is not announced yet; nodes that may announce it: node1, node2; by BGP: ", "tor-a (hold timer expired)")
}

// A node drains: its speaker withdraws its routes, and its SpeakerState can arrive after that.
func TestAnnouncedByBGP_DrainedNodeIsNotReportedAfterFiveSeconds(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.controller()
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	b.advertiseToRouters("all")
	b.peer("tor")
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	for _, s := range []*speaker{node1, node2} {
		s.session("tor", v1beta1.BGPEstablished, "")
		s.routes("10.9.0.1/32", "tor")
	}
	const begin = "10.9.0.1 is announced by BGP from "
	b.announced("web", v1beta1.ReasonAnnounced, begin+"node1 and node2 to the peer tor since 20")
	node2.routes("")
	time.Sleep(2 * time.Second) // longer than changes are collected
	node2.status.Phase = v1beta1.SpeakerDraining
	node2.write()
	eventually.Succeed(t, within, "the Service does not name the node", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || !strings.HasPrefix(c.Message, begin+"node1 to the peer tor since 20") {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// A BGPAdvertisement that is edited and invalid stays in effect on the nodes that it selected before.
func TestAnnounced_InvalidBGPAdvertisementStaysInEffect(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", map[string]string{"edge": "yes"})
	b.machine("node2", nil)
	b.controller()
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	edge := []metav1.LabelSelector{{MatchLabels: map[string]string{"edge": "yes"}}}
	b.advertiseToRouters("edge", func(s *v1beta1.BGPAdvertisementSpec) { s.NodeSelectors = edge })
	b.peer("tor")
	node1, node2 := b.speaker("node1"), b.speaker("node2")
	node1.session("tor", v1beta1.BGPEstablished, "")
	node1.routes("10.9.0.1/32", "tor")
	b.announced("web", v1beta1.ReasonAnnounced, "by BGP from node1 to the peer tor")

	ad := &v1beta1.BGPAdvertisement{}
	if err := b.Get(t.Context(), client.ObjectKey{Name: "edge"}, ad); err != nil {
		t.Fatal(err)
	}
	ad.Spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"edge": "no"}}}
	ad.Spec.Communities = []v1beta1.CommunityReference{"nosuch"}
	if err := b.Update(t.Context(), ad); err != nil {
		t.Fatal(err)
	}
	b.hasCondition("edge", ad, v1beta1.ConditionReady, v1beta1.ReasonUnknownCommunity, "nosuch")
	node2.session("tor", v1beta1.BGPEstablished, "")
	node1.session("tor", v1beta1.BGPEstablished, "flapped") // the Service is looked at
	node1.routes("10.9.0.1/32", "tor")
	eventually.Stays(t, 3*time.Second, "the Service is announced by node1", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced); c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "by BGP from node1 to the peer tor") {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

func TestRouterReportsItsSessions(t *testing.T) {
	b := newBed(t)
	b.machine("node1", nil)
	b.machine("node2", nil)
	b.controller()
	b.peer("tor", func(s *v1beta1.BGPPeerSpec) { s.BFDProfile = "fast" })
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionReady, v1beta1.ReasonUnknownBFDProfile, `"fast"`)
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionEstablished, v1beta1.ReasonNoSpeaker, "no speaker on these nodes reports")
	create(t, b.Client, &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}})
	b.hasCondition("fast", &v1beta1.BFDProfile{}, v1beta1.ConditionReady, v1beta1.ReasonProfileValid, "900ms")
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionReady, v1beta1.ReasonPeerValid)

	node1, node2 := b.speaker("node1"), b.speaker("node2")
	node1.session("tor", v1beta1.BGPEstablished, "")
	node2.session("tor", v1beta1.BGPActive, "no route to host", func(p *v1beta1.SpeakerBGPPeer) { p.RetrySeconds = 32 })
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionEstablished, v1beta1.ReasonNotEstablished, "1 of 2 nodes; node2: no route to host (next attempt within 32s)")
	b.sessions("tor", 1, 2)
	node2.session("tor", v1beta1.BGPEstablished, "")
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionEstablished, v1beta1.ReasonAllEstablished, "2 of 2 nodes")
	b.sessions("tor", 2, 2)
	b.event("tor", v1beta1.ReasonEstablished)
	b.ready("node1", corev1.ConditionFalse)
	b.hasCondition("tor", &v1beta1.BGPPeer{}, v1beta1.ConditionEstablished, v1beta1.ReasonNotEstablished, "1 of 2 nodes; node1: the node is not ready")
	b.event("tor", v1beta1.ReasonSessionLost)
}

func TestBGPAdvertisement_ReferencesMustExist(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.advertiseToRouters("ad", func(s *v1beta1.BGPAdvertisementSpec) {
		s.Communities, s.Peers = []v1beta1.CommunityReference{"gold"}, []v1beta1.ObjectName{"tor"}
	})
	ad := &v1beta1.BGPAdvertisement{}
	b.hasCondition("ad", ad, v1beta1.ConditionReady, v1beta1.ReasonUnknownCommunity, `"gold"`, "use the last valid values")
	gold := []v1beta1.CommunityAlias{{Name: "gold", Value: "65000:1"}}
	create(t, b.Client, &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1beta1.CommunitySpec{Communities: gold}})
	b.hasCondition("a", &v1beta1.Community{}, v1beta1.ConditionReady, v1beta1.ReasonCommunityValid)
	b.hasCondition("ad", ad, v1beta1.ConditionReady, v1beta1.ReasonUnknownPeer, `the BGPPeer "tor", which does not exist`)
	b.event("ad", v1beta1.ReasonUnknownPeer)
	b.peer("tor")
	b.hasCondition("ad", ad, v1beta1.ConditionReady, v1beta1.ReasonAdvertisementValid)
	b.event("ad", v1beta1.ReasonAdvertisementValid)
	b.advertiseToRouters("preferred", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref = new(int64(200)) })
	b.hasCondition("preferred", &v1beta1.BGPAdvertisement{}, v1beta1.ConditionReady, v1beta1.ReasonAttributeIgnored, "spec.localPref has no effect", "(BGPPeer tor) are in other autonomous systems")
	create(t, b.Client, &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1beta1.CommunitySpec{Communities: gold}})
	b.hasCondition("b", &v1beta1.Community{}, v1beta1.ConditionReady, v1beta1.ReasonDuplicateAlias, "the Community a, which is older")
	b.advertiseToRouters("wide", func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = 24 })
	b.hasCondition("wide", &v1beta1.BGPAdvertisement{}, v1beta1.ConditionReady, v1beta1.ReasonAggregateTooWide, "10.9.0.0/24", `"pool"`)
}

func (b *bed) advertiseToRouters(name string, edits ...func(*v1beta1.BGPAdvertisementSpec)) {
	b.Helper()
	ad := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, edit := range edits {
		edit(&ad.Spec)
	}
	create(b.T, b.Client, ad)
}

func (b *bed) peer(name string, edits ...func(*v1beta1.BGPPeerSpec)) {
	b.Helper()
	peer := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "10.8.0.1"}}
	for _, edit := range edits {
		edit(&peer.Spec)
	}
	create(b.T, b.Client, peer)
}

// session reports a session of the node with a router; one that is established carries IPv4
// routes.
func (s *speaker) session(peer v1beta1.ObjectName, state v1beta1.BGPState, lastError string, edits ...func(*v1beta1.SpeakerBGPPeer)) {
	s.Helper()
	next := v1beta1.SpeakerBGPPeer{Name: peer, State: state, Since: metav1.Now(), LastError: lastError}
	if state == v1beta1.BGPEstablished {
		next.Families = []string{"IPv4"}
	}
	for _, edit := range edits {
		edit(&next)
	}
	for i := range s.status.BGPPeers {
		if s.status.BGPPeers[i].Name == peer {
			s.status.BGPPeers[i] = next
			s.write()
			return
		}
	}
	s.status.BGPPeers = append(s.status.BGPPeers, next)
	s.write()
}

// routes reports that the node announces this prefix to these routers and nothing else;
// empty: nothing at all.
func (s *speaker) routes(prefix string, peers ...v1beta1.ObjectName) {
	s.Helper()
	slice := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: s.node + "-0"}}
	_, err := controllerutil.CreateOrUpdate(context.Background(), s.Client, slice, func() error {
		slice.Node, slice.Routes = v1beta1.NodeName(s.node), nil
		if prefix != "" {
			slice.Routes = []v1beta1.SpeakerBGPRoute{{Prefix: prefix, Peers: peers, Since: &metav1.Time{Time: time.Now().Truncate(time.Second)}}}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

// hasCondition waits for the reason of a condition of an object, and for a message with all of
// these parts.
func (b *bed) hasCondition(name string, object client.Object, kind, reason string, parts ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%T %s has the condition %s: %s and %q", object, name, kind, reason, parts), func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKey{Name: name}, object); err != nil {
			return err
		}
		var conditions []metav1.Condition
		switch o := object.(type) {
		case *v1beta1.BGPPeer:
			conditions = o.Status.Conditions
		case *v1beta1.L2Advertisement:
			conditions = o.Status.Conditions
		case *v1beta1.BGPAdvertisement:
			conditions = o.Status.Conditions
		case *v1beta1.BFDProfile:
			conditions = o.Status.Conditions
		case *v1beta1.Community:
			conditions = o.Status.Conditions
		}
		c := meta.FindStatusCondition(conditions, kind)
		if c == nil || c.Reason != reason || c.ObservedGeneration != object.GetGeneration() || !containsAll(c.Message, parts) {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// sessions waits until a BGPPeer counts that many nodes with a session that is up.
func (b *bed) sessions(name string, established, nodes int32) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the BGPPeer %s has %d of %d sessions", name, established, nodes), func(ctx context.Context) error {
		peer := &v1beta1.BGPPeer{}
		if err := b.Get(ctx, client.ObjectKey{Name: name}, peer); err != nil {
			return err
		}
		if s := peer.Status; s.Established != established || s.Nodes != nodes || s.ObservedGeneration != peer.Generation {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}
