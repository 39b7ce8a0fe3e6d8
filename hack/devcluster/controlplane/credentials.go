package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/pki"
)

// Files in the directory of a control plane. The programs run in that directory, so they
// get the names without a path. A Unix socket with a path could exceed the 108 bytes that
// the kernel allows.
const (
	etcdDataDir          = "etcd"
	etcdSocket           = "etcd.sock"
	etcdPeerSocket       = "peer.sock"
	caFile               = "ca.crt"
	serverCertFile       = "apiserver.crt"
	serverKeyFile        = "apiserver.key"
	signingKeyFile       = "serviceaccount.key"
	signingPublicKeyFile = "serviceaccount.pub"
	kubeconfigFile       = "admin.kubeconfig"
	kubectlCacheDir      = "kubectl-cache"
)

// requestTimeout is the timeout of one readiness check.
const requestTimeout = 5 * time.Second

// clusterCredentials are the keys and certificates of a control plane.
type clusterCredentials struct {
	ca                        *pki.CA
	server, admin             pki.KeyPair
	signingKey, signingPublic []byte
}

func newCredentials(serviceCIDRs []netip.Prefix) (clusterCredentials, error) {
	ca, err := pki.NewCA("lbstack-controlplane")
	if err != nil {
		return clusterCredentials{}, err
	}
	c := clusterCredentials{ca: ca}
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, cidr := range serviceCIDRs {
		// The Service "kubernetes" has the first address of a range.
		addresses = append(addresses, cidr.Masked().Addr().Next())
	}
	c.server, err = ca.Issue(pki.Request{
		CommonName: "kube-apiserver",
		DNSNames:   []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		Addresses:  addresses,
	})
	if err != nil {
		return clusterCredentials{}, err
	}
	c.admin, err = ca.Issue(pki.Request{CommonName: "admin", Organizations: []string{"system:masters"}})
	if err != nil {
		return clusterCredentials{}, err
	}
	c.signingKey, c.signingPublic, err = pki.NewSigningKey()
	return c, err
}

// write writes the credentials into a directory, as files for the programs. server is the
// URL of the API server.
func (c clusterCredentials) write(dir, server string) error {
	for name, content := range map[string][]byte{
		caFile:               c.ca.CertPEM(),
		serverCertFile:       c.server.CertPEM,
		serverKeyFile:        c.server.KeyPEM,
		signingKeyFile:       c.signingKey,
		signingPublicKeyFile: c.signingPublic,
		kubeconfigFile:       pki.Kubeconfig(server, c.ca.CertPEM(), c.admin),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("writing the credentials of the control plane: %w", err)
		}
	}
	return nil
}

// httpClient returns a client that trusts the API server and may do everything.
func (c clusterCredentials) httpClient() (*http.Client, error) {
	pair, err := tls.X509KeyPair(c.admin.CertPEM, c.admin.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate of the admin: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.ca.CertPEM()) {
		return nil, errors.New("loading the certificate of the authority: it is not PEM")
	}
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{ // without a proxy: the server is on this machine
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

func (cp *ControlPlane) filePath(name string) string { return filepath.Join(cp.dir, name) }
