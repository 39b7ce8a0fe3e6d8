package kube

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/speaker"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func node(name, zone string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": zone}}}
}

func pool(name, tier string) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": tier}}}
}

func claim(address, pool, holder string) v1beta1.IPAddressClaim {
	return v1beta1.IPAddressClaim{
		ObjectMeta: metav1.ObjectMeta{Name: address},
		Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: v1beta1.ObjectName(pool),
			Holders: []v1beta1.ClaimHolder{{Namespace: "default", Name: holder}}},
	}
}

func service(name string, addresses ...string) corev1.Service {
	svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	for _, a := range addresses {
		svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
	}
	return svc
}

func selector(key, value string) []metav1.LabelSelector {
	return []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}
}

func ad(name string, spec v1beta1.L2AdvertisementSpec) v1beta1.L2Advertisement {
	return v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func TestBuild(t *testing.T) {
	one := netip.MustParseAddr("10.0.0.1")
	everyone := []speaker.Candidate{{Node: "n1"}, {Node: "n2"}, {Node: "n3"}}
	base := func(ads ...v1beta1.L2Advertisement) objects {
		return objects{
			services: []corev1.Service{service("web", "10.0.0.1")},
			claims:   []v1beta1.IPAddressClaim{claim("10.0.0.1", "gold", "web")},
			pools:    []v1beta1.IPAddressPool{pool("gold", "high"), pool("tin", "low")},
			nodes:    []corev1.Node{node("n1", "a"), node("n2", "a"), node("n3", "b")}, advertisements: ads,
		}
	}
	broken := []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}
	pending := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	pending.services = []corev1.Service{service("web")}
	gone := base(ad("all", v1beta1.L2AdvertisementSpec{}))
	gone.services = nil

	tests := []struct {
		name    string
		objects objects
		want    []speaker.Announced
		problem string
	}{
		{name: "an empty advertisement means all pools, nodes and interfaces", objects: base(ad("all", v1beta1.L2AdvertisementSpec{})),
			want: []speaker.Announced{{Address: one, Candidates: everyone}}},
		{name: "without an advertisement nothing is announced", objects: base()},
		{name: "a claim that no Service shows yet is not announced", objects: pending},
		{name: "a claim whose Service is gone is not announced", objects: gone},
		{name: "a pool can be named", objects: base(ad("gold", v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"gold"}})),
			want: []speaker.Announced{{Address: one, Candidates: everyone}}},
		{name: "an advertisement of another pool says nothing", objects: base(ad("tin", v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"tin"}}))},
		{name: "pools are selected by label", objects: base(ad("high", v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: selector("tier", "high")})),
			want: []speaker.Announced{{Address: one, Candidates: everyone}}},
		{name: "a selector of other pools says nothing", objects: base(ad("low", v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: selector("tier", "low")}))},
		{name: "nodes are selected by label", objects: base(ad("a", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "a")})),
			want: []speaker.Announced{{Address: one, Candidates: everyone[:2]}}},
		{name: "advertisements add up, interfaces are those for each node", objects: base(
			ad("a", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "a"), Interfaces: []v1beta1.InterfaceName{"eth1"}}),
			ad("b", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "b"), Interfaces: []v1beta1.InterfaceName{"eth2"}})),
			want: []speaker.Announced{{Address: one, Candidates: []speaker.Candidate{
				{Node: "n1", Interfaces: []string{"eth1"}}, {Node: "n2", Interfaces: []string{"eth1"}}, {Node: "n3", Interfaces: []string{"eth2"}}}}}},
		{name: "an advertisement without interfaces widens one that names some", objects: base(
			ad("a", v1beta1.L2AdvertisementSpec{Interfaces: []v1beta1.InterfaceName{"eth1"}}), ad("all", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "b")})),
			want: []speaker.Announced{{Address: one, Candidates: []speaker.Candidate{
				{Node: "n1", Interfaces: []string{"eth1"}}, {Node: "n2", Interfaces: []string{"eth1"}}, {Node: "n3"}}}}},
		{name: "a broken advertisement is told and disturbs nobody", objects: base(ad("bad", v1beta1.L2AdvertisementSpec{NodeSelectors: broken}), ad("all", v1beta1.L2AdvertisementSpec{})),
			want: []speaker.Announced{{Address: one, Candidates: everyone}}, problem: `the L2Advertisement "bad" is ignored: spec.nodeSelectors[0]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := build(tt.objects)
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
	pod := func(node, ip string, phase corev1.PodPhase) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{HostIP: ip, Phase: phase}}
	}
	got := peers([]corev1.Pod{
		pod("n3", "10.0.0.3", corev1.PodRunning), pod("n2", "10.0.0.2", corev1.PodPending), pod("n2", "10.0.0.2", corev1.PodRunning),
		pod("n1", "10.0.0.1", corev1.PodRunning), pod("n4", "10.0.0.4", corev1.PodFailed), pod("n5", "", corev1.PodPending),
	}, "n1")
	want := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}
