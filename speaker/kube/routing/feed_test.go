package routing

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/kube/informers"
)

// sessions records the calls of the config watcher.
type sessions struct {
	peers    []bgp.Peer
	tables   map[bgp.PeerName]routes.Table
	routed   []string
	draining bool
	internal []netip.Addr
	seen     time.Time // when the reason for the last change of routes was
}

func (s *sessions) SetPeers(peers []bgp.Peer, table func(bgp.PeerName) routes.Table) {
	s.peers, s.tables = peers, map[bgp.PeerName]routes.Table{}
	for _, p := range peers {
		s.tables[p.Name] = table(p.Name)
	}
	s.routed = append(s.routed, fmt.Sprintf("%d peers", len(peers)))
}

func (s *sessions) SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, at time.Time) {
	s.seen = at
	for _, prefix := range slices.SortedFunc(maps.Keys(announce), netip.Prefix.Compare) {
		s.routed = append(s.routed, fmt.Sprintf("%s +%s", peer, prefix))
	}
	for _, prefix := range withdraw {
		s.routed = append(s.routed, fmt.Sprintf("%s -%s", peer, prefix))
	}
}

func (s *sessions) SetDraining(draining bool) { s.draining = draining }

func (s *sessions) SetInternalIPs(list []netip.Addr) { s.internal = list }

// bed is a config watcher of node n1, and the objects in its cache.
type bed struct {
	*testing.T
	watcher  *ConfigWatcher
	store    *informers.Store
	reader   *informers.Reader
	sessions *sessions
	problems []string
	outside  []netip.Addr
	refused  int
	refusals []eligibility.Refusal
	states   map[bgp.PeerName]bgp.PeerState
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, sessions: &sessions{}}
	b.watcher = &ConfigWatcher{
		Self: "n1", Namespace: "lbstack-system", Sessions: b.sessions,
		Outside:  func(list []netip.Addr) { b.outside = list },
		Refused:  func(count int, first []eligibility.Refusal) { b.refused, b.refusals = count, first },
		Problems: func(p Problems) { b.problems, b.states = p.Sentences, p.Peers },
		planner:  routes.NewPlanner(),
	}
	b.store = informers.NewStore(informers.NamespaceFilter("lbstack-system"))
	b.reader = b.store.NewReader(WatchedKinds()...)
	b.store.Note(&v1beta1.LoadBalancerStack{
		ObjectMeta: named(v1beta1.LoadBalancerStackName), Spec: v1beta1.LoadBalancerStackSpec{Drain: v1beta1.DrainSpec{Annotations: []v1beta1.DrainKey{"drain"}}},
	}, true)
	return b
}

// sees changes objects in the cache, and computes the change.
func (b *bed) sees(objects ...client.Object) {
	for _, o := range objects {
		b.store.Note(o, true)
	}
	b.sessions.routed = nil
	b.reader.Read(b.watcher.handleChanges)
}

func (b *bed) loses(o client.Object) {
	b.store.Note(o, false)
	b.sessions.routed = nil
	b.reader.Read(b.watcher.handleChanges)
}

func (b *bed) expect(what string, want ...string) {
	b.Helper()
	if diff := cmp.Diff(want, b.sessions.routed); diff != "" {
		b.Errorf("%s: calls (-want +got):\n%s", what, diff)
	}
}

func (b *bed) complains(what, word string) {
	b.Helper()
	if all := strings.Join(b.problems, "; "); (word == "") != (all == "") || !strings.Contains(all, word) {
		b.Errorf("%s: got the problems %q, want %q in it", what, all, word)
	}
}

// hasProblem checks the problem of a peer, and whether the peer has no session because of it.
func (b *bed) hasProblem(what string, peer bgp.PeerName, reason bgp.ProblemReason, absent bool) {
	b.Helper()
	if got := b.states[peer]; got.Reason != reason || got.AbsentSince.IsZero() == absent {
		b.Errorf("%s: got %+v for the peer %s, want the problem %q, absent %v", what, got, peer, reason, absent)
	}
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

func node() *corev1.Node { return &corev1.Node{ObjectMeta: named("n1")} }

// speakerOn is the pod of a speaker.
func speakerOn(node string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lbstack-system", Name: "speaker-" + node, Labels: map[string]string{v1beta1.LabelComponent: "speaker"}},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

func peer(name string, change func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	p := &v1beta1.BGPPeer{ObjectMeta: named(name), Spec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.168.1.1"}}
	change(&p.Spec)
	return p
}

func plain(*v1beta1.BGPPeerSpec) {}

func served(name, address string) []client.Object {
	ready := discoveryv1.Endpoint{NodeName: new("n1"), Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}
	meta := metav1.ObjectMeta{Namespace: "default", Name: name}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{ready}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	svc := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	claim := &v1beta1.IPAddressClaim{ObjectMeta: named(address), Spec: v1beta1.IPAddressClaimSpec{
		Address: address, Pool: "p", Holders: []v1beta1.ClaimHolder{{Namespace: "default", Name: name}}}}
	pool := &v1beta1.IPAddressPool{ObjectMeta: named("p"), Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.0/8", "2001:db8::/32"}}}
	return []client.Object{svc, slice, claim, pool}
}

func secret(password string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "lbstack-system", Name: apiconv.PasswordsSecretName}, Data: map[string][]byte{"s": []byte(password)}}
}

func all() *v1beta1.BGPAdvertisement { return &v1beta1.BGPAdvertisement{ObjectMeta: named("all")} }

func TestAPeerBeginsWithAllItsRoutes(t *testing.T) {
	b := newBed(t)
	b.sees(append(append(served("web", "10.0.0.1"), served("dns", "10.0.0.2")...), node(), all(), peer("tor", plain))...)
	if got := len(b.sessions.tables["tor"]); got != 2 {
		t.Errorf("the peer begins with %d routes, want 2", got)
	}
	b.complains("when all is well", "")
}

func TestAChangeOfAServiceTouchesItsRouteOnly(t *testing.T) {
	b := newBed(t)
	b.sees(append(append(served("web", "10.0.0.1"), served("dns", "10.0.0.2")...), node(), all(), peer("tor", plain))...)
	three := served("new", "10.0.0.3")
	b.sees(three...)
	b.expect("a Service more", "tor +10.0.0.3/32")
	b.loses(three[1])
	b.expect("its endpoints are gone", "tor -10.0.0.3/32")
	b.sees(three[1])
	b.expect("they are back", "tor +10.0.0.3/32")
	b.loses(three[2])
	b.expect("its claim is gone", "tor -10.0.0.3/32")
	b.sees(node())
	b.expect("nothing is new")
	b.sees(peer("other", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "192.168.1.2" }))
	b.expect("another peer, with all its routes", "other +10.0.0.1/32", "other +10.0.0.2/32", "2 peers")
}

func TestAPeerThatIsWrongDisturbsNoOther(t *testing.T) {
	b := newBed(t)
	b.sees(append(served("web", "10.0.0.1"), node(), all(), peer("tor", plain),
		peer("wrong", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "router" }),
		&v1beta1.BGPAdvertisement{ObjectMeta: named("odd"), Spec: v1beta1.BGPAdvertisementSpec{Communities: []v1beta1.CommunityReference{"nobody-knows"}}})...)
	if len(b.sessions.peers) != 1 || len(b.sessions.tables["tor"]) != 1 {
		t.Errorf("got the peers %v and the tables %v, want one of each", b.sessions.peers, b.sessions.tables)
	}
	b.complains("a peer", `the BGPPeer "wrong" is ignored`)
	b.complains("an advertisement", `the BGPAdvertisement "odd" is ignored`)
}

func TestObjectThatBecomesInvalidStaysAsItWas(t *testing.T) {
	b := newBed(t)
	alias := &v1beta1.Community{ObjectMeta: named("aliases"), Spec: v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "transit", Value: "64512:7"}}}}
	marked := func(names ...v1beta1.CommunityReference) *v1beta1.BGPAdvertisement {
		ad := all()
		ad.Spec.Communities = names
		return ad
	}
	wrong := peer("tor", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "router" })
	b.sees(append(served("web", "10.0.0.1"), node(), alias, marked("transit"), peer("tor", plain))...)
	for _, step := range []struct {
		name, problem string
		sees, loses   client.Object
		routed        []string
	}{
		{"an alias that there is not yet", `the BGPAdvertisement "all" stays in effect with its last valid spec: spec.communities`, marked("transit", "new"), nil, nil},
		{"the alias that it had goes, too", `the BGPAdvertisement "all" stays`, nil, alias, nil},
		{"it is mended", "", marked("64512:8"), nil, []string{"tor +10.0.0.1/32"}},
		{"a peer whose address is none", `the BGPPeer "tor" stays in effect with its last valid spec: spec.peerAddress`, wrong, nil, nil},
		{"it is as it was", "", peer("tor", plain), nil, nil},
		{"wrong once more", `the BGPAdvertisement "all" stays`, marked("nobody-knows"), nil, nil},
		{"what is gone does not stay", "", nil, all(), []string{"tor -10.0.0.1/32"}},
		{"nor does it come back when it is made anew", `the BGPAdvertisement "all" is ignored`, marked("nobody-knows"), nil, nil},
	} {
		if step.sees != nil {
			b.sees(step.sees)
		} else {
			b.loses(step.loses)
		}
		b.expect(step.name, step.routed...)
		b.complains(step.name, step.problem)
	}
}

func TestPassword_OutlivesItsSecretInAnEstablishedSessionOnly(t *testing.T) {
	b := newBed(t)
	with := peer("tor", func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{Name: "s"} })
	b.sees(node(), with)
	if len(b.sessions.peers) != 0 {
		t.Errorf("without its Secret there are the peers %v, want none", b.sessions.peers)
	}
	b.complains("without the Secret", `the Secret "s", which spec.passwordSecret names, does not exist in the namespace lbstack-system or has no valid password; there is no session without a password: create the Secret`)
	b.hasProblem("without the Secret", "tor", bgp.PasswordMissing, true)
	for _, password := range []string{"one", "two"} {
		b.sees(secret(password))
		if len(b.sessions.peers) != 1 || string(b.sessions.peers[0].Password) != password {
			t.Errorf("the password is not %q", password)
		}
		b.complains("with the Secret", "")
	}
	b.loses(secret("two"))
	if len(b.sessions.peers) != 1 || string(b.sessions.peers[0].Password) != "two" || !b.sessions.peers[0].Revoked {
		t.Errorf("when the Secret is gone: got the peers %+v, want one with the last password, revoked", b.sessions.peers)
	}
	b.complains("when the Secret is gone", `the Secret "s", which spec.passwordSecret names, does not exist in the namespace lbstack-system or has no valid password; an established session stays, and no new session begins`)
	b.hasProblem("when the Secret is gone", "tor", bgp.PasswordMissing, false)
	if text := fmt.Sprintf("%v %+v %#v", b.sessions.peers, b.sessions.peers, b.sessions.peers); strings.Contains(text, "two") {
		t.Errorf("the password is printed: %s", text)
	}
	b.sees(secret("two"))
	if len(b.sessions.peers) != 1 || b.sessions.peers[0].Revoked {
		t.Errorf("when the Secret is back: got the peers %+v, want one that is not revoked", b.sessions.peers)
	}
}

func TestPeerRunsWithoutBFDUntilItsProfileExists(t *testing.T) {
	b := newBed(t)
	b.sees(node(), peer("tor", func(s *v1beta1.BGPPeerSpec) { s.BFDProfile = "fast" }))
	if len(b.sessions.peers) != 1 || b.sessions.peers[0].BFD != nil {
		t.Errorf("got %+v, want a peer without BFD", b.sessions.peers)
	}
	b.complains("without the profile", `there is no BFDProfile "fast"`)
	b.sees(&v1beta1.BFDProfile{ObjectMeta: named("fast"), Spec: v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 100}})
	if len(b.sessions.peers) != 1 || b.sessions.peers[0].BFD == nil || b.sessions.peers[0].BFD.Transmit != 100*time.Millisecond {
		t.Errorf("got %+v, want a peer with the profile", b.sessions.peers)
	}
	b.complains("with the profile", "")
	before := b.sessions.peers[0].BFD
	stays := func(what, word string) {
		t.Helper()
		if diff := cmp.Diff(before, b.sessions.peers[0].BFD); diff != "" {
			t.Errorf("%s: the profile of the peer changed (-want +got):\n%s", what, diff)
		}
		b.complains(what, word)
	}
	// Both names are changed, and the new one is seen first where it is used.
	b.sees(peer("tor", func(s *v1beta1.BGPPeerSpec) { s.BFDProfile = "quick" }))
	stays("the other profile is not there yet", `stays in effect with its last valid BFD profile: there is no BFDProfile "quick"`)
	b.loses(&v1beta1.BFDProfile{ObjectMeta: named("fast")})
	stays("the old one is gone", `stays in effect with its last valid BFD profile`)
	b.sees(&v1beta1.BFDProfile{ObjectMeta: named("quick"), Spec: v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 1}})
	stays("the other profile is invalid", `stays in effect with its last valid BFD profile: the BFDProfile "quick" is invalid`)
	b.sees(&v1beta1.BFDProfile{ObjectMeta: named("quick"), Spec: v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 100}})
	stays("the other one is the same", "")
	b.sees(peer("tor", plain))
	if len(b.sessions.peers) != 1 || b.sessions.peers[0].BFD != nil {
		t.Errorf("got %+v, want a peer that asks for no BFD to have none", b.sessions.peers)
	}
}

func TestOnlyThePeersOfTheNodeCount(t *testing.T) {
	b := newBed(t)
	n := node()
	b.sees(n, peer("tor", func(s *v1beta1.BGPPeerSpec) {
		s.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "a"}}}
	}))
	if len(b.sessions.peers) != 0 {
		t.Errorf("got %v, want no peer", b.sessions.peers)
	}
	labelled := n.DeepCopy()
	labelled.Labels = map[string]string{"rack": "a"}
	labelled.Annotations = map[string]string{"drain": ""}
	b.sees(labelled)
	if len(b.sessions.peers) != 1 || b.sessions.draining {
		t.Errorf("got the peers %v, draining %v, want one, and routes that stay, since no other node has the peer", b.sessions.peers, b.sessions.draining)
	}
	other := labelled.DeepCopy()
	other.Name, other.Annotations = "n2", nil
	b.sees(other, speakerOn("n2", corev1.ConditionTrue))
	if !b.sessions.draining {
		t.Error("another node has the peer: got no drain, want one")
	}
	dead := other.DeepCopy()
	dead.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	b.sees(dead)
	if b.sessions.draining {
		t.Error("the other node is not ready: got a drain, want routes that stay")
	}
}

func TestAnExcludedNodeGoesOnWhileNoOtherNodeCan(t *testing.T) {
	b := newBed(t)
	other := node()
	other.Name = "n2"
	b.sees(append(served("web", "10.0.0.1"), node(), other, speakerOn("n2", corev1.ConditionTrue), all(), peer("tor", plain))...)
	excluded := func(n *corev1.Node) *corev1.Node {
		n = n.DeepCopy()
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}}
		return n
	}
	b.sees(excluded(other), excluded(node()))
	b.expect("all nodes are excluded")
	b.sees(other)
	b.expect("another node is not any more", "tor -10.0.0.1/32")
	b.sees(excluded(other))
	b.expect("it is again: what was taken back is not begun")
	b.sees(node())
	b.expect("this node is not any more", "tor +10.0.0.1/32")
}

func TestStandby_OtherNodeHasNoReadySpeaker(t *testing.T) {
	foreign, component, leaving := speakerOn("n2", corev1.ConditionTrue), speakerOn("n2", corev1.ConditionTrue), speakerOn("n2", corev1.ConditionTrue)
	foreign.Namespace = "default"
	component.Labels[v1beta1.LabelComponent] = "controller"
	leaving.DeletionTimestamp = new(metav1.Now())
	draining, excluded := node(), node()
	draining.Annotations = map[string]string{"drain": ""}
	excluded.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}}
	for _, tt := range []struct {
		name     string
		pod      client.Object
		handOver bool
	}{
		{"pod is not ready", speakerOn("n2", corev1.ConditionFalse), false},
		{"pod is deleted", leaving, false},
		{"pod on a third node, which is not in the cluster", speakerOn("n3", corev1.ConditionTrue), false},
		{"pod of this node", speakerOn("n1", corev1.ConditionTrue), false},
		{"pod of another namespace", foreign, false},
		{"pod of another component", component, false},
		{"ready pod", speakerOn("n2", corev1.ConditionTrue), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := node()
			other.Name = "n2"
			b := newBed(t)
			b.sees(append(served("web", "10.0.0.1"), node(), other, all(), peer("tor", plain))...)
			b.sees(draining)
			if b.sessions.draining {
				t.Error("no pod: got a drain, want routes that stay")
			}
			b.sees(tt.pod) // alone: it is what makes the difference
			if b.sessions.draining != tt.handOver {
				t.Errorf("drained node: got draining %v, want %v", b.sessions.draining, tt.handOver)
			}

			b = newBed(t)
			b.sees(append(served("web", "10.0.0.1"), node(), other, all(), peer("tor", plain))...)
			b.sees(excluded)
			b.expect("excluded")
			b.sees(tt.pod)
			var want []string
			if tt.handOver {
				want = []string{"tor -10.0.0.1/32"}
			}
			b.expect("excluded, with the pod", want...)
		})
	}
}

func TestStandby_SpeakerOfTheOtherNodeStops(t *testing.T) {
	b := newBed(t)
	draining, other := node(), node()
	draining.Annotations, other.Name = map[string]string{"drain": ""}, "n2"
	b.sees(append(served("web", "10.0.0.1"), draining, other, speakerOn("n2", corev1.ConditionTrue), all(), peer("tor", plain))...)
	if !b.sessions.draining {
		t.Error("ready speaker on the other node: got no drain, want one")
	}
	b.sees(speakerOn("n2", corev1.ConditionFalse))
	if b.sessions.draining {
		t.Error("speaker of the other node is not ready any more: got a drain, want routes that stay")
	}
}

func TestOtherNodesAndSecretsOfOthersDoNotCount(t *testing.T) {
	b := newBed(t)
	with := peer("tor", func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{Name: "s"} })
	foreign, direct, other := secret("foreign"), secret("direct"), node()
	foreign.Namespace, direct.Name, other.Name = "default", "s", "n2"
	other.Annotations = map[string]string{"drain": ""}
	b.sees(node(), with, secret("one"), foreign, direct, other)
	if len(b.sessions.peers) != 1 || string(b.sessions.peers[0].Password) != "one" || b.sessions.draining {
		t.Errorf("got the peers %v, draining %v, want one with its own password, on a node that does not drain", b.sessions.peers, b.sessions.draining)
	}
}

func TestChangeIsMeasuredFromItsFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.sees(append(served("web", "10.0.0.1"), node(), all(), peer("tor", plain))...)
		for _, name := range []string{"10.0.0.2", "10.0.0.3"} {
			at := time.Now()
			for _, object := range served("new-"+name, name) {
				b.store.Note(object, true)
				time.Sleep(time.Second)
			}
			b.reader.Read(b.watcher.handleChanges)
			if !b.sessions.seen.Equal(at) {
				t.Errorf("%s: the sessions have the time %s of the event, want %s", name, b.sessions.seen, at)
			}
		}
	})
}

func TestAddressesThatNoPoolListsAreNotAnnouncedAndReported(t *testing.T) {
	b := newBed(t)
	forged := served("forged", "192.168.1.1")
	b.sees(append(append(served("web", "10.0.0.1"), forged...), node(), all(), peer("tor", plain))...)
	b.expect("at first", "tor +10.0.0.1/32", "1 peers")
	if want := `its pool "p" does not list it`; b.refused != 1 || b.refusals[0].Why != want {
		t.Errorf("refused: got %d %v, want one: %s", b.refused, b.refusals, want)
	}
	small := served("web", "10.0.0.1")[3].(*v1beta1.IPAddressPool)
	small.Spec.Addresses = []v1beta1.AddressRange{"192.168.1.0/24"}
	b.sees(small)
	b.expect("the pool lists the other one", "tor +192.168.1.1/32")
	if b.refused != 0 || len(b.outside) != 1 || b.outside[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("got %d refused and %v outside the pool, want none, and the address that was announced before", b.refused, b.outside)
	}
	other := &corev1.Node{ObjectMeta: named("n2"), Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.1.2"}}}}
	b.sees(append(served("node", "192.168.1.2"), small, other)...)
	if want := `it is an address of the node "n2"`; b.refused != 1 || b.refusals[0].Why != want {
		t.Errorf("refused: got %d %v, want one: %s", b.refused, b.refusals, want)
	}
}

func TestConfigWatcher_OfTwoPeersForOneRouterOneIsInEffect(t *testing.T) {
	names := func(b *bed) (list []bgp.PeerName) {
		for _, p := range b.sessions.peers {
			list = append(list, p.Name)
		}
		return list
	}
	moved := peer("b", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "192.168.1.2" })
	b := newBed(t)
	b.sees(append(served("web", "10.0.0.1"), node(), all(), peer("b", plain))...)
	for _, step := range []struct {
		name        string
		sees, loses client.Object
		peers       []bgp.PeerName
		problem     bgp.PeerName
		routed      []string
	}{
		{"a second one does not disturb the first", peer("a", plain), nil, []bgp.PeerName{"b"}, "a", nil},
		{"the first one goes elsewhere", moved, nil, []bgp.PeerName{"a", "b"}, "", []string{"a +10.0.0.1/32", "2 peers"}},
		{"it comes back", peer("b", plain), nil, []bgp.PeerName{"a"}, "b", []string{"1 peers"}},
		{"the other one is deleted", nil, peer("a", plain), []bgp.PeerName{"b"}, "", []string{"b +10.0.0.1/32", "1 peers"}},
	} {
		if step.sees != nil {
			b.sees(step.sees)
		} else {
			b.loses(step.loses)
		}
		if diff := cmp.Diff(step.peers, names(b)); diff != "" {
			t.Errorf("%s: peers (-want +got):\n%s", step.name, diff)
		}
		b.expect(step.name, step.routed...)
		if step.problem == "" {
			b.complains(step.name, "")
			continue
		}
		b.hasProblem(step.name, step.problem, bgp.DuplicatePeer, true)
		b.complains(step.name, "is in effect for the same router, 192.168.1.1, so the BGPPeer "+strconv.Quote(string(step.problem))+" has no session: delete one of the two")
	}
}

func TestConfigWatcher_SourceThatTheKernelChoosesIsCompared(t *testing.T) {
	b := newBed(t)
	b.watcher.Source = func(netip.Addr, string) netip.Addr { return netip.MustParseAddr("192.168.1.11") }
	source := func(address string) func(*v1beta1.BGPPeerSpec) {
		return func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = address }
	}
	b.sees(node(), peer("a", plain), peer("b", source("192.168.1.11")), peer("c", source("192.168.1.12")))
	b.hasProblem("the address that the kernel chooses anyway", "b", bgp.DuplicatePeer, true)
	if len(b.sessions.peers) != 2 || b.sessions.peers[0].Source.IsValid() {
		t.Errorf("got the peers %+v, want a, with no source address, and c", b.sessions.peers)
	}
}

func TestConfigWatcher_PassesOnInternalIPsOfTheNode(t *testing.T) {
	b := newBed(t)
	n := node()
	b.sees(n, peer("tor", plain))
	if len(b.sessions.internal) != 0 {
		t.Errorf("got %v, want no address", b.sessions.internal)
	}
	n = n.DeepCopy()
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "n1"}, {Type: corev1.NodeInternalIP, Address: "192.168.1.11"},
		{Type: corev1.NodeExternalIP, Address: "198.51.100.11"}, {Type: corev1.NodeInternalIP, Address: "2001:db8::11"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.0/8"},
	}
	b.sees(n)
	want := []netip.Addr{netip.MustParseAddr("192.168.1.11"), netip.MustParseAddr("2001:db8::11")}
	if !slices.Equal(b.sessions.internal, want) {
		t.Errorf("got %v, want %v", b.sessions.internal, want)
	}
}
