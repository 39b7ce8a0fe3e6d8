package kube

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func TestSnapshotHasCandidatesOfAddressesThatServicesShow(t *testing.T) {
	one := netip.MustParseAddr("10.0.0.1")
	everyone := []layer2.Candidate{{Node: "n1"}, {Node: "n2"}, {Node: "n3"}}
	nobody := []layer2.AnnouncedAddress{{Address: one}}
	base := func(ads ...v1beta1.L2Advertisement) objects {
		return objects{
			services: []corev1.Service{service("web", "10.0.0.1")},
			claims:   []v1beta1.IPAddressClaim{claim("10.0.0.1", "gold", "web")},
			pools:    []v1beta1.IPAddressPool{pool("gold", "high"), pool("tin", "low")},
			nodes:    []corev1.Node{node("n1", "a"), node("n2", "a"), node("n3", "b")}, advertisements: ads,
			endpoints: []discoveryv1.EndpointSlice{endpoints("web", "n1")},
		}
	}
	broken := []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}
	pending := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	pending.services = []corev1.Service{service("web")}
	unready := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	unready.endpoints = nil
	local := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	local.services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	gone := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	gone.services = nil

	tests := []struct {
		name    string
		objects objects
		want    []layer2.AnnouncedAddress
		problem string
	}{
		{name: "an empty advertisement means all pools, nodes and interfaces", objects: base(ad("all", v1beta1.L2AdvertisementSpec{})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone}}},
		{name: "without an advertisement no Service is looked at", objects: base()},
		{name: "with nothing but a broken advertisement nobody announces", objects: base(ad("bad", v1beta1.L2AdvertisementSpec{NodeSelectors: broken})),
			want: nobody, problem: `the L2Advertisement "bad" is ignored: spec.nodeSelectors[0]`},
		{name: "without endpoints nobody announces", objects: unready, want: nobody},
		{name: "local traffic goes to the nodes with endpoints", objects: local, want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone[:1]}}},
		{name: "a claim that no Service shows yet is not announced", objects: pending},
		{name: "a claim whose Service is gone is not announced", objects: gone},
		{name: "a pool can be named", objects: base(ad("gold", v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"gold"}})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone}}},
		{name: "an advertisement of another pool does not count", objects: base(ad("tin", v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"tin"}})), want: nobody},
		{name: "pools are selected by label", objects: base(ad("high", v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: selector("tier", "high")})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone}}},
		{name: "a selector of other pools does not count", objects: base(ad("low", v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: selector("tier", "low")})), want: nobody},
		{name: "nodes are selected by label", objects: base(ad("a", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "a")})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone[:2]}}},
		{name: "advertisements add up, interfaces are those for each node", objects: base(
			ad("a", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "a"), Interfaces: []v1beta1.InterfaceName{"eth1"}}),
			ad("b", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "b"), Interfaces: []v1beta1.InterfaceName{"eth2"}})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: []layer2.Candidate{
				{Node: "n1", Interfaces: []string{"eth1"}}, {Node: "n2", Interfaces: []string{"eth1"}}, {Node: "n3", Interfaces: []string{"eth2"}}}}}},
		{name: "an advertisement without interfaces widens one that names some", objects: base(
			ad("a", v1beta1.L2AdvertisementSpec{Interfaces: []v1beta1.InterfaceName{"eth1"}}), ad("all", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "b")})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: []layer2.Candidate{
				{Node: "n1", Interfaces: []string{"eth1"}}, {Node: "n2", Interfaces: []string{"eth1"}}, {Node: "n3"}}}}},
		{name: "an invalid advertisement is reported and disturbs no other", objects: base(ad("bad", v1beta1.L2AdvertisementSpec{NodeSelectors: broken}), ad("all", v1beta1.L2AdvertisementSpec{})),
			want: []layer2.AnnouncedAddress{{Address: one, Candidates: everyone}}, problem: `the L2Advertisement "bad" is ignored: spec.nodeSelectors[0]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := snapshotOf(t, tt.objects, apiconv.DrainPolicy{})
			if diff := cmp.Diff(tt.want, got.Addresses, byValue); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if problems := strings.Join(got.Problems, "; "); !strings.HasPrefix(problems, tt.problem) || (tt.problem == "") != (problems == "") {
				t.Errorf("problems: got %q, want %q", problems, tt.problem)
			}
		})
	}
}

func TestPeers(t *testing.T) {
	pod := func(node, ip string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{HostIP: ip, Phase: phase}}
	}
	got := speakerAddresses([]*corev1.Pod{
		pod("n3", "10.0.0.3", corev1.PodRunning), pod("n2", "10.0.0.2", corev1.PodPending), pod("n2", "10.0.0.2", corev1.PodRunning),
		pod("n1", "10.0.0.1", corev1.PodRunning), pod("n4", "10.0.0.4", corev1.PodFailed), pod("n5", "", corev1.PodPending),
	}, "n1")
	want := map[lb.NodeName]netip.Addr{"n2": netip.MustParseAddr("10.0.0.2"), "n3": netip.MustParseAddr("10.0.0.3")}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}

func TestSnapshotHasDrainingAndFailedNodes(t *testing.T) {
	drained, down := node("n1", "a"), node("n2", "a")
	drained.Labels["drain"] = ""
	down.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	got := snapshotOf(t, objects{nodes: []corev1.Node{drained, down, node("n3", "a")}}, apiconv.DrainPolicy{Labels: []string{"drain"}})
	want := layer2.Snapshot{Draining: map[lb.NodeName]bool{"n1": true}, Standby: "is drained", Down: map[lb.NodeName]bool{"n2": true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestExcludedNodeStaysCandidateOfItsAddresses(t *testing.T) {
	labelled, isolated, off := node("n1", "a"), node("n2", "a"), node("n3", "a")
	labelled.Labels[corev1.LabelNodeExcludeBalancers] = ""
	isolated.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}}
	off.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}
	o := objects{
		services: []corev1.Service{service("web", "10.0.0.1")}, claims: []v1beta1.IPAddressClaim{claim("10.0.0.1", "gold", "web")},
		pools: []v1beta1.IPAddressPool{pool("gold", "high")}, endpoints: []discoveryv1.EndpointSlice{endpoints("web", "n1")},
		nodes: []corev1.Node{labelled, isolated, off}, advertisements: []v1beta1.L2Advertisement{ad("all", v1beta1.L2AdvertisementSpec{})},
	}
	tests := []struct {
		name     string
		policy   apiconv.DrainPolicy
		draining map[lb.NodeName]bool
		standby  string
	}{
		{"as one that drains", apiconv.DrainPolicy{}, map[lb.NodeName]bool{"n1": true, "n2": true}, "has the label " + corev1.LabelNodeExcludeBalancers},
		{"unless the label is ignored", apiconv.DrainPolicy{IgnoreExcludeLabel: true}, map[lb.NodeName]bool{"n2": true}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := snapshotOf(t, o, tt.policy)
			want := layer2.Snapshot{
				Addresses: []layer2.AnnouncedAddress{{Address: netip.MustParseAddr("10.0.0.1"), Candidates: []layer2.Candidate{{Node: "n1"}, {Node: "n2"}}}},
				Draining:  tt.draining, Down: map[lb.NodeName]bool{}, Standby: tt.standby,
			}
			if diff := cmp.Diff(want, got, byValue); diff != "" {
				t.Errorf("snapshot (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAChangeOfTheStackTakesEffectAtOnce(t *testing.T) {
	b := newBed(apiconv.DrainPolicy{})
	one, all, web := served()
	one.Labels[corev1.LabelNodeExcludeBalancers], one.Annotations = "", map[string]string{"maintenance": ""}
	b.sees(append(web, &one, &all)...)
	if got := b.snapshots[0].Draining["n1"]; !got {
		t.Errorf("excluded by the label: got draining %v, want true", got)
	}
	b.sees(stack(apiconv.DrainPolicy{IgnoreExcludeLabel: true}))
	if got := b.changeAt(t, "the label is ignored", 1); got.Draining["n1"] || got.Standby != "" {
		t.Errorf("the label is ignored: got %+v, want a node that takes addresses", got.Snapshot)
	}
	b.sees(stack(apiconv.DrainPolicy{IgnoreExcludeLabel: true, Annotations: []string{"maintenance"}}))
	if got := b.changeAt(t, "another key drains", 2); !got.Draining["n1"] || got.Standby != "is drained" {
		t.Errorf("another key drains: got %+v, want a node that drains", got.Snapshot)
	}
	if got := b.snapshots[0].Detection; got != layer2.DetectionEnforce {
		t.Errorf("stack without conflictDetection: got detection %q, want Enforce", got)
	}
	for i, tt := range []struct {
		set  v1beta1.ConflictDetection
		want layer2.Detection
	}{
		{v1beta1.ConflictDetectionReport, layer2.DetectionReportOnly}, {v1beta1.ConflictDetectionOff, layer2.DetectionOff}, {v1beta1.ConflictDetectionEnforce, layer2.DetectionEnforce},
	} {
		next := stack(apiconv.DrainPolicy{})
		next.Spec.Layer2.ConflictDetection = tt.set
		stripStack(next)
		b.sees(next)
		if got := b.changeAt(t, string(tt.set), 3+i); got.Detection != tt.want {
			t.Errorf("conflictDetection %s: got detection %q, want %q", tt.set, got.Detection, tt.want)
		}
	}
}

func TestAddressesShareTheirCandidates(t *testing.T) {
	got := snapshotOf(t, objects{
		services: []corev1.Service{service("web", "10.0.0.1", "10.0.0.2")}, endpoints: []discoveryv1.EndpointSlice{endpoints("web", "n1")},
		claims: []v1beta1.IPAddressClaim{claim("10.0.0.1", "gold", "web"), claim("10.0.0.2", "gold", "web")},
		pools:  []v1beta1.IPAddressPool{pool("gold", "high")},
		nodes:  []corev1.Node{node("n1", "a")}, advertisements: []v1beta1.L2Advertisement{ad("all", v1beta1.L2AdvertisementSpec{})},
	}, apiconv.DrainPolicy{}).Addresses
	if len(got) != 2 || len(got[0].Candidates) != 1 || &got[0].Candidates[0] != &got[1].Candidates[0] {
		t.Errorf("got %+v, want two addresses with one list of candidates", got)
	}
}

// TestStrippedFieldsAreNotRead: a snapshot of stripped objects is that of whole
// ones.
func TestStrippedFieldsAreNotRead(t *testing.T) {
	o := objects{
		pools:     []v1beta1.IPAddressPool{pool("gold", "high")},
		services:  []corev1.Service{service("web", "10.0.0.1")},
		claims:    []v1beta1.IPAddressClaim{claim("10.0.0.1", "gold", "web")},
		endpoints: []discoveryv1.EndpointSlice{endpoints("web", "n1", "n2")}, nodes: []corev1.Node{node("n1", "a"), node("n2", "a"), node("n3", "a")},
		advertisements: []v1beta1.L2Advertisement{ad("web", v1beta1.L2AdvertisementSpec{ServiceSelectors: selector("app", "web"), NodeSelectors: selector("zone", "a")})},
	}
	o.services[0].Labels = map[string]string{"app": "web"}
	o.services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	o.services[0].Spec.Selector = map[string]string{"app": "web"}
	o.nodes[0].Annotations = map[string]string{"drain": ""}
	o.nodes[1].Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}
	o.nodes[1].Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
	o.nodes[2].Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure}, {Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
	shut := node("n4", "a")
	shut.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", Message: "node is shutting down"}}
	o.nodes = append(o.nodes, shut)
	o.claims[0].Spec.SharingKey = "key"
	o.claims[0].Annotations = map[string]string{v1beta1.AnnotationAnnounceFrom: "n1", "other": "x"}
	o.claims[0].Spec.Holders[0].Ports, o.claims[0].Spec.Holders[0].TrafficPolicy = []string{"80/TCP"}, "default: app=web"
	policy := apiconv.DrainPolicy{Annotations: []string{"drain"}}
	want := snapshotOf(t, o, policy)
	if !want.Draining["n4"] {
		t.Error("a node that shuts down does not hand over")
	}

	stripEach(t, o.services, stripService)
	stripEach(t, o.nodes, stripNode)
	stripEach(t, o.claims, stripClaim)
	stripEach(t, o.endpoints, func(slice *discoveryv1.EndpointSlice) { *slice = *apiconv.PackEndpoints(slice) })
	if h := o.claims[0].Spec.Holders[0]; h.Ports != nil || h.TrafficPolicy != "" || o.claims[0].Spec.SharingKey != "" {
		t.Errorf("terms of a claim: got %+v, want none", h)
	}
	if o.nodes[1].Status.Images != nil || o.services[0].Spec.Selector != nil || o.endpoints[0].Endpoints[0].NodeName != nil {
		t.Error("nothing was stripped")
	}
	if diff := cmp.Diff(want, snapshotOf(t, o, policy), byValue); diff != "" || len(want.Addresses) != 1 || len(want.Addresses[0].Candidates) != 1 || !want.Addresses[0].Candidates[0].Requested {
		t.Errorf("snapshot (-whole +stripped):\n%s", diff)
	}
	pods := []corev1.Pod{{Spec: corev1.PodSpec{NodeName: "n2"}, Status: corev1.PodStatus{HostIP: "10.0.0.2", Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, Reason: "x"}}}}}
	whole := speakerAddresses([]*corev1.Pod{&pods[0]}, "n1")
	stripEach(t, pods, stripPod)
	if diff := cmp.Diff(whole, speakerAddresses([]*corev1.Pod{&pods[0]}, "n1"), byValue); diff != "" {
		t.Errorf("peers (-whole +stripped):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, pods[0].Status.Conditions); diff != "" {
		t.Errorf("conditions of a pod (-want +got):\n%s", diff)
	}
}

func TestStripNamespace_LeavesAllLabels(t *testing.T) {
	labels := map[string]string{}
	for i := range 100 {
		labels[fmt.Sprint("label-", i)] = ""
	}
	namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: maps.Clone(labels), Annotations: map[string]string{"large": "one"}}}
	stripNamespace(namespace)
	if diff := cmp.Diff(metav1.ObjectMeta{Name: "n", Labels: labels}, namespace.ObjectMeta); diff != "" {
		t.Errorf("namespace (-want +got):\n%s", diff)
	}
}

func stripEach[T any](t *testing.T, list []T, of func(*T)) {
	t.Helper()
	for i := range list {
		if _, err := typedTransform(of)(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStrip_AnythingButAnObjectPasses(t *testing.T) {
	tombstone := cache.DeletedFinalStateUnknown{Key: "default/web"}
	if got, err := typedTransform(stripPod)(tombstone); err != nil || got != any(tombstone) {
		t.Errorf("got %v, %v, want it as it is", got, err)
	}
}
