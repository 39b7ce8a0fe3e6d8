// Package request makes reconcile requests, and has the event handlers that several controllers share.
package request

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/internal/lb"
)

// Queue is the queue of a controller.
type Queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// AllObjects is the only request of a controller that reconciles all objects of a kind together. Such a controller
// exists where the validity of an object depends on other objects of the kind.
var AllObjects = reconcile.Request{}

// Service returns the request to reconcile a Service.
func Service(key lb.ServiceKey) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name}}
}

// Services returns the requests to reconcile Services.
func Services(keys []lb.ServiceKey) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(keys))
	for _, key := range keys {
		requests = append(requests, Service(key))
	}
	return requests
}

// OnAnyChange returns a handler that requests AllObjects after any change.
func OnAnyChange() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{AllObjects} })
}

// OnAnyChangeLater returns a handler that requests AllObjects after any change and a delay. Further changes
// during the delay lead to no further request.
func OnAnyChangeLater(delay time.Duration) handler.EventHandler {
	return EnqueueLater(delay, func(context.Context, ...client.Object) []reconcile.Request { return []reconcile.Request{AllObjects} })
}

// EnqueueLater returns a handler that calls the function requests for each changed object, and adds the
// reconcile requests that the function returns to the queue after a delay. For an update, the function gets
// two objects: the old one and the new one.
func EnqueueLater(delay time.Duration, requests func(context.Context, ...client.Object) []reconcile.Request) handler.EventHandler {
	add := func(ctx context.Context, q Queue, objects ...client.Object) {
		for _, r := range requests(ctx, objects...) {
			q.AddAfter(r, delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q Queue) { add(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q Queue) { add(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q Queue) { add(ctx, q, e.Object) },
	}
}
