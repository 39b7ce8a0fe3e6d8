package integration

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// MetalLB tries those that wait in no order.
func TestServicesThatWaitAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.3")
	b.controller()
	for i := range 3 {
		b.service(fmt.Sprint("first-", i))
		b.has(fmt.Sprint("first-", i), fmt.Sprintf("10.9.0.%d", i+1))
	}
	waiting := []string{"z", "a", "m", "b"}
	for _, name := range waiting {
		b.service(name)
		b.refused(name, v1beta1.ReasonPoolExhausted)
	}
	for i, free := range []int{1, 0, 2} {
		b.remove(fmt.Sprint("first-", free))
		b.has(waiting[i], fmt.Sprintf("10.9.0.%d", free+1))
		b.shows(waiting[i+1], "", v1beta1.ReasonPoolExhausted)
	}
	b.remove("m") // and those who leave the line are passed over
	b.has("b", "10.9.0.3")
}

func TestWaitingServicesAreServedInOrderWhenAPoolGrows(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1")
	b.controller()
	b.service("first")
	b.has("first", "10.9.0.1")
	var waiting []string
	for i := range 12 {
		name := fmt.Sprintf("w-%c", 'z'-i) // not in the order of the names
		b.service(name)
		b.refused(name, v1beta1.ReasonPoolExhausted)
		waiting = append(waiting, name)
	}
	b.editPool("pool", withAddresses("10.9.0.1-10.9.0.7"))
	b.poolCounts("pool", "7/7/0", "")
	for _, name := range waiting[:6] {
		svc := b.shows(name, b.oneOf(name), v1beta1.ReasonAllocated)
		b.has(name, ingress(svc))
	}
	for _, name := range waiting[6:] {
		b.shows(name, "", v1beta1.ReasonPoolExhausted)
	}
}

// oneOf is what a Service shows at last, when it shows something.
func (b *bed) oneOf(name string) (has string) {
	b.Helper()
	eventually.Succeed(b.T, within, name+" has an address", func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		if has = ingress(svc); has == "" {
			return fmt.Errorf("condition %s", allocatedText(svc))
		}
		return nil
	})
	return has
}

// versions are the resource versions of all that the controller writes. Namespaces of other
// tests may be going meanwhile, and what is in them.
func (b *bed) versions(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.ServiceList{}, &v1beta1.IPAddressClaimList{}, &v1beta1.IPAddressPoolList{}, &eventsv1.EventList{}} {
		if err := b.List(ctx, list); err != nil {
			return nil, err
		}
		switch list := list.(type) {
		case *corev1.ServiceList:
			for _, o := range list.Items {
				if o.Namespace == b.namespace {
					found["Service "+o.Name] = o.ResourceVersion
				}
			}
		case *v1beta1.IPAddressClaimList:
			for _, o := range list.Items {
				found["IPAddressClaim "+o.Name] = o.ResourceVersion
			}
		case *v1beta1.IPAddressPoolList:
			for _, o := range list.Items {
				found["IPAddressPool "+o.Name] = o.ResourceVersion
			}
		case *eventsv1.EventList:
			for _, o := range list.Items {
				if o.Namespace == b.namespace || o.Namespace == metav1.NamespaceDefault { // of objects without a namespace
					found["Event "+o.Name+" "+o.Reason] = o.ResourceVersion
				}
			}
		}
	}
	return found, nil
}

// nothingIsWritten makes sure that for three seconds nothing changes, once all was
// told.
func (b *bed) nothingIsWritten() {
	b.Helper()
	b.quiet()
	before, err := b.versions(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	eventually.Stays(b.T, 3*time.Second, "nothing is written", func(ctx context.Context) error {
		now, err := b.versions(ctx)
		if err != nil {
			return err
		}
		for name, version := range now {
			if before[name] != version {
				return fmt.Errorf("%s was written", name)
			}
		}
		if !maps.Equal(before, now) {
			return fmt.Errorf("something is gone")
		}
		return nil
	})
}

// MetalLB's speakers write an event at each look.
func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.20 2001:db8::/64")
	b.controller()
	b.reservedFor("10.9.0.20", "later")
	b.burst("web", 12)
	web := b.service("dual", stacked(require, v4, v6))
	b.service("a", sharing("key"), on("80/TCP"))
	b.service("b", sharing("key"), on("81/TCP"))
	b.service("full", stacked(prefer, v4, v6), from("nope"))
	b.refused("full", v1beta1.ReasonUnknownPool)
	b.poolCounts("pool", "20/15/5", "18446744073709551616/1/18446744073709551615")
	b.claimCondition("10.9.0.20", "True", v1beta1.ReasonClaimReserves)
	b.event("pool", v1beta1.ReasonPoolReady)
	b.nothingIsWritten()

	// What it does not read is nothing to it.
	b.edit(web, annotated("example.com/unrelated", "touched"))
	b.nothingIsWritten()
	b.edit(web, func(svc *corev1.Service) { svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	eventually.Succeed(t, within, "the condition is of the new generation", func(ctx context.Context) error {
		svc, err := b.get(ctx, "dual")
		if err != nil {
			return err
		}
		if c := allocated(svc); c == nil || (svc.Generation > 0 && c.ObservedGeneration != svc.Generation) {
			return fmt.Errorf("generation %d, condition %+v", svc.Generation, c)
		}
		return nil
	})
	b.nothingIsWritten()
}

// burst creates many Services at once.
func (b *bed) burst(name string, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			svc := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}}}
			svc.Namespace, svc.Name = b.namespace, fmt.Sprintf("%s-%d", name, i)
			if err := b.Create(context.Background(), svc); err != nil {
				b.Errorf("creating %s: %v", svc.Name, err)
			}
		})
	}
	wg.Wait()
}

// MetalLB has one controller, and no lease.
func TestSecondControllerGoesOnWhenTheFirstIsKilledInABurst(t *testing.T) {
	const n = 50
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.100")
	leader := b.controller()
	b.service("before")
	b.has("before", "10.9.0.1")
	b.controller()
	var wg sync.WaitGroup
	wg.Go(func() { b.burst("web", n) })
	had := map[string]string{}
	eventually.Succeed(t, within, "some Services have an address", func(ctx context.Context) (err error) {
		if had, err = b.addresses(ctx); err == nil && len(had) < 5 {
			err = fmt.Errorf("%d have one", len(had))
		}
		return err
	})
	crash(leader)
	wg.Wait()
	var all map[string]string
	eventually.Succeed(t, slowly, "all Services have an address", func(ctx context.Context) (err error) {
		if all, err = b.addresses(ctx); err == nil && len(all) != n+1 {
			err = fmt.Errorf("%d have one", len(all))
		}
		return err
	})
	t.Logf("%d Services had an address when the leader was killed", len(had))
	owner := map[string]string{}
	for name, address := range all {
		if other, twice := owner[address]; twice {
			t.Errorf("%s and %s have %s", name, other, address)
		}
		owner[address] = name
		if was, ok := had[name]; ok && was != address {
			t.Errorf("%s had %s and has %s", name, was, address)
		}
		b.has(name, address)
	}
	b.poolCounts("pool", "100/51/49", "")
	var claims v1beta1.IPAddressClaimList
	if err := b.List(context.Background(), &claims); err != nil || len(claims.Items) != n+1 {
		t.Errorf("claims: got %d, %v, want %d", len(claims.Items), err, n+1)
	}
	b.service("after")
	b.has("after", fmt.Sprintf("10.9.0.%d", n+2))
}

// addresses of the Services that have one.
func (b *bed) addresses(ctx context.Context) (map[string]string, error) {
	var services corev1.ServiceList
	if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
		return nil, err
	}
	has := map[string]string{}
	for i := range services.Items {
		if address := ingress(&services.Items[i]); address != "" {
			has[services.Items[i].Name] = address
		}
	}
	return has, nil
}
