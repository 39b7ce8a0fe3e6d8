// Package randomspec makes valid specs of a LoadBalancerStack at random, for tests of what the
// operator makes of them.
package randomspec

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Seeds is how many seeds the tests use, from 1 on.
const Seeds = 500

// Of returns the spec of a seed, always the same one. The API server accepts it, and so does Render.
func Of(seed uint64) v1beta1.LoadBalancerStackSpec {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	spec := v1beta1.LoadBalancerStackSpec{
		LoadBalancerClass: pick(g, "", "lbstack.io/lb", "internal"),
		Layer2: v1beta1.Layer2Spec{
			FailureDetection: pick(g, "", v1beta1.FailureDetectionRelaxed, v1beta1.FailureDetectionDefault, v1beta1.FailureDetectionFast),
			Failback:         pick(g, "", v1beta1.FailbackNever, v1beta1.FailbackGradual), ConflictDetection: pick(g, "", v1beta1.ConflictDetectionEnforce, v1beta1.ConflictDetectionReport, v1beta1.ConflictDetectionOff),
		},
		Nodes:      v1beta1.NodesSpec{IgnoreExcludeLabel: g.sometimes()},
		Controller: v1beta1.ControllerSpec{ComponentSpec: g.component()},
		Speaker:    v1beta1.SpeakerSpec{ComponentSpec: g.component(), KeyRotation: pick(g, "", "2026-11-29")},
		Images:     v1beta1.ImagesSpec{Registry: pick(g, "", "mirror.example:5000/ghcr"), PullPolicy: pick(g, "", corev1.PullAlways, corev1.PullIfNotPresent)},
		Removal:    v1beta1.RemovalSpec{Addresses: pick(g, "", v1beta1.AddressesKeep, v1beta1.AddressesRelease, v1beta1.AddressesHandOver)},
	}
	if g.sometimes() {
		spec.Controller.Replicas = new(int32(1 + g.IntN(5)))
	}
	if g.sometimes() {
		mesh := int32(1024 + g.IntN(2000))
		spec.Speaker.Ports = v1beta1.SpeakerPorts{Mesh: mesh, Health: mesh + 5000, Metrics: mesh + 10000}
	}
	for i := range g.IntN(3) {
		spec.Images.PullSecrets = append(spec.Images.PullSecrets, v1beta1.PullSecret{Name: fmt.Sprint("secret-", i)})
	}
	g.pools(&spec)
	g.routers(&spec)
	g.patches(&spec)
	return spec
}

type generator struct{ *rand.Rand }

func (g generator) sometimes() bool { return g.IntN(2) == 0 }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) labels() map[string]string {
	if g.sometimes() {
		return nil
	}
	return map[string]string{"example.com/zone": pick(g, "a", "b", ""), "tier": "edge"}
}

func (g generator) selectors() []metav1.LabelSelector {
	if g.sometimes() {
		return nil
	}
	return []metav1.LabelSelector{
		{MatchLabels: map[string]string{"tier": "edge"}},
		{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}}},
	}
}

func (g generator) component() v1beta1.ComponentSpec {
	c := v1beta1.ComponentSpec{LogLevel: pick(g, "", v1beta1.LogLevelError, v1beta1.LogLevelDebug), NodeSelector: g.labels(), PriorityClassName: pick(g, "", "high")}
	if g.sometimes() {
		c.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}, {Key: "x", Operator: corev1.TolerationOpEqual, Value: "y"}}
	}
	if g.sometimes() {
		c.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(pick(g, "10m", "0.1", "100m"))},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse(pick(g, "256Mi", "1Gi"))},
		}
	}
	if g.sometimes() {
		c.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: int32(1 + g.IntN(100)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "tier", Operator: corev1.NodeSelectorOpExists}}},
		}}}}
	}
	if g.sometimes() {
		c.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: int32(1 + g.IntN(3)), TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway}}
	}
	if g.sometimes() {
		c.PodAnnotations = map[string]v1beta1.AnnotationValue{"example.com/a": "1", "b": ""}
	}
	if g.sometimes() {
		c.PodLabels = map[string]v1beta1.LabelValue{"example.com/a": "1", "team": "net"}
	}
	for i := range g.IntN(3) {
		c.Env = append(c.Env, v1beta1.EnvironmentVariable{Name: fmt.Sprintf("VARIABLE_%d", i), Value: pick(g, "", "1", "a b $(c)")})
	}
	return c
}

func (g generator) pools(spec *v1beta1.LoadBalancerStackSpec) {
	for i := range g.IntN(4) {
		pool := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(fmt.Sprint("pool-", i)), Labels: g.labels()}
		for j := range 1 + g.IntN(3) {
			pool.Addresses = append(pool.Addresses, pick(g,
				v1beta1.AddressRange(fmt.Sprintf("10.%d.%d.0/28", i, j)), v1beta1.AddressRange(fmt.Sprintf("10.%d.%d.1-10.%d.%d.9", i, j, i, j)), v1beta1.AddressRange(fmt.Sprintf("2001:db8:%d:%d::/120", i, j))))
		}
		if g.sometimes() {
			pool.AutoAssign = new(g.sometimes())
		}
		pool.AvoidBuggyIPs = g.sometimes()
		spec.IPAddressPools = append(spec.IPAddressPools, pool)
	}
	for i := range g.IntN(3) {
		ad := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(fmt.Sprint("l2-", i))}
		ad.NodeSelectors, ad.ServiceSelectors, ad.RequireSubnet = g.selectors(), g.selectors(), g.sometimes()
		if g.sometimes() {
			ad.Interfaces = []v1beta1.InterfaceName{"eth0", "bond0.7"}
		}
		if len(spec.IPAddressPools) > 0 {
			ad.IPAddressPools = []v1beta1.ObjectName{spec.IPAddressPools[0].Name}
		}
		spec.L2Advertisements = append(spec.L2Advertisements, ad)
	}
}

func (g generator) routers(spec *v1beta1.LoadBalancerStackSpec) {
	if g.sometimes() {
		spec.BFDProfiles = []v1beta1.StackBFDProfile{{Name: "fast", BFDProfileSpec: v1beta1.BFDProfileSpec{
			ReceiveIntervalMilliseconds: int32(10 + g.IntN(1000)), TransmitIntervalMilliseconds: int32(10 + g.IntN(1000)), DetectMultiplier: int32(2 + g.IntN(9)), PassiveMode: g.sometimes()}}}
	}
	if g.sometimes() {
		spec.Communities = []v1beta1.StackCommunity{{Name: "ours", CommunitySpec: v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "transit", Value: pick(g, "65000:100", v1beta1.CommunityReference("large:4200000000:1:2"))}}}}}
	}
	for i := range g.IntN(4) {
		peer := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(fmt.Sprint("tor-", i))}
		peer.MyASN, peer.NodeSelectors, peer.PassiveMode = int64(64512+g.IntN(1000)), g.selectors(), g.sometimes()
		if g.sometimes() {
			peer.PeerASN, peer.PeerAddress = int64(4200000000+g.IntN(1000)), pick(g, "10.0.0.1", "2001:db8::1")
			peer.EBGPMultiHop = g.sometimes()
		} else {
			peer.DynamicASN, peer.Interface = pick(g, v1beta1.DynamicASNInternal, v1beta1.DynamicASNExternal), "eth1"
		}
		if g.sometimes() {
			peer.HoldTimeSeconds, peer.KeepaliveTimeSeconds = new(int32(30)), int32(1+g.IntN(30))
		}
		if g.sometimes() {
			peer.PasswordSecret = &v1beta1.PasswordSecret{Name: "tor"}
		}
		if len(spec.BFDProfiles) > 0 {
			peer.BFDProfile, peer.StrictBFD = "fast", g.sometimes()
		}
		spec.BGPPeers = append(spec.BGPPeers, peer)
	}
	for i := range g.IntN(3) {
		ad := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(fmt.Sprint("bgp-", i))}
		ad.NodeSelectors, ad.ASPathPrepend = g.selectors(), int32(g.IntN(11))
		if ad.ServiceSelectors = g.selectors(); ad.ServiceSelectors == nil {
			ad.AggregationLength, ad.AggregationLengthV6 = int32(24+g.IntN(9)), int32(64+g.IntN(65))
		}
		if g.sometimes() {
			ad.LocalPref, ad.MED = new(int64(g.Uint32())), new(int64(g.Uint32()))
		}
		if g.sometimes() {
			ad.Communities = []v1beta1.CommunityReference{"65000:7", "no-export"}
		}
		spec.BGPAdvertisements = append(spec.BGPAdvertisements, ad)
	}
}

func (g generator) patches(spec *v1beta1.LoadBalancerStackSpec) {
	all := []v1beta1.Patch{
		{Target: v1beta1.PatchTarget{Kind: "Deployment", Name: "lbstack-controller"}, Patch: "spec: {template: {spec: {terminationGracePeriodSeconds: 20}}}"},
		{Target: v1beta1.PatchTarget{Kind: "DaemonSet"}, Patch: "spec: {template: {metadata: {annotations: {example.com/patched: 'yes'}}}}"},
		{Target: v1beta1.PatchTarget{Kind: "PodDisruptionBudget"}, Patch: `[{op: add, path: /metadata/annotations, value: {example.com/patched: "yes"}}]`},
	}
	for _, i := range g.Perm(len(all))[:g.IntN(len(all)+1)] {
		spec.Patches = append(spec.Patches, all[i])
	}
}
