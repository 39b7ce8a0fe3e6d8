package service

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// anotherWriter stands in messages for a field manager whose name is not known.
const anotherWriter = "another writer"

// planWrite returns the Service to write (next), and how long to wait before the write (wait). Without the
// wait, two controllers that correct each other would write as fast as the API server permits. calm is the
// time until the disagreement with another writer ends if no further write is undone; zero: there is no
// disagreement. While the two disagree, the condition names the other writer: planWrite stores its name in
// d.overwriter.
func (r *Reconciler) planWrite(ctx context.Context, svc *corev1.Service, d *serviceDecision) (next *corev1.Service, wait, calm time.Duration, err error) {
	key, now := apiconv.KeyOf(svc), r.now()
	d.overwriter, calm = r.restoreLimiter.Disagreement(key, now)
	next = desiredService(svc, *d)
	undone := r.restoreLimiter.Compare(key, statusFingerprint(next), isAsWritten(svc, next), now)
	if !undone.Is || undone.Wait > 0 {
		return next, undone.Wait, calm, nil
	}
	by := ""
	if statusAddresses(svc) != statusAddresses(next) {
		fresh, err := r.readService(ctx, key)
		if err != nil {
			return nil, 0, 0, err
		}
		by = otherWriter(fresh)
	}
	r.restoreLimiter.SetOverwriter(key, by)
	d.restoredFrom = by
	d.overwriter, calm = r.restoreLimiter.Disagreement(key, now)
	return desiredService(svc, *d), 0, calm, nil
}

// overwrittenMessage returns the message that another writer (who) overwrites the addresses in the status.
func overwrittenMessage(who string) string {
	return fmt.Sprintf("%s overwrites status.loadBalancer; kube-proxy forwards only the addresses in that field, so that connections fail until lbstack has restored the addresses: "+
		"turn the other controller off, or create the Service again with a spec.loadBalancerClass that only one of the two controllers serves", who)
}

// statusFingerprint returns one text with everything that this reconciler writes to a Service: the addresses, the
// annotation with the pools, and the condition AddressAllocated.
func statusFingerprint(svc *corev1.Service) string {
	c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAddressAllocated)
	if c == nil {
		c = &metav1.Condition{}
	}
	return fmt.Sprint(statusAddresses(svc), svc.Annotations[v1beta1.AnnotationAllocatedFromPool], c.Status, c.Reason, c.Message, c.ObservedGeneration)
}

// statusAddresses returns the addresses in the status of a Service with their modes, as one text. It leaves
// out host names, which other controllers write.
func statusAddresses(svc *corev1.Service) string {
	var b strings.Builder
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP == "" {
			continue
		}
		b.WriteString(in.IP)
		if in.IPMode != nil {
			b.WriteString("=" + string(*in.IPMode))
		}
		b.WriteString(" ")
	}
	return b.String()
}

// otherWriter returns a phrase for messages that names the other writer of status.loadBalancer.
func otherWriter(svc *corev1.Service) string {
	if svc == nil {
		return anotherWriter
	}
	return writerOf(svc.ManagedFields, "status", "f:status", "f:loadBalancer", "f:ingress")
}

// writerOf returns a phrase for messages that names a field manager other than this controller. It chooses
// the manager that owns the field at the path in the subresource. If no other manager owns the field, it
// chooses the one that wrote the subresource last.
func writerOf(managed []metav1.ManagedFieldsEntry, subresource string, path ...string) string {
	var last *metav1.ManagedFieldsEntry
	for i := range managed {
		entry := &managed[i]
		if entry.Manager == v1beta1.ManagedByController || entry.Subresource != subresource {
			continue
		}
		if len(path) > 0 && ownsField(entry, path...) {
			return fmt.Sprintf("the field manager %q", entry.Manager)
		}
		if last == nil || entry.Time != nil && last.Time.Before(entry.Time) {
			last = entry
		}
	}
	if last == nil {
		return anotherWriter
	}
	return fmt.Sprintf("the field manager %q", last.Manager)
}

// ownsField reports whether a field manager owns the field at a path.
func ownsField(entry *metav1.ManagedFieldsEntry, path ...string) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	raw := entry.FieldsV1.GetRawBytes()
	for _, name := range path {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil {
			return false
		}
		if raw = fields[name]; raw == nil {
			return false
		}
	}
	return true
}
