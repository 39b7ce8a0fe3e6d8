// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// PauseImage is the sandbox image of pods, which the test bed builds itself.
const PauseImage = "localhost/lbstack/pause:1"

// Files returns the configuration files of the host by their path below Dir.
// cgroupV1 means that the machine has cgroup v1 hierarchies.
func Files(host plan.Host, cgroupV1 bool) map[string]string {
	if host.Name == plan.Router {
		return routerFiles(host)
	}
	files := map[string]string{"kube-proxy.yaml": proxyConfig(host)}
	if host.IsNode() {
		files["containerd.toml"] = containerdConfig()
		files["kubelet.yaml"] = kubeletConfig(cgroupV1)
		files["cni/10-lbstack.conflist"] = cniConfig(host)
		files["resolv.conf"] = resolverConfig()
	}
	return files
}

// containerdConfig returns the configuration of containerd. All data is in folders of the
// host. containerd does not lower OOM scores, since some machines do not permit that.
func containerdConfig() string {
	return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "` + ContainerdSocket + `"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + PauseImage + `"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "` + Dir + `/cni"
`
}

func kubeletConfig(cgroupV1 bool) string {
	tolerance := ""
	if cgroupV1 {
		tolerance = "failCgroupV1: false\n"
	}
	return `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  x509:
    clientCAFile: ` + Dir + `/ca.crt
  anonymous:
    enabled: false
  webhook:
    enabled: true
authorization:
  mode: Webhook
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
` + tolerance + `failSwapOn: false
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://` + ContainerdSocket + `
tlsCertFile: ` + Dir + `/kubelet.crt
tlsPrivateKeyFile: ` + Dir + `/kubelet.key
resolvConf: ` + Dir + `/resolv.conf
volumePluginDir: ` + volumePluginDir + `
evictionHard:
  nodefs.available: "0%"
  imagefs.available: "0%"
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 10s
`
}

// proxyConfig returns the configuration of kube-proxy. The control plane runs
// kube-proxy, since its API server must reach Services. The control plane has no
// kubelet and no Node: a Node that never becomes ready would get the pods of every
// DaemonSet that tolerates all taints. kube-proxy waits 30 s for its Node before it does
// anything, so kube-proxy on the control plane uses the Node of node1.
func proxyConfig(host plan.Host) string {
	node := host.Name
	if !host.IsNode() {
		node = plan.NodeName(1)
	}
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: %s
clusterCIDR: %s
clientConnection:
  kubeconfig: %s/kube-proxy.kubeconfig
conntrack:
  maxPerCore: 0
`, node, joinPrefixes(plan.PodsV4, plan.PodsV6), Dir)
}

// cniConfig returns a network configuration that gives each pod one address of each
// family. There is no masquerading, since every host has routes to all pods. The leases
// are in /run: after a power failure the pods are gone, so their leases must be gone too.
func cniConfig(host plan.Host) string {
	return fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "lbstack",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "%s"}], [{"subnet": "%s"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`, host.PodsV4(), host.PodsV6())
}

// resolverConfig returns a resolv.conf with the router as name server. The cluster has no
// DNS: the router refuses DNS requests at once, so lookups fail without a delay.
func resolverConfig() string {
	router, _ := plan.FindHost(0, plan.Router)
	return fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", router.V4)
}
