// Command controller gives Services of type LoadBalancer their addresses.
package main

import (
	"context"
	"flag"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/controllers"
	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
)

func main() {
	o := manager.Options{Name: "lbstack-controller", QPS: 1000}
	logLevel := flag.String("log-level", "info", "how much to log: error, info or debug")
	class := flag.String("load-balancer-class", "", "spec.loadBalancerClass of the Services that get addresses; empty: the Services without this field")
	flag.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the leader election lease and of the Secrets with passwords (default: $POD_NAMESPACE)")
	o.AddFlags(flag.CommandLine, ":8081", ":8443")
	version.AddFlag(flag.CommandLine)
	if err := termination.ParseFlags(flag.CommandLine, os.Args[1:]); err != nil {
		termination.Exit("controller", err)
	}
	o.Hung = func(err error) { termination.ExitHung("controller", err) }
	if err := run(ctrl.SetupSignalHandler(), o, *logLevel, *class); err != nil {
		termination.Exit("controller", err)
	}
}

func run(ctx context.Context, o manager.Options, logLevel, class string) (err error) {
	if err := manager.BoundMemory(); err != nil {
		return err
	}
	if o.Log, err = logging.New(logLevel); err != nil {
		return err
	}
	ctrl.SetLogger(o.Log)
	o.Log.Info("starting the controller", "version", version.Version, "loadBalancerClass", class)
	scheme, err := manager.NewScheme()
	if err != nil {
		return err
	}
	o.Cache = controllers.CacheOptions(o.Namespace)
	mgr, err := manager.NewLeaderElected(o, scheme)
	if err != nil {
		return err
	}
	if err := controllers.Setup(mgr, class, o.Namespace, metrics.Registry); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
