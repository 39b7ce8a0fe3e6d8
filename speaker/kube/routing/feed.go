// Package routing reads from the cluster which BGP sessions and routes this node should have, and passes
// them to the BGP manager of the speaker.
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

// Sessions receives the configuration: see speaker/bgp.Manager.
type Sessions interface {
	SetPeers([]bgp.Peer, func(bgp.PeerName) routes.Table)
	SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, since time.Time)
	SetDraining(bool)
	SetInternalIPs([]netip.Addr)
}

// ConfigWatcher watches the cluster for sessions and routes of this node.
type ConfigWatcher struct {
	// Objects has the cached objects of the cluster.
	Objects *informers.Source
	// Self is the name of this node.
	Self lb.NodeName
	// Namespace of the speakers' pods and of the Secret with the passwords.
	Namespace string
	// Sessions receives the sessions and routes.
	Sessions Sessions
	// Before are the addresses that the previous speaker on this node was allowed to announce.
	Before []netip.Addr
	// Outside is called with all addresses that may be announced although their pool does not list them any
	// more, whenever these addresses change.
	Outside func([]netip.Addr)
	// Refused is called whenever the refused addresses change, which are addresses that Services hold and that
	// may not be announced. The argument count is their number, and first has the first few of them.
	Refused func(count int, first []eligibility.Refusal)
	// Source returns the source address that the kernel chooses for connections to a router in a VRF;
	// invalid: it is not known. Source may be nil.
	Source func(router netip.Addr, vrf string) netip.Addr
	// Problems is called whenever the problems change. It must not modify its argument.
	Problems func(Problems)
	// Passes records when each call of handleChanges begins and ends, for the watchdog; nil: nothing is
	// recorded.
	Passes *watchdog.Loop

	planner        *routes.Planner
	advertisements lastValid[*v1beta1.BGPAdvertisement, routes.Advertisement]
	bgpPeers       lastValid[*v1beta1.BGPPeer, apiconv.BGPPeer]
	inUse          map[bgp.PeerName]bgp.Peer
	selected       map[bgp.PeerName]bgp.Peer // the peers in effect, with the source address of their connections
	states         map[bgp.PeerName]bgp.PeerState
	peers          []bgp.Peer // reported last
	reported       Problems
	internal       []netip.Addr          // reported last
	outside        []netip.Addr          // reported last
	refusals       int                   // reported last
	refused        []eligibility.Refusal // reported last
	nodes          []eligibility.Node    // passed to the planner last
	speakers       map[lb.NodeName]bool  // nodes with a ready speaker, as of the last readConfig on standby
	standby        bool                  // this node takes no address, and announces only addresses that no other node may announce
}

// Problems are the problems of objects that concern this node.
type Problems struct {
	// Sentences describe the problems of all these objects, the peers included.
	Sentences []string
	// Peers has the peers of this node that have a problem.
	Peers map[bgp.PeerName]bgp.PeerState
}

// WatchedKinds returns the kinds that the watcher reads.
func WatchedKinds() []client.Object {
	return []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}, &corev1.Node{}, &corev1.Pod{},
		&v1beta1.BGPAdvertisement{}, &v1beta1.BGPPeer{}, &v1beta1.BFDProfile{}, &v1beta1.Community{}, &corev1.Secret{}, informers.NamespaceKind(), &v1beta1.LoadBalancerStack{},
	}
}

// Start watches until the context ends. It implements manager.Runnable. No session starts before all
// objects have been read. The first routes that a router gets are therefore complete, and the End-of-RIB
// marker after them is correct (RFC 4724 section 4.1).
func (f *ConfigWatcher) Start(ctx context.Context) error {
	f.planner = routes.NewPlanner()
	f.planner.Remember(f.Before)
	return f.Objects.Run(ctx, 0, f.handleChanges, WatchedKinds()...)
}

// handleChanges passes the changes to the planner, and the resulting configuration and routes to the
// sessions.
func (f *ConfigWatcher) handleChanges(changes informers.Changes) {
	f.Passes.Begin()
	defer f.Passes.End()
	defer f.reportRefused()
	if !f.hasConfigChanged(changes) {
		changes.Apply(f.planner)
		f.sendRoutes(changes.Since)
		return
	}
	c := f.readConfig(changes)
	f.planner.SetConfig(c.Config) // before Apply: whether a claimed address may be announced depends on the pools
	changes.Apply(f.planner)
	f.planner.Settle()
	if outside := f.planner.OutsidePool(); !slices.Equal(outside, f.outside) {
		f.outside = outside
		f.Outside(outside)
	}
	f.sendRoutes(changes.Since)
	f.Sessions.SetDraining(c.draining)
	if !slices.Equal(c.internal, f.internal) {
		f.internal = c.internal
		f.Sessions.SetInternalIPs(c.internal)
	}
	if f.peers == nil || !reflect.DeepEqual(f.peers, c.peers) {
		f.peers = append([]bgp.Peer{}, c.peers...)
		f.Sessions.SetPeers(c.peers, f.planner.Table)
	}
	if problems := (Problems{c.problemMessages(f.planner.Conflicts()), c.states}); !reflect.DeepEqual(problems, f.reported) {
		f.reported = problems
		f.Problems(problems)
	}
}

// hasConfigChanged reports whether something has changed that can affect all addresses, so that all are
// recomputed. Most changes of other nodes and of their speakers do not affect the routes of this node.
func (f *ConfigWatcher) hasConfigChanged(changes informers.Changes) bool {
	if changes.HasChanged(slices.DeleteFunc(WatchedKinds(), isNodeOrPod)...) {
		return true
	}
	if f.standby && changes.HasChanged(&corev1.Pod{}) && !maps.Equal(f.speakers, readySpeakers(changes)) {
		return true
	}
	return changes.HasChanged(&corev1.Node{}) && !slices.EqualFunc(f.nodes, changes.Nodes(), f.hasSameRoutes)
}

// hasSameRoutes reports whether two versions of a node lead to the same routes of this node.
func (f *ConfigWatcher) hasSameRoutes(x, y eligibility.Node) bool {
	if x.Name == f.Self || y.Name == f.Self || f.standby {
		return reflect.DeepEqual(x, y)
	}
	return x.Name == y.Name && slices.Equal(x.Addresses, y.Addresses)
}

func isNodeOrPod(o client.Object) bool {
	switch o.(type) {
	case *corev1.Node, *corev1.Pod:
		return true
	}
	return false
}

// readySpeakers returns the nodes that have a ready speaker.
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

// maxPassedRefusals is how many refused addresses Refused receives; further addresses are only counted.
const maxPassedRefusals = 3

func (f *ConfigWatcher) reportRefused() {
	count, first := f.planner.RefusedAddresses(maxPassedRefusals)
	if count != f.refusals || !slices.Equal(first, f.refused) {
		f.refusals, f.refused = count, first
		f.Refused(count, first)
	}
}

// sendRoutes passes the changes of routes to the sessions. The parameter since is when the change that caused
// them arrived. A new session does not need these changes: it requests all its routes (Planner.Table).
func (f *ConfigWatcher) sendRoutes(since time.Time) {
	for peer, change := range f.planner.Changes() {
		f.Sessions.SetRoutes(peer, change.Announce, change.Withdraw, since)
	}
}
