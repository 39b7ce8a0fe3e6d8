package kube

import (
	"context"
	"maps"
	"net/netip"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// Watcher publishes what the cluster wants to be announced on the local network, and where
// the other speakers are.
type Watcher struct {
	// Objects of the cluster.
	Objects *informers.Source
	// Self is this node.
	Self lb.NodeName
	// Before are the addresses that were announced before this process started.
	Before []netip.Addr
	// Snapshot takes what the cluster wants, once all objects have been read.
	Snapshot func(layer2.Snapshot)
	// Change takes what is new of that afterwards, if anything is.
	Change func(layer2.Change)
	// Peers takes where the speakers on other nodes are, when it is not what it was
	// published last.
	Peers func(map[lb.NodeName]netip.Addr)
	// Passes marks those of Start; nil: nothing does.
	Passes *watchdog.Loop

	planner    *eligibility.Planner
	advertised bool                       // there is an advertisement
	nodes      []eligibility.Node         // that the planner has
	lastRest   layer2.Snapshot            // published last, but for the addresses
	peers      map[lb.NodeName]netip.Addr // reported last
}

// watched are the kinds that the watcher looks at.
func watched() []client.Object {
	return append(clusterWideKinds(), &corev1.Service{}, &corev1.Pod{}, &discoveryv1.EndpointSlice{}, &v1beta1.IPAddressClaim{}, informers.Namespaces())
}

// clusterWideKinds are the kinds that say what holds for all addresses.
func clusterWideKinds() []client.Object {
	return []client.Object{&corev1.Node{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.LoadBalancerStack{}}
}

// Start watches until the context ends. It implements manager.Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	w.planner = eligibility.NewPlanner()
	w.planner.Remember(w.Before)
	const rest = 4 // a fifth of a processor at most
	return w.Objects.Run(ctx, rest, w.round, watched()...)
}

// round reads what has changed, and reports what of it counts.
func (w *Watcher) round(changes informers.Changes) {
	w.Passes.Begin()
	defer w.Passes.End()
	if changes.Changed(&corev1.Pod{}) {
		if now := peers(informers.All[*corev1.Pod](changes), w.Self); w.peers == nil || !maps.Equal(w.peers, now) {
			w.peers = now
			w.Peers(now)
		}
	}
	rest, advertised := w.lastRest, w.advertised
	if changes.Changed(clusterWideKinds()...) {
		rest = w.configure(changes)
	}
	// Without an advertisement no address is announced here: where all goes over BGP, a
	// Service is not looked at.
	switch {
	case w.advertised && !advertised:
		changes.ApplyAll(w.planner)
	case w.advertised:
		changes.Apply(w.planner)
	case advertised:
		w.planner.Forget()
	}
	w.publish(changes.First, rest)
}

// publish passes on the addresses that have changed, and the rest if it has.
func (w *Watcher) publish(first bool, rest layer2.Snapshot) {
	change := w.planner.Changes()
	next := rest
	next.Addresses = change.Addresses
	switch {
	case first:
		w.Snapshot(next)
	case len(change.Addresses)+len(change.Gone) > 0 || !reflect.DeepEqual(rest, w.lastRest):
		w.Change(layer2.Change{Snapshot: next, Gone: change.Gone})
	}
	w.lastRest = rest
}
