package service

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
)

// action is the word for what the controller was doing, in events.
const action = "AllocateAddress"

// desired returns the Service as it should look after a decision: status,
// condition and the annotation with the pool's name. Nothing of it changes
// when it is so already.
func desired(svc *corev1.Service, d decision) *corev1.Service {
	next := svc.DeepCopy()
	next.Status.LoadBalancer.Ingress = ingress(svc, d)
	if len(d.keep) > 0 {
		if next.Annotations == nil {
			next.Annotations = map[string]string{}
		}
		next.Annotations[v1beta1.AnnotationAllocatedFromPool] = string(d.keep[0].Pool)
	} else {
		delete(next.Annotations, v1beta1.AnnotationAllocatedFromPool)
	}
	meta.SetStatusCondition(&next.Status.Conditions, condition(svc, d))
	return next
}

// ingress lists what the Service has. Where that is nothing, what somebody else
// wrote stays, but for an address that belongs to another Service now.
func ingress(svc *corev1.Service, d decision) []corev1.LoadBalancerIngress {
	var list []corev1.LoadBalancerIngress
	for _, h := range d.keep {
		mode := corev1.LoadBalancerIPModeVIP
		list = append(list, corev1.LoadBalancerIngress{IP: h.Address.String(), IPMode: &mode})
	}
	if len(d.keep) > 0 {
		return list
	}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if a, err := apiconv.ParseAddress(in.IP); err != nil || slices.Contains(d.leave, a) {
			list = append(list, in)
		}
	}
	return list
}

func condition(svc *corev1.Service, d decision) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ServiceAddressAllocated, ObservedGeneration: svc.Generation}
	if d.refusal == nil {
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAllocated
		c.Message = fmt.Sprintf("the Service has %s from the pool %q", addresses(d.keep), d.keep[0].Pool)
		return c
	}
	c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(d.refusal.Reason), d.refusal.Message
	if len(d.keep) > 0 {
		c.Message += fmt.Sprintf("; until then the Service keeps %s", addresses(d.keep))
	}
	return c
}

func addresses(holdings []ipam.Holding) string {
	words := make([]string, 0, len(holdings))
	for _, h := range holdings {
		words = append(words, h.Address.String())
	}
	return strings.Join(words, ", ")
}

// released returns the Service without what lbstack wrote on it; see
// apiconv.Released.
func released(svc *corev1.Service, held []ipam.Holding) *corev1.Service {
	return apiconv.Released(svc, func(a netip.Addr) bool {
		return slices.ContainsFunc(held, func(h ipam.Holding) bool { return h.Address == a })
	})
}

// write brings status, condition and annotation of a Service to next, in one
// request, if they differ. It fails if the Service has changed since it was
// read.
func (r *Reconciler) write(ctx context.Context, svc, next *corev1.Service) (changed bool, err error) {
	if equality.Semantic.DeepEqual(svc.Status, next.Status) && equality.Semantic.DeepEqual(svc.Annotations, next.Annotations) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(svc, client.MergeFromWithOptimisticLock{})
	err = r.Client.Status().Patch(ctx, next, patch)
	if apierrors.IsNotFound(err) {
		return false, errStale // it is gone; the cache will know
	}
	if err != nil {
		return false, fmt.Errorf("writing the status of the Service %s: %w", apiconv.KeyOf(svc), err)
	}
	return true, nil
}

// tell sends one event when the condition says something new.
func (r *Reconciler) tell(svc *corev1.Service, d decision) {
	now := condition(svc, d)
	before := meta.FindStatusCondition(svc.Status.Conditions, now.Type)
	if before != nil && before.Reason == now.Reason && before.Message == now.Message {
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(svc, nil, kind, now.Reason, action, "%s", now.Message)
}
