package inspect

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

var began = metav1.NewTime(time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC))

func status(name, status, reason, message string) metav1.Condition {
	return metav1.Condition{Type: name, Status: metav1.ConditionStatus(status), Reason: reason, Message: message}
}

// announced is a cluster of three nodes in which shop/web has 192.0.2.1 of the pool first, and node-2 announces it.
func announced() *Snapshot {
	s := &Snapshot{Stack: &v1beta1.LoadBalancerStack{}, NamespaceLabels: map[string]map[string]string{"shop": {}}}
	s.Stack.Status.Summary, s.Stack.Status.Version = "Ready", "v0.1.0"
	s.Stack.Status.Conditions = []metav1.Condition{status("Ready", "True", "Ready", "all is as the spec asks")}
	s.Stack.Status.Components = []v1beta1.ComponentStatus{{Name: "controller", Ready: 2, Desired: 2}, {Name: "speaker", Ready: 3, Desired: 3}}
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		s.Nodes = append(s.Nodes, node)
		state := v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}}
		state.Status.Phase = v1beta1.SpeakerActive
		state.Status.Interfaces = []v1beta1.SpeakerInterface{{Name: "eth0", HardwareAddress: "02:00:00:00:00:0" + name[5:], Families: []string{"IPv4"}, Subnets: []string{"192.0.2.0/24"}}}
		s.States = append(s.States, state)
	}
	s.States[1].Status.AddressCount = 1
	s.States[1].Status.Addresses = []v1beta1.SpeakerAddress{{Address: "192.0.2.1", Interfaces: []v1beta1.InterfaceName{"eth0"}, Since: began, Epoch: 1}}
	pool := v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "first"}}
	pool.Spec.Addresses = []v1beta1.AddressRange{"192.0.2.1-192.0.2.2"}
	pool.Status.IPv4 = &v1beta1.AddressUsage{Total: "2", Used: 1, Free: "1"}
	pool.Status.Conditions = []metav1.Condition{status("Ready", "True", "PoolReady", "")}
	s.Pools = []v1beta1.IPAddressPool{pool}
	claim := v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(netip.MustParseAddr("192.0.2.1"))}}
	claim.Spec = v1beta1.IPAddressClaimSpec{Address: "192.0.2.1", Pool: "first", State: v1beta1.ClaimInUse, Holders: []v1beta1.ClaimHolder{{Namespace: "shop", Name: "web", UID: "1"}}}
	s.Claims = []v1beta1.IPAddressClaim{claim}
	s.L2Advertisements = []v1beta1.L2Advertisement{{ObjectMeta: metav1.ObjectMeta{Name: "all"}}}
	svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"}}
	svc.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	svc.Status.Conditions = []metav1.Condition{
		status(v1beta1.ServiceAddressAllocated, "True", "Allocated", "192.0.2.1 is from the pool first"),
		status(v1beta1.ServiceAnnounced, "True", "Announced", "192.0.2.1 is announced by node-2 on eth0"),
	}
	s.Services = []corev1.Service{svc}
	yes, node := true, "node-3"
	s.EndpointSlices = []discoveryv1.EndpointSlice{{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
	}}
	return s
}

// announcedToRouter has node-1 announce the address to a router, and no node on the local network.
func announcedToRouter(s *Snapshot) {
	s.L2Advertisements = nil
	s.States[1].Status.Addresses = nil
	s.BGPAdvertisements = []v1beta1.BGPAdvertisement{{ObjectMeta: metav1.ObjectMeta{Name: "routed"}}}
	s.Peers = []v1beta1.BGPPeer{{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254"}}}
	s.RouteSlices = []v1beta1.SpeakerRouteSlice{{Node: "node-1", Routes: []v1beta1.SpeakerBGPRoute{{Prefix: "192.0.2.1/32", Peers: []v1beta1.ObjectName{"tor"}}}}}
}

func TestWhy_PrintsTheChain(t *testing.T) {
	unannounced := func(s *Snapshot, reason, message string) {
		s.Services[0].Status.Conditions[1] = status(v1beta1.ServiceAnnounced, "False", reason, message)
		s.States[1].Status.Addresses = nil
	}
	tests := []struct {
		name   string
		change func(*Snapshot)
		want   string // the first line
		parts  []string
	}{
		{
			"announced on the local network", func(*Snapshot) {}, "shop/web is announced (Announced)",
			[]string{
				"any address, IPv4, externalTrafficPolicy Cluster", `"first" has free addresses`, `192.0.2.1 of the pool "first"`, "L2Advertisement all applies to this address",
				"node-1 may announce it", "node-2 announces it, on eth0 02:00:00:00:00:02, since 2026-11-29T20:00:00Z", "node-3 may announce it", "IPv4: ready, on node node-3",
			},
		},
		{
			"each node with its reason", func(s *Snapshot) {
				unannounced(s, "NotAnnounced", "nobody announces it")
				s.L2Advertisements[0].Spec.NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: "In", Values: []string{"node-1", "node-2"}}}}}
				s.Nodes[0].Labels[corev1.LabelNodeExcludeBalancers] = ""
				s.States[1].Status.Phase = v1beta1.SpeakerStopped
			}, "shop/web is not announced (NotAnnounced)",
			[]string{
				"nobody announces it", "node-1 may not announce it: it has the label node.kubernetes.io/exclude-from-external-load-balancers",
				"node-2 may announce it, but cannot: it has no running speaker", "node-3 may not announce it: it is not selected by spec.nodeSelectors",
			},
		},
		{
			"local traffic policy", func(s *Snapshot) {
				unannounced(s, "NotAnnounced", "")
				s.Services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
				s.States[2].Status.Interfaces[0].Families = nil
			}, "shop/web is not announced (NotAnnounced)",
			[]string{"node-1 may not announce it: it has no ready endpoint", "node-3 may announce it, but cannot: it has no IPv4 address on eth0 (192.0.2.0/24)"},
		},
		{
			"no endpoints", func(s *Snapshot) { unannounced(s, "NoEndpoints", "no pod is ready"); s.EndpointSlices = nil },
			"shop/web is not announced (NoEndpoints)", []string{"no pod is ready", "no endpoint is ready: check whether the pods run", "no node may announce the address: the Service shop/web has no ready IPv4 endpoint"},
		},
		{
			"no advertisement", func(s *Snapshot) {
				unannounced(s, "NoAdvertisement", "none")
				s.L2Advertisements[0].Spec.IPAddressPools = []v1beta1.ObjectName{"other"}
			}, "shop/web is not announced (NoAdvertisement)", []string{"L2Advertisement all does not apply to this address"},
		},
		{
			"announced to routers", func(s *Snapshot) {
				announcedToRouter(s)
				s.States[2].Status.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor", State: v1beta1.BGPActive, LastError: "connection refused"}}
			}, "shop/web is announced (Announced)",
			[]string{"BGPAdvertisement routed applies to this address", "node-1 announces 192.0.2.1/32 to tor", "node-2 may announce it to tor, but reports no route", "node-3 has no session with tor: connection refused"},
		},
		{
			"announced to a router that no node has", func(s *Snapshot) {
				unannounced(s, "NoNode", "no node has the router")
				s.L2Advertisements = nil
				s.BGPAdvertisements = []v1beta1.BGPAdvertisement{{ObjectMeta: metav1.ObjectMeta{Name: "routed"}, Spec: v1beta1.BGPAdvertisementSpec{Peers: []v1beta1.ObjectName{"other"}}}}
				s.Peers = []v1beta1.BGPPeer{{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254"}}}
			}, "shop/web is not announced (NoNode)",
			[]string{`no node may announce the address: spec.peers of the BGPAdvertisements names the BGPPeer "other", but the nodes`},
		},
		{
			"announced to routers by an advertisement that has become invalid", func(s *Snapshot) {
				announcedToRouter(s)
				s.BGPAdvertisements[0].Spec.Communities = []v1beta1.CommunityReference{"gold"}
			}, "shop/web is announced (Announced)",
			[]string{"BGPAdvertisement routed applies to this address", "192.0.2.1: routers:\n  node-1 announces 192.0.2.1/32 to tor\n\n"},
		},
		{
			"announced to a router whose BGPPeer has become invalid", func(s *Snapshot) {
				announcedToRouter(s)
				s.Peers[0].Spec.PeerAddress = "none"
			}, "shop/web is announced (Announced)",
			[]string{"BGPAdvertisement routed applies to this address", "192.0.2.1: routers:\n  node-1 announces 192.0.2.1/32 to tor\n\n"},
		},
		{
			"no address, and the pool is full", func(s *Snapshot) {
				s.Services[0].Status = corev1.ServiceStatus{Conditions: []metav1.Condition{status(v1beta1.ServiceAddressAllocated, "False", "PoolExhausted", "no address is free: add some")}}
				s.Pools[0].Spec.Addresses = []v1beta1.AddressRange{"192.0.2.1"}
				s.Claims[0].Spec.Holders[0] = v1beta1.ClaimHolder{Namespace: "shop", Name: "other", UID: "2"}
			}, "shop/web is not announced (PoolExhausted)",
			[]string{"no address is free: add some", `PoolExhausted for a new IPv4 address: "first" has no free IPv4 address`, "Addresses:\n  none"},
		},
		{
			"a foreign host uses the address", func(s *Snapshot) {
				unannounced(s, "AddressConflict", "another host")
				s.States[0].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.1", Interface: "eth0", HardwareAddress: "02:00:00:00:00:99", Since: began}}
			}, "shop/web is not announced (AddressConflict)", []string{"192.0.2.1: conflict:", "02:00:00:00:00:99"},
		},
		{"conditions of an earlier generation do not count", func(s *Snapshot) { s.Services[0].Generation = 2 }, "shop/web is not announced (NotObserved)", []string{"the controller has not processed the latest change of the Service"}},
		{"another type", func(s *Snapshot) { s.Services[0].Spec.Type = corev1.ServiceTypeClusterIP }, "shop/web is not announced (NotLoadBalancer)", []string{"spec.type is ClusterIP"}},
		{"another class", func(s *Snapshot) { s.Stack.Spec.LoadBalancerClass = "example.com/lb" }, "shop/web is not announced (OtherClass)", []string{"serves the class example.com/lb"}},
		{"no stack", func(s *Snapshot) { s.Stack = nil }, "shop/web is not announced (NoStack)", []string{"the cluster has no LoadBalancerStack"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := announced()
			tt.change(s)
			story := Why(s)
			var text strings.Builder
			if err := story.Print(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, "why-"+strings.NewReplacer(" ", "-", ",", "").Replace(tt.name)+".txt", text.String())
			if first, _, _ := strings.Cut(text.String(), "\n"); first != tt.want {
				t.Errorf("first line: got %q, want %q", first, tt.want)
			}
			for _, part := range tt.parts {
				if !strings.Contains(text.String(), part) {
					t.Errorf("%q is missing in\n%s", part, &text)
				}
			}
		})
	}
}

func TestWhyAll(t *testing.T) {
	s := announced()
	add := func(name string, conditions ...metav1.Condition) {
		svc := s.Services[0].DeepCopy()
		svc.Name, svc.Status.Conditions = name, conditions
		s.Services = append(s.Services, *svc)
	}
	add("new")
	add("full", status(v1beta1.ServiceAddressAllocated, "False", "PoolExhausted", "no address is free: add some"))
	add("other")
	s.Services[3].Spec.LoadBalancerClass = new("example.com/other")
	all := WhyAll(s)
	var text strings.Builder
	if err := all.Print(&text); err != nil {
		t.Fatal(err)
	}
	want := "shop/full (PoolExhausted): no address is free: add some\nshop/new (NotObserved): the controller has not processed the latest change of the Service yet: if this lasts, look at the pods of the controller (kubectl lbstack status)\n"
	if text.String() != want || all.Services != 3 {
		t.Errorf("%d Services, and printed\n%s\nwant\n%s", all.Services, &text, want)
	}
	s.Stack = nil
	if all = WhyAll(s); len(all.Unannounced) != 3 || all.Unannounced[0].Reason != "NoStack" {
		t.Errorf("without a stack: got %+v", all)
	}
}

func TestStatus_OneScreen(t *testing.T) {
	s := announced()
	o := Status(s)
	var text strings.Builder
	if err := o.Print(&text); err != nil {
		t.Fatal(err)
	}
	want := `Ready, lbstack v0.1.0
  all is as the spec asks

COMPONENT    READY   MESSAGE
controller   2/2
speaker      3/3

NODE     SPEAKER   ADDRESSES   SESSIONS   ROUTES   MESSAGE
node-1   Active    0           0/0        0
node-2   Active    1           0/0        0
node-3   Active    0           0/0        0

POOL    FAMILY   USED   TOTAL                            STATE
first   IPv4     1      2       [##########..........]   PoolReady

Services: 1, of which 0 are not announced
`
	if got := trimmed(text.String()); got != want || !o.Ready {
		t.Errorf("ready %v, and got\n%s\nwant\n%s", o.Ready, got, want)
	}
}

// trimmed has no spaces at the ends of lines.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestStatus_ShowsFailures(t *testing.T) {
	s := announced()
	s.Stack.Status.Conditions[0] = status("Ready", "False", "RolledBack", "the change failed on node-1")
	s.Stack.Status.Rollout = &v1beta1.RolloutStatus{Phase: v1beta1.RolloutRolledBack, Message: "the last good revision runs"}
	s.Services[0].Status.Conditions[1] = status(v1beta1.ServiceAnnounced, "False", "NoEndpoints", "no pod is ready")
	s.States[0].Status.Conditions = []metav1.Condition{status("Current", "False", "SpeakerMissing", "the others miss it")}
	s.States[0].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.2", Interface: "eth0", HardwareAddress: "02:00:00:00:00:99", Since: began}}
	peer := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1beta1.BGPPeerSpec{PeerAddress: "192.0.2.254"}}
	peer.Status.Nodes = 3
	peer.Status.Conditions = []metav1.Condition{status("Established", "False", "NotEstablished", "no node has a session")}
	s.Peers = []v1beta1.BGPPeer{peer}
	o := Status(s)
	var text strings.Builder
	if err := o.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"the change failed on node-1", "RolledBack: the last good revision runs", "the others miss it", "192.0.2.2:", "192.0.2.254", "no node has a session",
		"Services: 1, of which 1 are not announced\n  shop/web (NoEndpoints): no pod is ready",
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is missing in\n%s", part, &text)
		}
	}
	if o.Ready {
		t.Error("the overview is Ready")
	}
}

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		name  string
		used  int64
		total string
		want  string
	}{
		{"nothing is used", 0, "10", "[....................]"},
		{"a little of much is seen", 1, "340282366920938463463374607431768211456", "[#...................]"},
		{"half", 5, "10", "[##########..........]"},
		{"all", 10, "10", "[####################]"},
		{"more than the pool gives", 11, "10", "[####################]"},
		{"a pool without addresses", 0, "0", "[....................]"},
	} {
		if got := usageBar(tt.used, tt.total); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
