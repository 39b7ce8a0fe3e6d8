package integration

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/kube"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/kube/routing"
	node "github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/test/eventually"
)

// watching is what the Kubernetes part of a speaker hands to the parts that announce.
type watching struct {
	mu      sync.Mutex
	wanted  map[netip.Addr]int         // candidates of each address
	asked   map[netip.Addr]lb.NodeName // the node that is asked for
	standby string
	refused int
	outside []netip.Addr
}

func (w *watching) change(s node.Snapshot, gone []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range s.Addresses {
		w.wanted[a.Address] = len(a.Candidates)
		delete(w.asked, a.Address)
		for _, c := range a.Candidates {
			if c.Requested {
				w.asked[a.Address] = c.Node
			}
		}
	}
	for _, a := range gone {
		delete(w.wanted, a)
	}
	w.standby = s.Standby
}

// SetPeers, SetRoutes, SetDraining and SetInternalIPs implement routing.Sessions.
func (w *watching) SetPeers([]bgp.Peer, func(bgp.PeerName) routes.Table) {}

func (w *watching) SetRoutes(bgp.PeerName, routes.Table, []netip.Prefix, time.Time) {}

func (w *watching) SetDraining(bool) {}

func (w *watching) SetInternalIPs([]netip.Addr) {}

// announces waits until the speaker has the wanted addresses.
func (w *watching) announces(t *testing.T, what string, want func(*watching) bool) {
	t.Helper()
	eventually.Succeed(t, within, what, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !want(w) {
			return fmt.Errorf("got the addresses %v, standby %q, %d refused, %v outside their pools", w.wanted, w.standby, w.refused, w.outside)
		}
		return nil
	})
}

// startWatching runs the Kubernetes part of a speaker with no more rights than its role has.
func (b *operatorBed) startWatching(self string) *watching {
	b.Helper()
	b.Setenv("KUBECONFIG", b.impersonating("system:serviceaccount:"+systemNamespace+":lbstack-speaker",
		"system:serviceaccounts", "system:serviceaccounts:"+systemNamespace, "system:authenticated"))
	w, _ := b.startSpeaker(self, nil)
	return w
}

// startSpeaker runs the Kubernetes part of a speaker with the kubeconfig of the environment. With
// sessions it writes its SpeakerState and its SpeakerRouteSlices as well.
func (b *operatorBed) startSpeaker(self string, sessions func() kube.RoutingState) (*watching, *kube.StateWriter) {
	b.Helper()
	mgr, state, err := kube.NewManager(kube.Options{Node: lb.NodeName(self), Namespace: systemNamespace}, logr.Discard())
	if err != nil {
		b.Fatal(err)
	}
	w := &watching{wanted: map[netip.Addr]int{}, asked: map[netip.Addr]lb.NodeName{}}
	locked := func(write func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		write()
	}
	objects := informers.NewSource(mgr.GetCache(), systemNamespace, logr.Discard())
	watcher := &kube.Watcher{
		Objects: objects, Self: lb.NodeName(self),
		OnSnapshot: func(s node.Snapshot) { w.change(s, nil) }, OnChange: func(c node.Change) { w.change(c.Snapshot, c.Gone) },
		OnPeers: func(map[lb.NodeName]netip.Addr) {},
	}
	configWatcher := &routing.ConfigWatcher{
		Objects: objects, Self: lb.NodeName(self), Namespace: systemNamespace, Sessions: w, Problems: func(routing.Problems) {},
		Outside: func(list []netip.Addr) { locked(func() { w.outside = list }) },
		Refused: func(count int, _ []eligibility.Refusal) { locked(func() { w.refused = count }) },
	}
	parts := []manager.Runnable{watcher, configWatcher}
	if sessions != nil {
		state.Routing = sessions
		parts = append(parts, state)
	}
	for _, part := range parts {
		if err := mgr.Add(part); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- mgr.Start(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Errorf("watching as a speaker: %v", err)
		}
	})
	return w, state
}

// holds creates a Service with an endpoint, and a claim by which it holds an address: what a
// controller writes, or who has taken one over.
func (b *operatorBed) holds(namespace, name, pool, address string) {
	b.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	create(b.T, b.Client, svc)
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	if err := b.Status().Update(context.Background(), svc); err != nil {
		b.Fatal(err)
	}
	create(b.T, b.Client, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
	})
	create(b.T, b.Client, &v1beta1.IPAddressClaim{
		ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(netip.MustParseAddr(address))},
		Spec:       v1beta1.IPAddressClaimSpec{Address: address, Pool: v1beta1.ObjectName(pool), Holders: []v1beta1.ClaimHolder{{Namespace: namespace, Name: name, UID: svc.UID}}},
	})
}

func (b *operatorBed) patches(object client.Object, patch string) {
	b.Helper()
	if err := b.Patch(context.Background(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		b.Fatal(err)
	}
}

func TestSpeakerAnnouncesPoolAddressesWithTheRightsOfItsRole(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	spec := aSpec()
	spec.L2Advertisements[0].IPAddressPools = []v1beta1.ObjectName{"first-pool"}
	stack := b.stack(spec)
	b.installed()
	const namespace = "watched"
	create(t, b.Client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	machine := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "watched-node"}}
	create(t, b.Client, machine)
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "watched"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.77.0.1-10.77.0.9"}}}
	create(t, b.Client, pool)
	ad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "watched"}, Spec: v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"watched"}}}
	create(t, b.Client, ad)
	b.holds(namespace, "web", pool.Name, "10.77.0.1")
	b.holds(namespace, "forged", pool.Name, "192.0.2.1")
	web, forged := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("192.0.2.1")
	only := func(addresses ...netip.Addr) func(*watching) bool {
		return func(w *watching) bool {
			got := slices.SortedFunc(maps.Keys(w.wanted), netip.Addr.Compare)
			return slices.Equal(got, addresses) && !slices.ContainsFunc(got, func(a netip.Addr) bool { return w.wanted[a] == 0 })
		}
	}
	w := b.startWatching(machine.Name)
	w.announces(t, "the address that the pool lists is wanted, and the other one refused", func(w *watching) bool { return only(web)(w) && w.refused == 1 })

	b.patches(pool, `{"spec":{"addresses":["10.77.0.5-10.77.0.9"]}}`)
	w.announces(t, "the pool shrinks, and what is in use stays", func(w *watching) bool {
		return only(web)(w) && w.refused == 1 && slices.Equal(w.outside, []netip.Addr{web})
	})
	b.patches(pool, `{"spec":{"addresses":["10.77.0.5-10.77.0.9","192.0.2.1"]}}`)
	w.announces(t, "the pool lists the other one", func(w *watching) bool { return only(web, forged)(w) && w.refused == 0 })

	b.patches(ad, `{"spec":{"namespaceSelectors":[{"matchLabels":{"tenant":"a"}}]}}`)
	w.announces(t, "the advertisement selects other namespaces", func(w *watching) bool { return w.wanted[web] == 0 && len(w.wanted) == 2 })
	b.patches(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, `{"metadata":{"labels":{"tenant":"a"}}}`)
	w.announces(t, "the namespace gets the label", only(web, forged))

	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(web)}}
	b.patches(claim, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1beta1.AnnotationAnnounceFrom, machine.Name))
	w.announces(t, "the node is asked for", func(w *watching) bool {
		return maps.Equal(w.asked, map[netip.Addr]lb.NodeName{web: lb.NodeName(machine.Name)})
	})
	b.patches(claim, fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, v1beta1.AnnotationAnnounceFrom))
	w.announces(t, "no node is asked for any more", func(w *watching) bool { return len(w.asked) == 0 && only(web, forged)(w) })

	b.patches(machine, fmt.Sprintf(`{"metadata":{"labels":{%q:""}}}`, corev1.LabelNodeExcludeBalancers))
	w.announces(t, "the node is excluded and keeps what it has", func(w *watching) bool { return only(web, forged)(w) && w.standby != "" })
	b.patches(stack, `{"spec":{"nodes":{"ignoreExcludeLabel":true}}}`)
	w.announces(t, "the label is ignored without a restart", func(w *watching) bool { return only(web, forged)(w) && w.standby == "" })
	b.patches(machine, `{"metadata":{"annotations":{"maintenance":""}}}`)
	b.patches(stack, `{"spec":{"drain":{"annotations":["maintenance"]}}}`)
	w.announces(t, "another key drains without a restart", func(w *watching) bool { return w.standby == "is drained" })
}
