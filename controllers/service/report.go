package service

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
)

// eventAction is the action of the events that this package sends, except for releases and take-overs.
const eventAction = "AllocateAddress"

// desiredService returns a copy of the Service with the status, the condition and the annotations that follow
// from a decision. The annotation with the addresses of an earlier installation is removed when the Service
// has all addresses that it requests.
func desiredService(svc *corev1.Service, d serviceDecision) *corev1.Service {
	next := svc.DeepCopy()
	next.Status.LoadBalancer.Ingress = desiredIngress(svc, d)
	if len(d.Keep) > 0 {
		if next.Annotations == nil {
			next.Annotations = map[string]string{}
		}
		next.Annotations[v1beta1.AnnotationAllocatedFromPool] = strings.Join(poolNames(d.Keep), ",")
	} else {
		delete(next.Annotations, v1beta1.AnnotationAllocatedFromPool)
	}
	if d.Refusal == nil && d.Missing == nil { // the Service has all addresses that it requests
		delete(next.Annotations, v1beta1.AnnotationKeptAddresses)
	}
	meta.SetStatusCondition(&next.Status.Conditions, allocatedCondition(svc, d))
	return next
}

// desiredIngress lists the addresses of the Service, IPv4 first, and then the present entries that stay: host
// names, which another controller wrote, and the addresses in d.leave.
func desiredIngress(svc *corev1.Service, d serviceDecision) []corev1.LoadBalancerIngress {
	var list []corev1.LoadBalancerIngress
	for _, h := range d.Keep {
		list = append(list, ingressEntry(svc, h.Address))
	}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if a, err := apiconv.ParseAddress(in.IP); err != nil || slices.Contains(d.leave, a) {
			list = append(list, in)
		}
	}
	return list
}

// ingressEntry returns the status entry for an address. If the status already has an entry for the address,
// the other fields of that entry, such as ports, stay.
func ingressEntry(svc *corev1.Service, address netip.Addr) corev1.LoadBalancerIngress {
	entry := corev1.LoadBalancerIngress{IP: address.String()}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if a, err := apiconv.ParseAddress(in.IP); err == nil && a == address {
			entry = *in.DeepCopy()
			entry.IP = address.String()
		}
	}
	mode := corev1.LoadBalancerIPModeVIP
	entry.IPMode = &mode
	return entry
}

// maxRefusalBytes is the maximum length of the refusal in the message of a condition, in bytes. It leaves room for
// the addresses that the Service keeps.
const maxRefusalBytes = 2048

func allocatedCondition(svc *corev1.Service, d serviceDecision) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ServiceAddressAllocated, ObservedGeneration: svc.Generation}
	switch {
	case d.Refusal != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(d.Refusal.Reason), bounded.Cut(d.Refusal.Message, maxRefusalBytes)
		if len(d.Keep) > 0 {
			c.Message += fmt.Sprintf("; meanwhile the Service keeps %s", joinAddresses(d.Keep))
		}
	case d.Missing != nil:
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonPartlyAllocated
		c.Message = fmt.Sprintf("the Service has %s; the Service prefers addresses of both families, but %s", addressesWithPools(d.Keep), d.Missing.Message)
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAllocated
		c.Message = allocatedMessage(d)
	}
	c.Message += unknownAnnotationsMessage(svc)
	if d.otherClass {
		c.Message += fmt.Sprintf("; spec.loadBalancerClass is %s, but lbstack serves another class now: the Service keeps its addresses; since the field is immutable, create the Service again with the class that lbstack serves", serviceClass(svc))
	}
	if d.overwriter != "" {
		if c.Status == metav1.ConditionTrue {
			c.Reason = v1beta1.ReasonStatusOverwritten
		}
		c.Message += "; " + overwrittenMessage(d.overwriter)
	}
	if d.claimOverwritten != "" {
		if c.Reason == v1beta1.ReasonAllocated {
			c.Reason = v1beta1.ReasonClaimOverwritten
		}
		c.Message += "; " + d.claimOverwritten
	}
	c.Message = bounded.Message(c.Message)
	return c
}

// allocatedMessage returns the message for a Service that has all addresses that it requests.
func allocatedMessage(d serviceDecision) string {
	return fmt.Sprintf("the Service has %s", addressesWithPools(d.Keep))
}

// maxUnknownAnnotations is how many unknown annotations a message names. For further ones it only gives their
// number.
const maxUnknownAnnotations = 3

// unknownAnnotationsMessage returns the end of a message, which names the unknown annotations of a Service; empty:
// there are none. See apiconv.UnknownAnnotations.
func unknownAnnotationsMessage(svc *corev1.Service) string {
	var b strings.Builder
	unknown := apiconv.UnknownAnnotations(svc)
	for _, u := range unknown[:min(len(unknown), maxUnknownAnnotations)] {
		fmt.Fprintf(&b, "; the annotation %q is unknown and has no effect: rename it, perhaps to %q, or remove it", u.Key, u.Nearest)
	}
	if more := len(unknown) - maxUnknownAnnotations; more > 0 {
		fmt.Fprintf(&b, "; %d more annotations are unknown", more)
	}
	return b.String()
}

func serviceClass(svc *corev1.Service) string {
	if svc.Spec.LoadBalancerClass == nil {
		return "not set"
	}
	return strconv.Quote(*svc.Spec.LoadBalancerClass)
}

// poolNames returns the names of the pools of holdings, each once.
func poolNames(holdings []ipam.Holding) []string {
	var names []string
	for _, h := range holdings {
		if !slices.Contains(names, string(h.Pool)) {
			names = append(names, string(h.Pool))
		}
	}
	return names
}

// addressesWithPools lists addresses with their pools.
func addressesWithPools(holdings []ipam.Holding) string {
	var words []string
	for _, name := range poolNames(holdings) {
		var of []ipam.Holding
		for _, h := range holdings {
			if string(h.Pool) == name {
				of = append(of, h)
			}
		}
		words = append(words, fmt.Sprintf("%s from the pool %q", joinAddresses(of), name))
	}
	return strings.Join(words, " and ")
}

// joinAddresses lists addresses as part of a sentence.
func joinAddresses(holdings []ipam.Holding) string {
	words := addressStrings(holdings)
	return bounded.Names(words, len(words))
}

func addressStrings(holdings []ipam.Holding) []string {
	words := make([]string, 0, len(holdings))
	for _, h := range holdings {
		words = append(words, h.Address.String())
	}
	return words
}

func joinResults(results []ipam.PoolResult) string {
	words := make([]string, 0, len(results))
	for _, v := range results {
		words = append(words, v.Why)
	}
	return strings.Join(words, "; ")
}

// isAsWritten reports whether svc already has the status and the annotations of next.
func isAsWritten(svc, next *corev1.Service) bool {
	return equality.Semantic.DeepEqual(svc.Status, next.Status) && equality.Semantic.DeepEqual(svc.Annotations, next.Annotations)
}

// writeService writes the status and the annotations of next if they differ from those of svc. One request is
// enough, since the status subresource of a Service accepts annotations as well. It fails if the Service has
// changed since it was read.
func (r *Reconciler) writeService(ctx context.Context, svc, next *corev1.Service) (changed bool, err error) {
	if isAsWritten(svc, next) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(svc, client.MergeFromWithOptimisticLock{})
	err = r.Client.Status().Patch(ctx, next, patch)
	if apierrors.IsNotFound(err) {
		return false, errStaleCache // the Service was deleted, and the cache does not have the deletion yet
	}
	if err != nil {
		return false, fmt.Errorf("writing the status of the Service %s: %w", apiconv.KeyOf(svc), err)
	}
	r.stale.note(svc, next)
	r.restoreLimiter.NoteWrite(apiconv.KeyOf(svc), statusFingerprint(next))
	return true, nil
}

// sendEvents sends one event for each address that the Service lost, or gave up because another host uses it.
// It sends another event if another writer has overwritten the status, and one if the condition has changed.
func (r *Reconciler) sendEvents(svc *corev1.Service, d serviceDecision) {
	for _, l := range d.Lost {
		r.sendWarning(svc, v1beta1.ReasonAddressLost, fmt.Sprintf("the Service lost %s of the pool %q: %s", l.Address, l.Pool, l.Why))
	}
	for _, f := range d.Fled {
		r.sendWarning(svc, v1beta1.ReasonAddressConflict, fmt.Sprintf("the Service gave up %[1]s of the pool %[2]q, since %[3]s. The Service has %[4]s now. Remove %[1]s from that host, or add the address to spec.excludeAddresses of the pool", f.Address, f.Pool, f.Why, joinAddresses(d.Keep)))
	}
	for _, sentence := range d.taken {
		r.Metrics.CountConflict()
		r.sendWarning(svc, v1beta1.ReasonAddressLost, sentence)
	}
	if d.restoredFrom != "" {
		r.sendWarning(svc, v1beta1.ReasonStatusOverwritten, overwrittenMessage(d.restoredFrom))
	}
	now := allocatedCondition(svc, d)
	before := meta.FindStatusCondition(svc.Status.Conditions, now.Type)
	if before != nil && before.Reason == now.Reason && before.Message == now.Message {
		return
	}
	if now.Reason == v1beta1.ReasonStatusOverwritten {
		return // each restoration sends its own event
	}
	if now.Status != metav1.ConditionTrue || now.Reason == v1beta1.ReasonClaimOverwritten {
		r.sendWarning(svc, now.Reason, now.Message)
		return
	}
	if before != nil && strings.HasPrefix(before.Message, now.Message) {
		return // only an addition at the end was removed, for example about another writer
	}
	if before == nil && len(d.PassedPools) == 0 && now.Message == allocatedMessage(d) {
		return // the event about the announcement follows, and names the address as well
	}
	message := now.Message
	if len(d.PassedPools) > 0 {
		message += "; pools tried before: " + joinResults(d.PassedPools)
	}
	r.Events.Eventf(svc, nil, corev1.EventTypeNormal, now.Reason, eventAction, "%s", bounded.Note(message))
}

func (r *Reconciler) sendWarning(svc *corev1.Service, reason, message string) {
	r.Events.Eventf(svc, nil, corev1.EventTypeWarning, reason, eventAction, "%s", bounded.Note(message))
}
