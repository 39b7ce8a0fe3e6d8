package integration

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	pools "github.com/lbstack/lbstack/controllers/pool"
	"github.com/lbstack/lbstack/controllers/service"
)

// behind is a client of the real API server whose reads are older than what that
// holds: it answers with what it remembers of an object, nil meaning that it has
// not received it yet. Everything else, and every write, is real.
type behind struct {
	client.Client
	remembers map[string]client.Object // by kind and name
}

func (b behind) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	old, ok := b.remembers[fmt.Sprintf("%T %s", into, key.Name)]
	switch {
	case !ok:
		return b.Client.Get(ctx, key, into, options...)
	case old == nil:
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	switch into := into.(type) {
	case *corev1.Service:
		old.(*corev1.Service).DeepCopyInto(into)
	case *v1beta1.IPAddressClaim:
		old.(*v1beta1.IPAddressClaim).DeepCopyInto(into)
	default:
		return fmt.Errorf("the test has no memory of a %T", into)
	}
	return nil
}

func TestAStaleCacheTakesNoAddressAway(t *testing.T) {
	const address = "10.9.0.1"
	tests := []struct {
		name string
		// memory is what the cache has of the Service and of its claim.
		memory func(svc *corev1.Service) map[string]client.Object
	}{
		{"a Service that the cache has not received yet still has its address", func(*corev1.Service) map[string]client.Object {
			return map[string]client.Object{"*v1.Service web": nil}
		}},
		{"a Service that was of another type once keeps its address", func(svc *corev1.Service) map[string]client.Object {
			old := svc.DeepCopy()
			old.Spec.Type, old.Status = corev1.ServiceTypeClusterIP, corev1.ServiceStatus{}
			return map[string]client.Object{"*v1.Service web": old}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.pool("pool", "10.9.0.1-10.9.0.9")
			b.unclaimed("web", address)
			svc, err := b.get(context.Background(), "web")
			if err != nil {
				t.Fatal(err)
			}
			create(t, b.Client, claimOf(address, svc))
			r := b.reconciler(tt.memory(svc))
			result, err := r.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(svc)})
			if err != nil || result.RequeueAfter == 0 {
				t.Errorf("got %+v, %v, want another try soon", result, err)
			}
			if err := b.claimed(context.Background(), address, svc); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if now, err := b.get(context.Background(), "web"); err != nil || ingress(now) != address {
				t.Errorf("afterwards the Service shows %q, %v, want %s", ingress(now), err, address)
			}
		})
	}
}

func TestAClaimThatOnlyTheCacheRemembersIsWrittenAgain(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	svc := b.service("web")
	remembered := claimOf("10.9.0.1", svc)
	r := b.reconciler(map[string]client.Object{"*v1beta1.IPAddressClaim 10.9.0.1": remembered})
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(svc)}
	// It is in the cache alone: nothing may be shown on the strength of it.
	if result, err := r.Reconcile(context.Background(), request); err != nil || result.RequeueAfter == 0 {
		t.Errorf("got %+v, %v, want another try soon", result, err)
	}
	if now, err := b.get(context.Background(), "web"); err != nil || ingress(now) != "" {
		t.Errorf("the Service shows %q, %v, and nothing claims it", ingress(now), err)
	}
	delete(r.Client.(behind).remembers, "*v1beta1.IPAddressClaim 10.9.0.1") // the cache has caught up
	if _, err := r.Reconcile(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	b.has("web", "10.9.0.1")
}

// reconciler is the controller's own, with a cache that remembers this.
func (b *bed) reconciler(memory map[string]client.Object) *service.Reconciler {
	b.Helper()
	view := allocations.New()
	adopter := &service.Adopter{Reader: b.Client, Pools: pools.Read, Allocations: view}
	return &service.Reconciler{
		Client: behind{b.Client, memory}, Reader: b.Client, Events: events.NewFakeRecorder(100), Allocations: view, Load: adopter.Load,
	}
}
