// Command controller gives Services of type LoadBalancer their addresses.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers"
	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/version"
)

type options struct {
	logLevel, class, namespace, metricsAddress, healthAddress string
}

func main() {
	var o options
	flag.StringVar(&o.logLevel, "log-level", "info", "how much to log: error, info or debug")
	flag.StringVar(&o.class, "load-balancer-class", "", "serve Services of this spec.loadBalancerClass; empty: Services without one")
	flag.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the leader election lease (default: $POD_NAMESPACE)")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served; 0: nowhere")
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0: nowhere")
	flag.Parse()
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	log, err := logging.New(o.logLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	log.Info("starting", "version", version.Version, "loadBalancerClass", o.class)

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return fmt.Errorf("registering Kubernetes' kinds: %w", err)
	}
	if err := v1beta1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("registering lbstack's kinds: %w", err)
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "lbstack-controller/" + version.Version
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Logger:                        log,
		Cache:                         cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                true,
		LeaderElectionID:              "lbstack-controller",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(6 * time.Second),
		RenewDeadline:                 new(4 * time.Second),
		RetryPeriod:                   new(time.Second),
	})
	if err != nil {
		return fmt.Errorf("preparing the controller: %w", err)
	}
	if err := controllers.Setup(mgr, o.class); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
