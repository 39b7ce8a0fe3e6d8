package crds

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

var files = fstest.MapFS{
	"crd/bases/as.yaml":            {Data: []byte("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as, annotations: {generator: v2}}\nspec: {scope: Cluster}\n")},
	"crd/bases/bs.yaml":            {Data: []byte("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: bs}\nspec: {scope: Cluster}\n")},
	"crd/kustomization.yaml":       {Data: []byte("no CRD")},
	"controller/deployment.yaml":   {Data: []byte("no CRD")},
	"crd/bases/README":             {Data: []byte("no CRD")},
	"crd/bases/older/as.yaml":      {Data: []byte("no CRD")},
	"speaker/crd/bases/other.yaml": {Data: []byte("no CRD")},
}

func TestUpgrade(t *testing.T) {
	tests := []struct {
		name    string
		present []client.Object
		refuse  string // update of this CRD
		want    map[string]any
		err     string
	}{
		{"CRDs that do not exist are created", nil, "", map[string]any{"as": spec("Cluster"), "bs": spec("Cluster")}, ""},
		{"the spec of one that exists is replaced as a whole", []client.Object{crd("as", map[string]any{"scope": "Namespaced", "gone": true})}, "", map[string]any{"as": spec("Cluster"), "bs": spec("Cluster")}, ""},
		{"one that is refused stops no other", []client.Object{crd("as", spec("Namespaced")), crd("bs", spec("Namespaced"))}, "as", map[string]any{"as": spec("Namespaced"), "bs": spec("Cluster")},
			"replacing the spec of the CustomResourceDefinition as: no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conflicts := 2
			c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(tt.present...).WithInterceptorFuncs(interceptor.Funcs{
				Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
					if object.GetName() == tt.refuse {
						return errors.New("no")
					}
					if conflicts--; conflicts >= 0 {
						return apierrors.NewConflict(schema.GroupResource{Resource: "customresourcedefinitions"}, object.GetName(), errors.New("changed"))
					}
					return c.Update(ctx, object, options...)
				},
			}).Build()
			err := Upgrade(t.Context(), c, files, "v0.2.0")
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			got := map[string]any{}
			for name := range tt.want {
				object := crd(name, nil)
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
					t.Fatal(err)
				}
				got[name] = object.Object["spec"]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("specs by CRD (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpgrade_AsksBeforeADowngrade(t *testing.T) {
	tests := []struct {
		name         string
		ran, allowed string
		refused      bool
		target       string // of a rollout
	}{
		{name: "a newer version runs", ran: "v0.3.0", refused: true},
		{name: "a newer version runs, and another downgrade is permitted", ran: "v0.3.0", allowed: "v0.1.0", refused: true},
		{name: "a newer version runs, and this downgrade is permitted", ran: "v0.3.0", allowed: "v0.2.0"},
		{name: "a newer version is rolled out", ran: "v0.2.0", target: "v0.3.0", refused: true},
		{name: "this version is rolled out", ran: "v0.1.0", target: "v0.2.0"},
		{name: "this version runs", ran: "v0.2.0"},
		{name: "an older version runs, as after an upgrade that was taken back", ran: "v0.1.0"},
		{name: "a stack that no version has run yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "lbstack.io/v1beta1", "kind": "LoadBalancerStack", "status": map[string]any{"version": tt.ran, "targetVersion": tt.target}}}
			stack.SetName("default")
			if tt.allowed != "" {
				stack.SetAnnotations(map[string]string{"lbstack.io/allow-downgrade": tt.allowed})
			}
			present := crd("as", spec("Namespaced"))
			c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(present, stack).Build()
			err := Upgrade(t.Context(), c, files, "v0.2.0")
			if tt.refused != (err != nil) || err != nil && !strings.Contains(err.Error(), "`kubectl annotate lbs default lbstack.io/allow-downgrade=v0.2.0 --overwrite`") {
				t.Errorf("error %v, want one with the command that permits it: %t", err, tt.refused)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(present), present); err != nil {
				t.Fatal(err)
			}
			if isUpgraded := cmp.Equal(present.Object["spec"], any(spec("Cluster"))); isUpgraded == tt.refused {
				t.Errorf("CRD of this version: %t, want %t", isUpgraded, !tt.refused)
			}
		})
	}
}

func TestUpgrade_WithoutItsKinds(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if object.GetObjectKind().GroupVersionKind().Kind == "LoadBalancerStack" {
				return &meta.NoKindMatchError{}
			}
			return c.Get(ctx, key, object, options...)
		},
	}).Build()
	if err := Upgrade(t.Context(), c, files, "v0.2.0"); err != nil {
		t.Errorf("the first installation: %v", err)
	}
}

func TestUpgrade_LeavesWhatAnotherToolWrote(t *testing.T) {
	present := crd("as", spec("Cluster"))
	present.SetAnnotations(map[string]string{"generator": "v1", "tool": "helm"})
	c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(present).Build()
	if err := Upgrade(t.Context(), c, files, "v0.2.0"); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(present), present); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"generator": "v2", "tool": "helm"}, present.GetAnnotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func spec(scope string) map[string]any { return map[string]any{"scope": scope} }

func crd(name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
	object.SetName(name)
	if spec != nil {
		object.Object["spec"] = spec
	}
	return object
}
