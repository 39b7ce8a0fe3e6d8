// Package maintenance decides what the commands of the kubectl plugin write for administrators: marks that drain nodes
// (drain.go), claims that reserve addresses (claim.go), the node that announces an address (move.go), and pods that probe
// the local network (probe.go). The package is pure: it takes objects, and returns objects, phrases or errors. The plugin reads and writes the objects.
// spec.drain is parsed by the same code as in the speakers (internal/apiconv).
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

// drainKey is the default key of spec.drain. If spec.drain lists it, it is the one that Drain sets.
const drainKey = "lbstack.io/drain"

// Drain returns the node with a mark that drains it. The mark is an annotation if spec.drain has a key
// for annotations, or else a label, or else a taint. Drain sets no keys of Kubernetes, since Undrain
// does not remove these. It returns the same node if a mark drains it already. The shutdown of a node
// does not count as a mark, since the node gets addresses again after its restart.
func Drain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (*corev1.Node, error) {
	policy := apiconv.ParseDrainPolicy(stack)
	if apiconv.ParseNode(&corev1.Node{ObjectMeta: node.ObjectMeta, Spec: node.Spec}, policy).Draining {
		return node, nil
	}
	marked := node.DeepCopy()
	annotations, labels, taints := nonKubernetes(policy.Annotations), nonKubernetes(policy.Labels), nonKubernetes(policy.Taints)
	switch {
	case len(annotations) > 0:
		marked.Annotations = withKey(marked.Annotations, preferredKey(annotations))
	case len(labels) > 0:
		marked.Labels = withKey(marked.Labels, preferredKey(labels))
	case len(taints) > 0:
		// The key drains the node. The effect is the weakest one, so that no pods are evicted.
		marked.Spec.Taints = append(marked.Spec.Taints, corev1.Taint{Key: preferredKey(taints), Effect: corev1.TaintEffectPreferNoSchedule})
	case len(policy.Annotations)+len(policy.Labels)+len(policy.Taints) > 0:
		return nil, errors.New("LoadBalancerStack default: spec.drain has only keys of Kubernetes, which commands such as kubectl cordon set: use such a command, or add lbstack.io/drain to spec.drain.annotations")
	default:
		return nil, errors.New("LoadBalancerStack default: all lists in spec.drain are empty, so that no mark drains a node: add lbstack.io/drain to spec.drain.annotations")
	}
	return marked, nil
}

// Undrain returns the node without the marks that drain it, except those with keys of Kubernetes, which
// other programs set and remove. still is why the node gets no addresses even without these marks, and
// what to do. Possible reasons are a mark of Kubernetes, the shutdown of the node, and its exclusion
// from load balancers. still continues a sentence that begins with the name of the node. It is empty if
// the node can get addresses.
func Undrain(node *corev1.Node, stack *v1beta1.LoadBalancerStack) (free *corev1.Node, still string) {
	policy := apiconv.ParseDrainPolicy(stack)
	free = node.DeepCopy()
	for _, key := range nonKubernetes(policy.Annotations) {
		delete(free.Annotations, key)
	}
	for _, key := range nonKubernetes(policy.Labels) {
		delete(free.Labels, key)
	}
	taints := nonKubernetes(policy.Taints)
	free.Spec.Taints = slices.DeleteFunc(free.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(taints, t.Key) })
	left := marksOf(free, policy)
	state := apiconv.ParseNode(free, policy)
	if len(left) == 0 && state.Draining {
		left = []string{"its shutdown, which the kubelet reports"}
	}
	var words []string
	if len(left) > 0 {
		words = append(words, "is still drained by "+strings.Join(left, ", and by "))
	}
	if state.Excluded != "" {
		words = append(words, "still gets no addresses: it "+state.Excluded)
	}
	return free, strings.Join(words, ", and ")
}

// marksOf returns the marks that drain a node, each as a phrase with what removes it.
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

// nonKubernetes returns the keys that are not in a domain of Kubernetes.
func nonKubernetes(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		domain, _, _ := strings.Cut(key, "/")
		return domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
	})
}

// preferredKey returns drainKey if it is one of the keys, and otherwise the first key.
func preferredKey(keys []string) string {
	if slices.Contains(keys, drainKey) {
		return drainKey
	}
	return keys[0]
}

func withKey(m map[string]string, key string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = ""
	return m
}

// mostNamed is the largest number of addresses that DrainProgress names.
const mostNamed = 5

// DrainProgress returns whether a node that drains announces nothing any more, and a phrase with the
// addresses that it still announces. state is the SpeakerState of the node; nil: there is none.
func DrainProgress(state *v1beta1.SpeakerState) (done bool, words string) {
	if state == nil {
		return true, "no speaker runs on the node, which announces nothing"
	}
	status := &state.Status
	empty := status.AddressCount == 0 && status.RouteCount == 0
	switch {
	case status.Phase == v1beta1.SpeakerStopped && (empty || isGone(status)):
		return true, "no speaker runs on the node, which announces nothing"
	case status.Phase == v1beta1.SpeakerStopped:
		return false, fmt.Sprintf("its speaker was stopped, as in a rollout: for a while other speakers answer for its %d addresses, routers keep its %d routes, and traffic still goes to the node", status.AddressCount, status.RouteCount)
	case status.Phase == v1beta1.SpeakerDraining && empty:
		return true, "it announces nothing any more"
	case status.Phase != v1beta1.SpeakerDraining:
		return false, fmt.Sprintf("its speaker has not reported yet that the node drains: the speaker is %s, with %d addresses and %d routes", status.Phase, status.AddressCount, status.RouteCount)
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

// isGone reports whether the controller has found that no speaker runs on the node and none is about to start
// (controllers/speakerstate). Then no other speaker answers for the addresses of the stopped speaker any more.
func isGone(status *v1beta1.SpeakerStateStatus) bool {
	c := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionCurrent)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1beta1.ReasonSpeakerEnded
}
