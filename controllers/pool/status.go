package pool

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// status is what a pool's status should be, given what it is: a condition that
// does not change keeps its transition time.
func status(object *v1beta1.IPAddressPool, verdict Verdict, usage map[lb.Family]ipam.Usage) v1beta1.IPAddressPoolStatus {
	next := *object.Status.DeepCopy()
	next.ObservedGeneration = object.Generation
	next.IPv4 = addressUsage(usage, lb.IPv4)
	next.IPv6 = addressUsage(usage, lb.IPv6)
	ready := metav1.ConditionFalse
	if verdict.Ready() {
		ready = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&next.Conditions, metav1.Condition{
		Type: v1beta1.ConditionReady, Status: ready, Reason: verdict.Reason, Message: verdict.Message,
		ObservedGeneration: object.Generation,
	})
	return next
}

func addressUsage(usage map[lb.Family]ipam.Usage, family lb.Family) *v1beta1.AddressUsage {
	u, ok := usage[family]
	if !ok {
		return nil
	}
	return &v1beta1.AddressUsage{Total: u.Total.String(), Used: u.Used, Free: u.Free().String()}
}
