package olm

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
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

// bundled is the ClusterServiceVersion of the bundle in the repository.
const bundled = "lbstack.v0.1.0"

// TestInstallation installs the bundle of the repository from its catalogue as docs/install.md says,
// removes it in the order in which users of OLM do, without the stack, and installs it again.
func TestInstallation(t *testing.T) {
	tag := "ghcr.io/lbstack/lbstack-bundle:" + strings.TrimPrefix(bundled, "lbstack.")
	content := read(t, filepath.Join(bed.Repo, "catalog", "lbstack"))
	if !strings.Contains(content, "image: "+tag+"\n") {
		t.Fatalf("the catalogue has no bundle %s", tag)
	}
	pinned := publish(t, tag, filepath.Join(bed.Repo, "bundle"))
	serve(t, "released", strings.ReplaceAll(content, tag, pinned))

	subscribe(t)
	succeeded(t, bundled)
	createExample(t, bundled)
	address := served(t)

	// The Subscription and the ClusterServiceVersion go first, and nobody deletes the stack.
	c, err := bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
		unsubscribe(t, bundled)
		gone(t, "the operator and the ServiceAccounts", "-n", namespace, "get", "-o", "name", "deployment/lbstack-operator",
			"serviceaccount/lbstack-operator", "serviceaccount/lbstack-controller", "serviceaccount/lbstack-speaker")
		eventually.Stays(t, 15*time.Second, "the address answers without the operator", func(ctx context.Context) error {
			_, err := bed.Page(ctx, address)
			return err
		})
		return nil
	})
	must(t, err)
	noneFailed(t, "removal of the operator", c)

	// A new installation finds the stack and the address, and everything works again.
	c, err = bed.Connecting(background(t), address+":80", func(ctx context.Context) error {
		subscribe(t)
		succeeded(t, bundled)
		if again, err := bed.Address(ctx, scenario.SampleService); err != nil || again != address {
			return fmt.Errorf("the Service has the address %q after the second installation, want %s: %w", again, address, err)
		}
		if err := bed.Client.Create(ctx, secondService()); err != nil {
			return fmt.Errorf("creating a second Service: %w", err)
		}
		second, err := bed.Address(ctx, "second")
		if err != nil {
			return err
		}
		if _, err := bed.Page(ctx, second); err != nil {
			return err
		}
		if err := bed.EveryoneSeesEveryone(ctx); err != nil {
			return err
		}
		return bed.StackReady(ctx)
	})
	must(t, err)
	noneFailed(t, "new installation", c)
	remove(t, bundled)
}

// succeeded waits until OLM has installed a ClusterServiceVersion.
func succeeded(t *testing.T, csv string) {
	t.Helper()
	prints(t, "Succeeded", "-n", namespace, "get", "csv/"+csv, "-o", "jsonpath={.status.phase}")
}

// createExample creates the LoadBalancerStack that OLM shows as the example, and waits until it is Ready.
func createExample(t *testing.T, csv string) {
	t.Helper()
	text := mustKubectl(t, "", "-n", namespace, "get", "csv/"+csv, "-o", `jsonpath={.metadata.annotations.alm-examples}`)
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
	t.Fatalf("the examples of %s have no LoadBalancerStack", csv)
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
func unsubscribe(t *testing.T, csv string) {
	t.Helper()
	mustKubectl(t, "", "-n", namespace, "delete", "subscription/lbstack")
	mustKubectl(t, "", "-n", namespace, "delete", "csv/"+csv)
}

// remove removes everything in the documented order, and what that leaves on purpose.
func remove(t *testing.T, csv string) {
	t.Helper()
	mustKubectl(t, "", "delete", "services/web", "services/second", "--ignore-not-found")
	mustKubectl(t, "", "delete", "loadbalancerstack/"+v1beta1.LoadBalancerStackName, "--timeout=100s")
	unsubscribe(t, csv)
	gone(t, "pods of lbstack", "-n", namespace, "get", "pods", "-o", "name")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		left, err := leftovers(ctx)
		if diff := cmp.Diff(documentedLeftovers, left); err == nil && diff != "" {
			err = fmt.Errorf("what is left (-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Errorf("after the removal: %v", err)
	}
	for _, crd := range strings.Fields(mustKubectl(t, "", "get", "crd", "-o", "name")) {
		if strings.HasSuffix(crd, ".lbstack.io") {
			mustKubectl(t, "", "delete", crd)
		}
	}
	mustKubectl(t, "", "delete", "namespace", namespace)
}

// documentedLeftovers are what docs/install.md says that OLM leaves, and what Kubernetes makes in each namespace.
var documentedLeftovers = []string{
	"clusterrole/lbstack-editor", "clusterrole/lbstack-metrics-reader", "clusterrole/lbstack-viewer", "configmap/kube-root-ca.crt",
	"lease/lbstack-controller", "lease/lbstack-operator", "serviceaccount/default",
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

func noneFailed(t *testing.T, during string, c scenario.Connections) {
	t.Helper()
	t.Logf("%s: %d connections, %d failed, %d cut, longest gap %d ms", during, c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
	if c.Failed > 0 || c.Tried == 0 {
		t.Errorf("%s: of %d connections %d failed: %v", during, c.Tried, c.Failed, c.Why[:min(len(c.Why), 5)])
	}
}
