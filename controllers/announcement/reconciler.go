// Package announcement writes the condition lbstack.io/Announced of each Service of type LoadBalancer. The
// condition names the nodes that announce the addresses of the Service, or the reason why no node does. It
// is computed from the reports of the speakers. No other package writes this condition.
package announcement

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/servicecondition"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
)

// eventAction is the action of the events that this package sends.
const eventAction = "Announce"

// Reconciler reports how one Service is announced.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events sends the events about Services.
	Events events.EventRecorder
	// Class is the spec.loadBalancerClass of the Services that are reported on; see apiconv.IsServedBy.
	Class string
	// Reports has the reports of the speakers.
	Reports *Reports
	// Records has, for each Service, what its condition and its events have reported.
	Records *ServiceRecords
	// Conditions writes the condition.
	Conditions *servicecondition.Writer
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Reconcile writes the condition of one Service, and sends its events.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	key := lb.ServiceKey{Namespace: req.Namespace, Name: req.Name}
	svc := &corev1.Service{}
	if err := r.Client.Get(ctx, req.NamespacedName, svc); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.Records.forget(key)
			r.Conditions.Forget(key)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the Service %s: %w", key, err)
	}
	mark := r.Records.currentMark()
	var list []addressFacts
	if svc.DeletionTimestamp.IsZero() {
		var err error
		if list, err = r.gatherFacts(ctx, svc); err != nil {
			return reconcile.Result{}, err
		}
	}
	was := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
	if len(list) == 0 {
		r.Records.forget(key)
		written, err := r.Conditions.Set(ctx, svc, nil, r.now())
		return reconcile.Result{RequeueAfter: written.Wait}, err
	}
	memory := r.Records.get(key)
	if was == nil && !memory.reconciled {
		if !hasAddressInStatus(svc, list) {
			// The claim is new. The Service controller is about to write the status of the Service, and its
			// write would fail if this controller had changed the Service before. The write of the status
			// requests another reconcile, which writes the condition.
			return reconcile.Result{}, nil
		}
		if wait := r.Records.conditionWait(key, r.now()); wait > 0 {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
	}
	routers, settled := addMissing(memory, list, r.Reports.HasLeft, r.now())
	now := announcedCondition(svc, list)
	notes, next, again := compareRecord(memory, was, now, list, r.now())
	next.routers = routers
	next.untrusted = slices.ContainsFunc(list, func(f addressFacts) bool { return f.Untrusted })
	wait := firstConditionWait(was, next, r.now())
	if wait == 0 {
		written, err := r.Conditions.Set(ctx, svc, &now, r.now())
		if err != nil {
			return reconcile.Result{}, err
		}
		wait = written.Wait
	}
	if r.Records.put(key, next, mark) {
		wait = backoff.ShorterWait(wait, routeDelay)
	}
	for _, n := range notes {
		r.Events.Eventf(svc, nil, n.kind, n.reason, eventAction, "%s", bounded.Note(n.text))
	}
	return reconcile.Result{RequeueAfter: backoff.ShorterWait(wait, backoff.ShorterWait(again, settled))}, nil
}

// hasAddressInStatus reports whether the status of the Service has one of the addresses.
func hasAddressInStatus(svc *corev1.Service, list []addressFacts) bool {
	shown := apiconv.StatusAddresses(svc)
	return slices.ContainsFunc(list, func(f addressFacts) bool { return slices.Contains(shown, f.address) })
}
