package manifests

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func defaultOptions() Options {
	return Options{Namespace: "lbstack-system", Image: "ghcr.io/lbstack/lbstack:v0.1.0"}
}

func fullOptions() Options {
	return Options{
		Namespace:       "load-balancers",
		ServiceMonitors: true,
		Image:           "registry.example:5000/lb@sha256:0000000000000000000000000000000000000000000000000000000000000000",
		Spec: v1beta1.LoadBalancerStackSpec{
			LoadBalancerClass: "example.com/lb",
			IPAddressPools: []v1beta1.StackIPAddressPool{
				{Name: "second", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"2001:db8::/120"}, AutoAssign: new(false)}},
				{Name: "first", Labels: map[string]string{"zone": "a"}, IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.1-192.0.2.9", "192.0.2.20"}, AutoAssign: new(true)}},
			},
			L2Advertisements: []v1beta1.StackL2Advertisement{{
				Name: "rack",
				L2AdvertisementSpec: v1beta1.L2AdvertisementSpec{
					IPAddressPools:         []v1beta1.ObjectName{"first"},
					NodeSelectors:          []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}},
					ServiceSelectors:       []metav1.LabelSelector{{MatchLabels: map[string]string{"public": "yes"}}},
					PreferredNodeSelectors: []v1beta1.PreferredNodeSelector{{Weight: 10, Preference: metav1.LabelSelector{MatchLabels: map[string]string{"edge": "yes"}}}},
					RequireSubnet:          true,
					Interfaces:             []v1beta1.InterfaceName{"eth1"},
				},
			}},
			BGPPeers: []v1beta1.StackBGPPeer{
				{Name: "tor-b", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 65000, DynamicASN: v1beta1.DynamicASNExternal, Interface: "eth1", GracefulShutdownSeconds: new(int32(0))}},
				{Name: "tor-a", BGPPeerSpec: v1beta1.BGPPeerSpec{
					MyASN: 65000, PeerASN: 65001, LocalASN: 65100, PeerAddress: "192.0.2.254", PeerPort: 1179, SourceAddress: "192.0.2.7", RouterID: "192.0.2.7",
					NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}}, HoldTimeSeconds: new(int32(9)), KeepaliveTimeSeconds: 3,
					ConnectRetrySeconds: 5, TTLSecurityHops: 1, PassiveMode: true, PasswordSecret: &v1beta1.PasswordSecret{Name: "tor-a"}, BFDProfile: "fast", StrictBFD: true,
					GracefulRestart: &v1beta1.BGPGracefulRestart{RestartTimeSeconds: 60}, GracefulShutdownSeconds: new(int32(20)), VRF: "blue", DualStackAddressFamily: true,
				}},
			},
			BGPAdvertisements: []v1beta1.StackBGPAdvertisement{{
				Name: "edge",
				BGPAdvertisementSpec: v1beta1.BGPAdvertisementSpec{
					IPAddressPools: []v1beta1.ObjectName{"first"}, Peers: []v1beta1.ObjectName{"tor-a"}, AggregationLength: 32, AggregationLengthV6: 64,
					NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}},
					LocalPref:     new(int64(200)), MED: new(int64(0)), ASPathPrepend: 2, Communities: []v1beta1.CommunityReference{"no-export", "transit"},
				},
			}},
			BFDProfiles: []v1beta1.StackBFDProfile{{
				Name:           "fast",
				BFDProfileSpec: v1beta1.BFDProfileSpec{ReceiveIntervalMilliseconds: 50, TransmitIntervalMilliseconds: 50, DetectMultiplier: 5, PassiveMode: true, MinimumTTL: 250},
			}},
			Communities: []v1beta1.StackCommunity{{
				Name:          "ours",
				CommunitySpec: v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "transit", Value: "large:65000:1:2"}}},
			}},
			Controller: v1beta1.ControllerSpec{Replicas: new(int32(3)), ComponentSpec: v1beta1.ComponentSpec{
				LogLevel:     v1beta1.LogLevelDebug,
				NodeSelector: map[string]string{"node-role.kubernetes.io/control-plane": ""},
				Resources:    &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}},
			}},
			Layer2: v1beta1.Layer2Spec{FailureDetection: v1beta1.FailureDetectionFast, Failback: v1beta1.FailbackGradual, ConflictDetection: v1beta1.ConflictDetectionReport},
			Drain:  v1beta1.DrainSpec{Taints: []v1beta1.DrainKey{"example.com/maintenance", "lbstack.io/drain"}, Labels: []v1beta1.DrainKey{}},
			Speaker: v1beta1.SpeakerSpec{
				ComponentSpec: v1beta1.ComponentSpec{
					LogLevel:    v1beta1.LogLevelError,
					Tolerations: []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(60))}},
				},
				Ports: v1beta1.SpeakerPorts{Mesh: 9001, Health: 9002, Metrics: 9003},
			},
			Images: v1beta1.ImagesSpec{PullPolicy: corev1.PullAlways, PullSecrets: []v1beta1.PullSecret{{Name: "registry"}}},
		},
	}
}

func TestRenderGolden(t *testing.T) {
	tests := []struct {
		name, file string
		options    Options
	}{
		{name: "an empty spec gives the defaults", file: "default.yaml", options: defaultOptions()},
		{name: "a spec with every field is followed", file: "full.yaml", options: fullOptions()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := toYAML(t, render(t, tt.options))
			path := filepath.Join("testdata", tt.file)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("rendered objects differ from %s (go test -update writes it; -want +got):\n%s", path, diff)
			}
		})
	}
}

func TestRenderIsTheSameEachTimeAndFromManyGoroutines(t *testing.T) {
	want := toYAML(t, render(t, fullOptions()))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if got := toYAML(t, render(t, fullOptions())); !bytes.Equal(got, want) {
				t.Errorf("a second rendering differs:\n%s", cmp.Diff(string(want), string(got)))
			}
		})
	}
	group.Wait()
}

func TestASpeakerHasTheTimeThatAnyPeerMayAskFor(t *testing.T) {
	const longest, handOver = 60, 8 // as gracefulShutdownSeconds of a BGPPeer may be
	if got := *daemonSet(t, defaultOptions()).Spec.Template.Spec.TerminationGracePeriodSeconds; got < longest+handOver {
		t.Errorf("a speaker is killed after %d s, want %d at least", got, longest+handOver)
	}
}

func TestSpeakersHaveTheCapabilitiesThatTheirPeersNeed(t *testing.T) {
	peer := func(passive bool) v1beta1.StackBGPPeer {
		return v1beta1.StackBGPPeer{BGPPeerSpec: v1beta1.BGPPeerSpec{PassiveMode: passive}}
	}
	tests := []struct {
		name         string
		peers        []v1beta1.StackBGPPeer
		capabilities []string
	}{
		{name: "without peers, as ever", capabilities: []string{"NET_RAW"}},
		{name: "peers that wait for nothing, as ever", peers: []v1beta1.StackBGPPeer{peer(false), peer(false)}, capabilities: []string{"NET_RAW"}},
		{name: "who waits for one router listens on its port", peers: []v1beta1.StackBGPPeer{peer(false), peer(true)}, capabilities: []string{"NET_RAW", "NET_BIND_SERVICE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaultOptions()
			o.Spec.BGPPeers = tt.peers
			pod := daemonSet(t, o).Spec.Template.Spec
			var got []string
			for _, c := range pod.Containers[0].SecurityContext.Capabilities.Add {
				got = append(got, string(c))
			}
			if !slices.Equal(got, tt.capabilities) {
				t.Errorf("got capabilities %v, want %v", got, tt.capabilities)
			}
		})
	}
}

func TestRender_PodsOfAServiceAccount(t *testing.T) {
	annotations := func(accounts map[string]types.UID) map[string]string {
		found := map[string]string{}
		options := defaultOptions()
		options.Accounts = accounts
		for _, object := range render(t, options) {
			if kind := object.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
				uid, _, err := unstructured.NestedString(object.Object, "spec", "template", "metadata", "annotations", v1beta1.AnnotationServiceAccount)
				if err != nil {
					t.Fatal(err)
				}
				found[kind] = uid
			}
		}
		return found
	}
	for _, tc := range []struct {
		name     string
		accounts map[string]types.UID
		want     map[string]string
	}{
		{"each has its own", map[string]types.UID{"controller": "c", "speaker": "s"}, map[string]string{"Deployment": "c", "DaemonSet": "s"}},
		{"one is not known", map[string]types.UID{"controller": "c", "speaker": ""}, map[string]string{"Deployment": "c", "DaemonSet": ""}},
		{"none is known", nil, map[string]string{"Deployment": "", "DaemonSet": ""}},
	} {
		if diff := cmp.Diff(tc.want, annotations(tc.accounts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestRender_PortsOfTheSpeaker(t *testing.T) {
	tests := []struct {
		name                  string
		ports                 v1beta1.SpeakerPorts
		mesh, health, metrics int32
	}{
		{name: "unset ports are the defaults", mesh: 7575, health: 7573, metrics: 7574},
		{name: "one port is set, the others are the defaults", ports: v1beta1.SpeakerPorts{Mesh: 7946}, mesh: 7946, health: 7573, metrics: 7574},
		{name: "all ports are set", ports: v1beta1.SpeakerPorts{Mesh: 2001, Health: 2002, Metrics: 2003}, mesh: 2001, health: 2002, metrics: 2003},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaultOptions()
			o.Spec.Speaker.Ports = tt.ports
			pod := daemonSet(t, o).Spec.Template.Spec
			container := pod.Containers[0]
			for _, want := range []string{
				fmt.Sprintf("--mesh-port=%d", tt.mesh),
				fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", tt.health),
				fmt.Sprintf("--metrics-bind-address=:%d", tt.metrics),
			} {
				if !slices.Contains(container.Args, want) {
					t.Errorf("got the arguments %q, want %s among them", container.Args, want)
				}
			}
			want := []corev1.ContainerPort{
				{Name: "mesh", Protocol: corev1.ProtocolUDP, ContainerPort: tt.mesh, HostPort: tt.mesh},
				{Name: "health", Protocol: corev1.ProtocolTCP, ContainerPort: tt.health, HostPort: tt.health, HostIP: "127.0.0.1"},
				{Name: "metrics", Protocol: corev1.ProtocolTCP, ContainerPort: tt.metrics, HostPort: tt.metrics},
			}
			if diff := cmp.Diff(want, container.Ports); diff != "" {
				t.Errorf("declared ports (-want +got):\n%s", diff)
			}
			if got := container.ReadinessProbe.HTTPGet.Port.String(); got != "health" {
				t.Errorf("the probe asks the port %s, want health", got)
			}
		})
	}
}

func daemonSet(t *testing.T, o Options) *appsv1.DaemonSet {
	t.Helper()
	for _, object := range render(t, o) {
		if object.GetKind() == "DaemonSet" {
			typed := &appsv1.DaemonSet{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
				t.Fatal(err)
			}
			return typed
		}
	}
	t.Fatal("there is no DaemonSet")
	return nil
}

func renderDeployment(t testing.TB) *unstructured.Unstructured {
	t.Helper()
	for _, object := range render(t, defaultOptions()) {
		if object.GetKind() == "Deployment" {
			return object
		}
	}
	t.Fatal("there is no Deployment")
	return nil
}

func TestEveryObjectIsLabelledAndInItsNamespace(t *testing.T) {
	for _, object := range render(t, fullOptions()) {
		if got := object.GetLabels()[v1beta1.LabelManagedBy]; got != v1beta1.ManagedByOperator {
			t.Errorf("%s %s: label %s: got %q, want %q", object.GetKind(), object.GetName(), v1beta1.LabelManagedBy, got, v1beta1.ManagedByOperator)
		}
		want := ""
		if all := allKinds(); all[kindIndex(all, object.GroupVersionKind())].Namespaced {
			want = "load-balancers"
		}
		if got := object.GetNamespace(); got != want {
			t.Errorf("%s %s: namespace: got %q, want %q", object.GetKind(), object.GetName(), got, want)
		}
	}
}

func render(t testing.TB, o Options) []*unstructured.Unstructured {
	t.Helper()
	objects, err := Render(o)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func toYAML(t *testing.T, objects []*unstructured.Unstructured) []byte {
	t.Helper()
	var all bytes.Buffer
	for _, object := range objects {
		raw, err := yaml.Marshal(object.DeepCopy().Object)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n")
		all.Write(raw)
	}
	return all.Bytes()
}
