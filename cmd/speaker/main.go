// Command speaker announces the addresses that its node owns.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/internal/arp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/kube"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/membership"
)

// leaveWithin bounds how long the others get to take over when this one stops.
const leaveWithin = time.Second

func main() {
	var o kube.Options
	node := flag.String("node", os.Getenv("NODE_NAME"), "name of this node (default: $NODE_NAME)")
	address := flag.String("address", os.Getenv("NODE_IP"), "address of this node (default: $NODE_IP)")
	flag.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the speakers (default: $POD_NAMESPACE)")
	flag.IntVar(&o.HealthPort, "health-port", 7573, "port of /healthz and /readyz on the node's address")
	flag.StringVar(&o.MetricsAddress, "metrics-bind-address", "127.0.0.1:7574", "where metrics are served; 0: nowhere")
	port := flag.Uint("member-port", 7946, "port of the mesh between speakers, UDP and TCP, on the node's address")
	keyFile := flag.String("member-key-file", "/etc/lbstack/memberlist/secretkey", "file with the 32 bytes key of the mesh")
	level := flag.String("log-level", "info", "how much to log: error, info or debug")
	flag.Parse()
	o.Node = lb.NodeName(*node)
	if err := run(ctrl.SetupSignalHandler(), o, *address, uint16(*port), *keyFile, *level); err != nil {
		fmt.Fprintln(os.Stderr, "speaker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o kube.Options, address string, port uint16, keyFile, level string) (err error) {
	log, err := logging.New(level)
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	log.Info("starting", "version", version.Version, "node", o.Node)
	if o.Address, err = netip.ParseAddr(address); err != nil || o.Node == "" || o.Namespace == "" {
		return fmt.Errorf("who am I? node %q, address %q, namespace %q: set NODE_NAME, NODE_IP and POD_NAMESPACE", o.Node, address, o.Namespace)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("reading the key of the mesh: %w", err)
	}
	mesh, err := membership.Start(membership.Config{
		Node: o.Node, Address: netip.AddrPortFrom(o.Address, port), Key: key, Log: log.WithName("mesh"),
	})
	if err != nil {
		return err
	}
	mgr, state, err := kube.NewManager(o, log)
	if err != nil {
		return err
	}
	// What is owned is answered for until the others have taken over: the
	// responder ends after everything else.
	answering, silence := context.WithCancel(context.WithoutCancel(ctx))
	defer silence()
	listen := func(l speaker.Link) (layer2.Conn, error) {
		return arp.Listen(&net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.Hardware})
	}
	responder := layer2.New(answering, log.WithName("layer2"), listen, layer2.NewMetrics(metrics.Registry))
	engine := speaker.New(o.Node, log.WithName("engine"), responder, state.Report)
	if err := kube.Connect(mgr, o, engine, mesh.Join, state); err != nil {
		return fmt.Errorf("preparing the speaker: %w", err)
	}
	go links.Watch(ctx, log.WithName("links"), o.Address, func(list []speaker.Link) {
		engine.SetLinks(list)
		mesh.SetLinks(list)
	})
	go mesh.Tell(ctx, engine.SetLive)
	failed := mgr.Start(ctx)
	if err := mesh.Leave(leaveWithin); err != nil {
		log.Error(err, "leaving the mesh")
	}
	return failed
}
