package kube

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

const (
	// settle collects the changes of a moment into one snapshot. Where snapshots
	// take long, it is a multiple of what the last one took: a large cluster that
	// changes all the time must not cost every node a processor.
	settle, settleTimes = 2 * time.Millisecond, 4
	// again is how soon it is tried again to watch a kind.
	again = time.Second
)

// Watcher makes a snapshot after each change in the cluster.
type Watcher struct {
	// Cache of the cluster; it is complete before the first snapshot.
	Cache crcache.Cache
	// Self is this node.
	Self lb.NodeName
	// Namespace and PodLabels select the speakers' pods.
	Namespace string
	PodLabels client.MatchingLabels
	// Drain says which nodes hand over their addresses.
	Drain apiconv.DrainPolicy
	// Snapshot takes what the cluster wants, when it is not what it was told last.
	Snapshot func(speaker.Snapshot)
	// Peers takes where the speakers on other nodes are, when it is not what it was
	// told last.
	Peers func(map[lb.NodeName]netip.Addr)
	Log   logr.Logger

	told  *speaker.Snapshot          // last
	peers map[lb.NodeName]netip.Addr // told last
}

// watched are the kinds whose changes make a new snapshot.
func watched() []client.Object {
	return []client.Object{
		&corev1.Service{}, &corev1.Node{}, &corev1.Pod{}, &discoveryv1.EndpointSlice{},
		&v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{},
	}
}

// Start watches until the context ends. It implements manager.Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	for _, kind := range watched() {
		if err := w.subscribe(ctx, kind, changed); err != nil {
			return err
		}
	}
	if !w.Cache.WaitForCacheSync(ctx) {
		return nil // the context ended
	}
	signal(changed)
	wait := settle
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		began := time.Now()
		if err := w.tell(ctx); err != nil {
			w.Log.Error(err, "reading the cluster's state from the cache")
		}
		wait = max(settle, settleTimes*time.Since(began))
	}
}

// subscribe watches a kind, however long the API server is away: to end, and to
// be started again ever more seldom, would keep the node out for minutes after it
// is back.
func (w *Watcher) subscribe(ctx context.Context, kind client.Object, changed chan<- struct{}) error {
	for {
		informer, err := w.Cache.GetInformer(ctx, kind)
		if err == nil {
			if _, err = informer.AddEventHandler(signalTo(changed)); err != nil {
				return fmt.Errorf("watching %T: %w", kind, err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		w.Log.Error(err, "watching the cluster; trying again", "kind", fmt.Sprintf("%T", kind))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// tell makes a snapshot. What is listed is the cache's own and is only read: to
// copy it would take longer than all the rest.
func (w *Watcher) tell(ctx context.Context) error {
	var (
		services  corev1.ServiceList
		nodes     corev1.NodeList
		pods      corev1.PodList
		endpoints discoveryv1.EndpointSliceList
		claims    v1beta1.IPAddressClaimList
		pools     v1beta1.IPAddressPoolList
		ads       v1beta1.L2AdvertisementList
	)
	if err := w.list(ctx, &nodes, &ads); err != nil {
		return err
	}
	// Without an advertisement no address is announced here: where all goes over BGP, a
	// change costs the same however many Services there are.
	if len(ads.Items) > 0 {
		if err := w.list(ctx, &services, &endpoints, &claims, &pools); err != nil {
			return err
		}
	}
	if err := w.Cache.List(ctx, &pods, client.InNamespace(w.Namespace), w.PodLabels, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the speakers' pods: %w", err)
	}
	if now := peers(pods.Items, w.Self); w.peers == nil || !maps.Equal(w.peers, now) {
		w.peers = now
		w.Peers(now)
	}
	next := build(objects{services.Items, claims.Items, pools.Items, ads.Items, nodes.Items, endpoints.Items}, w.Drain)
	if w.told == nil || !same(*w.told, next) {
		w.told = &next
		w.Snapshot(next)
	}
	return nil
}

func (w *Watcher) list(ctx context.Context, lists ...client.ObjectList) error {
	for _, list := range lists {
		if err := w.Cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing %T: %w", list, err)
		}
	}
	return nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func signalTo(c chan<- struct{}) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { signal(c) },
		UpdateFunc: func(before, now any) {
			if differ(before, now) {
				signal(c)
			}
		},
		DeleteFunc: func(any) { signal(c) },
	}
}

// differ says whether two versions of an object differ in anything that is kept of
// it: a kubelet writes its node every few seconds, and mostly nothing is new.
func differ(before, now any) bool {
	x, isObject := before.(client.Object)
	y, alike := now.(client.Object)
	if !isObject || !alike {
		return true
	}
	x = x.DeepCopyObject().(client.Object) // the cache's own is only read
	x.SetResourceVersion(y.GetResourceVersion())
	return !equality.Semantic.DeepEqual(x, y)
}
