package apiconv

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/preflight"
)

// SchemasPath returns the path at which the API server publishes the schemas of lbstack's kinds. Every
// authenticated account may read them.
func SchemasPath() string { return "/openapi/v3/apis/" + v1beta1.GroupVersion.String() }

// NeededSchemas returns a schema for each of lbstack's kinds, with the fields that this version uses.
// The kinds must be registered in the scheme.
func NeededSchemas(scheme *runtime.Scheme) map[string]*preflight.Schema {
	kinds := map[string]*preflight.Schema{}
	for kind, is := range scheme.KnownTypes(v1beta1.GroupVersion) {
		if _, object := is.FieldByName("ObjectMeta"); !object {
			continue // a list, or options of a request
		}
		kinds[kind] = preflight.SchemaOf(is)
		delete(kinds[kind].Properties, "metadata") // the API server publishes a different schema for it
	}
	return kinds
}

// ParseSchemas returns the schemas of lbstack's kinds in the document at SchemasPath, by kind.
func ParseSchemas(text []byte) (map[string]*preflight.Schema, error) {
	var document struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("reading the schemas of %s: %w", v1beta1.GroupVersion, err)
	}
	kinds := map[string]*preflight.Schema{}
	for name, raw := range document.Components.Schemas {
		kind, ours := strings.CutPrefix(name, "io.lbstack."+v1beta1.GroupVersion.Version+".")
		if !ours {
			continue
		}
		kinds[kind] = &preflight.Schema{}
		if err := json.Unmarshal(raw, kinds[kind]); err != nil {
			return nil, fmt.Errorf("reading the schema of %s: %w", kind, err)
		}
	}
	return kinds, nil
}
