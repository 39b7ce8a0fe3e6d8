package speakerstate

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/internal/lb"
)

// ended returns the nodes on which a speaker has run in a pod, and runs in none, with what the
// kubelet says of it. Where the kubelet says nothing, as on a node that died, and where no pod
// is, only the other speakers know.
func ended(pods []corev1.Pod) map[lb.NodeName]string {
	runs, why := map[lb.NodeName]bool{}, map[lb.NodeName]string{}
	for i := range pods {
		node := lb.NodeName(pods[i].Spec.NodeName)
		for _, c := range pods[i].Status.ContainerStatuses {
			switch {
			case c.State.Running != nil:
				runs[node] = true
			case c.State.Terminated != nil:
				why[node] = c.State.Terminated.Reason
			case c.State.Waiting != nil && c.LastTerminationState.Terminated != nil:
				why[node] = c.State.Waiting.Reason
			}
		}
	}
	for node := range runs {
		delete(why, node)
	}
	return why
}

// podChanged lets a pod pass whose containers are in another state.
var podChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	now, also := e.ObjectNew.(*corev1.Pod)
	if !ok || !also {
		return true
	}
	x, y := ended([]corev1.Pod{*before}), ended([]corev1.Pod{*now})
	node := lb.NodeName(now.Spec.NodeName)
	_, was := x[node]
	_, is := y[node]
	return was != is || x[node] != y[node]
}}
