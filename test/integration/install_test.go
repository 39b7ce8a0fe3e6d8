package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// objects are manifests by kind and name. A name is used once for each kind.
type objects map[string]*unstructured.Unstructured

// TestInstallation_IsTheSameInAllWays compares the objects of the manifest, which is the plain
// installation, with those of the Helm chart and the OLM bundle.
func TestInstallation_IsTheSameInAllWays(t *testing.T) {
	manifest := decode(t, output(t, "go", "run", "./hack/installer"))
	namespace := "Namespace " + systemNamespace
	if manifest[namespace] == nil {
		t.Fatalf("the manifest has no %s", namespace)
	}
	delete(manifest, namespace) // Helm and OLM install into a namespace of the user
	chart := decode(t, helm(t, "template", "any", chartDir(), "--namespace", systemNamespace, "--include-crds", "--no-hooks"))
	if diff := cmp.Diff(manifest, chart); diff != "" {
		t.Errorf("the chart with its default values (-manifest +chart):\n%s", diff)
	}
	if diff := cmp.Diff(installedByBundle(t, manifest), installedByOLM(t)); diff != "" {
		t.Errorf("the bundle (-manifest +bundle):\n%s", diff)
	}
}

// part is what a bundle has of an object. Rights of a ServiceAccount have no labels and annotations there: OLM makes the
// roles, and binds them.
type part struct {
	Labels, Annotations map[string]string
	Content             any
}

func partOf(object *unstructured.Unstructured, content any) part {
	return part{object.GetLabels(), object.GetAnnotations(), content}
}

// installedByBundle lists the objects of the manifest that a bundle can have. Roles that a ServiceAccount is bound to are
// listed by the name of the account; the account follows from them.
func installedByBundle(t *testing.T, manifest objects) map[string]part {
	t.Helper()
	parts := map[string]part{}
	bound := map[string]bool{}
	for name, object := range manifest {
		if kind := object.GetKind(); kind != "ClusterRoleBinding" && kind != "RoleBinding" {
			continue
		}
		subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
		reference, _, _ := unstructured.NestedStringMap(object.Object, "roleRef")
		role := reference["kind"] + " " + reference["name"]
		if len(subjects) != 1 || manifest[role] == nil {
			t.Fatalf("%s binds %d subjects to the %s, want one to a role of the manifest", name, len(subjects), role)
		}
		account := fmt.Sprintf("%s %s", reference["kind"], subjects[0].(map[string]any)["name"])
		if _, twice := parts[account]; twice {
			t.Fatalf("%s is the second of its kind that binds %s", name, account)
		}
		parts[account], bound[role] = part{Content: manifest[role].Object["rules"]}, true
	}
	for name, object := range manifest {
		switch kind := object.GetKind(); {
		case kind == "ServiceAccount" || kind == "ClusterRoleBinding" || kind == "RoleBinding" || bound[name]:
		case kind == "Role" || kind == "ClusterRole":
			parts[name] = partOf(object, object.Object["rules"])
		case kind == "Deployment":
			parts[name] = partOf(object, deploymentSpec(t, object.Object["spec"]))
		default:
			parts[name] = partOf(object, object.Object["spec"])
		}
	}
	return parts
}

// deploymentSpec reads a spec: operator-sdk writes empty fields that the manifest does not have.
func deploymentSpec(t *testing.T, from any) appsv1.DeploymentSpec {
	t.Helper()
	var spec appsv1.DeploymentSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.(map[string]any), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// installedByOLM reads bundle/.
func installedByOLM(t *testing.T) map[string]part {
	t.Helper()
	parts := map[string]part{}
	files, err := filepath.Glob(filepath.Join(server.Repo, "bundle", "manifests", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the bundle has the files %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, object := range decode(t, text) {
			switch object.GetKind() {
			case "ClusterServiceVersion":
				maps.Copy(parts, installedByCSV(t, object))
			case "ClusterRole":
				parts[name] = partOf(object, object.Object["rules"])
			default:
				parts[name] = partOf(object, object.Object["spec"])
			}
		}
	}
	return parts
}

func installedByCSV(t *testing.T, csv *unstructured.Unstructured) map[string]part {
	t.Helper()
	parts := map[string]part{}
	for field, kind := range map[string]string{"deployments": "Deployment", "permissions": "Role", "clusterPermissions": "ClusterRole"} {
		list, _, err := unstructured.NestedSlice(csv.Object, "spec", "install", "spec", field)
		if err != nil || len(list) == 0 {
			t.Fatalf("the ClusterServiceVersion has the %s %v, %v", field, list, err)
		}
		for _, item := range list {
			item := item.(map[string]any)
			if kind == "Deployment" {
				labels, _, err := unstructured.NestedStringMap(item, "label")
				if err != nil {
					t.Fatal(err)
				}
				parts[kind+" "+item["name"].(string)] = part{Labels: labels, Content: deploymentSpec(t, item["spec"])}
				continue
			}
			parts[kind+" "+item["serviceAccountName"].(string)] = part{Content: item["rules"]}
		}
	}
	return parts
}

// valueSets are values for the chart, with which the API server accepts all objects.
var valueSets = []struct{ name, namespace, values string }{
	{"defaults", systemNamespace, ""},
	{"a mirror, a digest and a stack for layer 2", "load-balancers", `
image: {repository: mirror.example:5000/lbstack, digest: "sha256:` + strings.Repeat("a", 64) + `", pullPolicy: Always}
imagePullSecrets: [{name: mirror}]
replicas: 1
stack:
  images: {registry: "mirror.example:5000", pullSecrets: [{name: mirror}]}
  ipAddressPools: [{name: first-pool, addresses: [192.168.1.240-192.168.1.250]}]
  l2Advertisements: [{name: example}]
`},
	{"placement, resources and a stack for BGP", systemNamespace, `
logLevel: debug
resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}
priorityClassName: system-node-critical
nodeSelector: {kubernetes.io/os: linux, node-role.kubernetes.io/infra: ""}
tolerations: []
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: Exists}]}]}}}
podAnnotations: {example.com/team: network}
crds: {upgrade: false}
stack:
  ipAddressPools: [{name: routed, addresses: [198.51.100.0/24, "2001:db8:100::/120"]}]
  bfdProfiles: [{name: fast, transmitIntervalMilliseconds: 100, receiveIntervalMilliseconds: 100}]
  bgpPeers: [{name: router, myASN: 64512, peerASN: 64513, peerAddress: 192.168.1.1, dualStackAddressFamily: true, bfdProfile: fast}]
  bgpAdvertisements: [{name: routed}]
`},
}

func TestChart_APIServerAcceptsAllObjects(t *testing.T) {
	c, dir := administrator(t), t.TempDir()
	for i, set := range valueSets {
		t.Run(set.name, func(t *testing.T) {
			values := filepath.Join(dir, fmt.Sprintf("values-%d.yaml", i)) // helm splits paths at commas
			if err := os.WriteFile(values, []byte(set.values), 0o600); err != nil {
				t.Fatal(err)
			}
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: set.namespace}}
			if err := c.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
			helm(t, "lint", "--strict", chartDir(), "--namespace", set.namespace, "--values", values)
			rendered := decode(t, helm(t, "template", "any", chartDir(), "--namespace", set.namespace, "--values", values, "--include-crds"))
			for name, object := range rendered {
				err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("helm"), client.ForceOwnership, client.DryRunAll)
				if err != nil {
					t.Errorf("applying the %s: %v", name, err)
				}
			}
			hasStack, hasHook := rendered["LoadBalancerStack default"] != nil, rendered["Job lbstack-upgrade-crds"] != nil
			if wantStack, wantHook := strings.Contains(set.values, "stack:"), !strings.Contains(set.values, "upgrade: false"); hasStack != wantStack || hasHook != wantHook {
				t.Errorf("stack: %t, want %t; Job for the CRDs: %t, want %t", hasStack, wantStack, hasHook, wantHook)
			}
		})
	}
}

func TestChart_RefusesInvalidValues(t *testing.T) {
	tests := []struct{ name, set, want string }{
		{"no operator", "replicas=0", "replicas"},
		{"an unknown log level", "logLevel=loud", "logLevel"},
		{"a digest that is none", "image.digest=latest", "digest"},
		{"a value that does not exist", "replica=2", "replica"},
		{"no memory limit, from which the program takes its own", "resources.limits.memory=null", "memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), helmPath(t), "template", "any", chartDir(), "--set", tt.set).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) || !strings.Contains(string(out), "schema") {
				t.Errorf("helm template --set %s: %v: %s; want an error of the schema with %q", tt.set, err, out, tt.want)
			}
		})
	}
}

// TestChart_UpgradesCRDs runs what the Job of the chart runs, with the rights that the chart gives it.
func TestChart_UpgradesCRDs(t *testing.T) {
	b := newOperatorBed(t)
	var job *unstructured.Unstructured
	for _, object := range decode(t, helm(t, "template", "any", chartDir(), "--namespace", systemNamespace)) {
		if object.GetName() != "lbstack-upgrade-crds" {
			continue
		}
		if object.GetKind() == "Job" {
			job = object
			continue
		}
		create(t, b.Client, object)
	}
	containers, _, err := unstructured.NestedSlice(job.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("the Job has the containers %v, %v", containers, err)
	}
	args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	if err != nil {
		t.Fatal(err)
	}

	crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
	crd.SetName("communities.lbstack.io")
	older := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ofAnotherVersion","value":{"type":"string"}}]`))
	if err := b.Patch(t.Context(), crd, older); err != nil {
		t.Fatal(err)
	}
	kubeconfig := b.impersonating("system:serviceaccount:"+systemNamespace+":lbstack-upgrade-crds", "system:authenticated")
	cmd := exec.CommandContext(t.Context(), program(t, "operator"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("operator %s: %v: %s", args, err, out)
	}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	fields, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(fields)), []string{"communities"}; !slices.Equal(got, want) {
		t.Errorf("fields of the spec after the upgrade: %v, want %v", got, want)
	}
}

func chartDir() string { return filepath.Join(server.Repo, "charts", "lbstack") }

// helmPath is bin/helm, which make builds.
func helmPath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(server.Repo, "bin", "helm")
	if _, err := os.Stat(path); err != nil {
		output(t, "make", "bin/helm")
	}
	return path
}

func helm(t *testing.T, args ...string) []byte {
	t.Helper()
	return output(t, helmPath(t), args...)
}

// output runs a program in the repository.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = server.Repo
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", filepath.Base(name), strings.Join(args, " "), err, out, &stderr)
	}
	return out
}

func decode(t *testing.T, text []byte) objects {
	t.Helper()
	all := objects{}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			all[object.GetKind()+" "+object.GetName()] = object
		}
	}
}
