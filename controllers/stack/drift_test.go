package stack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestDrift_BoundsManagers(t *testing.T) {
	registry := prometheus.NewRegistry()
	d := NewDrift(registry)
	for i := range 100 {
		d.put("DaemonSet", fmt.Sprintf("tool-%d", i))
	}
	d.put("DaemonSet", "tool-0")
	d.put("Deployment", noManager)
	d.put("DaemonSet", strings.Repeat("x", 1000))
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("got %d metrics, %v, want one", len(families), err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
	}
	want := map[string]float64{"DaemonSet " + otherManager: 85, "Deployment " + noManager: 1}
	for i := range maxManagers {
		want[fmt.Sprintf("DaemonSet tool-%d", i)] = 1
	}
	want["DaemonSet tool-0"]++
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("restored objects by kind and manager (-want +got):\n%s", diff)
	}
	(*Drift)(nil).put("DaemonSet", "x") // counts nothing
}

func TestTemplateChanges(t *testing.T) {
	const before = `{metadata: {labels: {a: b}}, spec: {priorityClassName: x, containers: [{name: speaker, image: v1, args: [a, b], env: [{name: A, value: "1"}]}], tolerations: [{key: a}]}}`
	tests := []struct {
		name, after string
		want        []string
	}{
		{name: "same template", after: before},
		{name: "image", after: strings.Replace(before, "v1", "v2", 1), want: []string{"spec.containers[speaker].image"}},
		{name: "argument", after: strings.Replace(before, "[a, b]", "[a, c]", 1), want: []string{"spec.containers[speaker].args"}},
		{name: "variable and label", after: strings.NewReplacer(`"1"`, `"2"`, "{a: b}", "{a: c, d: e}").Replace(before),
			want: []string{"metadata.labels.a", "metadata.labels.d", "spec.containers[speaker].env[A].value"}},
		{name: "label with the revision", after: strings.NewReplacer("v1", "v2", "a: b}}", "a: b, lbstack.io/revision: x}}").Replace(before), want: []string{"spec.containers[speaker].image"}},
		{name: "list without names", after: strings.Replace(before, "[{key: a}]", "[{key: b}]", 1), want: []string{"spec.tolerations"}},
		{name: "container that is added", after: strings.Replace(before, "containers: [", "containers: [{name: extra}, ", 1), want: []string{"spec.containers[extra]"}},
		{name: "field that is gone", after: strings.Replace(before, "priorityClassName: x, ", "", 1), want: []string{"spec.priorityClassName"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, templateChanges(withTemplate(t, before), withTemplate(t, tt.after))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func withTemplate(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte("spec: {template: "+text+"}"), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}
