package manager

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/internal/access"
	"github.com/lbstack/lbstack/internal/httpserve"
	"github.com/lbstack/lbstack/internal/servingcert"
)

// HTTPEndpoints has the addresses on which a program serves HTTP, as host and port. The address "0" turns an
// endpoint off.
type HTTPEndpoints struct {
	// HealthAddress is the address of /healthz and /readyz, without TLS and for all clients.
	HealthAddress string
	// MetricsAddress is the address of /metrics, over TLS and for users that may get this path.
	MetricsAddress string
	// CertificateFolder is the folder with tls.crt and tls.key. Without these files the program signs its own
	// certificate, which clients cannot verify.
	CertificateFolder string
}

// AddFlags adds the flags of the endpoints. The parameters health and metrics are the default addresses.
func (e *HTTPEndpoints) AddFlags(set *flag.FlagSet, health, metrics string) {
	set.StringVar(&e.HealthAddress, "health-probe-bind-address", health, "address on which /healthz and /readyz are served; 0: they are not served")
	set.StringVar(&e.MetricsAddress, "metrics-bind-address", metrics, "address on which metrics are served over TLS; 0: they are not served")
	set.StringVar(&e.CertificateFolder, "metrics-cert-dir", "/etc/lbstack/metrics-tls", "folder with the certificate for metrics (tls.crt) and its key (tls.key); without these files a self-signed certificate is used")
}

// shutdownTimeout is how long requests that are under way may delay the end of a program.
const shutdownTimeout = time.Second

// AddServers adds the servers of the endpoints to a manager. It returns an error if an address is in use. The name
// is the name of the program. See the packages httpserve and access.
func AddServers(mgr ctrl.Manager, e HTTPEndpoints, name string, ready func() error) error {
	if e.HealthAddress != "0" {
		server, listener, err := httpserve.Listen(e.HealthAddress, httpserve.HealthHandler(ready), mgr.GetLogger().WithName("health"))
		if err := addServer(mgr, "health", server, listener, err); err != nil {
			return err
		}
	}
	if e.MetricsAddress == "0" {
		return nil
	}
	log := mgr.GetLogger().WithName("metrics")
	reviewer, err := access.NewAPIServer(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("serving metrics: %w", err)
	}
	gate := access.New(reviewer, access.NewMetrics(metrics.Registry), log)
	certificates := servingcert.New(e.CertificateFolder, name, log)
	server, listener, err := httpserve.ListenTLS(e.MetricsAddress, certificates.Get, httpserve.MetricsHandler(metrics.Registry, gate.Handler), log)
	return addServer(mgr, "metrics", server, listener, err)
}

// addServer adds a server to a manager. If that fails, it closes the listener. It returns err, with the name
// of the server, if err is not nil.
func addServer(mgr ctrl.Manager, name string, server *http.Server, listener net.Listener, err error) error {
	if err != nil {
		return fmt.Errorf("serving %s: %w", name, err)
	}
	if err := mgr.Add(&manager.Server{Name: name, Server: server, Listener: listener, ShutdownTimeout: new(shutdownTimeout)}); err != nil {
		return fmt.Errorf("serving %s: %w", name, errors.Join(err, listener.Close()))
	}
	return nil
}
