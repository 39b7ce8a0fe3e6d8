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

// Options say who this speaker is, and where it can be asked.
type Options struct {
	// Node is this node's name.
	Node lb.NodeName
	// Address is this node's.
	Address netip.Addr
	// OnInterface returns whether an interface of the machine has an address. The speaker ends
	// when none has Address any more and the Node has another one; nil: it never does.
	OnInterface func(netip.Addr) (bool, error)
	// Namespace of the speakers' pods.
	Namespace string
	// Endpoints are what the speaker serves. It shares the node's network: what is not on
	// loopback is open to all that reach the node.
	lbmanager.Endpoints
	// Before are the addresses that could be announced before this process started, and
	// Outside takes those that may be announced although no pool lists them any more, when
	// they are others: what is in use outlives the process.
	Before  []netip.Addr
	Outside func([]netip.Addr)
	// Watchdog watches what follows the cluster; nil: nothing does.
	Watchdog *watchdog.Watchdog
}

// NewManager returns a manager with a cache of what the speaker looks at, and
// the writer of this node's SpeakerState.
func NewManager(o Options, log logr.Logger) (manager.Manager, *StateWriter, error) {
	scheme, err := lbmanager.Scheme()
	if err != nil {
		return nil, nil, err
	}
	config, err := lbmanager.Config("lbstack-speaker")
	if err != nil {
		return nil, nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:         scheme,
		MapperProvider: mapper,
		Logger:         log,
		Cache:          cached(o.Namespace),
		// The state is written seldom and must be read fresh.
		Client:  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&v1beta1.SpeakerState{}, &v1beta1.SpeakerRouteSlice{}}}},
		Metrics: lbmanager.Nowhere(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the speaker: %w", err)
	}
	return mgr, NewStateWriter(mgr.GetCache(), mgr.GetClient(), o.Node, log.WithName("state")), nil
}

// Connect has the manager bring the engine what the cluster wants, and join where
// the peers are; the node is ready when the engine has acted. The engine itself runs
// for longer than the manager: what is owned is answered for until others do.
func Connect(mgr manager.Manager, objects *informers.Source, o Options, engine *layer2.Engine, join func(map[lb.NodeName]netip.Addr), state *StateWriter) error {
	watcher := &Watcher{
		Objects: objects, Self: o.Node, Before: o.Before, Snapshot: engine.SetSnapshot, Change: engine.SetChange, Peers: join,
		Passes: o.Watchdog.Loop("what follows the cluster for layer 2"),
	}
	state.Partitioned = engine.SetPartitioned
	ready := func() error {
		if !engine.Synced() {
			return errors.New("the speaker has not seen the cluster, its peers and its links yet")
		}
		return nil
	}
	var moved error
	if o.OnInterface != nil {
		moved = mgr.Add(&addressWatch{reader: mgr.GetCache(), self: o.Node, address: o.Address, onInterface: o.OnInterface, log: mgr.GetLogger().WithName("address")})
	}
	return errors.Join(
		mgr.Add(watcher), mgr.Add(state), moved,
		lbmanager.Serve(mgr, o.Endpoints, "lbstack-speaker", ready),
	)
}
