package kube

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

const (
	// settle collects the changes of a moment into one snapshot.
	settle = 2 * time.Millisecond
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
	// Snapshot takes what the cluster wants.
	Snapshot func(speaker.Snapshot)
	// Peers takes where the other speakers are.
	Peers func([]netip.Addr)
	Log   logr.Logger
}

// Start watches until the context ends. It implements manager.Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	for _, kind := range []client.Object{&corev1.Service{}, &corev1.Node{}, &corev1.Pod{}, &v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}} {
		if err := w.subscribe(ctx, kind, changed); err != nil {
			return err
		}
	}
	if !w.Cache.WaitForCacheSync(ctx) {
		return nil // the context ended
	}
	signal(changed)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		if err := w.tell(ctx); err != nil {
			w.Log.Error(err, "reading the cluster's state from the cache")
		}
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

func (w *Watcher) tell(ctx context.Context) error {
	var (
		services corev1.ServiceList
		nodes    corev1.NodeList
		pods     corev1.PodList
		claims   v1beta1.IPAddressClaimList
		pools    v1beta1.IPAddressPoolList
		ads      v1beta1.L2AdvertisementList
	)
	for _, list := range []client.ObjectList{&services, &nodes, &claims, &pools, &ads} {
		if err := w.Cache.List(ctx, list); err != nil {
			return fmt.Errorf("listing %T: %w", list, err)
		}
	}
	if err := w.Cache.List(ctx, &pods, client.InNamespace(w.Namespace), w.PodLabels); err != nil {
		return fmt.Errorf("listing the speakers' pods: %w", err)
	}
	w.Peers(peers(pods.Items, w.Self))
	w.Snapshot(build(objects{services.Items, claims.Items, pools.Items, ads.Items, nodes.Items}))
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
		AddFunc:    func(any) { signal(c) },
		UpdateFunc: func(any, any) { signal(c) },
		DeleteFunc: func(any) { signal(c) },
	}
}
