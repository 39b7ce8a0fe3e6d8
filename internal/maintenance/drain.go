// Package maintenance decides what the commands of the kubectl plugin write that change something: marks of nodes that
// are to be drained, and claims that reserve addresses. Pure: objects in, objects or a refusal out. It reads spec.drain
// as the speakers do (internal/apiconv); the plugin sends what it returns.
package maintenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// drainKey is the key that is set if spec.drain has it: that of its default.
const drainKey = "lbstack.io/drain"

// Drain returns the node with a mark that drains it, as spec.drain of the stack asks for: an annotation if it has a key
// of one, else a label, else a taint. Marks of Kubernetes are not set: undrain could not remove them. The same node: a mark
// drains it already. A node that only shuts down has none, and would take part again when it is back.
func Drain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (*corev1.Node, error) {
	policy := apiconv.ParseDrainPolicy(stack)
	if apiconv.ParseNode(&corev1.Node{ObjectMeta: node.ObjectMeta, Spec: node.Spec}, policy).Draining {
		return node, nil
	}
	marked := node.DeepCopy()
	annotations, labels, taints := ours(policy.Annotations), ours(policy.Labels), ours(policy.Taints)
	switch {
	case len(annotations) > 0:
		marked.Annotations = with(marked.Annotations, preferred(annotations))
	case len(labels) > 0:
		marked.Labels = with(marked.Labels, preferred(labels))
	case len(taints) > 0:
		// The weakest effect: it is the key that drains, and pods are not its matter.
		marked.Spec.Taints = append(marked.Spec.Taints, corev1.Taint{Key: preferred(taints), Effect: corev1.TaintEffectPreferNoSchedule})
	case len(policy.Annotations)+len(policy.Labels)+len(policy.Taints) > 0:
		return nil, errors.New("LoadBalancerStack default: spec.drain has keys of Kubernetes alone, which other commands set, such as kubectl cordon: use these, or add lbstack.io/drain to spec.drain.annotations")
	default:
		return nil, errors.New("LoadBalancerStack default: spec.drain has empty lists: nothing drains a node: add lbstack.io/drain to spec.drain.annotations")
	}
	return marked, nil
}

// Undrain returns the node without the marks that drain it. What keeps addresses from it still is returned as what follows
// the name of the node in a sentence, with what to do; empty: it takes part. Marks of Kubernetes are set and removed by
// others, and a node that shuts down has no mark.
func Undrain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (free *corev1.Node, still string) {
	policy := apiconv.ParseDrainPolicy(stack)
	free = node.DeepCopy()
	for _, key := range ours(policy.Annotations) {
		delete(free.Annotations, key)
	}
	for _, key := range ours(policy.Labels) {
		delete(free.Labels, key)
	}
	taints := ours(policy.Taints)
	free.Spec.Taints = slices.DeleteFunc(free.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(taints, t.Key) })
	left := marksOf(free, policy)
	state := apiconv.ParseNode(free, policy)
	if len(left) == 0 && state.Draining {
		left = []string{"its shutdown, which the kubelet reports"}
	}
	var words []string
	if len(left) > 0 {
		words = append(words, "is drained still, by "+strings.Join(left, ", and by "))
	}
	if state.Excluded != "" {
		words = append(words, "gets no address still: it "+state.Excluded)
	}
	return free, strings.Join(words, ", and ")
}

// marksOf are the marks of Kubernetes that drain a node, in words, with what removes them.
func marksOf(node *corev1.Node, policy apiconv.DrainPolicy) (marks []string) {
	for _, key := range policy.Annotations {
		if value, has := node.Annotations[key]; has && value != "false" {
			marks = append(marks, fmt.Sprintf("the annotation %s: run kubectl annotate node %s %s-", key, node.Name, key))
		}
	}
	for _, key := range policy.Labels {
		if value, has := node.Labels[key]; has && value != "false" {
			marks = append(marks, fmt.Sprintf("the label %s: run kubectl label node %s %s-", key, node.Name, key))
		}
	}
	for _, t := range node.Spec.Taints {
		switch {
		case !slices.Contains(policy.Taints, t.Key):
		case t.Key == corev1.TaintNodeUnschedulable:
			marks = append(marks, fmt.Sprintf("the taint %s: run kubectl uncordon %s", t.Key, node.Name))
		default:
			marks = append(marks, fmt.Sprintf("the taint %s, which Kubernetes removes", t.Key))
		}
	}
	return marks
}

// ours are the keys that are not under a domain of Kubernetes.
func ours(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		domain, _, _ := strings.Cut(key, "/")
		return domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
	})
}

// preferred is the key of lbstack, or the first one.
func preferred(keys []string) string {
	if slices.Contains(keys, drainKey) {
		return drainKey
	}
	return keys[0]
}

func with(m map[string]string, key string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = ""
	return m
}

// mostNamed is how many addresses Progress names.
const mostNamed = 5

// Progress says how far a node is that drains, and whether it announces nothing any more. The state is that of its
// speaker; nil: it has none.
func Progress(state *v1beta1.SpeakerState) (done bool, words string) {
	if state == nil {
		return true, "no speaker runs there: it announces nothing"
	}
	status := &state.Status
	empty := status.AddressCount == 0 && status.RouteCount == 0
	switch {
	case status.Phase == v1beta1.SpeakerStopped && (empty || isGone(status)):
		return true, "no speaker runs there: it announces nothing"
	case status.Phase == v1beta1.SpeakerStopped:
		return false, fmt.Sprintf("its speaker was stopped, as in a rollout: others answer for its %d addresses for a while, routers keep its %d routes, and traffic goes there still", status.AddressCount, status.RouteCount)
	case status.Phase == v1beta1.SpeakerDraining && empty:
		return true, "it announces nothing any more"
	case status.Phase != v1beta1.SpeakerDraining:
		return false, fmt.Sprintf("its speaker has not reported yet that it drains: it is %s, with %d addresses and %d routes", status.Phase, status.AddressCount, status.RouteCount)
	}
	names := make([]string, 0, mostNamed)
	for _, a := range status.Addresses[:min(mostNamed, len(status.Addresses))] {
		names = append(names, a.Address)
	}
	words = fmt.Sprintf("%d addresses and %d routes are left", status.AddressCount, status.RouteCount)
	if len(names) > 0 {
		words += ": " + strings.Join(names, ", ")
		if int(status.AddressCount) > len(names) {
			words += ", ..."
		}
	}
	return false, words
}

// isGone says of a speaker that was stopped whether no other has started on its node for so long that nobody answers for
// its addresses any more. The controller decides it (controllers/speakerstate).
func isGone(status *v1beta1.SpeakerStateStatus) bool {
	c := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionCurrent)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1beta1.ReasonSpeakerEnded
}
