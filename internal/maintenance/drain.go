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

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// drainKey is the key that is set if spec.drain has it: that of its default.
const drainKey = "lbstack.io/drain"

// Drain returns the node with a mark that drains it, as spec.drain of the stack asks for: an annotation if it has a key
// of one, else a label, else a taint. The same node: it is drained already.
func Drain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (*corev1.Node, error) {
	policy := apiconv.ParseDrainPolicy(stack)
	if apiconv.ParseNode(node, policy).Draining {
		return node, nil
	}
	marked := node.DeepCopy()
	switch {
	case len(policy.Annotations) > 0:
		marked.Annotations = with(marked.Annotations, preferred(policy.Annotations))
	case len(policy.Labels) > 0:
		marked.Labels = with(marked.Labels, preferred(policy.Labels))
	case len(policy.Taints) > 0:
		// The weakest effect: it is the key that drains, and pods are not its matter.
		marked.Spec.Taints = append(marked.Spec.Taints, corev1.Taint{Key: preferred(policy.Taints), Effect: corev1.TaintEffectPreferNoSchedule})
	default:
		return nil, errors.New("LoadBalancerStack default: spec.drain has empty lists: nothing drains a node: add lbstack.io/drain to spec.drain.annotations")
	}
	return marked, nil
}

// Undrain returns the node without the marks that drain it. What drains it still is named, with what to do: the taints of
// Kubernetes are set and removed by other commands, and a node that shuts down has no mark.
func Undrain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (free *corev1.Node, left []string) {
	policy := apiconv.ParseDrainPolicy(stack)
	free = node.DeepCopy()
	for _, key := range policy.Annotations {
		delete(free.Annotations, key)
	}
	for _, key := range policy.Labels {
		delete(free.Labels, key)
	}
	free.Spec.Taints = slices.DeleteFunc(free.Spec.Taints, func(t corev1.Taint) bool {
		return slices.Contains(policy.Taints, t.Key) && !ofKubernetes(t.Key)
	})
	for _, t := range free.Spec.Taints {
		switch {
		case !slices.Contains(policy.Taints, t.Key):
		case t.Key == corev1.TaintNodeUnschedulable:
			left = append(left, fmt.Sprintf("the taint %s: run kubectl uncordon %s", t.Key, node.Name))
		default:
			left = append(left, fmt.Sprintf("the taint %s, which Kubernetes removes", t.Key))
		}
	}
	if len(left) == 0 && apiconv.ParseNode(free, policy).Draining {
		left = []string{"its shutdown, which the kubelet reports"}
	}
	return free, left
}

// ofKubernetes says whether a key is under a domain of Kubernetes.
func ofKubernetes(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
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
	switch {
	case state == nil || state.Status.Phase == v1beta1.SpeakerStopped:
		return true, "no speaker runs there: it announces nothing"
	case state.Status.AddressCount == 0 && state.Status.RouteCount == 0 && state.Status.Phase == v1beta1.SpeakerDraining:
		return true, "it announces nothing any more"
	case state.Status.Phase != v1beta1.SpeakerDraining:
		return false, fmt.Sprintf("its speaker has not reported yet that it drains: it is %s, with %d addresses and %d routes", state.Status.Phase, state.Status.AddressCount, state.Status.RouteCount)
	}
	names := make([]string, 0, mostNamed)
	for _, a := range state.Status.Addresses[:min(mostNamed, len(state.Status.Addresses))] {
		names = append(names, a.Address)
	}
	words = fmt.Sprintf("%d addresses and %d routes are left", state.Status.AddressCount, state.Status.RouteCount)
	if len(names) > 0 {
		words += ": " + strings.Join(names, ", ")
		if int(state.Status.AddressCount) > len(names) {
			words += ", ..."
		}
	}
	return false, words
}
