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

// Watcher passes the addresses to announce on the local network to the engine, and the addresses of the
// other speakers to the mesh.
type Watcher struct {
	// Objects has the cached objects of the cluster.
	Objects *informers.Source
	// Self is the name of this node.
	Self lb.NodeName
	// Before are the addresses that the previous speaker on this node was allowed to announce (see
	// eligibility.Planner.RestoreAdmitted).
	Before []netip.Addr
	// OnSnapshot is called once, when all objects have been read.
	OnSnapshot func(layer2.Snapshot)
	// OnChange is called with each later change.
	OnChange func(layer2.Change)
	// OnPeers is called with the addresses of the speakers on other nodes, whenever they change.
	OnPeers func(map[lb.NodeName]netip.Addr)
	// Passes records when each call of handleChanges begins and ends, for the watchdog; nil: nothing is
	// recorded.
	Passes *watchdog.Loop

	planner    *eligibility.Planner
	advertised bool                       // whether there is an L2Advertisement
	nodes      []eligibility.Node         // passed to the planner last
	lastRest   layer2.Snapshot            // the snapshot without addresses, as it was passed on last
	peers      map[lb.NodeName]netip.Addr // passed on last
}

// watchedKinds returns the kinds that the watcher reads.
func watchedKinds() []client.Object {
	return append(clusterWideKinds(), &corev1.Service{}, &corev1.Pod{}, &discoveryv1.EndpointSlice{}, &v1beta1.IPAddressClaim{}, informers.NamespaceKind())
}

// clusterWideKinds returns the kinds whose objects affect all addresses.
func clusterWideKinds() []client.Object {
	return []client.Object{&corev1.Node{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.LoadBalancerStack{}}
}

// Start watches until the context ends. It implements manager.Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	w.planner = eligibility.NewPlanner()
	w.planner.RestoreAdmitted(w.Before)
	const rest = 4 // wait four times as long as the last call of handleChanges took: at most a fifth of a processor
	return w.Objects.Run(ctx, rest, w.handleChanges, watchedKinds()...)
}

// handleChanges passes the objects that have changed to the planner, and the resulting changes of addresses
// to OnSnapshot or OnChange.
func (w *Watcher) handleChanges(changes informers.Changes) {
	w.Passes.Begin()
	defer w.Passes.End()
	if changes.HasChanged(&corev1.Pod{}) {
		if now := speakerAddresses(informers.All[*corev1.Pod](changes), w.Self); w.peers == nil || !maps.Equal(w.peers, now) {
			w.peers = now
			w.OnPeers(now)
		}
	}
	rest, advertised := w.lastRest, w.advertised
	if changes.HasChanged(clusterWideKinds()...) {
		rest = w.configurePlanner(changes)
	}
	// Without an L2Advertisement nothing is announced on the local network. So in a cluster that only uses BGP,
	// the planner receives no Services.
	switch {
	case w.advertised && !advertised:
		changes.ApplyAll(w.planner)
	case w.advertised:
		changes.Apply(w.planner)
	case advertised:
		w.planner.RemoveAll()
	}
	w.publishChanges(changes.First, rest)
}

// publishChanges passes on the addresses that have changed, together with the rest of the snapshot. If
// nothing has changed, it passes on nothing, except the first time.
func (w *Watcher) publishChanges(first bool, rest layer2.Snapshot) {
	change := w.planner.Changes()
	next := rest
	next.Addresses = change.Addresses
	switch {
	case first:
		w.OnSnapshot(next)
	case len(change.Addresses)+len(change.Gone) > 0 || !reflect.DeepEqual(rest, w.lastRest):
		w.OnChange(layer2.Change{Snapshot: next, Gone: change.Gone})
	}
	w.lastRest = rest
}
