package manifests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestRender_Fields compares what each field of the spec changes in the rendered objects with
// a golden file: the fields that are removed, and those that are added.
func TestRender_Fields(t *testing.T) {
	both := func(edit func(*v1beta1.ComponentSpec)) func(*v1beta1.LoadBalancerStackSpec) {
		return func(s *v1beta1.LoadBalancerStackSpec) {
			edit(&s.Controller.ComponentSpec)
			edit(&s.Speaker.ComponentSpec)
		}
	}
	rack := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "rack", Operator: corev1.NodeSelectorOpIn, Values: []string{"1", "2"}}}}}
	tests := []struct {
		field string
		edit  func(*v1beta1.LoadBalancerStackSpec)
	}{
		{"logLevel", both(func(c *v1beta1.ComponentSpec) { c.LogLevel = v1beta1.LogLevelDebug })},
		{"nodeSelector", both(func(c *v1beta1.ComponentSpec) { c.NodeSelector = map[string]string{"edge": "yes"} })},
		{"tolerations", both(func(c *v1beta1.ComponentSpec) {
			c.Tolerations = []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists}}
		})},
		{"resources", both(func(c *v1beta1.ComponentSpec) {
			c.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m")}}
		})},
		{"affinity", both(func(c *v1beta1.ComponentSpec) {
			c.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: rack}}}
		})},
		{"topologySpreadConstraints", both(func(c *v1beta1.ComponentSpec) {
			c.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
				{TopologyKey: "rack", MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule},
				{TopologyKey: "row", MaxSkew: 2, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"own": "yes"}}},
			}
		})},
		{"priorityClassName", both(func(c *v1beta1.ComponentSpec) { c.PriorityClassName = "network" })},
		{"podAnnotations", both(func(c *v1beta1.ComponentSpec) {
			c.PodAnnotations = map[string]v1beta1.AnnotationValue{"example.com/scrape": "true"}
		})},
		{"podLabels", both(func(c *v1beta1.ComponentSpec) { c.PodLabels = map[string]v1beta1.LabelValue{"team": "network"} })},
		{"env", both(func(c *v1beta1.ComponentSpec) {
			c.Env = []v1beta1.EnvironmentVariable{{Name: "GODEBUG", Value: "netdns=go"}, {Name: "EMPTY"}}
		})},
		{"images", func(s *v1beta1.LoadBalancerStackSpec) {
			s.Images = v1beta1.ImagesSpec{Registry: "mirror.example:5000/ghcr", PullPolicy: corev1.PullAlways, PullSecrets: []v1beta1.PullSecret{{Name: "mirror"}}}
		}},
		{"patches", func(s *v1beta1.LoadBalancerStackSpec) {
			s.Patches = []v1beta1.Patch{
				patchOf("DaemonSet", "spec:\n  template:\n    spec:\n      containers:\n      - name: speaker\n        lifecycle: {preStop: {sleep: {seconds: 5}}}\n"),
				patchOf("DaemonSet", `{"spec":{"template":{"spec":{"volumes":[{"name":"extra","emptyDir":{}}]}}}}`),
				patchOf("Deployment", `[{"op":"add","path":"/spec/template/spec/hostAliases","value":[{"ip":"192.0.2.1","hostnames":["api"]}]},{"op":"remove","path":"/spec/strategy"}]`),
				patchOf("PodDisruptionBudget", "metadata: {annotations: {example.com/owner: network}}"),
			}
		}},
		{"replicas", func(s *v1beta1.LoadBalancerStackSpec) { s.Controller.Replicas = new(int32(3)) }},
		{"loadBalancerClass", func(s *v1beta1.LoadBalancerStackSpec) { s.LoadBalancerClass = "example.com/lb" }},
		{"ports", func(s *v1beta1.LoadBalancerStackSpec) {
			s.Speaker.Ports = v1beta1.SpeakerPorts{Mesh: 9001, Health: 9002, Metrics: 9003}
		}},
		{"layer2", func(s *v1beta1.LoadBalancerStackSpec) {
			s.Layer2 = v1beta1.Layer2Spec{FailureDetection: v1beta1.FailureDetectionFast, Failback: v1beta1.FailbackGradual}
		}},
	}
	before := leaves(render(t, defaultOptions()))
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			o := defaultOptions()
			tt.edit(&o.Spec)
			got := difference(before, leaves(render(t, o)))
			path := filepath.Join("testdata", "fields", tt.field+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" || got == "" {
				t.Errorf("what the field changes differs from %s (go test -update writes it; -want +got):\n%s", path, diff)
			}
		})
	}
}

// leaves lists the fields of objects, one a line, in order.
func leaves(objects []*unstructured.Unstructured) (lines []string) {
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, below := range v {
				walk(path+"."+key, below)
			}
		case []any:
			for i, below := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), below)
			}
		default:
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %v", path, v)))
		}
	}
	for _, object := range objects {
		walk(object.GetKind()+" "+object.GetName()+" ", object.Object)
	}
	slices.Sort(lines)
	return lines
}

func difference(before, after []string) string {
	var text strings.Builder
	for _, line := range before {
		if _, stays := slices.BinarySearch(after, line); !stays {
			fmt.Fprintf(&text, "- %s\n", line)
		}
	}
	for _, line := range after {
		if _, was := slices.BinarySearch(before, line); !was {
			fmt.Fprintf(&text, "+ %s\n", line)
		}
	}
	return text.String()
}

func TestRender_RefusesKeysOfItsOwn(t *testing.T) {
	tests := []struct {
		name string
		edit func(*v1beta1.LoadBalancerStackSpec)
		want FieldError
	}{
		{name: "label of the selector", edit: func(s *v1beta1.LoadBalancerStackSpec) {
			s.Speaker.PodLabels = map[string]v1beta1.LabelValue{"app.kubernetes.io/name": "mine"}
		}, want: FieldError{"spec.speaker.podLabels", `the key "app.kubernetes.io/name" is reserved for lbstack`, "use another key"}},
		{name: "annotation of lbstack", edit: func(s *v1beta1.LoadBalancerStackSpec) {
			s.Controller.PodAnnotations = map[string]v1beta1.AnnotationValue{"lbstack.io/x": "1"}
		}, want: FieldError{"spec.controller.podAnnotations", `the key "lbstack.io/x" is reserved for lbstack`, "use another key"}},
		{name: "key that is no key", edit: func(s *v1beta1.LoadBalancerStackSpec) {
			s.Speaker.PodAnnotations = map[string]v1beta1.AnnotationValue{"a b": "1"}
		}, want: FieldError{"spec.speaker.podAnnotations", `the key "a b" is invalid: `, "correct the key"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaultOptions()
			tt.edit(&o.Spec)
			_, err := Render(o)
			var got *InvalidError
			if !errors.As(err, &got) || len(got.Fields) != 1 || got.Fields[0].Path != tt.want.Path || !strings.HasPrefix(got.Fields[0].Problem, tt.want.Problem) ||
				got.Fields[0].Remedy != tt.want.Remedy {
				t.Errorf("got %v, want %v", err, &tt.want)
			}
		})
	}
}

func TestImage(t *testing.T) {
	tests := []struct{ name, image, registry, want string }{
		{name: "no registry in the spec", image: "ghcr.io/lbstack/lbstack:v1", want: "ghcr.io/lbstack/lbstack:v1"},
		{name: "registry is replaced", image: "ghcr.io/lbstack/lbstack:v1", registry: "mirror.example:5000", want: "mirror.example:5000/lbstack/lbstack:v1"},
		{name: "registry with a path", image: "ghcr.io/lbstack/lbstack:v1", registry: "mirror.example/ghcr", want: "mirror.example/ghcr/lbstack/lbstack:v1"},
		{name: "digest stays", image: "ghcr.io/lbstack/lbstack@sha256:00", registry: "m.example", want: "m.example/lbstack/lbstack@sha256:00"},
		{name: "registry with a port is replaced", image: "localhost:5000/lbstack:v1", registry: "m.example", want: "m.example/lbstack:v1"},
		{name: "localhost is a registry", image: "localhost/lbstack:v1", registry: "m.example", want: "m.example/lbstack:v1"},
		{name: "image without a registry", image: "lbstack/lbstack:v1", registry: "m.example", want: "m.example/lbstack/lbstack:v1"},
		{name: "image without a slash", image: "lbstack:v1", registry: "m.example", want: "m.example/lbstack:v1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := withRegistry(tt.image, tt.registry); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
