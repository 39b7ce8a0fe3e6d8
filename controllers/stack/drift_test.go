package stack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestDrift_BoundsManagers(t *testing.T) {
	registry := prometheus.NewRegistry()
	d := NewDrift(registry)
	for i := range 100 {
		d.countRestored("DaemonSet", fmt.Sprintf("tool-%d", i))
	}
	d.countRestored("DaemonSet", "tool-0")
	d.countRestored("Deployment", noManager)
	d.countRestored("DaemonSet", strings.Repeat("x", 1000))
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
	(*Drift)(nil).countRestored("DaemonSet", "x") // counts nothing
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

func TestReportDrift(t *testing.T) {
	at := func(second int64) *metav1.Time { return new(metav1.Unix(second, 0)) }
	entry := func(manager string, second int64, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: at(second), FieldsV1: metav1.NewFieldsV1(fields)}
	}
	type entries = []metav1.ManagedFieldsEntry
	ours := entry(fieldOwner, 5, `{"f:data":{}}`)
	edit, left := entry("vendor", 7, `{"f:data":{"f:a":{},"f:b":{}}}`), entry("vendor", 7, `{"f:data":{"f:b":{}}}`)
	beside := entry("kubectl", 9, `{"f:metadata":{}}`)
	state := func(version string, fields entries) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, ManagedFields: fields}}
	}
	it := ref("", "v1", "ConfigMap", "n", "it")
	const deleted, edited = v1beta1.ReasonDeletionReverted, v1beta1.ReasonEditReverted
	tests := []struct {
		name    string
		was     applyHistory
		before  *metav1.PartialObjectMetadata // nil: there was no object
		after   entries
		known   []v1beta1.ObjectReference // the inventory
		applied int64                     // the generation that the process before had applied
		want    string                    // reason, kind and manager
	}{
		{name: "deletion", was: appliedSame, want: deleted + " ConfigMap ''"},
		{name: "deletion while no operator ran", known: []v1beta1.ObjectReference{it}, applied: 3, want: deleted + " ConfigMap ''"},
		{name: "object that is wanted newly", applied: 3},
		{name: "object that may never have been made", known: []v1beta1.ObjectReference{it}, applied: 2},
		{name: "deletion at the same time as a change", was: appliedOther, known: []v1beta1.ObjectReference{it}, applied: 3},
		{name: "edit", was: appliedSame, before: state("1", entries{ours, edit}), after: entries{ours, left}, want: edited + " ConfigMap 'vendor'"},
		{name: "edit that removed a field", was: appliedSame, before: state("1", entries{ours}), after: entries{ours}, want: edited + " ConfigMap ''"},
		{name: "write that changed nothing", was: appliedSame, before: state("2", entries{ours}), after: entries{ours}},
		{name: "change of the stack", was: appliedOther, before: state("1", entries{ours, edit}), after: entries{ours, left}},
		{name: "edit while no operator ran", before: state("1", entries{ours, edit, beside}), after: entries{ours, left, beside}, want: edited + " ConfigMap 'vendor'"},
		{name: "all fields of the edit are taken over", before: state("1", entries{ours, edit}), after: entries{ours}, want: edited + " ConfigMap 'vendor'"},
		{name: "update of the operator beside fields of others", before: state("1", entries{ours, beside}), after: entries{entry(fieldOwner, 9, `{"f:data":{"f:c":{}}}`), beside}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			recorder := events.NewFakeRecorder(1)
			r := &Reconciler{Drift: NewDrift(registry), Events: recorder, observed: rolloutObservations{applied: tt.applied}}
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 3}}
			object := objectOf(it)
			object.SetResourceVersion("2")
			object.SetManagedFields(tt.after)
			r.reportDrift(stack, object, tt.before, tt.was, &findings{inventory: tt.known})
			got := ""
			select {
			case event := <-recorder.Events:
				got = strings.Fields(event)[1]
			default:
			}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range families {
				m := family.GetMetric()[0].GetLabel()
				got += fmt.Sprintf(" %s '%s'", m[0].GetValue(), m[1].GetValue())
			}
			if got != tt.want {
				t.Errorf("event and count: got %q, want %q", got, tt.want)
			}
		})
	}
}
