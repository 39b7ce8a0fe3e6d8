package olm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// namespace is the one that the bundle suggests.
const namespace = "lbstack-system"

// TestInstallation takes an installation through its life as users of OLM have it, with the manifests of
// docs/install.md, while a client connects: an earlier release, its upgrade by channel to the one of the
// repository, an upgrade by hand to one that is broken, the removal of the operator without the
// stack, the installation anew from the image of the catalogue, and the removal of everything.
func TestInstallation(t *testing.T) {
	build(t, earlier, "")
	build(t, broken, filepath.Join(bed.Repo, "bin", "olm", "box"))
	first := makeBundle(t, earlier)
	addField(t, first)
	var releases catalogue
	serve(t, "first", releases.add(t, earlier, first))
	subscribe(t, "lbstack")
	succeeded(t, earlier)
	createExample(t, earlier)
	if !hasExtraField(t) {
		t.Errorf("the CRD of %s lacks the field %s", earlier, extraField)
	}
	address := served(t)

	during(t, "upgrade by channel", address, func() {
		serve(t, "second", releases.add(t, current, filepath.Join(bed.Repo, "bundle")))
		succeeded(t, current)
		gone(t, "the earlier version", "-n", namespace, "get", "csv/"+csvOf(earlier))
		rolledOut(t, current)
	})
	if hasExtraField(t) {
		t.Errorf("the CRD still has the field %s of %s", extraField, earlier)
	}
	during(t, "upgrade by hand to a broken version", address, func() {
		byHand(t, "third", releases.add(t, broken, makeBundle(t, broken)))
		rolledBack(t)
	})

	// The publisher withdraws the broken version. OLM does not go back: the way is to remove it, without the stack.
	during(t, "removal of the operator", address, func() {
		unsubscribe(t, broken)
		gone(t, "the operator and the ServiceAccounts", "-n", namespace, "get", "-o", "name", "deployment/lbstack-operator",
			"serviceaccount/lbstack-operator", "serviceaccount/lbstack-controller", "serviceaccount/lbstack-speaker")
		patchStack(t, `{"spec":{"speaker":{"rollout":null}}}`)
		serveImage(t, filepath.Join(released(t), "lbstack"))
	})
	// A new installation finds the stack and the address, and everything works again.
	during(t, "new installation", address, func() {
		subscribe(t, "released")
		succeeded(t, current)
		if again, err := bed.Address(background(t), scenario.SampleService); err != nil || again != address {
			t.Fatalf("the Service has the address %q after the second installation, want %s: %v", again, address, err)
		}
		must(t, bed.Client.Create(background(t), secondService()))
		second, err := bed.Address(background(t), "second")
		must(t, err)
		_, err = bed.Page(background(t), second)
		must(t, err)
		must(t, bed.EveryoneSeesEveryone(background(t)))
		must(t, bed.StackReady(background(t)))
	})
	deleteWithoutOperator(t)
	createExample(t, current)
	remove(t, current)
}

// deleteWithoutOperator deletes the stack while there is no operator, which the finalizer of the stack waits for. The
// next installation removes it.
func deleteWithoutOperator(t *testing.T) {
	t.Helper()
	const stack = "loadbalancerstack/" + v1beta1.LoadBalancerStackName
	unsubscribe(t, current)
	gone(t, "the operator", "-n", namespace, "get", "-o", "name", "deployment/lbstack-operator")
	mustKubectl(t, "", "delete", stack, "--wait=false")
	eventually.Stays(t, 3*time.Second, "the stack waits", func(ctx context.Context) error {
		_, err := kubectl(ctx, "", "get", stack)
		return err
	})
	subscribe(t, "released")
	succeeded(t, current)
	gone(t, "the stack", "get", stack)
	gone(t, "controller and speakers", "-n", namespace, "get", "-o", "name", "deployment/lbstack-controller", "daemonset/lbstack-speaker")
}

// released returns a copy of the catalogue of the repository, which names the bundle by the digest that the nodes have.
func released(t *testing.T) string {
	t.Helper()
	const tag = "ghcr.io/lbstack/lbstack-bundle:" + current
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(bed.Repo, "catalog"))))
	file := filepath.Join(dir, "lbstack", "bundles", current+".yaml")
	text, err := os.ReadFile(file)
	must(t, err)
	if !strings.Contains(string(text), "image: "+tag+"\n") {
		t.Fatalf("the catalogue has no bundle %s", tag)
	}
	pinned := publish(t, tag, filepath.Join(bed.Repo, "bundle"))
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), tag, pinned)), 0o600))
	return dir
}

// during does something while a client connects every 5 ms, of which none may fail.
func during(t *testing.T, what, address string, do func()) {
	t.Helper()
	begun := time.Now()
	c, err := bed.Connecting(background(t), address+":80", func(context.Context) error {
		do()
		return nil
	})
	must(t, err)
	t.Logf("%s: %.0f s, %d connections, %d failed, %d cut, longest gap %d ms", what, time.Since(begun).Seconds(), c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
	if c.Failed > 0 || c.Tried == 0 {
		t.Errorf("%s: of %d connections %d failed: %v", what, c.Tried, c.Failed, c.Why[:min(len(c.Why), 5)])
	}
}

// succeeded waits until OLM has installed a version.
func succeeded(t *testing.T, version string) {
	t.Helper()
	prints(t, "Succeeded", "-n", namespace, "get", "csv/"+csvOf(version), "-o", "jsonpath={.status.phase}")
}

// createExample creates the LoadBalancerStack that OLM shows as the example, and waits until it is Ready.
func createExample(t *testing.T, version string) {
	t.Helper()
	text := mustKubectl(t, "", "-n", namespace, "get", "csv/"+csvOf(version), "-o", `jsonpath={.metadata.annotations.alm-examples}`)
	var examples []map[string]any
	must(t, json.Unmarshal([]byte(text), &examples))
	for _, example := range examples {
		if example["kind"] != "LoadBalancerStack" {
			continue
		}
		object, err := json.Marshal(example)
		must(t, err)
		mustKubectl(t, string(object), "apply", "--server-side", "-f", "-")
		must(t, bed.StackReady(background(t)))
		return
	}
	t.Fatalf("the examples of %s have no LoadBalancerStack", version)
}

// served applies the sample Service and its backend, and returns its address once the client gets a page.
func served(t *testing.T) string {
	t.Helper()
	must(t, bed.Apply(background(t), "web.yaml", "service.yaml"))
	address, err := bed.Address(background(t), scenario.SampleService)
	must(t, err)
	_, err = bed.Page(background(t), address)
	must(t, err)
	return address
}

func secondService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "second"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
}

// unsubscribe deletes what the user of OLM made, and not the stack.
func unsubscribe(t *testing.T, version string) {
	t.Helper()
	mustKubectl(t, "", "-n", namespace, "delete", "subscription/lbstack")
	mustKubectl(t, "", "-n", namespace, "delete", "csv/"+csvOf(version))
}

// remove removes everything in the documented order, and what that leaves on purpose.
func remove(t *testing.T, version string) {
	t.Helper()
	mustKubectl(t, "", "delete", "services/web", "services/second", "--ignore-not-found")
	mustKubectl(t, "", "delete", "loadbalancerstack/"+v1beta1.LoadBalancerStackName, "--timeout=100s")
	unsubscribe(t, version)
	gone(t, "pods of lbstack", "-n", namespace, "get", "pods", "-o", "name")
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	commands := documentedRemoval(t)
	want := documentedLeftovers(commands)
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		left, err := leftovers(ctx)
		if diff := cmp.Diff(want, left); err == nil && diff != "" {
			err = fmt.Errorf("what is left (-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Errorf("after the removal: %v", err)
	}
	for _, command := range commands {
		mustKubectl(t, "", strings.Fields(command)[1:]...)
	}
	eventually.Succeed(t, within, "nothing of lbstack is left", func(ctx context.Context) error {
		const kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,operators.operators.coreos.com"
		names, err := kubectl(ctx, "", "get", kinds, "-o", "name")
		for name := range strings.FieldsSeq(names) {
			if strings.Contains(name, "lbstack") {
				err = errors.Join(err, fmt.Errorf("%s is there", name))
			}
		}
		return err
	})
}

// removals are the lines of docs/install.md that remove what OLM leaves.
var removals = regexp.MustCompile("(?s)\n### What OLM leaves\n.*?```\n(.*?)```")

func documentedRemoval(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Repo, "docs", "install.md"))
	must(t, err)
	block := removals.FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/install.md has no commands that remove what OLM leaves")
	}
	return strings.Split(strings.TrimSpace(string(block[1])), "\n")
}

// documentedLeftovers are the ClusterRoles and Leases that the commands of docs/install.md delete, and what Kubernetes
// makes in each namespace.
func documentedLeftovers(commands []string) []string {
	left := []string{"configmap/kube-root-ca.crt", "serviceaccount/default"}
	for _, command := range commands {
		_, what, _ := strings.Cut(command, " delete ")
		words := strings.Fields(what)
		for _, name := range words[1:] {
			if words[0] == "clusterrole" || words[0] == "lease" {
				left = append(left, words[0]+"/"+name)
			}
		}
	}
	slices.Sort(left)
	return left
}

// leftovers are objects of lbstack, sorted, without the roles that OLM makes for CRDs and the OperatorGroup.
func leftovers(ctx context.Context) (left []string, err error) {
	for _, list := range []struct{ args, with string }{
		{"get clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings", "lbstack"},
		{"-n " + namespace + " get roles,rolebindings,serviceaccounts,deployments,daemonsets,controllerrevisions,services,networkpolicies,poddisruptionbudgets,secrets,configmaps,leases,installplans,operatorconditions", ""},
	} {
		text, err := kubectl(ctx, "", append(strings.Fields(list.args), "-o", `go-template={{range .items}}{{.kind}}/{{.metadata.name}} {{end}}`)...)
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(text) {
			kind, name, _ := strings.Cut(name, "/")
			if strings.Contains(name, list.with) && !strings.Contains(name, ".lbstack.io-v1beta1-") && !strings.HasPrefix(name, "olm.og.") {
				left = append(left, strings.ToLower(kind)+"/"+name)
			}
		}
	}
	slices.Sort(left)
	return left, nil
}

// gone waits until kubectl get finds nothing.
func gone(t *testing.T, what string, args ...string) {
	t.Helper()
	eventually.Succeed(t, within, what+" are gone", func(ctx context.Context) error {
		left, err := kubectl(ctx, "", append(args, "--ignore-not-found")...)
		if err == nil && strings.TrimSpace(left) != "" {
			err = fmt.Errorf("left: %s", strings.Join(strings.Fields(left), ", "))
		}
		return err
	})
}
