package request_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/lb"
)

// added records the delay of each request.
type added struct {
	request.Queue
	after map[string]time.Duration
}

func (a added) AddAfter(r reconcile.Request, delay time.Duration) { a.after[r.Name] = delay }

func TestLater(t *testing.T) {
	named := func(name string) client.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	later := request.EnqueueLater(time.Second, func(_ context.Context, objects ...client.Object) []reconcile.Request {
		var keys []lb.ServiceKey
		for _, object := range objects {
			keys = append(keys, lb.ServiceKey{Namespace: "default", Name: object.GetName()})
		}
		return request.Services(keys)
	})
	for name, tt := range map[string]struct {
		handler handler.EventHandler
		change  func(handler.EventHandler, request.Queue)
		want    map[string]time.Duration
	}{
		"create requests what is for the object": {later, func(h handler.EventHandler, q request.Queue) {
			h.Create(t.Context(), event.CreateEvent{Object: named("a")}, q)
		}, map[string]time.Duration{"a": time.Second}},
		"update requests what is for the object before and after": {later, func(h handler.EventHandler, q request.Queue) {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: named("a"), ObjectNew: named("b")}, q)
		}, map[string]time.Duration{"a": time.Second, "b": time.Second}},
		"delete requests what is for the object": {later, func(h handler.EventHandler, q request.Queue) {
			h.Delete(t.Context(), event.DeleteEvent{Object: named("b")}, q)
		}, map[string]time.Duration{"b": time.Second}},
		"all are requested together": {request.OnAnyChangeLater(time.Minute), func(h handler.EventHandler, q request.Queue) {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: named("a"), ObjectNew: named("b")}, q)
		}, map[string]time.Duration{"": time.Minute}},
	} {
		got := map[string]time.Duration{}
		tt.change(tt.handler, added{after: got})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: delays by name (-want +got):\n%s", name, diff)
		}
	}
}
