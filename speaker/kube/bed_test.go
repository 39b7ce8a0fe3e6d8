package kube

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// bed is a watcher on node n1, the objects in its cache, and the changes that it reports.
type bed struct {
	watcher   *Watcher
	store     *informers.Store
	reader    *informers.Reader
	snapshots []layer2.Snapshot
	changes   []layer2.Change
	peers     []map[lb.NodeName]netip.Addr
}

func newBed(policy apiconv.DrainPolicy) *bed {
	b := &bed{}
	b.watcher = &Watcher{
		Self:       "n1",
		OnSnapshot: func(s layer2.Snapshot) { b.snapshots = append(b.snapshots, s) },
		OnChange:   func(c layer2.Change) { b.changes = append(b.changes, c) },
		OnPeers:    func(p map[lb.NodeName]netip.Addr) { b.peers = append(b.peers, p) },
		planner:    eligibility.NewPlanner(),
	}
	b.store = informers.NewStore(informers.NamespaceFilter("lbstack-system"))
	b.reader = b.store.NewReader(watchedKinds()...)
	b.store.Note(stack(policy), true)
	return b
}

// stack returns a stack with this policy.
func stack(policy apiconv.DrainPolicy) *v1beta1.LoadBalancerStack {
	keys := func(list []string) []v1beta1.DrainKey {
		keys := []v1beta1.DrainKey{}
		for _, key := range list {
			keys = append(keys, v1beta1.DrainKey(key))
		}
		return keys
	}
	return &v1beta1.LoadBalancerStack{
		ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName},
		Spec: v1beta1.LoadBalancerStackSpec{
			Drain: v1beta1.DrainSpec{Taints: keys(policy.Taints), Labels: keys(policy.Labels), Annotations: keys(policy.Annotations)},
			Nodes: v1beta1.NodesSpec{IgnoreExcludeLabel: policy.IgnoreExcludeLabel},
		},
	}
}

// sees changes objects in the cache, and computes the change.
func (b *bed) sees(objects ...client.Object) {
	for _, o := range objects {
		b.store.Note(o, true)
	}
	b.reader.Read(b.watcher.handleChanges)
}

func (b *bed) loses(objects ...client.Object) {
	for _, o := range objects {
		b.store.Note(o, false)
	}
	b.reader.Read(b.watcher.handleChanges)
}

// objects are the objects of a cluster.
type objects struct {
	services       []corev1.Service
	claims         []v1beta1.IPAddressClaim
	pools          []v1beta1.IPAddressPool
	advertisements []v1beta1.L2Advertisement
	nodes          []corev1.Node
	endpoints      []discoveryv1.EndpointSlice
}

func (o *objects) list() []client.Object {
	var list []client.Object
	for i := range o.services {
		list = append(list, &o.services[i])
	}
	for i := range o.claims {
		list = append(list, &o.claims[i])
	}
	for i := range o.pools {
		list = append(list, &o.pools[i])
	}
	for i := range o.advertisements {
		list = append(list, &o.advertisements[i])
	}
	for i := range o.nodes {
		list = append(list, &o.nodes[i])
	}
	for i := range o.endpoints {
		list = append(list, &o.endpoints[i])
	}
	return list
}

// snapshotOf returns the first snapshot of a cluster.
func snapshotOf(t *testing.T, o objects, policy apiconv.DrainPolicy) layer2.Snapshot {
	t.Helper()
	b := newBed(policy)
	b.sees(o.list()...)
	if len(b.snapshots) != 1 || len(b.changes) != 0 {
		t.Fatalf("got %d snapshots and %d changes, want one snapshot", len(b.snapshots), len(b.changes))
	}
	return b.snapshots[0]
}

// large returns a cluster of three nodes and this number of Services, with one address each.
func large(services int) objects {
	o := objects{pools: []v1beta1.IPAddressPool{pool("gold", "high")}, nodes: []corev1.Node{node("n1", "a"), node("n2", "b"), node("n3", "c")}, advertisements: []v1beta1.L2Advertisement{ad("all", v1beta1.L2AdvertisementSpec{})}}
	a := netip.MustParseAddr("10.0.0.1")
	for i := range services {
		name := fmt.Sprintf("web-%d", i)
		o.services, o.claims = append(o.services, service(name, a.String())), append(o.claims, claim(a.String(), "gold", name))
		o.endpoints = append(o.endpoints, endpoints(name, "n1", "n2"))
		a = a.Next()
	}
	return o
}

func node(name, zone string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": zone}}}
}

func pool(name, tier string) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": tier}},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.0/8", "2001:db8::/32"}},
	}
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

func endpoints(service string, nodes ...string) discoveryv1.EndpointSlice {
	slice := discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, n := range nodes {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{NodeName: &n, Addresses: []string{"10.1.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}})
	}
	return slice
}

func selector(key, value string) []metav1.LabelSelector {
	return []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}
}

func ad(name string, spec v1beta1.L2AdvertisementSpec) v1beta1.L2Advertisement {
	return v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}
