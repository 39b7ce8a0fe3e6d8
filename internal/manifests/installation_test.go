package manifests

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// installation returns the objects that are installed with the operator.
func installation(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/default")
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range built.Resources() {
		object, err := toUnstructured(resource)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		t.Fatal("the installation has no object")
	}
	return objects
}

// only returns the objects of a kind, which have no fields besides those of T.
func only[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) (list []T) {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		list = append(list, typed)
	}
	return list
}

// everything is what a cluster with a stack has: the installation, and what the operator makes.
func everything(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	return append(installation(t), render(t, defaultOptions())...)
}

// TestDeployments_OutliveANode checks the operator and the controller.
func TestDeployments_OutliveANode(t *testing.T) {
	objects := everything(t)
	budgets := only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")
	deployments := only[appsv1.Deployment](t, objects, "Deployment")
	if len(deployments) != 2 {
		t.Fatalf("got %d Deployments, want those of the operator and the controller", len(deployments))
	}
	for _, d := range deployments {
		pod := d.Spec.Template.Spec
		if d.Spec.Replicas == nil || *d.Spec.Replicas != 2 {
			t.Errorf("%s: got the replicas %v, want 2", d.Name, d.Spec.Replicas)
		}
		if pod.PriorityClassName != "system-cluster-critical" {
			t.Errorf("%s: got the priority class %q, want system-cluster-critical", d.Name, pod.PriorityClassName)
		}
		var spread []string
		for _, c := range pod.TopologySpreadConstraints {
			if selects(t, c.LabelSelector, d.Spec.Template.Labels) && c.MaxSkew == 1 && c.WhenUnsatisfiable == corev1.ScheduleAnyway {
				spread = append(spread, c.TopologyKey)
			}
		}
		if diff := cmp.Diff([]string{corev1.LabelHostname, corev1.LabelTopologyZone}, spread); diff != "" {
			t.Errorf("%s: topology keys over which its pods are spread (-want +got):\n%s", d.Name, diff)
		}
		if !slices.ContainsFunc(budgets, func(b policyv1.PodDisruptionBudget) bool {
			return b.Spec.MaxUnavailable != nil && b.Spec.MaxUnavailable.IntValue() == 1 && selects(t, b.Spec.Selector, d.Spec.Template.Labels)
		}) {
			t.Errorf("%s: no PodDisruptionBudget with maxUnavailable 1 selects its pods", d.Name)
		}
	}
}

// TestNetworkPolicies_AllowTrafficThatPodsNeed checks that a policy selects the pods of each Deployment,
// and that all ports of their containers can be reached, and no other.
func TestNetworkPolicies_AllowTrafficThatPodsNeed(t *testing.T) {
	objects := everything(t)
	policies := only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
	for _, d := range only[appsv1.Deployment](t, objects, "Deployment") {
		at := slices.IndexFunc(policies, func(p networkingv1.NetworkPolicy) bool {
			return selects(t, &p.Spec.PodSelector, d.Spec.Template.Labels)
		})
		if at < 0 {
			t.Errorf("%s: no NetworkPolicy selects its pods", d.Name)
			continue
		}
		var want, got []int32
		for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
			want = append(want, port.ContainerPort)
		}
		for _, rule := range policies[at].Spec.Ingress {
			for _, port := range rule.Ports {
				got = append(got, port.Port.IntVal)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ports that can be reached (-ports of the container +policy):\n%s", d.Name, diff)
		}
		if len(policies[at].Spec.PolicyTypes) != 2 {
			t.Errorf("%s: got a policy for %v, want Ingress and Egress", d.Name, policies[at].Spec.PolicyTypes)
		}
		policies = slices.Delete(policies, at, at+1)
	}
	for _, p := range policies {
		t.Errorf("the NetworkPolicy %s selects the pods of no Deployment", p.Name)
	}
}

// TestMetricsService_SelectsAllPrograms checks that the Service finds a port metrics in the pods
// of the operator, the controller and the speakers.
func TestMetricsService_SelectsAllPrograms(t *testing.T) {
	objects := everything(t)
	services := only[corev1.Service](t, objects, "Service")
	if len(services) != 1 || len(services[0].Spec.Ports) != 1 {
		t.Fatalf("got the Services %+v, want one with one port", services)
	}
	templates := map[string]corev1.PodTemplateSpec{}
	for _, d := range only[appsv1.Deployment](t, objects, "Deployment") {
		templates[d.Name] = d.Spec.Template
	}
	for _, d := range only[appsv1.DaemonSet](t, objects, "DaemonSet") {
		templates[d.Name] = d.Spec.Template
	}
	if len(templates) != 3 {
		t.Fatalf("got %d workloads, want 3", len(templates))
	}
	target := services[0].Spec.Ports[0].TargetPort.StrVal
	for name, template := range templates {
		if !labels.SelectorFromSet(services[0].Spec.Selector).Matches(labels.Set(template.Labels)) {
			t.Errorf("%s: the Service %s does not select its pods with the labels %v", name, services[0].Name, template.Labels)
		}
		if !slices.ContainsFunc(template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == target }) {
			t.Errorf("%s: got the ports %v, want one with the name %q", name, template.Spec.Containers[0].Ports, target)
		}
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(labels.Set(of))
}
