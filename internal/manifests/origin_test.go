package manifests

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestOrigin(t *testing.T) {
	set := v1beta1.ComponentSpec{
		Resources: &corev1.ResourceRequirements{}, Affinity: &corev1.Affinity{}, PriorityClassName: "high",
		Tolerations: []corev1.Toleration{{Key: "x"}}, NodeSelector: map[string]string{"a": "b"}, Env: []v1beta1.EnvironmentVariable{{Name: "X"}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{}},
		PodLabels:                 map[string]v1beta1.LabelValue{"a": "b"}, PodAnnotations: map[string]v1beta1.AnnotationValue{"a": "b"},
	}
	spec := v1beta1.LoadBalancerStackSpec{
		IPAddressPools:    []v1beta1.StackIPAddressPool{{Name: "one"}, {Name: "same"}},
		L2Advertisements:  []v1beta1.StackL2Advertisement{{Name: "same"}},
		BGPPeers:          []v1beta1.StackBGPPeer{{Name: "one"}, {Name: "tor"}},
		BGPAdvertisements: []v1beta1.StackBGPAdvertisement{{Name: "one"}},
		BFDProfiles:       []v1beta1.StackBFDProfile{{Name: "one"}},
		Communities:       []v1beta1.StackCommunity{{Name: "one"}},
	}
	spec.Speaker.ComponentSpec = set
	spec.Images.Registry = "mirror.example"
	spec.Images.PullSecrets = []v1beta1.PullSecret{{Name: "x"}}
	spec.Patches = []v1beta1.Patch{
		{Target: v1beta1.PatchTarget{Kind: "Deployment"}},
		{Target: v1beta1.PatchTarget{Kind: "DaemonSet", Name: "lbstack-speaker"}},
		{Target: v1beta1.PatchTarget{Kind: "DaemonSet", Name: "other"}},
	}
	const container = "spec.template.spec.containers[0]"
	tests := []struct{ name, kind, object, field, want string }{
		{"field of a peer", "BGPPeer", "tor", "spec.peerAddress", "spec.bgpPeers[1].peerAddress"},
		{"spec of a peer as a whole", "BGPPeer", "tor", "spec", "spec.bgpPeers[1]"},
		{"pool", "IPAddressPool", "same", "", "spec.ipAddressPools[1]"},
		{"advertisement of the same name", "L2Advertisement", "same", "", "spec.l2Advertisements[0]"},
		{"route advertisement", "BGPAdvertisement", "one", "spec.communities[0]", "spec.bgpAdvertisements[0].communities[0]"},
		{"BFD profile", "BFDProfile", "one", "", "spec.bfdProfiles[0]"},
		{"community", "Community", "one", "", "spec.communities[0]"},
		{"object that is not in the spec", "IPAddressPool", "mine", "", ""},
		{"resources", "DaemonSet", "lbstack-speaker", container + ".resources.requests[cpu]", "spec.speaker.resources.requests[cpu]"},
		{"variable", "DaemonSet", "lbstack-speaker", container + ".env[4].name", "spec.speaker.env"},
		{"toleration", "DaemonSet", "lbstack-speaker", "spec.template.spec.tolerations[3].operator", "spec.speaker.tolerations"},
		{"constraint", "DaemonSet", "lbstack-speaker", "spec.template.spec.topologySpreadConstraints[0].maxSkew", "spec.speaker.topologySpreadConstraints[0].maxSkew"},
		{"label", "DaemonSet", "lbstack-speaker", "spec.template.labels", "spec.speaker.podLabels"},
		{"image", "DaemonSet", "lbstack-speaker", container + ".image", "spec.images.registry"},
		{"pull secret", "Deployment", "lbstack-controller", "spec.template.spec.imagePullSecrets[0].name", "spec.images.pullSecrets"},
		{"field that only a patch can set", "DaemonSet", "lbstack-speaker", container + ".lifecycle", "spec.patches[1]"},
		{"field that the component leaves out", "Deployment", "lbstack-controller", container + ".resources", "spec.patches[0]"},
		{"workload as a whole", "DaemonSet", "lbstack-speaker", "", "spec.patches[1]"},
		{"object of another name", "DaemonSet", "other", container + ".resources", ""},
		{"object that no field changes", "Secret", "lbstack-mesh-keys", "data", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := FieldOrigin(spec, tt.kind, tt.object, tt.field); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
