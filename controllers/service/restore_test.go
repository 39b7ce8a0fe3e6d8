package service

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func managed(manager, subresource, fields string, at time.Time) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &metav1.Time{Time: at}, FieldsV1: metav1.NewFieldsV1(fields)}
}

func TestOverwriter(t *testing.T) {
	const ingress, conditions = `{"f:status":{"f:loadBalancer":{"f:ingress":{}}}}`, `{"f:status":{"f:conditions":{}}}`
	tests := []struct {
		name string
		list []metav1.ManagedFieldsEntry
		want string
	}{
		{"the owner of the field", []metav1.ManagedFieldsEntry{
			managed("kubectl-patch", "status", ingress, start), managed("cilium", "status", conditions, start.Add(time.Hour)), managed(v1beta1.ManagedByController, "status", ingress, start),
		}, `the field manager "kubectl-patch"`},
		{"the last writer of the status, if the field is gone", []metav1.ManagedFieldsEntry{
			managed("old", "status", conditions, start), managed("new", "status", `{"f:status":{"f:loadBalancer":{}}}`, start.Add(time.Second)), managed("spec", "", ingress, start.Add(time.Hour)),
		}, `the field manager "new"`},
		{"nobody but the controller", []metav1.ManagedFieldsEntry{managed(v1beta1.ManagedByController, "status", ingress, start)}, "another writer"},
		{"fields that are no JSON", []metav1.ManagedFieldsEntry{managed("odd", "status", `[`, start)}, `the field manager "odd"`},
		{"no managed fields", nil, "another writer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := service()
			svc.ManagedFields = tt.list
			if got := otherWriter(svc); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if got := otherWriter(nil); got != "another writer" {
		t.Errorf("a Service that is gone: got %s, want another writer", got)
	}
}

// Another controller writes its own address to the status five times a second, for five
// minutes, and stops.
func TestAnotherWriterOfTheStatus(t *testing.T) {
	api := clusterOf()
	api.svc = service()
	r, now := on(t, api), start
	r.Reader, r.Now = api, func() time.Time { return now }
	events := &recorder{}
	r.Events = events
	look := func() reconcile.Result {
		t.Helper()
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	overwrite := func(address string) {
		api.svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
		api.svc.ManagedFields = []metav1.ManagedFieldsEntry{managed("other-lb", "status", `{"f:status":{"f:loadBalancer":{"f:ingress":{}}}}`, now)}
	}
	allocated := func() *metav1.Condition {
		return meta.FindStatusCondition(api.svc.Status.Conditions, v1beta1.ServiceAddressAllocated)
	}
	look()
	overwrite("192.0.2.1")
	if look(); len(api.svc.Status.LoadBalancer.Ingress) != 1 || api.svc.Status.LoadBalancer.Ingress[0].IP != "10.0.0.0" {
		t.Fatalf("the first time: got %v, want it restored at once", api.svc.Status.LoadBalancer.Ingress)
	}
	overwrite("192.0.2.1")
	now = now.Add(look().RequeueAfter)
	look()
	c := allocated()
	if c.Status != metav1.ConditionTrue || c.Reason != v1beta1.ReasonStatusOverwritten || !strings.Contains(c.Message, `the field manager "other-lb" overwrites status.loadBalancer`) {
		t.Fatalf("condition: got %+v, want True, StatusOverwritten, by other-lb", c)
	}
	for end := start.Add(5 * time.Minute); now.Before(end); {
		overwrite("192.0.2.1")
		now = now.Add(min(look().RequeueAfter, 200*time.Millisecond))
	}
	if n := len(api.wrote); n > 50 {
		t.Errorf("in five minutes: got %d writes, want at most 50", n)
	}
	notes := map[string]int{} // each is sent once a minute at most, see package notify
	for _, e := range events.list {
		notes[e]++
	}
	if len(notes) > 2 {
		t.Errorf("events: got %v, want one of the address and one of the other writer", notes)
	}
	stopped := now
	for now.Sub(stopped) < 2*time.Minute {
		again := look().RequeueAfter
		if api.svc.Status.LoadBalancer.Ingress[0].IP != "10.0.0.0" && now.Sub(stopped) > 10*time.Second {
			t.Fatalf("%v after it stopped: got %v, want it restored", now.Sub(stopped), api.svc.Status.LoadBalancer.Ingress)
		}
		if again == 0 {
			break
		}
		now = now.Add(again)
	}
	if c := allocated(); c.Reason != v1beta1.ReasonAllocated || c.Message != `the Service has 10.0.0.0 from the pool "auto"` {
		t.Errorf("after calm: got %+v, want Allocated", c)
	}
}
