package routing

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

const (
	// settle collects the changes of a moment.
	settle = 2 * time.Millisecond
	// again is how soon it is tried again to watch a kind.
	again = time.Second
)

// Sessions are what is fed.
type Sessions interface {
	SetPeers([]bgp.Peer, func(bgp.PeerName) routes.Table)
	SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, seen time.Time)
	SetDraining(bool)
}

// Feed watches the cluster for sessions and routes of this node.
type Feed struct {
	// Cache of the cluster.
	Cache crcache.Cache
	// Self is this node.
	Self lb.NodeName
	// Namespace of the Secrets with passwords.
	Namespace string
	// Drain says which nodes are drained.
	Drain apiconv.DrainPolicy
	// Sessions take what there should be.
	Sessions Sessions
	// Problems takes sentences about objects that mean nothing, when they are others.
	Problems func([]string)
	Log      logr.Logger

	planner   *routes.Planner
	addresses map[string]netip.Addr // of the claims that the planner has
	passwords map[bgp.PeerName]bgp.Password
	peers     []bgp.Peer // told last
	told      []string
}

// Watched are the kinds that the feed looks at.
func Watched() []client.Object {
	return []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}, &corev1.Node{},
		&v1beta1.BGPAdvertisement{}, &v1beta1.BGPPeer{}, &v1beta1.BFDProfile{}, &v1beta1.Community{}, &corev1.Secret{},
	}
}

// Start watches until the context ends. It implements manager.Runnable. There is no
// session before everything has been seen once: the routes that a router gets at first
// are then all that there are, and the end of them is true (RFC 4724 section 4.1).
func (f *Feed) Start(ctx context.Context) error {
	f.planner, f.addresses, f.passwords = routes.New(), map[string]netip.Addr{}, map[bgp.PeerName]bgp.Password{}
	s := newStore()
	counts := func(o client.Object) bool {
		switch o.(type) {
		case *corev1.Node:
			return o.GetName() == string(f.Self)
		case *corev1.Secret:
			return o.GetNamespace() == f.Namespace
		}
		return true
	}
	var synced []cache.InformerSynced
	for _, kind := range Watched() {
		has, err := f.subscribe(ctx, kind, s.handler(counts))
		if err != nil {
			return err
		}
		if has == nil {
			return nil // the context ended
		}
		synced = append(synced, has)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil // the context ended
	}
	s.mu.Lock()
	s.pending.config = true
	s.mu.Unlock()
	f.round(s)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.news:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		f.round(s)
	}
}

// subscribe watches a kind, however long the API server is away.
func (f *Feed) subscribe(ctx context.Context, kind client.Object, h cache.ResourceEventHandler) (cache.InformerSynced, error) {
	for ctx.Err() == nil {
		informer, err := f.Cache.GetInformer(ctx, kind)
		if err == nil {
			registered, err := informer.AddEventHandler(h)
			if err != nil {
				return nil, fmt.Errorf("watching %T: %w", kind, err)
			}
			return registered.HasSynced, nil
		}
		f.Log.Error(err, "watching the cluster; trying again", "kind", fmt.Sprintf("%T", kind))
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil, nil
}

// round looks at the news.
func (f *Feed) round(s *store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := s.take()
	for key := range news.services {
		f.planner.SetService(key, s.facts(key))
	}
	for name := range news.claims {
		f.setClaim(name, s.claims[name])
	}
	if !news.config {
		f.send(news.seen)
		return
	}
	c := f.read(s)
	f.planner.SetConfig(c.Config)
	f.send(news.seen)
	f.Sessions.SetDraining(c.draining)
	if f.peers == nil || !reflect.DeepEqual(f.peers, c.peers) {
		f.peers = append([]bgp.Peer{}, c.peers...)
		f.Sessions.SetPeers(c.peers, f.planner.Table)
	}
	if problems := c.sentences(f.planner.Conflicts()); !reflect.DeepEqual(problems, f.told) {
		f.told = problems
		f.Problems(problems)
	}
}

// send sends changes to the sessions that there are, and when their reason was seen. New
// ones ask for all.
func (f *Feed) send(seen time.Time) {
	for peer, change := range f.planner.Changes() {
		f.Sessions.SetRoutes(peer, change.Announce, change.Withdraw, seen)
	}
}

func (f *Feed) setClaim(name string, object *v1beta1.IPAddressClaim) {
	before, had := f.addresses[name]
	var address netip.Addr
	if object != nil {
		if a, err := apiconv.ClaimAddress(object); err == nil {
			address = a
		}
	}
	if had && before != address {
		f.planner.SetClaim(before, nil)
		delete(f.addresses, name)
	}
	if !address.IsValid() {
		return
	}
	f.addresses[name] = address
	claim := &advertise.Claim{Pool: lb.PoolName(object.Spec.Pool)}
	for _, h := range object.Spec.Holders {
		claim.Holders = append(claim.Holders, apiconv.HolderKey(h))
	}
	f.planner.SetClaim(address, claim)
}
