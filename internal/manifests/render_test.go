package manifests

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

var key = []byte("0123456789abcdef0123456789abcdef")

func defaultOptions() Options {
	return Options{Spec: v1beta1.LoadBalancerStackSpec{Namespace: "lbstack-system"}, Image: "ghcr.io/lbstack/lbstack:v0.1.0", MemberlistKey: key}
}

func fullOptions() Options {
	return Options{
		Image:         "registry.example:5000/lb@sha256:0000000000000000000000000000000000000000000000000000000000000000",
		MemberlistKey: key,
		Spec: v1beta1.LoadBalancerStackSpec{
			Namespace:         "load-balancers",
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
			Controller: v1beta1.ControllerSpec{Replicas: new(int32(3)), ComponentSpec: v1beta1.ComponentSpec{
				LogLevel:     v1beta1.LogLevelDebug,
				NodeSelector: map[string]string{"node-role.kubernetes.io/control-plane": ""},
				Resources:    &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}},
			}},
			Layer2: v1beta1.Layer2Spec{FailureDetection: v1beta1.FailureDetectionFast, Failback: v1beta1.FailbackGradual},
			Drain:  v1beta1.DrainSpec{Taints: []v1beta1.DrainKey{"example.com/maintenance", "lbstack.io/drain"}, Labels: []v1beta1.DrainKey{}},
			Speaker: v1beta1.ComponentSpec{
				LogLevel:    v1beta1.LogLevelError,
				Tolerations: []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(60))}},
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
		{name: "a spec that says nothing gives the defaults", file: "default.yaml", options: defaultOptions()},
		{name: "a spec that says everything is followed", file: "full.yaml", options: fullOptions()},
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

func TestANewKeyRollsTheSpeakers(t *testing.T) {
	hash := func(key string) string {
		o := defaultOptions()
		o.MemberlistKey = []byte(key)
		for _, object := range render(t, o) {
			if object.GetKind() == "DaemonSet" {
				got, _, _ := unstructured.NestedString(object.Object, "spec", "template", "metadata", "annotations", annotationKeyHash)
				return got
			}
		}
		return ""
	}
	one, two := hash("0123456789abcdef"), hash("fedcba9876543210")
	if one == "" || one == two {
		t.Errorf("hashes of two keys: got %q and %q, want two different ones", one, two)
	}
}

func TestRolesHaveNoWildcards(t *testing.T) {
	for _, object := range render(t, defaultOptions()) {
		rules, _, err := unstructured.NestedSlice(object.Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range rules {
			for field, values := range rule.(map[string]any) {
				if slices.Contains(values.([]any), any("*")) {
					t.Errorf("%s %s: %s of a rule: got a wildcard, want names", object.GetKind(), object.GetName(), field)
				}
			}
		}
	}
}

func TestEveryObjectIsLabelledAndInItsNamespace(t *testing.T) {
	for _, object := range render(t, fullOptions()) {
		if got := object.GetLabels()[v1beta1.LabelManagedBy]; got != v1beta1.ManagedByOperator {
			t.Errorf("%s %s: label %s: got %q, want %q", object.GetKind(), object.GetName(), v1beta1.LabelManagedBy, got, v1beta1.ManagedByOperator)
		}
		want := ""
		if Kinds()[rank(object.GroupVersionKind())].Namespaced {
			want = "load-balancers"
		}
		if got := object.GetNamespace(); got != want {
			t.Errorf("%s %s: namespace: got %q, want %q", object.GetKind(), object.GetName(), got, want)
		}
	}
}

func render(t *testing.T, o Options) []*unstructured.Unstructured {
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
