package cutover

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// running is a cluster in which MetalLB serves the Services shop/web and shop/api from node-1, changed.
func running(t *testing.T, changes ...func(*Cluster)) *Cluster {
	t.Helper()
	c := &Cluster{
		Controllers: []appsv1.Deployment{{}}, Speakers: []appsv1.DaemonSet{*speakers()},
		Pods:     []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "speaker-1"}, Spec: corev1.PodSpec{NodeName: "node-1"}}},
		Services: []corev1.Service{showing("web", "192.0.2.1"), showing("api", "192.0.2.2", "2001:DB8::2"), showing("waits"), showing("named", "")},
		Claims:   []v1beta1.IPAddressClaim{claimed("192.0.2.1", "web"), claimed("192.0.2.2", "api"), claimed("2001:db8::2", "api")},
		Nodes:    []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{"rack": "1"}}}},
		States:   []v1beta1.SpeakerState{{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}},
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func showing(name string, addresses ...string) corev1.Service {
	svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	for _, a := range addresses {
		svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
	}
	return svc
}

func claimed(address, service string) v1beta1.IPAddressClaim {
	return v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Address: address, Holders: []v1beta1.ClaimHolder{{Namespace: "shop", Name: service}}}}
}

// announces is a stack that does so on the local network and to routers, changed.
func announces(changes ...func(*v1beta1.LoadBalancerStack)) *v1beta1.LoadBalancerStack {
	stack := &v1beta1.LoadBalancerStack{}
	stack.Spec.IPAddressPools = []v1beta1.StackIPAddressPool{{Name: "lan"}, {Name: "routed"}}
	stack.Spec.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.0.2.0/28"}
	stack.Spec.IPAddressPools[1].Addresses = []v1beta1.AddressRange{"198.51.100.0/24"}
	stack.Spec.L2Advertisements = []v1beta1.StackL2Advertisement{{Name: "lan"}}
	stack.Spec.L2Advertisements[0].IPAddressPools = []v1beta1.ObjectName{"lan"}
	stack.Spec.BGPAdvertisements = []v1beta1.StackBGPAdvertisement{{Name: "routed"}}
	peer := v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254", NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}}}
	stack.Spec.BGPPeers = []v1beta1.StackBGPPeer{{Name: "tor-1", BGPPeerSpec: peer}}
	for _, change := range changes {
		change(stack)
	}
	return stack
}

func TestAgainst_NamesObstaclesOfASwitch(t *testing.T) {
	class := func(args ...string) func(*Cluster) {
		return func(c *Cluster) {
			c.Controllers[0].Spec.Template.Spec.Containers = []corev1.Container{{Args: args}}
		}
	}
	unreachable := func(c *Cluster) {
		c.Nodes[0].Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	}
	stopped := func(c *Cluster) { c.Speakers[0] = *made(t)(StopSpeakers(&c.Speakers[0])) }
	onLAN := announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.BGPAdvertisements, s.Spec.BGPPeers = nil, nil })
	ofClassA := announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.LoadBalancerClass = "example.com/a" })
	has := func(text string) func(*Cluster) { return func(c *Cluster) { c.Stack = object(t, text) } }
	for _, tt := range []struct {
		name    string
		cluster *Cluster
		stack   *v1beta1.LoadBalancerStack
		want    string // a part of the one problem; empty: none
	}{
		{"nothing", running(t), announces(), ""},
		{"no MetalLB", running(t, func(c *Cluster) { c.Speakers, c.Controllers = nil, nil }), announces(), "0 Deployments of MetalLB's controller and 0 DaemonSets"},
		{"two of them", running(t, func(c *Cluster) { c.Speakers = append(c.Speakers, c.Speakers[0]) }), announces(), "2 DaemonSets of its speakers"},
		{"its operator", running(t, func(c *Cluster) { c.Operators = []string{"metallb/operator"} }), announces(), "MetalLB's operator runs (Deployment metallb/operator)"},
		{"sessions of FRR-K8s", running(t, frrK8s, frrConfiguration(t, "metallb-node-1", "[{asn: 64512}]")), onLAN, "FRRConfiguration frr/metallb-node-1 has sessions of MetalLB"},
		{"sessions of FRR-K8s that are not made yet", running(t, frrK8s), announces(), "MetalLB uses FRR-K8s for sessions with routers, and the stack announces to routers"},
		{"FRR-K8s without a router", running(t, frrK8s, frrConfiguration(t, "metallb-node-1", "[]")), onLAN, ""},
		{"FRR-K8s with sessions that are not MetalLB's", running(t, frrK8s, frrConfiguration(t, "mine", "[{asn: 64512}]")), onLAN, ""},
		{"FRR-K8s with sessions that are not MetalLB's, and a name like MetalLB's", running(t, frrK8s, frrConfiguration(t, "metallb-ours", "[{asn: 64512}]")), onLAN, ""},
		{"sessions of FRR-K8s that MetalLB does not use any more", running(t, frrConfiguration(t, "metallb-node-1", "[{asn: 64512}]")), announces(), ""},
		{"another MetalLB", running(t, otherMetalLB("")), announces(), "MetalLB also runs in another namespace (DaemonSet b/speaker)"},
		{"another MetalLB of another class", running(t, otherMetalLB("--lb-class=example.com/b")), announces(), ""},
		{"another MetalLB of the same class", running(t, class("--lb-class=example.com/a"), otherMetalLB("--lb-class=example.com/a")), ofClassA, "DaemonSet b/speaker"},
		{"another load balancer", running(t, func(c *Cluster) { c.Others = []string{"kube-vip (DaemonSet kube-system/kube-vip-ds)"} }), announces(), "kube-vip (DaemonSet kube-system/kube-vip-ds) runs"},
		{"another class", running(t, class("--lb-class=example.com/a")), announces(), `MetalLB serves Services of the class "example.com/a", and the stack serves Services without a load balancer class`},
		{"another class, as two arguments", running(t, class("--lb-class", "example.com/a")), announces(), `class "example.com/a"`},
		{"the same class", running(t, class("--lb-class=example.com/a")), ofClassA, ""},
		{"a stack that announces nothing", running(t), &v1beta1.LoadBalancerStack{}, "the stack announces nothing"},
		{"peers without advertisements", running(t), announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.L2Advertisements, s.Spec.BGPAdvertisements = nil, nil }), "the stack announces nothing"},
		{"both on the local network", running(t, has("spec: {l2Advertisements: [{name: lan}]}")), announces(), "has spec.l2Advertisements while speakers of MetalLB run: MetalLB and lbstack would announce the same addresses, and clients would alternate between the two: remove the field from the stack"},
		{"both on the local network, after a switch has begun", running(t, has("spec: {l2Advertisements: [{name: lan}]}"), withoutController), announces(), "remove the field from the stack, or run kubectl lbstack migrate --rollback"},
		{"both to routers", running(t, has("spec: {bgpAdvertisements: [{name: routed}], bgpPeers: [{name: tor-1}]}")), announces(), "has spec.bgpAdvertisements while speakers of MetalLB run"},
		{"to routers, from nodes that have moved", running(t, has("spec: {bgpAdvertisements: [{name: routed}], bgpPeers: [{name: tor-1}]}"), func(c *Cluster) {
			limited, err := LimitSpeakers(&c.Speakers[0], []string{"b"})
			if err != nil {
				t.Fatal(err)
			}
			c.Speakers[0] = *limited
		}), announces(), ""},
		{"an object beside the stack", running(t, func(c *Cluster) {
			ad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}
			c.AddUnmanaged("L2Advertisement", ad)
			ad.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator}
			c.AddUnmanaged("L2Advertisement", ad)
		}), announces(), "L2Advertisement mine does not belong to the stack"},
		{"a node that does not report", running(t, unreachable), announces(), "node node-1 does not report (its condition Ready is Unknown), and has Pod speaker-1"},
		{"a node that does not report, when nobody answers any more", running(t, unreachable, stopped), announces(), ""},
		{"both on the local network, until MetalLB's pods have ended", running(t, has("spec: {l2Advertisements: [{name: lan}]}"), stopped), announces(), ""},
		{"the switch is done", running(t, has("spec: {l2Advertisements: [{name: lan}]}"), func(c *Cluster) { c.Pods = nil }), announces(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.cluster.SwitchProblems(tt.stack)
			if (tt.want == "") != (len(got) == 0) || len(got) > 1 || !strings.Contains(strings.Join(got, ""), tt.want) {
				t.Errorf("got %q, want one with %q", got, tt.want)
			}
		})
	}
}

// frrK8s has MetalLB use FRR-K8s for sessions with routers.
func frrK8s(c *Cluster) {
	c.Speakers[0].Spec.Template.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{{Name: "METALLB_BGP_TYPE", Value: "frr-k8s"}}}}
}

// frrConfiguration adds an FRRConfiguration for node-1 with routers, a list as YAML.
func frrConfiguration(t *testing.T, name, routers string) func(*Cluster) {
	t.Helper()
	made := object(t, "metadata: {namespace: frr, name: "+name+"}\nspec: {nodeSelector: {matchLabels: {kubernetes.io/hostname: node-1}}, bgp: {routers: "+routers+"}}")
	return func(c *Cluster) { c.AddFRRConfiguration(made) }
}

// otherMetalLB adds speakers of MetalLB in another namespace.
func otherMetalLB(args ...string) func(*Cluster) {
	return func(c *Cluster) {
		c.AddOtherMetalLB("DaemonSet", &metav1.ObjectMeta{Namespace: "b", Name: "speaker"}, &corev1.PodSpec{Containers: []corev1.Container{{Args: args}}})
	}
}

// withoutController has MetalLB's controller scaled to 0.
func withoutController(c *Cluster) { c.Controllers[0].Spec.Replicas = new(int32) }

func TestRollbackProblems(t *testing.T) {
	stack := func(text string) func(*Cluster) { return func(c *Cluster) { c.Stack = object(t, "spec: "+text) } }
	const onLAN, routed = "{l2Advertisements: [{name: lan}]}", "{bgpAdvertisements: [{name: routed}], bgpPeers: [{name: tor-1}]}"
	noted := func(c *Cluster) { // and the controller runs again
		c.Controllers[0].Annotations = map[string]string{AnnotationBefore: "{}"}
	}
	stopped := func(c *Cluster) { c.Speakers[0] = *made(t)(StopSpeakers(&c.Speakers[0])) }
	byHand := func(c *Cluster) {
		c.Speakers[0].Spec.Template.Spec.NodeSelector = map[string]string{noNodeLabel: "true"}
	}
	for _, tt := range []struct {
		name    string
		cluster *Cluster
		want    string // a part of the one problem; empty: none
	}{
		{"no stack", running(t), ""},
		{"a stack that was never switched to", running(t, stack(onLAN)), "no switch from MetalLB was made"},
		{"a stack of another class that was never switched to", running(t, stack("{loadBalancerClass: example.com/lb}")), "no switch from MetalLB was made"},
		{"a stack without announcements that was never switched to", running(t, stack("{}")), "no switch from MetalLB was made"},
		{"a stack whose removal hands over, that was never switched to", running(t, stack("{l2Advertisements: [{name: lan}], removal: {addresses: HandOver}}")), "no switch from MetalLB was made"},
		{"a switch whose first step was made", running(t, stack(onLAN), noted), ""},
		{"a switch that is done", running(t, stack(onLAN), noted, stopped), ""},
		{"a switch by hand", running(t, stack(onLAN), byHand), ""},
		{"the first step of a switch by hand", running(t, stack("{}"), withoutController), ""},
		{"a rollback in its last step", running(t, stack("{removal: {addresses: HandOver}}")), ""},
		{"a switch, and another class since", running(t, stack("{loadBalancerClass: example.com/lb}"), noted, stopped), `MetalLB serves Services without a load balancer class, and LoadBalancerStack default serves Services of the class "example.com/lb"`},
		{"no MetalLB", running(t, stack(onLAN), func(c *Cluster) { c.Speakers = nil }), "0 DaemonSets of its speakers"},
		{"FRR-K8s without routes", running(t, stack(onLAN), noted, stopped, frrK8s), ""},
		{"FRR-K8s with routes", running(t, stack(routed), noted, stopped, frrK8s), "the stack announces to routers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.cluster.RollbackProblems()
			if (tt.want == "") != (len(got) == 0) || len(got) > 1 || !strings.Contains(strings.Join(got, ""), tt.want) {
				t.Errorf("got %q, want one with %q", got, tt.want)
			}
		})
	}
}

func TestLost_NamesServicesThatWouldGetOtherAddresses(t *testing.T) {
	c := running(t)
	planned := map[string][]string{"shop/web": {"192.0.2.1"}, "shop/api": {"192.0.2.2"}, "shop/waits": {"192.0.2.7"}}
	want := []string{"Service shop/api has 192.0.2.2, 2001:db8::2 in its status, and would have 192.0.2.2: no pool has IPv6"}
	if diff := cmp.Diff(want, c.LostAddresses("", planned, map[string]string{"shop/api": "no pool has IPv6"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.LostAddresses("example.com/a", nil, nil); got != nil {
		t.Errorf("Services of another class: got %q", got)
	}
	if services, addresses := c.CountAddresses(""); services != 2 || addresses != 3 {
		t.Errorf("got %d Services with %d addresses, want 2 with 3", services, addresses)
	}
}

func TestEvidence(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason string) *v1beta1.LoadBalancerStack {
		return announces(func(s *v1beta1.LoadBalancerStack) {
			s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: "the message"}}
		})
	}
	silent := ready("False", v1beta1.ReasonServicesNotAnnounced)
	nodes := []Node{{"node-1", "a"}}
	status := func(change func(*v1beta1.SpeakerStateStatus)) func(*Cluster) {
		return func(c *Cluster) { change(&c.States[0].Status) }
	}
	session := func(state v1beta1.BGPState, why string) func(*Cluster) {
		return status(func(s *v1beta1.SpeakerStateStatus) {
			s.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor-1", State: state, LastError: why}}
		})
	}
	ended := status(func(s *v1beta1.SpeakerStateStatus) {
		s.AddressCount, s.Conditions = 3, []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: "False"}}
	})
	announced := func(status metav1.ConditionStatus, reason string) func(*Cluster) {
		return func(c *Cluster) {
			for i := range c.Services {
				c.Services[i].Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceAnnounced, Status: "True"}}
			}
			c.Services[1].Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceAnnounced, Status: status, Reason: reason, Message: "the message"}}
		}
	}
	pools := func(reasons ...string) func(*Cluster) {
		return func(c *Cluster) {
			for _, reason := range reasons {
				ready := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}
				if reason == v1beta1.ReasonPoolReady {
					ready.Status = metav1.ConditionTrue
				}
				c.Pools = append(c.Pools, v1beta1.IPAddressPool{Status: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{ready}}})
			}
		}
	}
	past := metav1.NewTime(time.Unix(10, 0))
	deleted := func(ready corev1.ConditionStatus) func(*Cluster) {
		return func(c *Cluster) {
			c.Pods[0].DeletionTimestamp = &past
			c.Nodes[0].Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
		}
	}
	for _, tt := range []struct{ name, got, want string }{
		{"prepared", running(t).UnpreparedReason(silent, nodes), ""},
		{"prepared, without Services", running(t).UnpreparedReason(ready("True", "Ready"), nodes), ""},
		{"the operator has not processed the current spec", running(t).UnpreparedReason(announces(), nodes), "the operator has not processed the current spec"},
		{"another fault", running(t).UnpreparedReason(ready("False", "SpeakersNotReady"), nodes), "is not Ready (SpeakersNotReady): the message"},
		{"pools whose addresses MetalLB announces", running(t, pools(v1beta1.ReasonForeignHost, v1beta1.ReasonPoolReady)).UnpreparedReason(ready("False", v1beta1.ReasonPoolNotReady), nodes), ""},
		{"a pool with another fault", running(t, pools(v1beta1.ReasonForeignHost, v1beta1.ReasonOverlap)).UnpreparedReason(ready("False", v1beta1.ReasonPoolNotReady), nodes), "is not Ready (PoolNotReady): the message"},
		{"no claim", running(t, func(c *Cluster) { c.Claims = c.Claims[1:] }).UnpreparedReason(silent, nodes), "Service shop/web has 192.0.2.1 in its status, but no IPAddressClaim of this address names the Service"},
		{"the claim of another Service", running(t, func(c *Cluster) { c.Claims[0] = claimed("192.0.2.1", "other") }).UnpreparedReason(silent, nodes), "Service shop/web has 192.0.2.1 in its status"},
		{"no speaker", running(t, func(c *Cluster) { c.States = nil }).UnpreparedReason(silent, nodes), "node node-1 has a speaker of MetalLB and none of lbstack"},
		{"a speaker that has ended", running(t, ended).UnpreparedReason(silent, nodes), "node node-1 has a speaker of MetalLB and none of lbstack"},
		{"speakers that do not receive", running(t, status(func(s *v1beta1.SpeakerStateStatus) { s.MissingSpeakers = []v1beta1.NodeName{"node-2"} })).UnpreparedReason(silent, nodes), "the speaker of node node-1 receives nothing from the speaker of node node-2"},
		{"a session", running(t, session(v1beta1.BGPEstablished, "")).MissingSessionMessage(silent, nodes[0]), ""},
		{"no session yet", running(t).MissingSessionMessage(silent, nodes[0]), "the speaker of node node-1 has no session with BGPPeer tor-1 yet"},
		{"a session that does not begin", running(t, session(v1beta1.BGPActive, "refused")).MissingSessionMessage(silent, nodes[0]), "the session of node node-1 with BGPPeer tor-1 is Active: refused"},
		{"a session that is not this node's", running(t, func(c *Cluster) { c.Nodes[0].Labels = nil }).MissingSessionMessage(silent, nodes[0]), ""},
		{"a session of no speaker", running(t, func(c *Cluster) { c.States = nil }).MissingSessionMessage(silent, nodes[0]), "no speaker of lbstack runs on node node-1"},
		{"an invalid peer", running(t).MissingSessionMessage(announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.BGPPeers[0].PeerASN = -1 }), nodes[0]), "spec.bgpPeers[tor-1] is invalid"},
		{"nothing is announced", running(t).AnnouncingNodesMessage(nodes), ""},
		{"addresses are", running(t, status(func(s *v1beta1.SpeakerStateStatus) { s.AddressCount = 2 })).AnnouncingNodesMessage(nil), "node node-1 still announces 2 addresses"},
		{"addresses were", running(t, ended).AnnouncingNodesMessage(nodes), ""},
		{"sessions are there", running(t, session(v1beta1.BGPEstablished, "")).AnnouncingNodesMessage(nodes), "node node-1 still has 1 sessions with routers"},
		{"sessions of other nodes are", running(t, session(v1beta1.BGPEstablished, "")).AnnouncingNodesMessage(nil), ""},
		{"a pod runs", running(t).RunningPodMessage(nodes), "Pod speaker-1 of MetalLB still runs on node node-1"},
		{"a pod of another node runs", running(t).RunningPodMessage([]Node{{"node-2", "b"}}), ""},
		{"a pod of any node runs", running(t).RunningPodMessage(nil), "Pod speaker-1 of MetalLB still runs on node node-1"},
		{"a pod ends", running(t, deleted("False")).RunningPodMessage(nil), "Pod speaker-1 of MetalLB still runs"},
		{"a pod ends where nobody reports it", running(t, deleted("Unknown")).RunningPodMessage(nil), ""},
		{"all are announced", running(t).UnannouncedServiceMessage(running(t, announced("True", "")), ""), ""},
		{"one is not", running(t).UnannouncedServiceMessage(running(t, announced("False", "NoNode")), ""), "Service shop/api is not announced (NoNode): the message"},
		{"one has no endpoints", running(t).UnannouncedServiceMessage(running(t, announced("False", v1beta1.ReasonNoEndpoints)), ""), ""},
		{"one address has no report", running(t).UnannouncedServiceMessage(running(t), ""), "Service shop/api has no condition lbstack.io/Announced yet"},
		{"one is new", running(t, func(c *Cluster) { c.Services = c.Services[:1] }).UnannouncedServiceMessage(running(t, announced("False", "NoNode")), ""), ""},
		{"all show what they did", running(t).LostAddressMessage(running(t)), ""},
		{"one does not", running(t).LostAddressMessage(running(t, func(c *Cluster) { c.Services[0] = showing("web") })), "Service shop/web no longer has 192.0.2.1 in its status"},
		{"one is of another type", running(t).LostAddressMessage(running(t, func(c *Cluster) { c.Services[0].Spec.Type = corev1.ServiceTypeClusterIP })), ""},
		{"one was deleted", running(t).LostAddressMessage(running(t, func(c *Cluster) { c.Services = c.Services[1:] })), ""},
		{"a speaker of MetalLB is not ready", running(t).UnstartedSpeakersMessage(started(2, 1, 2)), "1 of 2 speakers of MetalLB are ready, and 2 have the current template of the DaemonSet metallb-system/speaker"},
		{"one is not as the DaemonSet", running(t).UnstartedSpeakersMessage(started(2, 2, 1)), "2 of 2 speakers of MetalLB are ready, and 1 have"},
		{"all are ready", running(t).UnstartedSpeakersMessage(started(2, 2, 2)), ""},
		{"all are but those of a node that is not Ready", running(t, deleted("Unknown")).UnstartedSpeakersMessage(started(2, 1, 1)), ""},
		{"none is replaced while that of a node that is not Ready counts as unavailable", running(t, deleted("Unknown")).UnstartedSpeakersMessage(started(3, 2, 0)), ""},
		{"the DaemonSet has changed since", running(t).UnstartedSpeakersMessage(started(0, 0, 0, func(set *appsv1.DaemonSet) { set.Generation = 2 })), "0 of 0 speakers"},
		{"a controller that is not there yet", UnavailablePodsMessage(&appsv1.Deployment{}), "0 of 1 pods"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if (tt.want == "") != (tt.got == "") || !strings.Contains(tt.got, tt.want) {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

// started is MetalLB's DaemonSet with so many pods, of which so many are ready, and as it is now.
func started(want, ready, updated int32, changes ...func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	set := speakers(changes...)
	set.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: want, NumberReady: ready, UpdatedNumberScheduled: updated}
	return set
}

// TestUngiven_NamesAddressesThatMetalLBDoesNotHave in its pools.
func TestUngiven_NamesAddressesThatMetalLBDoesNotHave(t *testing.T) {
	pools := announces().Spec.IPAddressPools
	got := running(t).NoPoolProblems(pools)
	if len(got) != 1 || !strings.HasPrefix(got[0], "Service shop/api has 2001:db8::2 in its status, and no address pool of MetalLB contains this address") {
		t.Errorf("got %q, want one sentence about 2001:db8::2", got)
	}
	pools[1].Addresses = append(pools[1].Addresses, "2001:db8::/64")
	if got := running(t).NoPoolProblems(pools); len(got) > 0 {
		t.Errorf("got %q, want none", got)
	}
}

// TestOn_LeavesOutPodsThatEnd, which have their grace period already.
func TestOn_LeavesOutPodsThatEnd(t *testing.T) {
	c := running(t, func(c *Cluster) {
		ends := c.Pods[0]
		ends.DeletionTimestamp = &metav1.Time{}
		c.Pods = append(c.Pods, ends, corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-2"}})
	})
	if all, one := len(c.UndeletedPods(nil)), len(c.UndeletedPods([]Node{{"node-1", "a"}})); all != 2 || one != 1 {
		t.Errorf("got %d pods, and %d on node-1, want 2 and 1", all, one)
	}
}

// TestLocal_FindsTheNodesThatMayAnnounce each Service with an address of the local network.
func TestLocal_FindsTheNodesThatMayAnnounce(t *testing.T) {
	local := func(svc corev1.Service) corev1.Service {
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		return svc
	}
	node := func(name, label string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: ""}}}
	}
	c := &Cluster{
		Services: []corev1.Service{local(showing("web", "192.0.2.1")), local(showing("routed", "198.51.100.1")), showing("all", "192.0.2.2"), local(showing("empty", "192.0.2.3"))},
		Nodes:    []corev1.Node{node("node-1", "edge"), node("node-2", "plain"), node("node-3", "plain"), node("control-1", corev1.LabelNodeExcludeBalancers)},
	}
	endpoints := func(service string, ready bool, nodes ...string) (slice discoveryv1.EndpointSlice) {
		slice.Namespace, slice.Labels = "shop", map[string]string{discoveryv1.LabelServiceName: service}
		for _, node := range nodes {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
		}
		return slice
	}
	slices := []discoveryv1.EndpointSlice{endpoints("web", true, "node-1", "node-2", "node-1"), endpoints("web", false, "node-3"), endpoints("all", true, "node-1"), endpoints("routed", true, "node-1")}
	type nodesOf = map[string][]string
	for _, tt := range []struct {
		name  string
		stack *v1beta1.LoadBalancerStack
		want  nodesOf
	}{
		{"an advertisement of one pool", announces(), nodesOf{"shop/web": {"node-1", "node-2"}, "shop/all": {"node-1", "node-2", "node-3"}, "shop/empty": nil}},
		{"of all pools", announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.L2Advertisements[0].IPAddressPools = nil }), nodesOf{"shop/web": {"node-1", "node-2"}, "shop/all": {"node-1", "node-2", "node-3"}, "shop/empty": nil, "shop/routed": {"node-1"}}},
		{"from one node", announces(func(s *v1beta1.LoadBalancerStack) {
			s.Spec.L2Advertisements[0].NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "edge", Operator: metav1.LabelSelectorOpExists}}}}
		}), nodesOf{"shop/web": {"node-1"}, "shop/all": {"node-1"}, "shop/empty": nil}},
		{"also from excluded nodes", announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.Nodes.IgnoreExcludeLabel = true }), nodesOf{"shop/web": {"node-1", "node-2"}, "shop/all": {"node-1", "node-2", "node-3", "control-1"}, "shop/empty": nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, c.LocalServices(tt.stack, slices)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBackOrder(t *testing.T) {
	node := func(name, hostname string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: hostname}}}
	}
	nodes := []corev1.Node{node("node-1", "a"), node("node-2", "b"), node("node-3", "c")}
	var states []v1beta1.SpeakerState
	for _, n := range nodes {
		states = append(states, v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: n.Name}})
	}
	partly := made(t)(LimitSpeakers(speakers(), []string{"a", "b"}))
	if got, err := BackOrder(nodes[:1], states[:1], made(t)(StopSpeakers(speakers())), announces(), nil); err != nil || cmp.Diff(Order{Together: []Node{{"node-1", "a"}}, OneByOne: []Node{}}, got) != "" {
		t.Errorf("on the only node: got %v and the error %v", got, err)
	}
	for _, tt := range []struct {
		name  string
		set   *appsv1.DaemonSet
		stack *v1beta1.LoadBalancerStack
		want  Order
	}{
		{"after a switch", made(t)(StopSpeakers(speakers())), announces(), Order{OneByOne: []Node{{"node-2", "b"}, {"node-1", "a"}}, Together: []Node{{"node-3", "c"}}}},
		{"after one that was interrupted", partly, announces(), Order{OneByOne: []Node{{"node-2", "b"}, {"node-1", "a"}}, Together: []Node{{"node-3", "c"}}}},
		{"before any node has moved", speakers(), announces(), Order{}},
		{"without routes", made(t)(StopSpeakers(speakers())), announces(func(s *v1beta1.LoadBalancerStack) { s.Spec.BGPPeers = nil }), Order{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := BackOrder(nodes, states, tt.set, tt.stack, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOverdue: a node is asked about once the grace period of a pod is over.
func TestOverdue(t *testing.T) {
	end := metav1.NewTime(time.Unix(10, 0))
	for _, tt := range []struct {
		name    string
		deleted *metav1.Time
		want    bool
	}{{"runs", nil, false}, {"ended", &end, true}} {
		t.Run(tt.name, func(t *testing.T) {
			c := running(t, func(c *Cluster) { c.Pods[0].DeletionTimestamp = tt.deleted })
			if c.HasOverduePod(end.Add(-time.Second)) || c.HasOverduePod(end.Add(time.Second)) != tt.want {
				t.Errorf("got %v before its end and %v after it, want false and %v", c.HasOverduePod(end.Add(-time.Second)), c.HasOverduePod(end.Add(time.Second)), tt.want)
			}
		})
	}
}
