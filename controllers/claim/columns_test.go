package claim

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/config"
)

// shown returns what kubectl get has in some columns of a claim.
func shown(t *testing.T, claim *v1beta1.IPAddressClaim, columns ...string) (list []string) {
	t.Helper()
	text, err := config.CRDs.ReadFile("crd/bases/lbstack.io_ipaddressclaims.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				AdditionalPrinterColumns []struct{ Name, JSONPath string }
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(claim)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for _, column := range crd.Spec.Versions[0].AdditionalPrinterColumns {
		paths[column.Name] = column.JSONPath
	}
	for _, column := range columns {
		var out bytes.Buffer
		path := jsonpath.New(column).AllowMissingKeys(true)
		if err := path.Parse("{" + paths[column] + "}"); err != nil || paths[column] == "" {
			t.Fatalf("column %s: %q, %v", column, paths[column], err)
		}
		if err := path.Execute(&out, object); err != nil {
			t.Fatalf("column %s: %v", column, err)
		}
		list = append(list, out.String())
	}
	return list
}

func TestColumns(t *testing.T) {
	alone := &Reconciler{Allocations: viewWith(nil)}
	visited := &Reconciler{Allocations: viewWith(map[string]bool{at: false})}
	for _, tt := range []struct {
		name  string
		by    *Reconciler
		claim *v1beta1.IPAddressClaim
		want  []string // problem and conflict
	}{
		{"claim of a Service without a problem", alone, made(claim(at, "a")), []string{"", ""}},
		{"reservation without a problem", alone, claim(at), []string{"", ""}},
		{"claim of a Service whose address a foreign host uses", visited, made(claim(at, "a")), []string{"", v1beta1.ReasonForeignHost}},
		{"claim of a Service outside of the pools", alone, made(claim("192.0.2.1", "a")), []string{v1beta1.ReasonClaimOutsidePools, ""}},
		{"reservation outside of the pools", alone, claim("192.0.2.1"), []string{v1beta1.ReasonClaimOutsidePools, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, shown(t, tt.by.desiredClaim(tt.claim), "Problem", "Conflict")); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}
