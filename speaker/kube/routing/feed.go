// Package routing brings the speaker's BGP part what the cluster wants: sessions and
// routes.
package routing

import (
	"context"
	"net/netip"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/kube/seen"
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

	planner        *routes.Planner
	advertisements kept[*v1beta1.BGPAdvertisement, routes.Advertisement]
	bgpPeers       kept[*v1beta1.BGPPeer, apiconv.BGPPeer]
	inUse          map[bgp.PeerName]bgp.Peer
	peers          []bgp.Peer // told last
	told           []string
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
	f.planner = routes.New()
	return seen.Source{Cache: f.Cache, Kinds: Watched(), Counts: f.counts, Log: f.Log}.Run(ctx, f.round)
}

func (f *Feed) counts(o client.Object) bool {
	switch o.(type) {
	case *corev1.Node:
		return o.GetName() == string(f.Self)
	case *corev1.Secret:
		return o.GetNamespace() == f.Namespace
	}
	return true
}

// round looks at the news.
func (f *Feed) round(news seen.News) {
	news.Tell(f.planner)
	if !news.Changed(Watched()...) {
		f.send(news.Seen)
		return
	}
	c := f.read(news)
	f.planner.SetConfig(c.Config)
	f.send(news.Seen)
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
