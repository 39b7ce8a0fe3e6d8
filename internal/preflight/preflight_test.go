package preflight

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	needed := map[string]*Schema{"Pool": {Properties: map[string]*Schema{"spec": {Properties: map[string]*Schema{"new": nil, "old": nil}}}}}
	older := map[string]*Schema{"Pool": {Properties: map[string]*Schema{"spec": {Properties: map[string]*Schema{"old": nil}}}}}
	tests := []struct {
		name  string
		facts Facts
		want  Problem
		words string
	}{
		{name: "nothing is known", want: None},
		{name: "Kubernetes that is too old", facts: Facts{Kubernetes: 30, KubernetesVersion: "v1.30.4"}, want: OldKubernetes, words: "runs Kubernetes v1.30.4: lbstack needs 1.31 or newer"},
		{name: "oldest Kubernetes", facts: Facts{Kubernetes: 31}, want: None},
		{name: "schema without a field", facts: Facts{Served: older, Needed: needed, Version: "v0.2.0"}, want: OldSchema, words: "not those of lbstack v0.2.0: the API server drops the fields Pool.spec.new,"},
		{name: "same schema", facts: Facts{Served: needed, Needed: needed}, want: None},
		{name: "schema with more fields", facts: Facts{Served: needed, Needed: older}, want: None},
		{name: "kind that is not served", facts: Facts{Served: map[string]*Schema{}, Needed: needed, Version: "v0.2.0"}, want: OldSchema, words: "lacks CustomResourceDefinitions of lbstack v0.2.0, for the kinds Pool,"},
		{name: "schemas that are not known", facts: Facts{Needed: needed}, want: None},
		{name: "newer version ran", facts: Facts{Ran: []string{"v0.10.0"}, Version: "v0.9.1", Permit: "lbstack.io/allow-downgrade"}, want: Downgrade, words: "Upgrade the operator to v0.10.0 or newer, or permit the downgrade with the annotation lbstack.io/allow-downgrade=v0.9.1"},
		{name: "release ran before its candidate", facts: Facts{Ran: []string{"v0.2.0"}, Version: "v0.2.0-rc.1"}, want: Downgrade, words: "v0.2.0-rc.1"},
		{name: "newest of several versions counts", facts: Facts{Ran: []string{"v0.2.0", "", "v0.4.0", "v0.3.0", "v0.0.0-dev"}, Version: "v0.3.0"}, want: Downgrade, words: "v0.4.0 ran in the cluster"},
		{name: "only development builds ran", facts: Facts{Ran: []string{"", "v0.0.0-dev"}, Version: "v0.3.0"}, want: None},
		{name: "same version ran", facts: Facts{Ran: []string{"v0.2.0"}, Version: "v0.2.0"}, want: None},
		{name: "older version ran", facts: Facts{Ran: []string{"v0.2.0"}, Version: "v0.3.0"}, want: None},
		{name: "downgrade is permitted", facts: Facts{Ran: []string{"v0.3.0"}, Version: "v0.2.0", AllowedDowngrade: "v0.2.0"}, want: None},
		{name: "downgrade to another version is permitted", facts: Facts{Ran: []string{"v0.3.0"}, Version: "v0.1.0", AllowedDowngrade: "v0.2.0"}, want: Downgrade, words: "=v0.1.0"},
		{name: "development build", facts: Facts{Ran: []string{"v0.3.0"}, Version: "v0.0.0-dev"}, want: None},
		{name: "version that is none", facts: Facts{Ran: []string{"v0.3.0"}, Version: "main"}, want: None},
		{name: "downgrade is reported before a schema that is missing with it", facts: Facts{Ran: []string{"v0.3.0"}, Version: "v0.2.0", Served: older, Needed: needed}, want: Downgrade, words: "v0.3.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, sentence := Check(tt.facts)
			if got != tt.want || !strings.Contains(sentence, tt.words) || (got == None) != (sentence == "") {
				t.Errorf("got %d, %q, want %d with %q", got, sentence, tt.want, tt.words)
			}
		})
	}
}

type inner struct {
	Deep string `json:"deep"`
}

type Embedded struct {
	Inlined string `json:"inlined,omitempty"`
}

type outer struct {
	Embedded `json:",inline"`
	Plain    int              `json:"plain"`
	Pointer  *inner           `json:"pointer,omitempty"`
	List     []inner          `json:"list,omitempty"`
	Map      map[string]inner `json:"map,omitempty"`
	Texts    []string         `json:"texts,omitempty"`
	Time     time.Time        `json:"time"`
	Skipped  int              `json:"-"`
}

func TestMissing(t *testing.T) {
	const all = `{"properties": {"inlined": {"type": "string"}, "plain": {}, "pointer": {"properties": {"deep": {}}}, "list": {"items": {"properties": {"deep": {}}}},
		"map": {"additionalProperties": {"properties": {"deep": {}}}}, "texts": {"items": {"type": "string"}}, "time": {"type": "string"}}}`
	tests := []struct {
		name, schema string
		want         []string
	}{
		{name: "all fields", schema: all},
		{name: "no field", schema: `{}`, want: []string{"inlined", "list", "map", "plain", "pointer", "texts", "time"}},
		{name: "any field", schema: `{"x-kubernetes-preserve-unknown-fields": true}`},
		{name: "fields below others", schema: strings.ReplaceAll(all, `{"deep": {}}`, `{"other": {}}`), want: []string{"list[].deep", "map[].deep", "pointer.deep"}},
		{name: "map of anything", schema: strings.ReplaceAll(all, `"additionalProperties": {"properties": {"deep": {}}}`, `"additionalProperties": true`)},
		{name: "map of nothing", schema: strings.ReplaceAll(all, `"additionalProperties": {"properties": {"deep": {}}}`, `"additionalProperties": false`), want: []string{"map[].deep"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			has := &Schema{}
			if err := json.Unmarshal([]byte(tt.schema), has); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, has.MissingFields(SchemaOf(reflect.TypeFor[outer]()))); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListed_BoundsTheSentence(t *testing.T) {
	if got, want := listNames(strings.Split("abcdefg", "")), "a, b, c, d, e and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
