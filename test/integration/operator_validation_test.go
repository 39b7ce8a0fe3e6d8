package integration

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestStackIsRefusedWithASentence(t *testing.T) {
	c := administrator(t)
	addresses := func(list ...v1beta1.AddressRange) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) { s.Spec.IPAddressPools[0].Addresses = list }
	}
	restricted := func(to v1beta1.ServiceAllocation) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) {
			s.Spec.IPAddressPoolAccess = v1beta1.PoolAccessRestricted
			for i := range s.Spec.IPAddressPools {
				s.Spec.IPAddressPools[i].ServiceAllocation = &to
			}
		}
	}
	ports := func(p v1beta1.SpeakerPorts) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) { s.Spec.Speaker.Ports = p }
	}
	podLabels := func(key string, value v1beta1.LabelValue) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) {
			s.Spec.Speaker.PodLabels = map[string]v1beta1.LabelValue{key: value}
		}
	}
	patch := func(kind, text string) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) {
			s.Spec.Patches = []v1beta1.Patch{{Target: v1beta1.PatchTarget{Kind: kind}, Patch: text}}
		}
	}
	registry := func(name string) func(*v1beta1.LoadBalancerStack) {
		return func(s *v1beta1.LoadBalancerStack) { s.Spec.Images.Registry = name }
	}
	tests := []struct {
		name string
		edit func(*v1beta1.LoadBalancerStack)
		want string // part of the refusal; empty: it is accepted
	}{
		{name: "the sample is accepted", edit: func(*v1beta1.LoadBalancerStack) {}},
		{name: "a second stack has no name to bear", edit: func(s *v1beta1.LoadBalancerStack) { s.Name = "other" },
			want: `a cluster has one LoadBalancerStack, and its name must be "default"`},
		{name: "two pools cannot have one name", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.IPAddressPools[1].Name = "first-pool" },
			want: "Duplicate value"},
		{name: "an address range must mean something", edit: addresses("192.168.1.240-banana"),
			want: "must be a CIDR such as 192.168.1.0/28, a range such as 192.168.1.240-192.168.1.250, or an address"},
		{name: "a range is of one family", edit: addresses("192.168.1.240-2001:db8::1"),
			want: "the first and the last address of a range must be of the same family"},
		{name: "a pool needs addresses", edit: addresses(), want: "spec.ipAddressPools[0].addresses"},
		{name: "IPv6 and spaces around the dash are fine", edit: addresses("2001:db8::/120", "10.0.0.1 - 10.0.0.9", "10.0.1.7")},
		{name: "no replicas is no controller", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Controller.Replicas = new(int32) },
			want: "should be greater than or equal to 1"},
		{name: "a log level is one of three", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Speaker.LogLevel = "Loud" },
			want: `supported values: "Error", "Info", "Debug"`},
		{name: "ports of the speakers can be chosen", edit: ports(v1beta1.SpeakerPorts{Mesh: 7946, Health: 1024, Metrics: 29999})},
		{name: "two ports of the speakers that are the same are refused", edit: ports(v1beta1.SpeakerPorts{Mesh: 2000, Health: 2001, Metrics: 2001}),
			want: "mesh, health and metrics must be three different ports"},
		{name: "a port that is another one's default is refused", edit: ports(v1beta1.SpeakerPorts{Mesh: 7573}),
			want: "mesh, health and metrics must be three different ports"},
		{name: "a mesh port of BFD is refused", edit: ports(v1beta1.SpeakerPorts{Mesh: 3784}), want: "these are the ports of BFD"},
		{name: "a port that needs a capability is refused", edit: ports(v1beta1.SpeakerPorts{Health: 1023}), want: "should be greater than or equal to 1024"},
		{name: "a port that can be a node port is refused", edit: ports(v1beta1.SpeakerPorts{Mesh: 30000}), want: "should be less than or equal to 29999"},
		{name: "a request for a new key of the mesh can be a time", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Speaker.KeyRotation = "2026-11-29T12:00:00+01:00" }},
		{name: "a request for a new key of the mesh is one word", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Speaker.KeyRotation = "now please" },
			want: "spec.speaker.keyRotation"},
		{name: "all fields of a component are accepted", edit: func(s *v1beta1.LoadBalancerStack) {
			s.Spec.Controller.ComponentSpec = v1beta1.ComponentSpec{
				PriorityClassName: "network.example", PodAnnotations: map[string]v1beta1.AnnotationValue{"example.com/scrape": "yes, please"},
				PodLabels: map[string]v1beta1.LabelValue{"team": "", "a/b": "network"}, Env: []v1beta1.EnvironmentVariable{{Name: "HTTP_PROXY", Value: "http://proxy.example:3128"}},
				Affinity:                  &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "rack"}}}},
				TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{TopologyKey: "rack", MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule}},
			}
		}},
		{name: "a variable of lbstack cannot be set", edit: func(s *v1beta1.LoadBalancerStack) {
			s.Spec.Speaker.Env = []v1beta1.EnvironmentVariable{{Name: "NODE_IP", Value: "192.0.2.1"}}
		}, want: "POD_NAMESPACE, NODE_NAME, NODE_IP and MEMORY_LIMIT are set by lbstack: use another name"},
		{name: "a variable has a valid name", edit: func(s *v1beta1.LoadBalancerStack) {
			s.Spec.Speaker.Env = []v1beta1.EnvironmentVariable{{Name: "A-B"}}
		}, want: "spec.speaker.env[0].name"},
		{name: "a label that selects the pods cannot be set", edit: podLabels("app.kubernetes.io/component", "x"), want: "are set by lbstack, which finds its pods with them: use other labels"},
		{name: "a label of Kubernetes cannot be set", edit: podLabels("controller-revision-hash", "x"), want: "are set by Kubernetes: use other labels"},
		{name: "a label has the value of a label", edit: podLabels("team", "not a label"), want: "spec.speaker.podLabels.team"},
		{name: "a priority class has a name", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Controller.PriorityClassName = "High_" },
			want: "spec.controller.priorityClassName"},
		{name: "a patch has a target that lbstack makes", edit: patch("Secret", "data: {}"), want: `supported values: "Deployment", "DaemonSet", "PodDisruptionBudget"`},
		{name: "a patch is not empty", edit: patch("DaemonSet", ""), want: "spec.patches[0].patch"},
		{name: "a patch is bounded", edit: patch("DaemonSet", strings.Repeat("x", 16385)), want: "spec.patches[0].patch"},
		{name: "a management state is one of three", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.ManagementState = "Paused" },
			want: `supported values: "Managed", "Unmanaged", "Removed"`},
		{name: "addresses are kept, released or handed over", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Removal.Addresses = "Delete" }, want: `supported values: "Keep", "Release", "HandOver"`},
		{name: "a registry with port and path is accepted", edit: registry("mirror.example:5000/ghcr.io/x")},
		{name: "a registry is no URL", edit: registry("https://mirror.example"), want: "spec.images.registry"},
		{name: "a registry has no tag", edit: registry("mirror.example/lbstack:v1"), want: "spec.images.registry"},
		{name: "failure detection is one of three", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Layer2.FailureDetection = "Now" },
			want: `supported values: "Relaxed", "Default", "Fast"`},
		{name: "failback is one of two", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Layer2.Failback = "Always" },
			want: `supported values: "Never", "Gradual"`},
		{name: "a key that drains is one that a node can have", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.Drain.Taints = []v1beta1.DrainKey{"a,b"} },
			want: "spec.drain.taints[0]"},
		{name: "a restricted stack has no pool for all namespaces", edit: func(s *v1beta1.LoadBalancerStack) { s.Spec.IPAddressPoolAccess = v1beta1.PoolAccessRestricted },
			want: "needs serviceAllocation.namespaces or serviceAllocation.namespaceSelectors"},
		{name: "nor one for Services with a label only, which their owners write", edit: restricted(v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{{}}}),
			want: "needs serviceAllocation.namespaces or serviceAllocation.namespaceSelectors"},
		{name: "a restricted stack has pools for namespaces", edit: restricted(v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{"shop"}})},
		{name: "also for those with a label", edit: restricted(v1beta1.ServiceAllocation{NamespaceSelectors: []metav1.LabelSelector{{}}})},
		{name: "a pool of a stack retains with a quota only", edit: func(s *v1beta1.LoadBalancerStack) {
			s.Spec.IPAddressPools[0].Reclaim = &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain}
		}, want: "reclaim.policy Retain needs quota.maxAddressesPerNamespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}, Spec: aSpec()}
			tt.edit(stack)
			err := c.Create(context.Background(), stack, client.DryRunAll)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}
