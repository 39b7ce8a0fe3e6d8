// Command operator installs lbstack, and keeps it as the LoadBalancerStack asks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/stack"
	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/version"
)

type options struct {
	logLevel, image, namespace, metricsAddress, healthAddress string
}

func main() {
	var o options
	flag.StringVar(&o.logLevel, "log-level", "info", "how much to log: error, info or debug")
	flag.StringVar(&o.image, "image", os.Getenv("RELATED_IMAGE_LBSTACK"), "image of the components (default: $RELATED_IMAGE_LBSTACK)")
	flag.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the leader election lease (default: $POD_NAMESPACE)")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served; 0: nowhere")
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0: nowhere")
	flag.Parse()
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	log, err := logging.New(o.logLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	if o.image == "" {
		return errors.New("no image for the components: set --image or RELATED_IMAGE_LBSTACK")
	}
	log.Info("starting", "version", version.Version, "image", o.image)

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
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "lbstack-operator/" + version.Version
	cached, err := stack.CacheOptions(scheme)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Logger:                        log,
		Cache:                         cached,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                true,
		LeaderElectionID:              "lbstack-operator",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(6 * time.Second),
		RenewDeadline:                 new(4 * time.Second),
		RetryPeriod:                   new(time.Second),
	})
	if err != nil {
		return fmt.Errorf("preparing the operator: %w", err)
	}
	stacks := &stack.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("lbstack-operator"),
		Image: o.image, Version: version.Version,
	}
	if err := stacks.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the LoadBalancerStack controller: %w", err)
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return fmt.Errorf("adding the health checks: %w", err)
	}
	return mgr.Start(ctx)
}
