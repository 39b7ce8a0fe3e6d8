package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/preflight"
	"github.com/lbstack/lbstack/internal/rollout"
)

// schemaWith is that of a kind with some fields.
func schemaWith(names ...string) *preflight.Schema {
	s := &preflight.Schema{Properties: map[string]*preflight.Schema{}}
	for _, name := range names {
		s.Properties[name] = nil
	}
	return s
}

func TestPreflight(t *testing.T) {
	type answer struct {
		minor   string
		served  *preflight.Schema
		failing error
	}
	const ok = "31+"
	both := schemaWith("spec", "status")
	tests := []struct {
		name        string
		ran         string
		stored      string // the version of a stored revision
		phase       v1beta1.RolloutPhase
		annotations map[string]string
		answers     []answer // one for each pass; the last one is the last that is asked for
		want        []string // the reasons, one for each pass
	}{
		{name: "checks are made until all pass", answers: []answer{{minor: "30"}, {minor: ok, served: schemaWith("spec")}, {minor: ok, served: both}},
			want: []string{v1beta1.ReasonUnsupportedKubernetes, v1beta1.ReasonCRDsOutdated, "", "", ""}},
		{name: "what cannot be read is read again", answers: []answer{{failing: errors.New("away")}, {minor: "9"}, {minor: ok, served: both}},
			want: []string{v1beta1.ReasonReadFailed, v1beta1.ReasonUnsupportedKubernetes, "", ""}},
		{name: "kind that the API server does not have", answers: []answer{{minor: ok}, {minor: ok, served: both}}, want: []string{v1beta1.ReasonCRDsOutdated, ""}},
		{name: "newer version whose rollout did not end", ran: "v0.2.0", stored: "v0.3.0", answers: []answer{{minor: ok, served: both}}, want: []string{v1beta1.ReasonDowngradeRefused}},
		{name: "newer version whose rollout goes on", ran: "v0.2.0", stored: "v0.3.0", phase: v1beta1.RolloutCanary, answers: []answer{{minor: ok, served: both}}, want: []string{v1beta1.ReasonDowngradeRefused}},
		{name: "newer version that was rolled back", ran: "v0.2.0", stored: "v0.3.0", phase: v1beta1.RolloutRolledBack, answers: []answer{{minor: ok, served: both}}, want: []string{""}},
		{name: "templates of an older version", ran: "v0.2.0", stored: "v0.1.0", answers: []answer{{minor: ok, served: both}}, want: []string{""}},
		{name: "newer version ran", ran: "v0.3.0", answers: []answer{{minor: ok, served: both}, {minor: ok, served: both}}, want: []string{v1beta1.ReasonDowngradeRefused, v1beta1.ReasonDowngradeRefused}},
		{name: "downgrade is permitted", ran: "v0.3.0", annotations: map[string]string{v1beta1.AnnotationAllowDowngrade: "v0.2.0"},
			answers: []answer{{minor: ok, served: both}}, want: []string{"", ""}},
		{name: "Kubernetes of another major version", answers: []answer{{minor: "", served: both}}, want: []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Annotations: tt.annotations}, Status: v1beta1.LoadBalancerStackStatus{Version: tt.ran}}
			if tt.phase != "" {
				stack.Status.Rollout = &v1beta1.RolloutStatus{Phase: tt.phase, Revision: "b-b", GoodRevision: "a-a"}
			}
			answers := tt.answers
			r := &Reconciler{
				Version: "v0.2.0", needed: map[string]*preflight.Schema{"Pool": both},
				Kubernetes: func() (*version.Info, error) {
					return &version.Info{Major: "1", Minor: answers[0].minor}, answers[0].failing
				},
				Schemas: func(context.Context) (map[string]*preflight.Schema, error) {
					a := answers[0]
					answers = answers[1:]
					if a.failing != nil {
						return nil, a.failing
					}
					return map[string]*preflight.Schema{"Pool": a.served}, nil
				},
			}
			var got []string
			for range tt.want {
				reason := ""
				why, err := r.checkPreflight(t.Context(), stack, map[rollout.Revision]podTemplates{{Controller: "b", Speaker: "b"}: {version: tt.stored}})
				switch {
				case err != nil:
					reason = v1beta1.ReasonReadFailed
				case why != nil:
					reason = why.reason
				}
				got = append(got, reason)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// The CRDs of this tree have all fields of its types.
func TestNeeded_IsWhatTheCRDsHave(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "bases", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	needs := apiconv.NeededSchemas(scheme)
	if got := (&preflight.Schema{}).MissingFields(needs["BGPPeer"]); !cmp.Equal(got, []string{"apiVersion", "kind", "spec", "status"}) {
		t.Errorf("an empty schema: got %q missing", got)
	}
	if len(files) != len(needs) {
		t.Errorf("got %d kinds, want one for each of %d CRDs", len(needs), len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &crd.Object); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		schema, _, _ := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
		document, err := yaml.Marshal(map[string]any{"components": map[string]any{"schemas": map[string]any{"io.lbstack.v1beta1." + kind: schema, "io.k8s.Other": true}}})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := yaml.YAMLToJSON(document)
		if err != nil {
			t.Fatal(err)
		}
		served, err := apiconv.ParseSchemas(raw)
		if err != nil || len(served) != 1 {
			t.Fatalf("%s: got %d schemas, %v, want one", kind, len(served), err)
		}
		if missing := served[kind].MissingFields(needs[kind]); len(missing) > 0 {
			t.Errorf("%s: the CRD lacks %q", kind, missing)
		}
	}
}
