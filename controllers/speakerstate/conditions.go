package speakerstate

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/reports"
)

// writtenConditions are the conditions that the Reconciler writes. Both are nil for a SpeakerState to which
// it has not written yet.
type writtenConditions struct{ current, partitioned *metav1.Condition }

func conditionsOf(state *v1beta1.SpeakerState) writtenConditions {
	return writtenConditions{
		meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent),
		meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionPartitioned),
	}
}

func (c writtenConditions) equal(other writtenConditions) bool {
	return equalConditions(c.current, other.current) && equalConditions(c.partitioned, other.partitioned)
}

// equalConditions compares conditions. It compares transition times only if both are set.
func equalConditions(x, y *metav1.Condition) bool {
	if x == nil || y == nil {
		return x == y
	}
	at := x.LastTransitionTime.IsZero() || y.LastTransitionTime.IsZero() || x.LastTransitionTime.Equal(&y.LastTransitionTime)
	return x.Status == y.Status && x.Reason == y.Reason && x.Message == y.Message && at
}

// setTransition sets the transition time of a condition, unless it is set.
func (r *Reconciler) setTransition(was, next *metav1.Condition) {
	switch {
	case !next.LastTransitionTime.IsZero():
	case was != nil && was.Status == next.Status:
		next.LastTransitionTime = was.LastTransitionTime
	default:
		next.LastTransitionTime = metav1.NewTime(r.now())
	}
}

// partitionedCondition returns the condition Partitioned of a speaker. The parameter larger is the larger
// group from which the speaker is isolated; its Size is 0 if there is none. While the condition is True, its
// lastTransitionTime is when the speaker came into the minority (MinoritySince). The speaker compares this
// time with its own value, and ignores a condition about an earlier period in a minority.
func partitionedCondition(r reports.Report, larger reports.SpeakerGroup) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionPartitioned, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNotPartitioned}
	if larger.Size == 0 {
		c.Message = "this speaker is not known to be isolated from a larger group of running speakers"
		return c
	}
	c.Status, c.Reason, c.LastTransitionTime = metav1.ConditionTrue, v1beta1.ReasonLargerGroup, metav1.NewTime(r.MinoritySince)
	c.Message = fmt.Sprintf("the speaker of the node %s and a group of other speakers, such as the speaker of the node %s, receive nothing from each other. The group is larger, or this speaker is not ready. "+
		"This speaker therefore gives up the addresses that the missing speakers may announce. Look at the network between these nodes, and at the mesh port (UDP, spec.speaker.ports of the LoadBalancerStack)", r.Node, larger.First)
	return c
}
