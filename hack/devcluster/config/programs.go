// SPDX-License-Identifier: Apache-2.0

// Package config renders the arguments and the configuration files of the
// programs of a cluster. The package is pure.
package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// The folder of a host's configuration files.
const (
	Dir       = "/var/" + DirOnDisk // within the host
	DirOnDisk = "lib/lbstack-bed"   // relative to the host's disk
)

// ContainerdSocket is the socket of containerd within the node.
const ContainerdSocket = "/run/containerd/containerd.sock"

// Names of the programs and of their logs.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Proxy             = "kube-proxy"
	Kubelet           = "kubelet"
	Containerd        = "containerd"
)

// Names of the binaries in hostinit.BinDir.
const (
	KubernetesBinary = "kubernetes"
	EtcdBinary       = "etcd"
)

// volumePluginDir is a folder that Kubernetes makes. It is on the host's disk, since the
// default folder is in /usr, which belongs to the machine.
const volumePluginDir = "/var/lib/kubelet/volume-plugins"

const etcdClientAddress = "127.0.0.1:2379"

// Programs returns the programs of the host, in the order in which they are
// started.
func Programs(host plan.Host) []hostinit.Program {
	if host.IsNode() {
		return nodePrograms(host)
	}
	switch host.Name {
	case plan.ControlPlane:
		return controlPlanePrograms(host)
	case plan.Router:
		return routerPrograms()
	}
	return nil
}

func controlPlanePrograms(host plan.Host) []hostinit.Program {
	api := "tcp:" + netip.AddrPortFrom(host.V4, plan.APIPort).String()
	const etcdPeer = "127.0.0.1:2380"
	return []hostinit.Program{
		{Name: Etcd, Args: []string{
			hostinit.BinDir + "/" + EtcdBinary, "--data-dir=/var/lib/etcd",
			"--listen-client-urls=http://" + etcdClientAddress, "--advertise-client-urls=http://" + etcdClientAddress,
			"--listen-peer-urls=http://" + etcdPeer, "--initial-advertise-peer-urls=http://" + etcdPeer,
			"--initial-cluster=default=http://" + etcdPeer, "--unsafe-no-fsync",
		}},
		kubernetesProgram(APIServer, "tcp:"+etcdClientAddress, apiServerArgs(host)...),
		kubernetesProgram(ControllerManager, api,
			"--kubeconfig="+configPath("kube-controller-manager.kubeconfig"),
			"--service-account-private-key-file="+configPath("sa.key"), "--root-ca-file="+configPath("ca.crt"),
			"--cluster-signing-cert-file="+configPath("ca.crt"), "--cluster-signing-key-file="+configPath("ca.key"),
			"--flex-volume-plugin-dir="+volumePluginDir,
			"--use-service-account-credentials", "--leader-elect=false",
			"--cluster-cidr="+joinPrefixes(plan.PodsV4, plan.PodsV6), "--allocate-node-cidrs=false"),
		kubernetesProgram(Scheduler, api, "--kubeconfig="+configPath("kube-scheduler.kubeconfig"), "--leader-elect=false"),
		kubernetesProgram(Proxy, api, "--config="+configPath("kube-proxy.yaml")),
	}
}

func apiServerArgs(host plan.Host) []string {
	return []string{
		"--etcd-servers=http://" + etcdClientAddress,
		"--advertise-address=" + host.V4.String(), "--bind-address=::", fmt.Sprintf("--secure-port=%d", plan.APIPort),
		"--tls-cert-file=" + configPath("kube-apiserver.crt"), "--tls-private-key-file=" + configPath("kube-apiserver.key"),
		"--client-ca-file=" + configPath("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + configPath("sa.pub"), "--service-account-signing-key-file=" + configPath("sa.key"),
		"--service-cluster-ip-range=" + joinPrefixes(plan.ServicesV4, plan.ServicesV6),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-client-certificate=" + configPath("kubelet-client.crt"), "--kubelet-client-key=" + configPath("kubelet-client.key"),
		"--kubelet-certificate-authority=" + configPath("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		// Aggregated API servers trust the headers with the caller's name only in
		// requests with the client certificate of --proxy-client-cert-file.
		"--requestheader-client-ca-file=" + configPath("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + configPath("front-proxy-client.crt"), "--proxy-client-key-file=" + configPath("front-proxy-client.key"),
	}
}

func nodePrograms(host plan.Host) []hostinit.Program {
	return []hostinit.Program{
		{Name: Containerd, Args: []string{"/usr/bin/containerd", "--config", configPath("containerd.toml")}},
		kubernetesProgram(Kubelet, "unix:"+ContainerdSocket,
			"--config="+configPath("kubelet.yaml"), "--kubeconfig="+configPath("kubelet.kubeconfig"),
			"--hostname-override="+host.Name, fmt.Sprintf("--node-ip=%s,%s", host.V4, host.V6)),
		kubernetesProgram(Proxy, "", "--config="+configPath("kube-proxy.yaml")),
	}
}

func kubernetesProgram(program, needs string, args ...string) hostinit.Program {
	return hostinit.Program{
		Name:  program,
		Args:  append([]string{hostinit.BinDir + "/" + KubernetesBinary, program}, args...),
		Needs: needs,
	}
}

func configPath(name string) string { return Dir + "/" + name }

func joinPrefixes(prefixes ...netip.Prefix) string {
	var s []string
	for _, p := range prefixes {
		s = append(s, p.String())
	}
	return strings.Join(s, ",")
}
