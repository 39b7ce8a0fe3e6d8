// Package manager prepares the controller-runtime managers of the programs: the
// scheme and, for leader-elected programs, the lease and the transport.
package manager

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/version"
)

// Options of a leader-elected program.
type Options struct {
	// Name of the program: of its lease, and in the user agent.
	Name string
	// Namespace of the lease.
	Namespace string
	// Endpoints are what it serves.
	HTTPEndpoints
	// QPS bounds the requests a second to the API server; twice as many may come
	// at once.
	QPS int
	// Cache configures which objects are cached.
	Cache cache.Options
	// Log of the manager and its controllers.
	Log logr.Logger
	// Hung is called when a part of the program hangs, and ends the program.
	Hung func(error)
}

// Scheme returns a scheme with the kinds of Kubernetes and of lbstack.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1beta1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	return scheme, nil
}

// RESTConfig returns the configuration for the API server of the cluster in which this
// program runs, or that $KUBECONFIG names.
func RESTConfig(program string) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = program + "/" + version.Version
	// The API server compresses each event of a watch by itself, for each client anew: with a speaker on every
	// node that costs it more than the bytes that are saved cost the network of the cluster.
	config.DisableCompression = true
	return config, nil
}

// LeaderElected returns a manager whose controllers run in the instance that
// leads, and that answers health checks in all.
func LeaderElected(o Options, scheme *runtime.Scheme) (ctrl.Manager, error) {
	cluster, err := RESTConfig(o.Name)
	if err != nil {
		return nil, err
	}
	cluster.Dial = (&net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive}).DialContext
	lock, err := newLease(o, cluster)
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", o.Name, err)
	}
	cluster.QPS, cluster.Burst = float32(o.QPS), 2*o.QPS
	away := &atomic.Bool{}
	cluster.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return leaderTransport{redialer{next, o.Log, away}, lock}
	})
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                              scheme,
		Logger:                              o.Log,
		Cache:                               o.Cache,
		Metrics:                             NoMetricsServer(),
		LeaderElection:                      true,
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true,
		LeaseDuration:                       new(2 * longestOutage),
		RenewDeadline:                       new(longestOutage),
		RetryPeriod:                         new(retryPeriod),
		Controller:                          config.Controller{ReconciliationTimeout: passTimeout},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", o.Name, err)
	}
	if err := mgr.Add(hangWatcher{metrics.Registry, o.Hung}); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", o.Name, err)
	}
	if err := Serve(mgr, o.HTTPEndpoints, o.Name, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", o.Name, err)
	}
	return mgr, nil
}

// NoMetricsServer keeps controller-runtime from serving metrics: its server has no bounds. Its
// health checks are not served unless an address is set.
func NoMetricsServer() metricsserver.Options { return metricsserver.Options{BindAddress: "0"} }
