// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// PauseImage is the sandbox image of the test bed's own.
const PauseImage = "localhost/lbstack/pause:1"

// Files returns the configuration files of the host by their path below Dir.
// cgroupV1 says that the machine has its controllers in cgroup v1 hierarchies.
func Files(host plan.Host, cgroupV1 bool) map[string]string {
	if host.Name == plan.Router {
		return routerFiles(host)
	}
	files := map[string]string{"kube-proxy.yaml": proxy(host)}
	if host.IsNode() {
		files["containerd.toml"] = containerd()
		files["kubelet.yaml"] = kubelet(cgroupV1)
		files["cni/10-lbstack.conflist"] = cni(host)
		files["resolv.conf"] = resolver()
	}
	return files
}

// containerd asks for nothing that it cannot have on every machine (negative
// OOM scores) and keeps it out of folders that are not the host's.
func containerd() string {
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

func kubelet(cgroupV1 bool) string {
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
volumePluginDir: ` + volumePlugins + `
evictionHard:
  nodefs.available: "0%"
  imagefs.available: "0%"
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 10s
`
}

// proxy says that it is the proxy of the host's Node. The control plane, whose
// API server must reach Services, has no kubelet and therefore no Node: one that
// nobody keeps ready would get pods of every DaemonSet that tolerates all. Since a
// proxy waits 30 s for its Node before it does anything, the control plane's
// calls itself node1's.
func proxy(host plan.Host) string {
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
`, node, both(plan.PodsV4, plan.PodsV6), Dir)
}

// cni gives pods one address of each family. There is no masquerading: every host
// knows the way to every pod. Leases are in /run, so that they end with the pods
// when the power goes.
func cni(host plan.Host) string {
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

// resolver names the router, which refuses at once: there is no name service.
func resolver() string {
	router, _ := plan.Find(0, plan.Router)
	return fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", router.V4)
}
