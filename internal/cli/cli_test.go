package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/internal/version"
)

// example is an input of the library, which has the stack that it gives beside it.
var example = filepath.Join("..", "..", "test", "import", "metallb-pool")

func TestRun_CommandLines(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(example, "stack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	input, err := os.ReadFile(filepath.Join(example, "input.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	for name, text := range map[string]string{"a.yaml": string(input), "b.txt": "no: yaml: at all", "values.yaml": "replicas: 2\n", "below/c.yml": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(files, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, args, in string
		code           int
		out, errOut    string // a part of each
	}{
		{"import of a file", "import -f " + filepath.Join(example, "input.yaml"), "", 0, string(want), "15 fields mapped, 1 with another meaning, 1 not mapped"},
		{"import of the standard input", "import -f -", string(input), 0, string(want), "Not mapped:"},
		{"import of a directory leaves out what is no manifest", "import -f " + files, "", 0, string(want), "Not mapped:"},
		{"import of a directory names manifests that it leaves out", "import -f " + files, "", 0, string(want), "left out: " + filepath.Join(files, "values.yaml") + ": document 1: not a Kubernetes object"},
		{"import of directories below", "import -R -f " + files, "", 0, string(want), "18 are not part of a configuration"},
		{"import as JSON", "import -o json -f " + files, "", 0, `"kind":"LoadBalancerStack"`, ""},
		{"import that must be complete", "import --strict -f " + files, "", 1, string(want), "error: 1 fields are not mapped, and --strict is set"},
		{"import without a source", "import", "", 1, "", "error: pass either -f or --from-cluster"},
		{"import from two sources", "import --from-cluster -f -", "", 1, "", "error: pass either -f or --from-cluster"},
		{"import of an absent file", "import -f /does/not/exist", "", 1, "", "no such file or directory"},
		{"import of text that is no object", "import -f -", "a", 1, "", "error: the standard input: document 1: not a Kubernetes object"},
		{"import of text with a key twice", "import -f -", "a: 1\na: 2\n", 1, "", `key "a" already set`},
		{"import of nothing that is known", "import -f -", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", 1, "", "error: nothing to import"},
		{"import in an unknown format", "import -o xml -f -", "", 1, "", "error: -o xml: there is no such format: use yaml or json"},
		{"version of the plugin", "version --client", "", 0, "Client Version: " + version.Version + "\n", ""},
		{"completion", "completion bash", "", 0, "__start_kubectl-lbstack", ""},
		{"completion of an unknown shell", "completion ash", "", 1, "", `error: invalid argument "ash"`},
		{"plan without a change", "plan", "", 2, "", "error: pass the changed stack with -f"},
		{"plan in CI of an absent file", "plan --exit-code -f /does/not/exist", "", 2, "", "no such file or directory"},
		{"plan in CI with an unknown flag", "plan --exit-code --file x", "", 2, "", "error: unknown flag: --file"},
		{"plan with too many arguments", "plan pool a b --exit-code", "", 2, "", "error: accepts at most 2 arg(s)"},
		{"unknown command", "inport", "", 1, "", `error: unknown command "inport"`},
		{"no command", "", "", 0, "Available Commands:", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, in, out, errOut := genericiooptions.NewTestIOStreams()
			in.WriteString(tt.in)
			if got := Run(t.Context(), strings.Fields(tt.args), streams); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
			if !strings.Contains(out.String(), tt.out) || (tt.out == "" && out.Len() > 0) {
				t.Errorf("standard output: got\n%s\nwant\n%s", out, tt.out)
			}
			if !strings.Contains(errOut.String(), tt.errOut) {
				t.Errorf("standard error: got\n%s\nwant\n%s", errOut, tt.errOut)
			}
		})
	}
}

func TestImport_ReportHasEachField(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	file := filepath.Join(t.TempDir(), "report.json")
	if code := Run(t.Context(), []string{"import", "-f", filepath.Join(example, "input.yaml"), "--report", file}, streams); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Entries []map[string]string }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"object": "IPAddressPool metallb-system/production", "path": "spec.autoAssign", "outcome": "mapped", "target": "spec.ipAddressPools[production].autoAssign"}
	if !slices.ContainsFunc(report.Entries, func(e map[string]string) bool { return cmp.Equal(e, want) }) {
		t.Errorf("the report lacks %v:\n%s", want, text)
	}
}

// installed returns a cluster that has these objects and serves MetalLB's pools, but none of Cilium's kinds.
func installed(forbidden string, objects ...client.Object) *cluster {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "metallb.io", Version: "v1beta1"}, {Version: "v1"}, {Group: "apps", Version: "v1"}})
	for _, kind := range []schema.GroupVersionKind{
		{Group: "metallb.io", Version: "v1beta1", Kind: "IPAddressPool"}, {Version: "v1", Kind: "ConfigMap"},
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"},
	} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	reader := fake.NewClientBuilder().WithRESTMapper(mapper).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			kind := list.GetObjectKind().GroupVersionKind()
			if strings.TrimSuffix(kind.Kind, "List") == forbidden {
				return apierrors.NewForbidden(schema.GroupResource{Group: kind.Group, Resource: "daemonsets"}, "", nil)
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
	return &cluster{flags: genericclioptions.NewConfigFlags(true), api: reader}
}

func object(apiVersion, kind, namespace, name string, more map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	for key, value := range more {
		u.Object[key] = value
	}
	return u
}

func TestImport_FromCluster(t *testing.T) {
	objects := []client.Object{
		object("metallb.io/v1beta1", "IPAddressPool", "metallb-system", "first", map[string]any{"spec": map[string]any{"addresses": []any{"192.0.2.0/28"}}}),
		object("v1", "ConfigMap", "kube-system", "kubevip", map[string]any{"data": map[string]any{"cidr-global": "198.51.100.0/28"}}),
		object("v1", "ConfigMap", "kube-system", "another", map[string]any{"data": map[string]any{"cidr-global": "203.0.113.0/28"}}),
		object("v1", "ConfigMap", "elsewhere", "config", map[string]any{"data": map[string]any{"config": "address-pools: []"}}),
	}
	run := func(c *cluster) (out *bytes.Buffer, err error) {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		cmd := importCommand(streams, c)
		cmd.SetArgs([]string{"--from-cluster"})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return out, cmd.ExecuteContext(t.Context())
	}
	workload := func(namespace string) client.Object {
		return object("apps/v1", "DaemonSet", namespace, "speaker", map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "speaker", "image": "registry.example/metallb/speaker"},
		}}}}})
	}
	if out, err := run(installed("", append(objects, workload("elsewhere"))...)); err != nil || strings.Contains(out.String(), "192.0.2.0/28") || !strings.Contains(out.String(), "198.51.100.0/28") {
		t.Errorf("MetalLB runs elsewhere: got the error %v and the stack\n%s\nwant none of its pools of another namespace", err, out)
	}
	asked := 0
	away := &cluster{flags: genericclioptions.NewConfigFlags(true), api: interceptor.NewClient(installed("").api.(client.WithWatch), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			asked++
			return errors.New("connection refused")
		},
	})}
	if _, err := run(away); err == nil || asked != 1 {
		t.Errorf("an API server that is away was asked %d times, with the error %v, want once", asked, err)
	}
	out, err := run(installed("", objects...))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"- name: first", "- 192.0.2.0/28", "- name: global", "- 198.51.100.0/28"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the stack lacks %q:\n%s", part, out)
		}
	}
	if strings.Contains(out.String(), "203.0.113") {
		t.Errorf("the stack has a ConfigMap that is not kube-vip's:\n%s", out)
	}
	out, err = run(installed("DaemonSet", objects...))
	if err == nil || !strings.Contains(err.Error(), "you lack a right: daemonsets.apps is forbidden") || out.Len() > 0 {
		t.Errorf("without a right: got the error %v and the output %q, want an error that names it, and no stack", err, out)
	}
}

// TestNew_EveryCommandHasAnExample: kubectl's convention, and the help is the first documentation that is read.
func TestNew_EveryCommandHasAnExample(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.HasParent() && !cmd.Hidden && (cmd.Short == "" || cmd.Example == "") {
			t.Errorf("%s has the summary %q and the example %q, want both", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(New(streams))
}
