// Command speaker announces the addresses that its node owns.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/internal/watchdog"
	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/kube"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/mesh"
)

func main() {
	s, err := parse(flag.CommandLine, os.Args[1:])
	if err = cmp.Or(err, boundMemory()); err == nil {
		err = run(ctrl.SetupSignalHandler(), s)
	}
	if err != nil {
		termination.Exit("speaker", err)
	}
}

func run(ctx context.Context, s settings) error {
	log, err := logging.New(s.level)
	if err != nil {
		return err
	}
	o, dog := s.Options, &watchdog.Watchdog{}
	o.Watchdog, o.OnInterface = dog, links.OnInterface
	ctrl.SetLogger(log)
	log.Info("starting", "version", version.Version, "node", o.Node)
	if o.Address, err = netip.ParseAddr(s.address); err != nil || o.Node == "" || o.Namespace == "" {
		return fmt.Errorf("who am I? node %q, address %q, namespace %q: set NODE_NAME, NODE_IP and POD_NAMESPACE", o.Node, s.address, o.Namespace)
	}
	o.MetricsAddress = onNode(o.MetricsAddress, o.Address)
	keys, err := openKeys(s.keyDir, log.WithName("keys"))
	if err != nil {
		return err
	}
	mgr, state, err := kube.NewManager(o, log)
	if err != nil {
		return err
	}
	// What is owned is answered for until others do: the responder and the engine
	// end after everything else.
	answering, silence := context.WithCancel(context.WithoutCancel(ctx))
	defer silence()
	store, stored := checkpoint.Open(s.stateDir, o.Node, log.WithName("checkpoint"))
	store.Changed, state.Checkpoint, state.MeshKeys = state.Nudge, store.Problem, keys.ids
	defer store.Flush()
	go store.Run(answering)
	o.Before, o.Outside = stored.Announced(), store.SaveOutside
	engine := speaker.New(speaker.Config{
		Self: o.Node, Log: log.WithName("engine"), Report: state.Report, Keep: store.Save, Resume: stored.Kept,
		Failback: s.failback.is == "gradual", Metrics: speaker.NewMetrics(metrics.Registry), Passes: dog.Loop("the engine of layer 2"),
	})
	peers, err := mesh.Start(mesh.Config{
		Node: o.Node, Address: netip.AddrPortFrom(o.Address, uint16(s.port)), Keys: keys.keys(), Log: log.WithName("mesh"),
		Profile: mesh.Profile(s.detection.is), View: engine.SetView, Metrics: mesh.NewMetrics(metrics.Registry), Passes: dog.Loop("the mesh"),
	})
	if err != nil {
		return err
	}
	defer func() { _ = peers.Stop() }()
	peers.Register(metrics.Registry)
	engine.Mesh = peers
	engine.Announcer = respond(answering, log.WithName("layer2"), engine, peers)
	if err := kube.Connect(mgr, o, engine, joining(store, peers, engine), state); err != nil {
		return fmt.Errorf("preparing the speaker: %w", err)
	}
	routers, err := startRouting(answering, mgr, o, state, log)
	if err != nil {
		return fmt.Errorf("preparing the sessions with routers: %w", err)
	}
	go dog.Run(ctx, func(err error) { termination.ExitHung("speaker", err) })
	go engine.Run(answering)
	go keys.follow(answering, peers, state.Nudge)
	go links.Watch(answering, log.WithName("links"), o.Address, engine.SetLinks)
	resume(peers, engine, stored)
	failed := mgr.Start(ctx)
	log.Info("ending")
	leave(engine, peers, routers)
	return failed
}
