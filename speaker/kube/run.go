package kube

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	lbmanager "github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// Options are the options of the connection between this speaker and Kubernetes.
type Options struct {
	// Node is this node's name.
	Node lb.NodeName
	// Address is the address of this node.
	Address netip.Addr
	// OnInterface reports whether an interface of the machine has an address. The speaker ends when no
	// interface has Address any more and the Node has another one; nil: the speaker does not check.
	OnInterface func(netip.Addr) (bool, error)
	// Namespace of the speakers' pods.
	Namespace string
	// Endpoints are the addresses for probes and metrics. The speaker uses the network of its node, so every
	// client that can reach the node can reach an endpoint that is not on loopback.
	lbmanager.HTTPEndpoints
	// Before are the addresses that the previous speaker on this node was allowed to announce. They may still be
	// announced, even if no pool lists them any more.
	Before []netip.Addr
	// Outside is called with all addresses that may be announced although their pool does not list them any
	// more, whenever these addresses change. It stores them for the next speaker on this node (Before).
	Outside func([]netip.Addr)
	// Watchdog detects a hanging handler of cluster changes; may be nil.
	Watchdog *watchdog.Watchdog
}

// NewManager returns a manager with a cache of the objects that the speaker reads, and
// the writer of this node's SpeakerState.
func NewManager(o Options, log logr.Logger) (manager.Manager, *StateWriter, error) {
	scheme, err := lbmanager.NewScheme()
	if err != nil {
		return nil, nil, err
	}
	config, err := lbmanager.RESTConfig("lbstack-speaker")
	if err != nil {
		return nil, nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:         scheme,
		MapperProvider: newRESTMapper,
		Logger:         log,
		Cache:          cacheOptions(o.Namespace),
		// These objects are written rarely, and a write after an outdated read would fail with a conflict.
		Client:  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&v1beta1.SpeakerState{}, &v1beta1.SpeakerRouteSlice{}}}},
		Metrics: lbmanager.NoMetricsServer(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the speaker: %w", err)
	}
	return mgr, NewStateWriter(mgr.GetCache(), mgr.GetClient(), o.Node, log.WithName("state")), nil
}

// AddRunnables adds runnables to the manager. The first one passes the objects of the cluster to the engine,
// and calls the function join with the addresses of the other speakers. The others write the SpeakerState,
// watch the address of the node, and serve the HTTP endpoints. The speaker is ready as soon as the engine has
// completed a round. The engine runs longer than the manager: it answers for the addresses of this node until
// other nodes answer for them.
func AddRunnables(mgr manager.Manager, objects *informers.Source, o Options, engine *layer2.Engine, join func(map[lb.NodeName]netip.Addr), state *StateWriter) error {
	watcher := &Watcher{
		Objects: objects, Self: o.Node, Before: o.Before, OnSnapshot: engine.SetSnapshot, OnChange: engine.SetChange, OnPeers: join,
		Passes: o.Watchdog.AddLoop("the watcher of cluster objects for layer 2"),
	}
	state.Partitioned = engine.SetPartitioned
	ready := func() error {
		if !engine.HasSynced() {
			return errors.New("the speaker is not ready yet: it waits for the objects of the cluster, for the states of the other speakers, or for the network interfaces of this node")
		}
		return nil
	}
	var moved error
	if o.OnInterface != nil {
		moved = mgr.Add(&addressWatcher{reader: mgr.GetCache(), self: o.Node, address: o.Address, onInterface: o.OnInterface, log: mgr.GetLogger().WithName("address")})
	}
	return errors.Join(
		mgr.Add(watcher), mgr.Add(state), moved,
		lbmanager.AddServers(mgr, o.HTTPEndpoints, "lbstack-speaker", ready),
	)
}
