// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/hack/devcluster/pki"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// kubeletClientName is the user as which the API server sends requests to kubelets.
const kubeletClientName = "kube-apiserver-kubelet-client"

func (c *Cluster) pkiDir() string { return filepath.Join(c.dir, "pki") }

func (c *Cluster) readPKI(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(c.pkiDir(), name))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's certificates: %w", err)
	}
	return data, nil
}

// ensurePKI makes the certificate authorities, the signing key of service
// accounts and the administrator's certificate, unless they exist.
func (c *Cluster) ensurePKI() error {
	if fileExists(filepath.Join(c.pkiDir(), "admin.crt")) {
		return nil
	}
	files := map[string][]byte{}
	ca, err := pki.NewCA("devcluster-" + c.name)
	if err != nil {
		return err
	}
	files["ca.crt"], files["ca.key"] = ca.CertPEM(), ca.KeyPEM()
	front, err := pki.NewCA("devcluster-" + c.name + "-front-proxy")
	if err != nil {
		return err
	}
	files["front-proxy-ca.crt"], files["front-proxy-ca.key"] = front.CertPEM(), front.KeyPEM()
	if files["sa.key"], files["sa.pub"], err = pki.NewSigningKey(); err != nil {
		return err
	}
	admin, err := ca.Issue(pki.Request{CommonName: "admin", Organizations: []string{"system:masters"}})
	if err != nil {
		return err
	}
	files["admin.key"] = admin.KeyPEM
	if err := writeFiles(c.pkiDir(), files); err != nil {
		return err
	}
	// admin.crt is written last: its existence means that all other files
	// exist.
	return writeFiles(c.pkiDir(), map[string][]byte{"admin.crt": admin.CertPEM})
}

// writeKubeconfig writes the administrator's kubeconfig for this machine.
func (c *Cluster) writeKubeconfig() error {
	ca, errCA := c.readPKI("ca.crt")
	cert, errCert := c.readPKI("admin.crt")
	key, errKey := c.readPKI("admin.key")
	if err := errors.Join(errCA, errCert, errKey); err != nil {
		return err
	}
	data := pki.Kubeconfig(c.serverURL(), ca, pki.KeyPair{CertPEM: cert, KeyPEM: key})
	return writeFiles(c.dir, map[string][]byte{filepath.Base(c.KubeconfigPath()): data})
}

// writeDisk writes the host's configuration to its disk. Existing certificates
// stay.
func (c *Cluster) writeDisk(host plan.Host, cgroupV1 bool) error {
	disk := c.diskDir(host.Name)
	for _, dir := range []string{"lib/kubelet", "log", "tmp", "cache"} {
		if err := os.MkdirAll(filepath.Join(disk, dir), 0o755); err != nil {
			return fmt.Errorf("making a folder on the disk: %w", err)
		}
	}
	if err := os.Symlink("/run", filepath.Join(disk, "run")); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the link to /run on the disk: %w", err)
	}
	dir := filepath.Join(disk, config.DirOnDisk)
	files := map[string][]byte{}
	for name, content := range config.Files(host, cgroupV1) {
		files[name] = []byte(content)
	}
	if host.RunsKubernetes() && !fileExists(filepath.Join(dir, "kube-proxy.kubeconfig")) {
		secrets, err := c.issueSecrets(host)
		if err != nil {
			return err
		}
		for name, content := range secrets {
			files[name] = content
		}
	}
	return writeFiles(dir, files)
}

// issueSecrets returns the certificates, keys and kubeconfigs of the host's programs, by
// file name.
func (c *Cluster) issueSecrets(host plan.Host) (map[string][]byte, error) {
	issue, err := c.newIssuer()
	if err != nil {
		return nil, err
	}
	issue.addKubeconfig("kube-proxy", "system:kube-proxy")
	if host.IsNode() {
		issue.addPair("kubelet", pki.Request{
			CommonName: "system:node:" + host.Name, Organizations: []string{"system:nodes"},
			DNSNames: []string{host.Name}, Addresses: []netip.Addr{host.V4, host.V6},
		})
		issue.addKubeconfig("kubelet", "system:node:"+host.Name, "system:nodes")
		return issue.files, errors.Join(issue.problems...)
	}
	issue.addKubeconfig(config.ControllerManager, "system:kube-controller-manager")
	issue.addKubeconfig(config.Scheduler, "system:kube-scheduler")
	issue.addPair("kubelet-client", pki.Request{CommonName: kubeletClientName})
	issue.addPair(config.APIServer, pki.Request{
		CommonName: config.APIServer,
		DNSNames: []string{"localhost", host.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"},
		Addresses: append(plan.APIServiceAddresses(), host.V4, host.V6,
			netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()),
	})
	for _, name := range []string{"ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt"} {
		issue.addPKIFile(name)
	}
	issue.addFrontProxy()
	return issue.files, errors.Join(issue.problems...)
}

// certIssuer issues the certificates of one host and collects them as files.
type certIssuer struct {
	cluster  *Cluster
	ca       *pki.CA
	server   string
	files    map[string][]byte
	problems []error
}

func (c *Cluster) newIssuer() (*certIssuer, error) {
	ca, err := c.loadAuthority("ca")
	if err != nil {
		return nil, err
	}
	controlPlane, _ := plan.FindHost(0, plan.ControlPlane)
	server := "https://" + net.JoinHostPort(controlPlane.V4.String(), strconv.Itoa(plan.APIPort))
	return &certIssuer{cluster: c, ca: ca, server: server, files: map[string][]byte{"ca.crt": ca.CertPEM()}}, nil
}

func (i *certIssuer) addPair(name string, request pki.Request) {
	i.addCertificate(name, i.ca, request)
}

func (i *certIssuer) addCertificate(name string, ca *pki.CA, request pki.Request) {
	pair, err := ca.Issue(request)
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name+".crt"], i.files[name+".key"] = pair.CertPEM, pair.KeyPEM
}

func (i *certIssuer) addKubeconfig(name, user string, groups ...string) {
	pair, err := i.ca.Issue(pki.Request{CommonName: user, Organizations: groups})
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name+".kubeconfig"] = pki.Kubeconfig(i.server, i.ca.CertPEM(), pair)
}

func (i *certIssuer) addPKIFile(name string) {
	data, err := i.cluster.readPKI(name)
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name] = data
}

func (i *certIssuer) addFrontProxy() {
	ca, err := i.cluster.loadAuthority("front-proxy-ca")
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.addCertificate("front-proxy-client", ca, pki.Request{CommonName: "front-proxy-client"})
}

func (c *Cluster) loadAuthority(name string) (*pki.CA, error) {
	cert, errCert := c.readPKI(name + ".crt")
	key, errKey := c.readPKI(name + ".key")
	if err := errors.Join(errCert, errKey); err != nil {
		return nil, err
	}
	return pki.ParseCA(cert, key)
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("writing a file: %w", err)
		}
	}
	return nil
}
