// Package app composes a speaker: the ARP and NDP responder, the layer 2 engine, the mesh, the BGP
// sessions, and the connection to Kubernetes. It defines the order in which these parts start, resume after
// a restart, and leave. cmd/speaker calls Run with the options of its command line.
package app

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/kube"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// Options are the options of a speaker.
type Options struct {
	kube.Options
	// MeshPort is the UDP port of the mesh, on the node's address.
	MeshPort uint16
	// KeyDir is the folder with the keys of the mesh.
	KeyDir string
	// StateDir is the folder on this node in which the checkpoint is stored: see package checkpoint.
	StateDir string
	// Detection is the profile of failure detection: how soon the loss of a node is detected.
	Detection mesh.Profile
	// GradualFailback allows addresses to move to other nodes, one by one, although nothing has failed.
	GradualFailback bool
	// LogLevel is error, info or debug.
	LogLevel string
}

// Run runs a speaker until the context ends, and then ends it without interrupting traffic (leaveGracefully).
// It returns early with an error if the speaker cannot start with these options or on this machine.
func Run(ctx context.Context, s Options) error {
	if err := boundMemory(); err != nil {
		return err
	}
	log, err := logging.New(s.LogLevel)
	if err != nil {
		return err
	}
	o, dog := s.Options, &watchdog.Watchdog{}
	o.Watchdog, o.OnInterface = dog, links.IsLocalAddress
	ctrl.SetLogger(log)
	log.Info("starting the speaker", "version", version.Version, "node", o.Node)
	if !o.Address.IsValid() || o.Node == "" || o.Namespace == "" {
		return fmt.Errorf("the node's name (%q), the node's address (%s) or the pod's namespace (%q) is missing: set the environment variables NODE_NAME, NODE_IP and POD_NAMESPACE", o.Node, o.Address, o.Namespace)
	}
	o.MetricsAddress = listenAddress(o.MetricsAddress, o.Address)
	keys, err := openKeys(s.KeyDir, log.WithName("keys"))
	if err != nil {
		return err
	}
	mgr, state, err := kube.NewManager(o, log)
	if err != nil {
		return err
	}
	// The responder and the engine end last: they answer for owned addresses until other nodes do.
	answering, silence := context.WithCancel(context.WithoutCancel(ctx))
	defer silence()
	store, stored := checkpoint.Open(s.StateDir, o.Node, log.WithName("checkpoint"))
	store.Changed, state.Checkpoint, state.MeshKeys = state.Nudge, store.Problem, keys.keyIDs
	defer store.Flush()
	go store.Run(answering)
	o.Before, o.Outside = stored.AnnouncedAddresses(), store.SaveOutsideAddresses
	engine := layer2.New(layer2.Config{
		Self: o.Node, Log: log.WithName("engine"), Report: state.SetReport, Save: store.SaveEngine, Resume: stored.Checkpoint,
		Failback: s.GradualFailback, Metrics: layer2.NewMetrics(metrics.Registry), Passes: dog.AddLoop("the layer 2 engine"),
	})
	peers, err := mesh.Start(mesh.Config{
		Node: o.Node, Address: netip.AddrPortFrom(o.Address, s.MeshPort), Keys: keys.sessionKeys(), Log: log.WithName("mesh"),
		Profile: s.Detection, View: engine.SetView, Metrics: mesh.NewMetrics(metrics.Registry), Passes: dog.AddLoop("the mesh"),
	})
	if err != nil {
		return err
	}
	defer func() { _ = peers.Stop() }()
	peers.Register(metrics.Registry)
	engine.Mesh = peers
	engine.Announcer = startResponder(answering, log.WithName("layer2"), engine, peers)
	objects := informers.NewSource(mgr.GetCache(), o.Namespace, log.WithName("informers"))
	if err := kube.AddRunnables(mgr, objects, o, engine, newPeersHandler(store, peers, engine), state); err != nil {
		return fmt.Errorf("preparing the speaker: %w", err)
	}
	routers, err := startRouting(answering, mgr, objects, o, state, log)
	if err != nil {
		return fmt.Errorf("preparing the sessions with routers: %w", err)
	}
	go dog.Run(ctx, func(err error) { termination.ExitHung("speaker", err) })
	go engine.Run(answering)
	go keys.followFolder(answering, peers, state.Nudge)
	go links.Watch(answering, log.WithName("links"), o.Address, engine.SetLinks)
	resumeCheckpoint(peers, engine, stored)
	failed := mgr.Start(ctx)
	log.Info("ending the speaker")
	leaveGracefully(engine, peers, routers)
	return failed
}

// listenAddress returns an address to listen on. An address without a host gets the node's address, so that
// the speaker does not listen on other addresses of the machine.
func listenAddress(listen string, node netip.Addr) string {
	if port, without := strings.CutPrefix(listen, ":"); without {
		return net.JoinHostPort(node.String(), port)
	}
	return listen
}
