package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// roleNamed returns the ClusterRole of a name.
func roleNamed(r *RBAC, name string) *rbacv1.ClusterRole {
	return &r.ClusterRoles[slices.IndexFunc(r.ClusterRoles, func(role rbacv1.ClusterRole) bool { return role.Name == name })]
}

// healthy returns facts without a failure.
func healthy(t *testing.T) *DoctorInput {
	t.Helper()
	f := &DoctorInput{Snapshot: announced(), Kubernetes: 34, KubernetesVersion: "v1.34.2", Plugin: "v0.1.0", Namespace: "lbstack-system", ServiceProxy: "mode: nftables\nipvs:\n  strictARP: false\n", Unread: map[string]string{}}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f.Schemas = apiconv.NeededSchemas(scheme)
	var err error
	if f.RBAC, err = installedRBAC(); err != nil {
		t.Fatal(err)
	}
	for i := range f.States {
		f.States[i].Status.Interfaces[0].MTU = 1500
	}
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
		{"a kind that is not served", func(f *DoctorInput) { delete(f.Schemas, "BGPPeer") }, CheckCRDs, "for the kinds BGPPeer, so the operator changes nothing: apply the CustomResourceDefinitions of this version: kubectl apply --server-side -f https://github.com/lbstack/lbstack/releases/download/v0.1.0/install.yaml"},
		{"a field that is not served", func(f *DoctorInput) { delete(f.Schemas["BGPPeer"].Properties, "spec") }, CheckCRDs, "the API server drops the fields BGPPeer.spec,"},
		{"schemas that are not known", func(f *DoctorInput) { f.Schemas = nil }, "", "-  CustomResourceDefinitions: not checked: the API server publishes no schemas"},
		{"a role without a rule", func(f *DoctorInput) {
			role := roleNamed(f.RBAC, "lbstack-speaker")
			role.Rules = role.Rules[1:]
		}, CheckRights, "ServiceAccount lbstack-system/lbstack-speaker lacks rights (in the whole cluster: list/watch services, list/watch nodes): its program cannot do its work: install the roles again: kubectl apply --server-side -f "},
		{"no role", func(f *DoctorInput) { f.RBAC.ClusterRoles = nil }, CheckRights, "ServiceAccount lbstack-system/lbstack-controller lacks rights (in the whole cluster: get/list/watch namespaces, "},
		{"no binding in the namespace", func(f *DoctorInput) { f.RBAC.RoleBindings = nil }, CheckRights, "lbstack-speaker lacks rights (in namespace lbstack-system: list/watch pods, list/watch secrets lbstack-bgp-passwords): "},
		{"rights that come from a role of another name", func(f *DoctorInput) {
			all := []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}
			f.RBAC = &RBAC{
				ClusterRoles:        []rbacv1.ClusterRole{{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Rules: all}},
				ClusterRoleBindings: []rbacv1.ClusterRoleBinding{{RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "all"}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: "system:serviceaccounts:lbstack-system"}}}},
			}
		}, "", "ok Rights"},
		{"rights of another version", func(f *DoctorInput) {
			f.RBAC, f.Stack.Status.Version, f.States = &RBAC{}, "v0.0.9", nil
		}, CheckVersions, "-  Rights: not checked: the plugin is v0.1.0 and lbstack is v0.0.9: use the plugin of v0.0.9"},
		{"rights of the next version, in a rollout", func(f *DoctorInput) { f.RBAC, f.Stack.Status.TargetVersion = &RBAC{}, "v0.2.0" }, "", "-  Rights: not checked: the plugin is v0.1.0, and a rollout to v0.2.0 is in progress: use the plugin of v0.2.0"},
		{"rights in a rollout of the same version", func(f *DoctorInput) { f.RBAC.RoleBindings, f.Stack.Status.TargetVersion = nil, "v0.1.0" }, CheckRights, "lbstack-speaker lacks rights ("},
		{"fields that the next version has dropped, in a rollout", func(f *DoctorInput) {
			delete(f.Schemas["BGPPeer"].Properties, "spec")
			f.Stack.Status.TargetVersion = "v0.2.0"
		}, "", "-  CustomResourceDefinitions: not checked: the plugin is v0.1.0, and a rollout to v0.2.0 is in progress: use the plugin of v0.2.0"},
		{"fields that the next version has added, which the plugin does not know", func(f *DoctorInput) {
			delete(f.Schemas["BGPPeer"].Properties, "spec")
			f.Stack.Status.Version, f.States = "v0.2.0", nil
		}, CheckVersions, "-  CustomResourceDefinitions: not checked: the plugin is v0.1.0 and lbstack is v0.2.0: use the plugin of v0.2.0"},
		{"interfaces of a network with different MTUs", func(f *DoctorInput) { f.States[2].Status.Interfaces[0].MTU = 9000 }, CheckMTU, "interfaces in subnet 192.0.2.0/24 have different MTUs: 1500 (eth0 on node node-1 and eth0 on node node-2), 9000 (eth0 on node node-3): "},
		{"interfaces of different networks", func(f *DoctorInput) {
			f.States[2].Status.Interfaces[0].MTU, f.States[2].Status.Interfaces[0].Subnets = 9000, []string{"198.51.100.0/24"}
		}, "", "ok MTU"},
		{"an MTU that is too small", func(f *DoctorInput) { f.States[0].Status.Interfaces[0].MTU = 1200 }, CheckMTU, "interface eth0 on node node-1 has an MTU of 1200: IPv6 and the speakers need at least 1280"},
		{"speakers that do not report the MTU", func(f *DoctorInput) {
			for i := range f.States {
				f.States[i].Status.Interfaces[0].MTU = 0
			}
		}, "", "-  MTU: not checked: no speaker reports the MTU of an interface"},
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
			f := healthy(t)
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

// nodesAnswer has node-2 report that node-3 answers for addresses of Services, so that the pool is not Ready.
func nodesAnswer(f *DoctorInput) {
	f.States[1].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.1", Interface: "eth0", HardwareAddress: "02:00:00:00:00:03", HostNode: "node-3", Since: began}}
	f.Pools[0].Status.Conditions[0] = status("Ready", "False", v1beta1.ReasonForeignHost, "the pool gives only some of the addresses in spec.addresses (see the condition Conflict)")
	f.Stack.Status.Conditions[0] = status("Ready", "False", v1beta1.ReasonPoolNotReady, "the pool first: 192.0.2.1 is used by the kernel of a node")
}

// TestDoctor_UpgradedOperatorWithOldSchemas: such an operator changes nothing, so that the stack keeps the version of before.
func TestDoctor_UpgradedOperatorWithOldSchemas(t *testing.T) {
	f := healthy(t)
	f.Plugin = "v0.2.0"
	delete(f.Schemas, "BGPPeer")
	c := Doctor(f)
	finding := c.Findings[slices.IndexFunc(c.Findings, func(f Finding) bool { return f.Check == CheckCRDs })]
	want := "an upgrade from lbstack v0.1.0 to v0.2.0 needs newer CustomResourceDefinitions: the cluster lacks CustomResourceDefinitions of lbstack v0.2.0, for the kinds BGPPeer, "
	if finding.Absent != "" || len(finding.Problems) != 1 || !strings.HasPrefix(finding.Problems[0], want) || !strings.Contains(finding.Problems[0], "/v0.2.0/install.yaml") {
		t.Errorf("got %+v, want the problem %q", finding, want)
	}
}

// TestDoctor_Golden: docs/kubectl.md shows the second file.
func TestDoctor_Golden(t *testing.T) {
	for name, change := range map[string]func(*DoctorInput){
		"healthy": func(*DoctorInput) {},
		"problems": func(f *DoctorInput) {
			f.Nodes[2].Status.NodeInfo.KernelVersion = "4.18.0-553.el8"
			f.ServiceProxy = "mode: ipvs\n"
			f.States[2].Status.Interfaces[0].MTU = 9000
			role := roleNamed(f.RBAC, "lbstack-speaker")
			role.Rules = role.Rules[1:]
		},
		"beside-metallb": func(f *DoctorInput) {
			f.LoadBalancers = []string{"MetalLB (Deployment metallb-system/controller)", "MetalLB (DaemonSet metallb-system/speaker)"}
			nodesAnswer(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy(t)
			change(f)
			c := Doctor(f)
			var text strings.Builder
			if err := c.Print(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, "doctor-"+name+".txt", text.String())
		})
	}
}

// TestDocs_ShowsTheOutput: blocks of docs/kubectl.md are what the tests of this package have printed.
func TestDocs_ShowsTheOutput(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubectl.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"doctor-problems.txt", "plan-docs.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "\n```\n"+string(text)+"```\n") {
			t.Errorf("docs/kubectl.md has no block with %s:\n%s", file, text)
		}
	}
}
