// Command operator installs lbstack, and maintains it as the LoadBalancerStack requests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/controllers/notify"
	"github.com/lbstack/lbstack/controllers/stack"
	"github.com/lbstack/lbstack/internal/logging"
	"github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
)

func main() {
	o := manager.Options{Name: "lbstack-operator", QPS: 100}
	logLevel := flag.String("log-level", "info", "how much to log: error, info or debug")
	upgradeCRDs := flag.Bool("upgrade-crds", false, "replace the CustomResourceDefinitions of lbstack in the cluster by those of this version, and exit")
	checks := flag.Bool("check", false, "wait until the operator runs and the LoadBalancerStack, if it exists, is Ready, then exit; after two minutes, exit with an error")
	image := flag.String("image", os.Getenv("RELATED_IMAGE_LBSTACK"), "image of the components (default: $RELATED_IMAGE_LBSTACK)")
	flag.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the operator, where the components run (default: $POD_NAMESPACE)")
	o.AddFlags(flag.CommandLine, ":8081", ":8443")
	version.AddFlag(flag.CommandLine)
	if err := termination.ParseFlags(flag.CommandLine, os.Args[1:]); err != nil {
		termination.Exit("operator", err)
	}
	o.Hung = func(err error) { termination.ExitHung("operator", err) }
	ctx := ctrl.SetupSignalHandler()
	work := func() error { return run(ctx, o, *logLevel, *image) }
	switch {
	case *upgradeCRDs:
		work = func() error { return upgradeAllCRDs(ctx) }
	case *checks:
		work = func() error { return checkInstallation(ctx, o.Namespace) }
	}
	if err := work(); err != nil {
		termination.Exit("operator", err)
	}
}

func run(ctx context.Context, o manager.Options, logLevel, image string) (err error) {
	if err := manager.BoundMemory(); err != nil {
		return err
	}
	if o.Log, err = logging.New(logLevel); err != nil {
		return err
	}
	ctrl.SetLogger(o.Log)
	if image == "" {
		return errors.New("no image for the components: set --image or RELATED_IMAGE_LBSTACK")
	}
	if o.Namespace == "" {
		return errors.New("no namespace for the components: set --namespace or POD_NAMESPACE")
	}
	o.Log.Info("starting the operator", "version", version.Version, "image", image)
	scheme, err := manager.NewScheme()
	if err != nil {
		return err
	}
	if o.Cache, err = stack.CacheOptions(scheme, o.Namespace); err != nil {
		return err
	}
	mgr, err := manager.NewLeaderElected(o, scheme)
	if err != nil {
		return err
	}
	cluster, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("preparing to read the version and the kinds of the API server: %w", err)
	}
	stacks := &stack.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Events: notify.New(mgr.GetEventRecorder(o.Name)), Image: image, Version: version.Version, Namespace: o.Namespace,
		OperatorCondition: os.Getenv("OPERATOR_CONDITION_NAME"),
		Kubernetes:        cluster.ServerVersion, Kinds: cluster.ServerResourcesForGroupVersion, Schemas: stack.SchemaReader(cluster.RESTClient()), Drift: stack.NewDrift(metrics.Registry),
	}
	if err := stacks.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the LoadBalancerStack controller: %w", err)
	}
	return mgr.Start(ctx)
}
