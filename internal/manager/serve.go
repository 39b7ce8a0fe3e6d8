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

// HTTPEndpoints are what a program serves over HTTP, with host and port; "0" means nowhere.
type HTTPEndpoints struct {
	// HealthAddress serves /healthz and /readyz, in plain text, to everybody.
	HealthAddress string
	// MetricsAddress serves /metrics over TLS, to users that may get this path.
	MetricsAddress string
	// CertificateFolder may have tls.crt and tls.key. Without them a program signs its own
	// certificate, which clients cannot verify.
	CertificateFolder string
}

// Flags adds the flags of the endpoints, with their defaults.
func (e *HTTPEndpoints) Flags(set *flag.FlagSet, health, metrics string) {
	set.StringVar(&e.HealthAddress, "health-probe-bind-address", health, "where /healthz and /readyz are served; 0: nowhere")
	set.StringVar(&e.MetricsAddress, "metrics-bind-address", metrics, "where metrics are served over TLS; 0: nowhere")
	set.StringVar(&e.CertificateFolder, "metrics-cert-dir", "/etc/lbstack/metrics-tls", "folder with the certificate for metrics, tls.crt, and its key, tls.key; without them a self-signed one is used")
}

// shutdownTimeout bounds how long requests that are under way may delay the end of a program.
const shutdownTimeout = time.Second

// Serve adds the servers of the endpoints to a manager; see httpserve and access. It returns an error
// if an address is in use. The name is that of the program.
func Serve(mgr ctrl.Manager, e HTTPEndpoints, name string, ready func() error) error {
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

// addServer adds a server to a manager, or closes its listener.
func addServer(mgr ctrl.Manager, name string, server *http.Server, listener net.Listener, err error) error {
	if err != nil {
		return fmt.Errorf("serving %s: %w", name, err)
	}
	if err := mgr.Add(&manager.Server{Name: name, Server: server, Listener: listener, ShutdownTimeout: new(shutdownTimeout)}); err != nil {
		return fmt.Errorf("serving %s: %w", name, errors.Join(err, listener.Close()))
	}
	return nil
}
