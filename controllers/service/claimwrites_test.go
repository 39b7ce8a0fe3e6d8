package service

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
)

// noQueue takes requests and forgets them: the tests reconcile by themselves.
type noQueue struct{ request.Queue }

func (noQueue) Add(reconcile.Request) {}

// Another writer undoes what the controller writes to a claim, five times a second.
func TestClaimWrites_BackOffAgainstAnotherWriter(t *testing.T) {
	const at, period = "10.0.0.0", 200 * time.Millisecond
	reserved := claim(at, at, web)
	reserved.Spec.State = v1beta1.ClaimReserved
	foreign := taken(claim("10.0.0.1", "10.0.0.1", other))
	gone := service()
	gone.Spec.Type = "ClusterIP"
	tests := []struct {
		name   string
		claims []*v1beta1.IPAddressClaim
		unused bool // the Service asks for no address
		undo   func(*v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim
		at     string
		undone func(*v1beta1.IPAddressClaim) bool
		reason string
	}{
		{name: "deletes the claim", at: at, reason: v1beta1.ReasonClaimOverwritten,
			undo:   func(*v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim { return nil },
			undone: func(c *v1beta1.IPAddressClaim) bool { return c == nil }},
		{name: "sets spec.state of the claim", at: at, reason: v1beta1.ReasonClaimOverwritten,
			undo: func(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
				c.Spec.State = v1beta1.ClaimReserved
				return c
			},
			undone: func(c *v1beta1.IPAddressClaim) bool { return c.Spec.State == v1beta1.ClaimReserved }},
		{name: "hands the claim to a Service that does not exist", at: at, reason: v1beta1.ReasonAllocated,
			undo: func(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
				c.Spec.TakeOver, c.Spec.Holders = true, []v1beta1.ClaimHolder{{Namespace: "default", Name: "missing"}}
				return c
			},
			undone: func(c *v1beta1.IPAddressClaim) bool { return c.Spec.TakeOver }},
		{name: "adds the Service to the claim of another one", at: "10.0.0.1", reason: v1beta1.ReasonAllocated, claims: []*v1beta1.IPAddressClaim{foreign},
			undo: func(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
				c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: web.Namespace, Name: web.Name, UID: "uid-web"})
				return c
			},
			undone: func(c *v1beta1.IPAddressClaim) bool { return len(c.Spec.Holders) > 1 }},
		{name: "sets spec.state of a claim that reserves", at: at, claims: []*v1beta1.IPAddressClaim{reserved}, unused: true,
			undo: func(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
				c.Spec.State = v1beta1.ClaimInUse
				return c
			},
			undone: func(c *v1beta1.IPAddressClaim) bool { return c.Spec.State == v1beta1.ClaimInUse }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := clusterOf(tt.claims...)
			api.svc = service()
			if tt.unused {
				api.svc = gone.DeepCopy()
			}
			r, now := on(t, api), start
			r.Now = func() time.Time { return now }
			watch := claimHandler{allocations: r.Allocations, changed: func() {}, cached: r.cachedService}
			look := func() time.Duration {
				t.Helper()
				result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)})
				if err != nil {
					t.Fatal(err)
				}
				return result.RequeueAfter
			}
			writes := func() (n int) {
				for _, w := range api.wrote {
					if w != "status" {
						n++
					}
				}
				return n
			}
			queue := noQueue{}
			look()
			before := writes()
			for now.Before(start.Add(time.Minute)) {
				if have := api.claims[tt.at]; have != nil && !tt.undone(have) {
					next := tt.undo(have.DeepCopy())
					if next == nil {
						delete(api.claims, tt.at)
						watch.Delete(t.Context(), event.DeleteEvent{Object: have}, queue)
					} else {
						next.ManagedFields = []metav1.ManagedFieldsEntry{managed("other", "", `{"f:spec":{}}`, now)}
						api.claims[tt.at] = next
						watch.Update(t.Context(), event.UpdateEvent{ObjectOld: have, ObjectNew: next}, queue)
					}
				}
				wait := look()
				if wait == 0 || wait > period {
					wait = period
				}
				now = now.Add(wait)
			}
			if n := writes() - before; n < 6 || n > 20 {
				t.Errorf("writes within a minute: got %d, want 6 to 20", n)
			}
			c := meta.FindStatusCondition(api.svc.Status.Conditions, v1beta1.ServiceAddressAllocated)
			switch {
			case tt.unused:
			case c == nil || c.Status != metav1.ConditionTrue || c.Reason != tt.reason:
				t.Errorf("condition: got %+v, want True, %s", c, tt.reason)
			case c.Reason == v1beta1.ReasonClaimOverwritten && !strings.Contains(c.Message, "the IPAddressClaim "+at+" again and again"):
				t.Errorf("message: got %q, want the name of the claim", c.Message)
			}
			for end := now.Add(90 * time.Second); now.Before(end); {
				wait := look()
				if wait == 0 {
					break
				}
				now = now.Add(wait)
			}
			if have := api.claims[tt.at]; have == nil || tt.undone(have) {
				t.Errorf("after the other writer stopped: got the claim %+v, want it restored", have)
			}
			if c := meta.FindStatusCondition(api.svc.Status.Conditions, v1beta1.ServiceAddressAllocated); !tt.unused && c.Reason != v1beta1.ReasonAllocated {
				t.Errorf("a minute after the other writer stopped: got %+v, want Allocated", c)
			}
		})
	}
}

// The claim of a Service that shows no address yet is deleted each time: no status shows an address
// that has no claim.
func TestClaimWrites_NoStatusWithoutAClaim(t *testing.T) {
	api := clusterOf()
	r, now := on(t, api), start
	r.Now = func() time.Time { return now }
	watch := claimHandler{allocations: r.Allocations, changed: func() {}, cached: r.cachedService}
	waited := 0
	for i := range 20 {
		api.svc = service() // as if its status had not been written
		api.svc.ResourceVersion = fmt.Sprint("r", i)
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)})
		if err != nil {
			t.Fatal(err)
		}
		have := api.claims["10.0.0.0"]
		if have == nil {
			waited++
			if len(api.svc.Status.LoadBalancer.Ingress) > 0 || result.RequeueAfter <= 0 {
				t.Errorf("look %d: no claim, got the status %v and a wait of %v, want no address and a wait", i, api.svc.Status.LoadBalancer, result.RequeueAfter)
			}
			now = now.Add(result.RequeueAfter)
			continue
		}
		delete(api.claims, "10.0.0.0")
		watch.Delete(t.Context(), event.DeleteEvent{Object: have}, noQueue{})
	}
	if waited == 0 {
		t.Error("the claim was written at once each time, want that it waits")
	}
}

// A Service that takes an address and releases it is no disagreement with another writer.
func TestClaimWrites_NoWaitWithoutAnotherWriter(t *testing.T) {
	api := clusterOf()
	r := on(t, api)
	watch := claimHandler{allocations: r.Allocations, changed: func() {}, cached: r.cachedService}
	queue := noQueue{}
	for i := range 20 {
		api.svc = service()
		api.svc.ResourceVersion = fmt.Sprint("r", i)
		if i%2 == 1 {
			api.svc.Spec.Type = "ClusterIP"
		}
		before := api.claims["10.0.0.0"]
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)})
		if err != nil || result.RequeueAfter != 0 {
			t.Fatalf("look %d: got %+v, %v, want no wait", i, result, err)
		}
		if has := api.claims["10.0.0.0"] != nil; has != (i%2 == 0) {
			t.Fatalf("look %d: got a claim %v, want %v", i, has, i%2 == 0)
		}
		if i%2 == 1 {
			watch.Delete(t.Context(), event.DeleteEvent{Object: before}, queue)
		}
	}
}
