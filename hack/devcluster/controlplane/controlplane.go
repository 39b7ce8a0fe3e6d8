package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// ControlPlane is a running etcd and API server. Its methods are safe for
// concurrent use. The programs end with Stop, or when this process ends in any
// way.
type ControlPlane struct {
	options     Options
	dir         string
	temporary   bool // Stop removes dir
	credentials clusterCredentials
	port        int
	client      *http.Client

	mu                sync.Mutex // guards the fields below
	etcd              *childProcess
	apiServer         *childProcess // nil in an outage
	controllerManager *childProcess // nil unless StartControllerManager was called
}

// Start starts etcd and the API server and returns when the API server is ready. If the
// context is done before that, Start stops both programs and returns an error. After
// Start has returned, the context has no effect. If a program fails, the error contains
// the last lines of its log.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	o = o.withDefaults()
	dir, temporary, err := o.makeWorkDir()
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{options: o, dir: dir, temporary: temporary}
	if err := cp.startAll(ctx); err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return cp, nil
}

func (cp *ControlPlane) startAll(ctx context.Context) error {
	begin := time.Now()
	credentials, err := newCredentials(cp.options.ServiceCIDRs)
	if err != nil {
		return err
	}
	cp.credentials = credentials
	if cp.client, err = credentials.httpClient(); err != nil {
		return err
	}
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if err := cp.startEtcd(); err != nil {
		return err
	}
	if err := cp.startAPIServerOnFreePort(ctx); err != nil {
		return err
	}
	fmt.Fprintf(cp.options.Log, "the API server is ready on %s after %.1f s, logs in %s\n",
		cp.ServerURL(), time.Since(begin).Seconds(), cp.dir)
	return nil
}

// ServerURL returns the URL of the API server. The URL stays the same after an outage.
func (cp *ControlPlane) ServerURL() string { return fmt.Sprintf("https://127.0.0.1:%d", cp.port) }

// CAPEM returns the certificate of the certificate authority. The authority signed the
// certificate of the API server.
func (cp *ControlPlane) CAPEM() []byte { return cp.credentials.ca.CertPEM() }

// CertPEM returns the certificate of the admin, a client that may do everything (group
// system:masters).
func (cp *ControlPlane) CertPEM() []byte { return cp.credentials.admin.CertPEM }

// KeyPEM returns the private key that belongs to CertPEM.
func (cp *ControlPlane) KeyPEM() []byte { return cp.credentials.admin.KeyPEM }

// KubeconfigPath returns the path of the admin's kubeconfig file.
func (cp *ControlPlane) KubeconfigPath() string { return cp.filePath(kubeconfigFile) }

// StopAPIServer begins an outage. When it returns, the API server has ended, so its
// connections are closed. The data stays. StopAPIServer returns an error if the API server
// had already ended.
func (cp *ControlPlane) StopAPIServer() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.apiServer == nil {
		return errors.New("stopping the API server: it does not run")
	}
	cp.client.CloseIdleConnections()
	err := cp.apiServer.stop()
	cp.apiServer = nil
	return err
}

// StartAPIServer ends an outage and returns when the API server is ready. The port, the
// certificates and the data are the same as before the outage. StartAPIServer can be
// called again after an error.
func (cp *ControlPlane) StartAPIServer(ctx context.Context) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.etcd == nil {
		return errors.New("starting the API server: the control plane is stopped")
	}
	if cp.apiServer != nil {
		return errors.New("starting the API server: it runs already")
	}
	return cp.startAPIServer(ctx)
}

// Stop stops all programs, and removes the directory if it is temporary. The error names
// the programs that had already ended by themselves. A second call does nothing.
func (cp *ControlPlane) Stop() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.client != nil {
		cp.client.CloseIdleConnections()
	}
	var errs []error
	for _, p := range []**childProcess{&cp.controllerManager, &cp.apiServer, &cp.etcd} {
		if *p != nil {
			errs = append(errs, (*p).stop())
			*p = nil
		}
	}
	if cp.temporary {
		if err := os.RemoveAll(cp.dir); err != nil {
			errs = append(errs, fmt.Errorf("removing the directory of the control plane: %w", err))
		}
	}
	return errors.Join(errs...)
}
