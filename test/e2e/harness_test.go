package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	// within is how long a test waits for the cluster.
	within = 2 * time.Minute
	// componentNamespace is where the operator, the controller and the speakers run.
	componentNamespace = "lbstack-system"
)

// background returns a context with the timeout of the test.
func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}

// installed applies the sample stack and backend, connects all nodes to the network, and waits
// until everything is ready.
func installed(t *testing.T) {
	t.Helper()
	ctx := background(t)
	for _, node := range bed.Cluster.Nodes() {
		must(t, bed.Cluster.SetLink(node, true))
	}
	must(t, bed.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml", "web.yaml"))
	must(t, bed.StackReady(ctx))
	must(t, bed.EveryoneSeesEveryone(ctx))
}

// served applies the sample Service and returns its address once the client
// gets a page from the address. The test removes the Service at its end.
func served(t *testing.T) (address string) {
	t.Helper()
	ctx := background(t)
	must(t, bed.Apply(ctx, "service.yaml"))
	t.Cleanup(func() { withdraw(t, scenario.SampleService) })
	address, err := bed.Address(ctx, scenario.SampleService)
	must(t, err)
	page, err := bed.Page(ctx, address)
	must(t, err)
	t.Logf("http://%s/: %s", address, page)
	return address
}

// withdraw deletes a Service and waits until no claim names it.
func withdraw(t *testing.T, name string) {
	t.Helper()
	must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})))
	eventually.Succeed(t, within, "the address of "+name+" is free", func(ctx context.Context) error {
		var claims v1beta1.IPAddressClaimList
		if err := bed.Client.List(ctx, &claims); err != nil {
			return err
		}
		for _, c := range claims.Items {
			for _, h := range c.Spec.Holders {
				if h.Name == name {
					return fmt.Errorf("it is claimed still: %s", c.Name)
				}
			}
		}
		return nil
	})
}

// balancer creates a Service of type LoadBalancer in front of the sample backend.
func balancer(t *testing.T, name string) {
	t.Helper()
	balancerWith(t, name, func(*corev1.Service) {})
}

// balancerWith creates a Service with a change. The test removes the Service at its end.
func balancerWith(t *testing.T, name string, change func(*corev1.Service)) {
	t.Helper()
	svc := ofTypeLoadBalancer(name)
	change(svc)
	t.Cleanup(func() { withdraw(t, name) })
	must(t, bed.Client.Create(background(t), svc))
}

// ofTypeLoadBalancer returns a Service in front of the sample backend.
func ofTypeLoadBalancer(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
}

// pool creates a pool. The test removes the pool at its end.
func pool(t *testing.T, name, addresses string) {
	t.Helper()
	p := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{v1beta1.AddressRange(addresses)}}}
	t.Cleanup(func() { must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), p))) })
	must(t, bed.Client.Create(background(t), p))
}

// crash kills the pods of a component, without a grace period.
func crash(t *testing.T, namespace, component string) {
	t.Helper()
	var pods corev1.PodList
	must(t, bed.Client.List(context.Background(), &pods, client.InNamespace(namespace), client.MatchingLabels{v1beta1.LabelComponent: component}))
	if len(pods.Items) == 0 {
		t.Fatalf("no pods of the %s in %s", component, namespace)
	}
	for i := range pods.Items {
		must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), &pods.Items[i], client.GracePeriodSeconds(0))))
	}
}

// gone waits until an object does not exist.
func gone(t *testing.T, object client.Object) {
	t.Helper()
	key := client.ObjectKeyFromObject(object)
	eventually.Succeed(t, within, fmt.Sprintf("%T %s is gone", object, key), func(ctx context.Context) error {
		err := bed.Client.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

// managed lists the objects of a kind that have the operator's label.
func managed(ctx context.Context, group, version, kind string) ([]string, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(version)
	if group != "" {
		list.SetAPIVersion(group + "/" + version)
	}
	list.SetKind(kind + "List")
	if err := bed.Client.List(ctx, list, client.MatchingLabels{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator}); err != nil {
		return nil, err
	}
	var names []string
	for _, item := range list.Items {
		names = append(names, kind+" "+item.GetNamespace()+"/"+item.GetName())
	}
	return names, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
