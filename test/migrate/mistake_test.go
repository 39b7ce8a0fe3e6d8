package migrate

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// TestSwitchFromMetalLB_AfterBothRanByMistake has somebody apply the whole stack while MetalLB serves. Every Service keeps its
// addresses, doctor and migrate name the mistake, and the switch works once it is corrected as migrate says.
func TestSwitchFromMetalLB_AfterBothRanByMistake(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	config, rest, _ := bytes.Cut(metallbConfig, []byte(withRoutes))
	forget(ctx, t, bed, rest)
	layer2 := slices.DeleteFunc(services(), func(svc *corev1.Service) bool { return strings.HasPrefix(svc.Name, "routed-") })
	addresses := served(ctx, t, bed, layer2, config)
	stack := imported(ctx, t, bed)

	applied(ctx, t, bed, stack)
	must(t, bed.StackReady(ctx))
	must(t, owned(ctx, bed, onLAN))
	reached(ctx, t, bed, addresses)
	if diff := cmp.Diff(addresses, shown(ctx, t, bed)); diff != "" {
		t.Errorf("while both run: addresses of the Services (-want +got):\n%s", diff)
	}
	if out, err := printed(ctx, bed, "doctor"); err == nil || !strings.Contains(out, "MetalLB") {
		t.Errorf("doctor: got the error %v, want one, and that it names MetalLB; it prints\n%s", err, out)
	}
	const refusal, remedy = "both would announce the same addresses", "remove the field from the stack"
	if out, err := printed(ctx, bed, "migrate", "-f", stack); err == nil || !strings.Contains(out, refusal) || !strings.Contains(out, remedy) {
		t.Fatalf("migrate: got the error %v, want one, %q, and %q; it prints\n%s", err, refusal, remedy, out)
	}

	applied(ctx, t, bed, stack, "l2Advertisements")
	eventually.Succeed(t, within, "lbstack announces nothing any more", func(ctx context.Context) error { return owned(ctx, bed, 0) })
	must(t, dropped(migrated(ctx, t, bed, nil, "-f", stack)))
	must(t, bed.StackReady(ctx))
	must(t, owned(ctx, bed, onLAN))
	claimed(ctx, t, bed, addresses)
	reached(ctx, t, bed, addresses)
	must(t, dropped(migrated(ctx, t, bed, nil, "--rollback")))
	reached(ctx, t, bed, addresses)
	if diff := cmp.Diff(addresses, shown(ctx, t, bed)); diff != "" {
		t.Errorf("back to MetalLB: addresses of the Services (-want +got):\n%s", diff)
	}
}

// applied applies the stack of a file, without some fields of its spec.
func applied(ctx context.Context, t *testing.T, bed *scenario.Scenario, file string, without ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	object := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal(text, &object.Object))
	for _, field := range without {
		unstructured.RemoveNestedField(object.Object, "spec", field)
	}
	must(t, bed.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"), client.ForceOwnership))
}

// printed runs the plugin, and returns what it prints.
func printed(ctx context.Context, bed *scenario.Scenario, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, plugin(bed), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	out, err := cmd.CombinedOutput()
	return string(out), err
}
