// Package routing brings the speaker's BGP part what the cluster wants: sessions and
// routes.
package routing

import (
	"context"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/speaker/kube/informers"
)

// Sessions are what is fed.
type Sessions interface {
	SetPeers([]bgp.Peer, func(bgp.PeerName) routes.Table)
	SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, since time.Time)
	SetDraining(bool)
	SetInternalIPs([]netip.Addr)
}

// Feed watches the cluster for sessions and routes of this node.
type Feed struct {
	// Objects of the cluster.
	Objects *informers.Source
	// Self is this node.
	Self lb.NodeName
	// Namespace of the speakers' pods and of the Secret with the passwords.
	Namespace string
	// Sessions take what there should be.
	Sessions Sessions
	// Before are the addresses that could be announced before this process started.
	Before []netip.Addr
	// Outside takes the addresses that may be announced although their pool does not list
	// them any more, when they are others.
	Outside func([]netip.Addr)
	// Refused takes how many addresses Services hold that may not be announced, and the
	// first of them, when they are others.
	Refused func(count int, first []eligibility.Refusal)
	// Source returns the address that connections to a router come from in a VRF, as the
	// kernel chooses it; invalid: it is not known. Nil: it never is.
	Source func(router netip.Addr, vrf string) netip.Addr
	// Problems takes what is wrong, when that changes. It must not change it.
	Problems func(Problems)
	// Passes marks those of Start; nil: nothing does.
	Passes *watchdog.Loop

	planner        *routes.Planner
	advertisements lastValid[*v1beta1.BGPAdvertisement, routes.Advertisement]
	bgpPeers       lastValid[*v1beta1.BGPPeer, apiconv.BGPPeer]
	inUse          map[bgp.PeerName]bgp.Peer
	selected       map[bgp.PeerName]bgp.Peer // those in effect, with the source address that connections have
	states         map[bgp.PeerName]bgp.PeerState
	peers          []bgp.Peer // reported last
	reported       Problems
	internal       []netip.Addr          // reported last
	outside        []netip.Addr          // reported last
	refusals       int                   // reported last
	refused        []eligibility.Refusal // reported last
	nodes          []eligibility.Node    // that the planner has
	speakers       map[lb.NodeName]bool  // nodes with a speaker that is ready
	standby        bool                  // this node announces only what no other one may
}

// Problems are what is wrong with objects, as far as this node is concerned.
type Problems struct {
	// Sentences about all objects, the peers included.
	Sentences []string
	// Peers of this node that have a problem.
	Peers map[bgp.PeerName]bgp.PeerState
}

// Watched are the kinds that the feed looks at.
func Watched() []client.Object {
	return []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}, &corev1.Node{}, &corev1.Pod{},
		&v1beta1.BGPAdvertisement{}, &v1beta1.BGPPeer{}, &v1beta1.BFDProfile{}, &v1beta1.Community{}, &corev1.Secret{}, informers.Namespaces(), &v1beta1.LoadBalancerStack{},
	}
}

// Start watches until the context ends. It implements manager.Runnable. There is no
// session before everything has been seen once: the routes that a router gets at first
// are then all that there are, and the end of them is true (RFC 4724 section 4.1).
func (f *Feed) Start(ctx context.Context) error {
	f.planner = routes.New()
	f.planner.Remember(f.Before)
	return f.Objects.Run(ctx, 0, f.round, Watched()...)
}

// round reads what has changed.
func (f *Feed) round(changes informers.Changes) {
	f.Passes.Begin()
	defer f.Passes.End()
	defer f.reportRefused()
	if !f.changed(changes) {
		changes.Apply(f.planner)
		f.send(changes.Since)
		return
	}
	c := f.read(changes)
	f.planner.SetConfig(c.Config) // first: it decides whether what is claimed may be announced
	changes.Apply(f.planner)
	f.planner.Settle()
	if outside := f.planner.Outside(); !slices.Equal(outside, f.outside) {
		f.outside = outside
		f.Outside(outside)
	}
	f.send(changes.Since)
	f.Sessions.SetDraining(c.draining)
	if !slices.Equal(c.internal, f.internal) {
		f.internal = c.internal
		f.Sessions.SetInternalIPs(c.internal)
	}
	if f.peers == nil || !reflect.DeepEqual(f.peers, c.peers) {
		f.peers = append([]bgp.Peer{}, c.peers...)
		f.Sessions.SetPeers(c.peers, f.planner.Table)
	}
	if problems := (Problems{c.sentences(f.planner.Conflicts()), c.states}); !reflect.DeepEqual(problems, f.reported) {
		f.reported = problems
		f.Problems(problems)
	}
}

// changed reports whether something changed that holds for all addresses. Of other nodes and
// their speakers only few changes do, and all addresses are looked at then.
func (f *Feed) changed(changes informers.Changes) bool {
	if changes.Changed(slices.DeleteFunc(Watched(), ofNodes)...) {
		return true
	}
	if f.standby && changes.Changed(&corev1.Pod{}) && !maps.Equal(f.speakers, readySpeakers(changes)) {
		return true
	}
	return changes.Changed(&corev1.Node{}) && !slices.EqualFunc(f.nodes, changes.Nodes(), f.alike)
}

// alike reports whether it makes no difference to this node's routes which of two nodes
// there is.
func (f *Feed) alike(x, y eligibility.Node) bool {
	if x.Name == f.Self || y.Name == f.Self || f.standby {
		return reflect.DeepEqual(x, y)
	}
	return x.Name == y.Name && slices.Equal(x.Addresses, y.Addresses)
}

func ofNodes(o client.Object) bool {
	switch o.(type) {
	case *corev1.Node, *corev1.Pod:
		return true
	}
	return false
}

// readySpeakers returns the nodes on which a speaker is ready.
func readySpeakers(changes informers.Changes) map[lb.NodeName]bool {
	ready := map[lb.NodeName]bool{}
	for _, pod := range informers.All[*corev1.Pod](changes) {
		if pod.DeletionTimestamp.IsZero() && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			ready[lb.NodeName(pod.Spec.NodeName)] = true
		}
	}
	return ready
}

// maxRefused is how many refused addresses are named; the others are counted.
const maxRefused = 3

func (f *Feed) reportRefused() {
	count, first := f.planner.Refused(maxRefused)
	if count != f.refusals || !slices.Equal(first, f.refused) {
		f.refusals, f.refused = count, first
		f.Refused(count, first)
	}
}

// send sends changes to the sessions that there are, and when their reason arrived. New
// ones ask for all.
func (f *Feed) send(since time.Time) {
	for peer, change := range f.planner.Changes() {
		f.Sessions.SetRoutes(peer, change.Announce, change.Withdraw, since)
	}
}
