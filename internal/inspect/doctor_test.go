package inspect

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// healthy returns facts without a failure.
func healthy() *DoctorInput {
	f := &DoctorInput{Snapshot: announced(), Kubernetes: 34, KubernetesVersion: "v1.34.2", Plugin: "v0.1.0", ServiceProxy: "mode: nftables\nipvs:\n  strictARP: false\n", Unread: map[string]string{}}
	for i := range f.Nodes {
		f.Nodes[i].Labels[corev1.LabelOSStable] = "linux"
		f.Nodes[i].Status.NodeInfo.KernelVersion = "5.4.0-91-generic"
	}
	return f
}

func TestDoctor(t *testing.T) {
	tests := []struct {
		name   string
		change func(*DoctorInput)
		check  string // empty: nothing is wrong
		part   string
	}{
		{"nothing is wrong", func(*DoctorInput) {}, "", ""},
		{"old Kubernetes", func(f *DoctorInput) { f.Kubernetes, f.KubernetesVersion = 30, "v1.30.1" }, CheckKubernetes, "the API server runs Kubernetes v1.30.1"},
		{"no stack", func(f *DoctorInput) { f.Stack = nil }, CheckInstallation, "create it"},
		{"a stack that is not Ready", func(f *DoctorInput) {
			f.Stack.Status.Conditions[0] = status("Ready", "False", "RolledBack", "on node-1")
		}, CheckInstallation, "is not Ready (Ready): on node-1"},
		{"another plugin", func(f *DoctorInput) { f.Plugin = "v0.2.0" }, CheckVersions, "use the plugin of v0.1.0"},
		{"a speaker of another version", func(f *DoctorInput) { f.States[0].Status.Version = "v0.0.9" }, CheckVersions, "speakers of another version than v0.1.0 run on nodes node-1"},
		{"speakers of another version in a rollout", func(f *DoctorInput) { f.States[0].Status.Version, f.Stack.Status.TargetVersion = "v0.0.9", "v0.2.0" }, "", ""},
		{"an old kernel", func(f *DoctorInput) { f.Nodes[1].Status.NodeInfo.KernelVersion = "4.18.0-553.el8" }, CheckNodes, "node node-2 runs Linux 4.18.0-553.el8"},
		{"an old kernel where no speaker is to run", func(f *DoctorInput) {
			f.Nodes[1].Status.NodeInfo.KernelVersion = "4.18.0-553.el8"
			f.Nodes[0].Labels["speaker"] = "yes"
			f.Stack.Spec.Speaker.NodeSelector = map[string]string{"speaker": "yes"}
		}, "", "ok Nodes"},
		{"an old kernel that the affinity leaves out", func(f *DoctorInput) {
			f.Nodes[1].Status.NodeInfo.KernelVersion = "4.18.0-553.el8"
			f.Nodes[1].Labels["old"] = ""
			f.Stack.Spec.Speaker.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "old", Operator: corev1.NodeSelectorOpDoesNotExist}}}},
			}}}
		}, "", "ok Nodes"},
		{"an old kernel where the selector has a speaker run", func(f *DoctorInput) {
			f.Nodes[1].Status.NodeInfo.KernelVersion, f.Nodes[1].Labels["speaker"] = "4.18.0-553.el8", "yes"
			f.Stack.Spec.Speaker.NodeSelector = map[string]string{"speaker": "yes"}
		}, CheckNodes, "node node-2 runs Linux 4.18.0-553.el8"},
		{"a selector that matches no node", func(f *DoctorInput) { f.Stack.Spec.Speaker.NodeSelector = map[string]string{"speaker": "yes"} }, CheckNodes, "match no node with Linux"},
		{"an old kernel of another system", func(f *DoctorInput) {
			f.Nodes[1].Status.NodeInfo.KernelVersion, f.Nodes[1].Labels[corev1.LabelOSStable] = "1.0", "windows"
		}, "", ""},
		{"some nodes are excluded", func(f *DoctorInput) { f.Nodes[0].Labels[corev1.LabelNodeExcludeBalancers] = "" }, "", ""},
		{"all nodes are excluded", func(f *DoctorInput) {
			for i := range f.Nodes {
				f.Nodes[i].Labels[corev1.LabelNodeExcludeBalancers] = ""
			}
		}, CheckNodes, "set spec.nodes.ignoreExcludeLabel: true"},
		{"a speaker that is not ready", func(f *DoctorInput) {
			f.States[2].Status.Conditions = []metav1.Condition{status("Ready", "False", "DatagramsLost", "a firewall drops them")}
		}, CheckSpeakers, "node node-3: a firewall drops them"},
		{"a speaker that misses another", func(f *DoctorInput) { f.States[2].Status.MissingSpeakers = []v1beta1.NodeName{"node-1"} }, CheckSpeakers, "UDP 7575"},
		{"IPVS without strictARP", func(f *DoctorInput) { f.ServiceProxy = "mode: \"ipvs\"\nipvs:\n  strictARP: false\n" }, CheckServiceProxy, "strictARP: true"},
		{"IPVS with a comment", func(f *DoctorInput) { f.ServiceProxy = "mode: ipvs # for many Services\n" }, CheckServiceProxy, "strictARP: true"},
		{"IPVS with strictARP and a comment", func(f *DoctorInput) { f.ServiceProxy = "ipvs: {strictARP: true} # for lbstack\nmode: ipvs\n" }, "", "ok Service proxy"},
		{"a key of the same name elsewhere", func(f *DoctorInput) { f.ServiceProxy = "mode: ipvs\nother:\n  strictARP: true\n" }, CheckServiceProxy, "strictARP: true"},
		{"no kube-proxy", func(f *DoctorInput) { f.ServiceProxy = "" }, "", "-  Service proxy: not checked: the cluster has no ConfigMap kube-system/kube-proxy"},
		{"kube-proxy with settings that cannot be read", func(f *DoctorInput) { f.ServiceProxy = "mode: [" }, "", "-  Service proxy: not checked: config.conf"},
		{"IPVS with strictARP", func(f *DoctorInput) { f.ServiceProxy = "mode: ipvs\nipvs:\n  strictARP: true\n" }, "", ""},
		{"another load balancer", func(f *DoctorInput) { f.LoadBalancers = []string{"MetalLB"} }, CheckLoadBalancers, "MetalLB runs"},
		{"another load balancer, and a class", func(f *DoctorInput) {
			f.LoadBalancers, f.Stack.Spec.LoadBalancerClass = []string{"MetalLB"}, "example.com/lb"
		}, "", ""},
		{"a pool that gives nothing", func(f *DoctorInput) {
			f.Pools[0].Status.Conditions[0] = status("Ready", "False", "Overlap", "another pool has it")
		}, CheckPools, "IPAddressPool first: another pool has it"},
		{"a pool without a subnet", func(f *DoctorInput) {
			f.Pools[0].Status.Conditions[0] = status("Ready", "True", v1beta1.ReasonNoSubnet, "no node is in it")
		}, CheckPools, "no node is in it"},
		{"a router without a session", func(f *DoctorInput) {
			f.Peers = []v1beta1.BGPPeer{{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Status: v1beta1.BGPPeerStatus{Conditions: []metav1.Condition{status("Established", "False", "NotEstablished", "refused")}}}}
		}, CheckRouters, "BGPPeer tor: refused"},
		{"a foreign host", func(f *DoctorInput) {
			f.States[1].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.1", Interface: "eth0", HardwareAddress: "02:00:00:00:00:99", Since: began}}
		}, CheckHosts, "192.0.2.1: "},
		{"a check that was not made", func(f *DoctorInput) { f.Unread[CheckServiceProxy] = "configmaps is forbidden" }, CheckServiceProxy, "not checked: configmaps is forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.change(f)
			c := Doctor(f)
			var text strings.Builder
			if err := c.Print(&text); err != nil {
				t.Fatal(err)
			}
			for _, finding := range c.Findings {
				if bad := len(finding.Problems) > 0 || finding.Unread != ""; bad != (finding.Check == tt.check) {
					t.Errorf("%s: %+v", finding.Check, finding)
				}
			}
			if c.Healthy != (tt.check == "") || !strings.Contains(text.String(), tt.part) {
				t.Errorf("healthy %v, and printed\n%s\nwant %q", c.Healthy, &text, tt.part)
			}
		})
	}
}
