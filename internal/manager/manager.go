// Package manager prepares the controller-runtime managers of the programs: their scheme, their HTTP servers
// and, for leader-elected programs, the lease and the transport.
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

// Options are the options of a leader-elected program.
type Options struct {
	// Name is the name of the program. The lease has this name, and the user agent contains it.
	Name string
	// Namespace is the namespace of the lease.
	Namespace string
	// HTTPEndpoints are the addresses on which the program serves HTTP.
	HTTPEndpoints
	// QPS is the maximum number of requests a second to the API server. Twice as many may be sent at once.
	QPS int
	// Cache configures which objects are cached.
	Cache cache.Options
	// Log is the logger of the manager and its controllers.
	Log logr.Logger
	// Hung is called when a part of the program hangs. It must end the program.
	Hung func(error)
}

// NewScheme returns a scheme with the kinds of Kubernetes and of lbstack.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1beta1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering the API kinds: %w", err)
	}
	return scheme, nil
}

// RESTConfig returns the configuration of the connection to the API server. The cluster is the one that
// $KUBECONFIG names, or else the one in which this program runs.
func RESTConfig(program string) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the connection to the API server: %w", err)
	}
	config.UserAgent = program + "/" + version.Version
	// The API server would compress each event of a watch separately, and again for each client. With a
	// speaker on every node, the compression costs more than it saves.
	config.DisableCompression = true
	return config, nil
}

// NewLeaderElected returns a manager whose controllers run only in the leading instance. All instances answer
// health checks.
func NewLeaderElected(o Options, scheme *runtime.Scheme) (ctrl.Manager, error) {
	cluster, err := RESTConfig(o.Name)
	if err != nil {
		return nil, err
	}
	cluster.Dial = (&net.Dialer{Timeout: connectTimeout, KeepAlive: keepAliveInterval}).DialContext
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
	if err := AddServers(mgr, o.HTTPEndpoints, o.Name, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", o.Name, err)
	}
	return mgr, nil
}

// NoMetricsServer returns options with which controller-runtime serves no metrics, since its server does
// not limit requests. No option is needed for its health checks, which it serves only if an address is
// set.
func NoMetricsServer() metricsserver.Options { return metricsserver.Options{BindAddress: "0"} }
