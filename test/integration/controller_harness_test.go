package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// within is how long a test waits at most for what has to come: on a machine that has much else to do that takes long.
const within = 3 * time.Minute

// bed has the namespace of one test, and the objects outside of it that the test makes.
type bed struct {
	*testing.T
	client.Client
	namespace string
	began     time.Time
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{T: t, Client: administrator(t), began: time.Now()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	create(t, b.Client, namespace)
	b.namespace = namespace.Name
	t.Cleanup(b.clean)
	return b
}

// clean removes what the controller made for the test.
func (b *bed) clean() {
	ctx := context.Background()
	var services corev1.ServiceList
	if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
		b.Error(err)
	}
	for i := range services.Items {
		remove(b.T, b.Client, &services.Items[i])
	}
	for _, list := range []client.Object{&v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}} {
		if err := b.DeleteAllOf(ctx, list); err != nil {
			b.Error(err)
		}
	}
}

func (b *bed) controller(args ...string) *process {
	b.Helper()
	return start(b.T, "controller", []string{"POD_NAMESPACE=" + b.namespace},
		append([]string{"--metrics-bind-address=0", "--health-probe-bind-address=0"}, args...)...)
}

func (b *bed) pool(name string, addresses ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	b.Helper()
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressPoolSpec{Addresses: addresses}}
	create(b.T, b.Client, pool)
	return pool
}

// service creates a Service of type LoadBalancer. The edits change the Service first.
func (b *bed) service(name string, edits ...func(*corev1.Service)) *corev1.Service {
	b.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	for _, edit := range edits {
		edit(svc)
	}
	create(b.T, b.Client, svc)
	return svc
}

func annotated(key, value string) func(*corev1.Service) {
	return func(svc *corev1.Service) { metav1.SetMetaDataAnnotation(&svc.ObjectMeta, key, value) }
}

// has waits until a Service has an address, with its condition, claim and event.
func (b *bed) has(name, address string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has %s", name, address), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		if got := ingress(svc); got != address {
			return fmt.Errorf("status has %q, condition %s", got, allocatedText(svc))
		}
		if c := allocated(svc); c == nil || c.Status != metav1.ConditionTrue || c.Reason != v1beta1.ReasonAllocated {
			return fmt.Errorf("condition %s", allocatedText(svc))
		}
		return b.claimed(ctx, address, svc)
	})
}

// anyOf waits until a Service has one of the addresses, and returns it.
func (b *bed) anyOf(name string, addresses ...string) (has string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has one of %v", name, addresses), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		if has = ingress(svc); !slices.Contains(addresses, has) {
			return fmt.Errorf("status has %q, condition %s", has, allocatedText(svc))
		}
		return nil
	})
	b.has(name, has)
	return has
}

// refused waits until a Service has the reason why its request is refused.
func (b *bed) refused(name, reason string) *corev1.Service {
	b.Helper()
	var svc *corev1.Service
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s is refused with %s", name, reason), func(ctx context.Context) (err error) {
		if svc, err = b.get(ctx, name); err != nil {
			return err
		}
		c := allocated(svc)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason || c.Message == "" {
			return fmt.Errorf("condition %s", allocatedText(svc))
		}
		return nil
	})
	b.event(name, reason)
	return svc
}

// event waits for an event on an object of this test. Objects of other tests have the
// same names.
func (b *bed) event(name, reason string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("an event %s on %s", reason, name), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := b.List(ctx, &list); err != nil {
			return err
		}
		for _, e := range list.Items {
			ours := e.EventTime.After(b.began) && (e.Regarding.Namespace == "" || e.Regarding.Namespace == b.namespace)
			if ours && e.Regarding.Name == name && e.Reason == reason && e.Note != "" {
				return nil
			}
		}
		return fmt.Errorf("none among %d events", len(list.Items))
	})
}

func (b *bed) get(ctx context.Context, name string) (*corev1.Service, error) {
	svc := &corev1.Service{}
	err := b.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: name}, svc)
	return svc, err
}

func (b *bed) claimed(ctx context.Context, address string, svc *corev1.Service) error {
	claim, err := b.claim(ctx, address)
	if err != nil {
		return err
	}
	if len(claim.Spec.Holders) != 1 || claim.Spec.Holders[0].Name != svc.Name || claim.Spec.Holders[0].UID != svc.UID {
		return fmt.Errorf("the claim of %s is held by %+v, want %s", address, claim.Spec.Holders, svc.Name)
	}
	return nil
}

// claim returns the claim whose status has an address.
func (b *bed) claim(ctx context.Context, address string) (*v1beta1.IPAddressClaim, error) {
	var list v1beta1.IPAddressClaimList
	if err := b.List(ctx, &list); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Spec.Address == address {
			return &list.Items[i], nil
		}
	}
	return nil, fmt.Errorf("no claim for %s among %d", address, len(list.Items))
}

// free waits until no claim has an address.
func (b *bed) free(address string) {
	b.Helper()
	eventually.Succeed(b.T, within, address+" is free", func(ctx context.Context) error {
		if claim, err := b.claim(ctx, address); err == nil {
			return fmt.Errorf("it is claimed by %+v", claim.Spec.Holders)
		}
		return nil
	})
}

// poolReady waits for the reason of a pool's Ready condition.
func (b *bed) poolReady(name, reason string) *v1beta1.IPAddressPool {
	b.Helper()
	return b.poolCondition(name, v1beta1.ConditionReady, reason)
}

// poolCondition waits for the reason of a condition of a pool.
func (b *bed) poolCondition(name, kind, reason string) *v1beta1.IPAddressPool {
	b.Helper()
	pool := &v1beta1.IPAddressPool{}
	eventually.Succeed(b.T, within, fmt.Sprintf("the pool %s has the condition %s: %s", name, kind, reason), func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKey{Name: name}, pool); err != nil {
			return err
		}
		c := meta.FindStatusCondition(pool.Status.Conditions, kind)
		if c == nil || c.Reason != reason || c.ObservedGeneration != pool.Generation {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
	return pool
}

func allocated(svc *corev1.Service) *metav1.Condition {
	return meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAddressAllocated)
}

func ingress(svc *corev1.Service) string {
	var list []string
	for _, in := range svc.Status.LoadBalancer.Ingress {
		list = append(list, in.IP)
	}
	return strings.Join(list, ",")
}

func allocatedText(svc *corev1.Service) string {
	c := allocated(svc)
	if c == nil {
		return "absent"
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}
