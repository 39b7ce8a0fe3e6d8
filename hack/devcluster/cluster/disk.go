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

const kubeletClient = "kube-apiserver-kubelet-client"

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
	if exists(filepath.Join(c.pkiDir(), "admin.crt")) {
		return nil
	}
	files := map[string][]byte{}
	ca, err := pki.New("devcluster-" + c.name)
	if err != nil {
		return err
	}
	files["ca.crt"], files["ca.key"] = ca.CertPEM(), ca.KeyPEM()
	front, err := pki.New("devcluster-" + c.name + "-front-proxy")
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
	data := pki.Kubeconfig(c.server(), ca, pki.Pair{CertPEM: cert, KeyPEM: key})
	return writeFiles(c.dir, map[string][]byte{filepath.Base(c.KubeconfigPath()): data})
}

// writeDisk writes the host's configuration to its disk. Existing certificates
// stay.
func (c *Cluster) writeDisk(host plan.Host, cgroupV1 bool) error {
	disk := c.diskDir(host.Name)
	for _, dir := range []string{"lib/kubelet", "log", "tmp", "cache"} {
		if err := os.MkdirAll(filepath.Join(disk, dir), 0o755); err != nil {
			return fmt.Errorf("making the disk: %w", err)
		}
	}
	if err := os.Symlink("/run", filepath.Join(disk, "run")); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the disk: %w", err)
	}
	dir := filepath.Join(disk, config.DirOnDisk)
	files := map[string][]byte{}
	for name, content := range config.Files(host, cgroupV1) {
		files[name] = []byte(content)
	}
	if host.Kubernetes() && !exists(filepath.Join(dir, "kube-proxy.kubeconfig")) {
		secrets, err := c.secrets(host)
		if err != nil {
			return err
		}
		for name, content := range secrets {
			files[name] = content
		}
	}
	return writeFiles(dir, files)
}

// secrets issues the certificates of the host's programs.
func (c *Cluster) secrets(host plan.Host) (map[string][]byte, error) {
	issue, err := c.issuer()
	if err != nil {
		return nil, err
	}
	issue.kubeconfig("kube-proxy", "system:kube-proxy")
	if host.IsNode() {
		issue.pair("kubelet", pki.Request{
			CommonName: "system:node:" + host.Name, Organizations: []string{"system:nodes"},
			DNSNames: []string{host.Name}, Addresses: []netip.Addr{host.V4, host.V6},
		})
		issue.kubeconfig("kubelet", "system:node:"+host.Name, "system:nodes")
		return issue.files, errors.Join(issue.problems...)
	}
	issue.kubeconfig(config.ControllerManager, "system:kube-controller-manager")
	issue.kubeconfig(config.Scheduler, "system:kube-scheduler")
	issue.pair("kubelet-client", pki.Request{CommonName: kubeletClient})
	issue.pair(config.APIServer, pki.Request{
		CommonName: config.APIServer,
		DNSNames: []string{"localhost", host.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"},
		Addresses: append(plan.APIServiceAddresses(), host.V4, host.V6,
			netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()),
	})
	for _, name := range []string{"ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt"} {
		issue.take(name)
	}
	issue.frontProxy()
	return issue.files, errors.Join(issue.problems...)
}

// issuer issues certificates for one host, and collects them as files.
type issuer struct {
	cluster  *Cluster
	ca       *pki.CA
	server   string
	files    map[string][]byte
	problems []error
}

func (c *Cluster) issuer() (*issuer, error) {
	ca, err := c.authority("ca")
	if err != nil {
		return nil, err
	}
	controlPlane, _ := plan.Find(0, plan.ControlPlane)
	server := "https://" + net.JoinHostPort(controlPlane.V4.String(), strconv.Itoa(plan.APIPort))
	return &issuer{cluster: c, ca: ca, server: server, files: map[string][]byte{"ca.crt": ca.CertPEM()}}, nil
}

func (i *issuer) pair(name string, request pki.Request) {
	i.add(name, i.ca, request)
}

func (i *issuer) add(name string, ca *pki.CA, request pki.Request) {
	pair, err := ca.Issue(request)
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name+".crt"], i.files[name+".key"] = pair.CertPEM, pair.KeyPEM
}

func (i *issuer) kubeconfig(name, user string, groups ...string) {
	pair, err := i.ca.Issue(pki.Request{CommonName: user, Organizations: groups})
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name+".kubeconfig"] = pki.Kubeconfig(i.server, i.ca.CertPEM(), pair)
}

func (i *issuer) take(name string) {
	data, err := i.cluster.readPKI(name)
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.files[name] = data
}

func (i *issuer) frontProxy() {
	ca, err := i.cluster.authority("front-proxy-ca")
	if err != nil {
		i.problems = append(i.problems, err)
		return
	}
	i.add("front-proxy-client", ca, pki.Request{CommonName: "front-proxy-client"})
}

func (c *Cluster) authority(name string) (*pki.CA, error) {
	cert, errCert := c.readPKI(name + ".crt")
	key, errKey := c.readPKI(name + ".key")
	if err := errors.Join(errCert, errKey); err != nil {
		return nil, err
	}
	return pki.Parse(cert, key)
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
