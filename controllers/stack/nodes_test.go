package stack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func node(name string, change ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux", "edge": "yes"}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(&n)
	}
	return n
}

// dead is what the node lifecycle controller makes of a node that does not report.
func dead(n *corev1.Node) {
	n.Status.Conditions[0] = corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Message: "Kubelet stopped posting node status.",
		LastTransitionTime: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: taintUnreachable, Effect: corev1.TaintEffectNoSchedule}, corev1.Taint{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute})
}

func labelled(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[key] = value }
}

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func speakerPod(node string, ready corev1.ConditionStatus, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "speaker-" + node, Labels: map[string]string{v1beta1.LabelComponent: "speaker", labelTemplateGeneration: "2"}},
		Spec:       corev1.PodSpec{NodeName: node},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func ending(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

// missing is the state of a speaker that misses those of some nodes.
func missing(node string, missed ...v1beta1.NodeName) v1beta1.SpeakerState {
	return v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}, Status: v1beta1.SpeakerStateStatus{MissingSpeakers: missed}}
}

// notCurrent is the state of a speaker that the controller found not to run, as the operator
// keeps it.
func notCurrent(node string) v1beta1.SpeakerState {
	state := missing(node)
	state.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonSpeakerMissing, Message: "why"}}
	return *stripState(&state)
}

func TestPlace(t *testing.T) {
	const yes, no = corev1.ConditionTrue, corev1.ConditionFalse
	unavailable := func(name, reason string) v1beta1.UnavailableNode {
		return v1beta1.UnavailableNode{Name: v1beta1.NodeName(name), Reason: reason}
	}
	everything := []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	tests := []struct {
		name        string
		nodes       []corev1.Node
		pods        []corev1.Pod
		states      []v1beta1.SpeakerState
		tolerations []corev1.Toleration
		want        []v1beta1.UnavailableNode
		able        int
		counted     int
	}{
		{name: "all nodes are up", nodes: []corev1.Node{node("a"), node("b")}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", no)}, able: 2},
		{name: "dead node whose pod does not end holds up a rollout", nodes: []corev1.Node{node("a"), node("b", dead)}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", no, ending)},
			want: []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonNodeNotReady)}, able: 2},
		{name: "so does one whose pod was not deleted yet", nodes: []corev1.Node{node("a"), node("b", dead)}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", no)},
			want: []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonNodeNotReady)}, able: 2},
		{name: "one whose pod still counts as available does not", nodes: []corev1.Node{node("a"), node("b", dead)}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", yes)},
			want: []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonNodeNotReady)}, able: 2},
		{name: "one without a pod does not, since its taint keeps pods away", nodes: []corev1.Node{node("a"), node("b", dead)}, pods: []corev1.Pod{speakerPod("a", yes)},
			want: []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonNodeNotReady)}, able: 2},
		{name: "it does where speakers tolerate everything", nodes: []corev1.Node{node("a"), node("b", dead)}, pods: []corev1.Pod{speakerPod("a", yes)}, tolerations: everything,
			want: []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonNodeNotReady)}, able: 2, counted: 1},
		{name: "node that restarts its speaker holds up nothing by itself", nodes: []corev1.Node{node("a"), node("b")}, pods: []corev1.Pod{speakerPod("a", no, ending), speakerPod("b", yes)}, able: 2},
		{name: "node that all other speakers miss has just died", nodes: []corev1.Node{node("a"), node("b"), node("c")}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", yes), speakerPod("c", yes)},
			states: []v1beta1.SpeakerState{missing("a", "b"), missing("b"), missing("c", "b")},
			want:   []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonSpeakerUnreachable)}, able: 3, counted: 1},
		{name: "two of three nodes have just died", nodes: []corev1.Node{node("a"), node("b"), node("c")}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", yes), speakerPod("c", yes)},
			states: []v1beta1.SpeakerState{missing("a", "b", "c"), notCurrent("b"), notCurrent("c")},
			want:   []v1beta1.UnavailableNode{unavailable("b", v1beta1.ReasonSpeakerUnreachable), unavailable("c", v1beta1.ReasonSpeakerUnreachable)}, able: 3, counted: 2},
		{name: "one speaker alone misses another one", nodes: []corev1.Node{node("a"), node("b")}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", yes)},
			states: []v1beta1.SpeakerState{missing("a", "b"), missing("b")}, able: 2},
		{name: "speaker that keeps ending is missed too, and its pod has the reason", nodes: []corev1.Node{node("a"), node("b"), node("c")}, pods: []corev1.Pod{speakerPod("a", yes), speakerPod("b", no), speakerPod("c", yes)},
			states: []v1beta1.SpeakerState{missing("a", "b"), missing("b"), missing("c", "b")}, able: 3},
		{name: "nodes that cannot run a speaker come last", nodes: []corev1.Node{node("a", labelled(corev1.LabelOSStable, "windows")), node("b", tainted("gpu", corev1.TaintEffectNoSchedule)), node("c", dead), node("d")},
			pods: []corev1.Pod{speakerPod("d", yes)},
			want: []v1beta1.UnavailableNode{unavailable("c", v1beta1.ReasonNodeNotReady), unavailable("a", v1beta1.ReasonOtherOperatingSystem), unavailable("b", v1beta1.ReasonUntoleratedTaint)}, able: 2},
		{name: "taint that evicts no running speaker", nodes: []corev1.Node{node("a", tainted("gpu", corev1.TaintEffectNoSchedule))}, pods: []corev1.Pod{speakerPod("a", yes)}},
		{name: "taints that pods of DaemonSets tolerate", nodes: []corev1.Node{node("a", tainted("node.kubernetes.io/unschedulable", corev1.TaintEffectNoSchedule), tainted("x", corev1.TaintEffectPreferNoSchedule))}, able: 1},
		{name: "node that the selector leaves out", nodes: []corev1.Node{node("a", labelled("edge", "no"), dead), node("b", labelled("edge", "no"), labelled(corev1.LabelOSStable, "windows"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template := corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "linux", "edge": "yes"}, Tolerations: tt.tolerations}
			got := newPlacement(tt.nodes, tt.pods, tt.states, template)
			for i := range got.unavailable {
				if got.unavailable[i].Message == "" {
					t.Errorf("%s has no message", got.unavailable[i].Name)
				}
				got.unavailable[i].Message = ""
			}
			if diff := cmp.Diff(tt.want, got.unavailable); diff != "" {
				t.Errorf("unavailable nodes (-want +got):\n%s", diff)
			}
			if got.able != tt.able || len(got.counted) != tt.counted {
				t.Errorf("got %d able, %d counted, want %d and %d", got.able, len(got.counted), tt.able, tt.counted)
			}
		})
	}
}

func TestPlace_NodesThatLackAPod(t *testing.T) {
	nodes := []corev1.Node{
		node("z"), node("dead", dead), node("tainted", tainted("gpu", corev1.TaintEffectNoSchedule)), node("a"),
		node("other", labelled("edge", "no")), node("has"),
	}
	template := corev1.PodSpec{NodeSelector: map[string]string{"edge": "yes"}}
	got := newPlacement(nodes, []corev1.Pod{speakerPod("has", corev1.ConditionFalse)}, nil, template)
	if diff := cmp.Diff([]string{"a", "z"}, got.lacking); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestWhyNotReady(t *testing.T) {
	n := node("a", dead)
	if got, want := whyNotReady(&n), "the condition Ready has been Unknown since 2026-01-02 03:04:05 UTC: Kubelet stopped posting node status."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPodsOnNodesThatAreDown(t *testing.T) {
	p := placement{down: map[string]bool{"b": true, "c": true}, counted: map[string]bool{"b": true, "c": true}}
	old := func(pod *corev1.Pod) { pod.Labels[labelTemplateGeneration] = "1" }
	pods := []corev1.Pod{speakerPod("a", corev1.ConditionTrue), speakerPod("b", corev1.ConditionTrue), speakerPod("b", corev1.ConditionTrue, ending), speakerPod("c", corev1.ConditionFalse, old)}
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{appsv1.DeprecatedTemplateGeneration: "2"}}}
	if diff := cmp.Diff(downPods{desired: 2, updated: 1, ready: 1}, p.countDownDaemonPods(d, pods), cmp.AllowUnexported(downPods{})); diff != "" {
		t.Errorf("DaemonSet (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(downPods{desired: 3, ready: 1}, p.countDownDeploymentPods(pods), cmp.AllowUnexported(downPods{})); diff != "" {
		t.Errorf("Deployment (-want +got):\n%s", diff)
	}
}

// requiring is node affinity for nodes with a label.
func requiring(key, value string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}}},
	}}}
}

func TestPlace_NodeAffinity(t *testing.T) {
	tests := []struct {
		name     string
		affinity *corev1.Affinity
		able     int
	}{
		{name: "no affinity selects all nodes", able: 2},
		{name: "affinity without requirements selects all nodes", affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}, able: 2},
		{name: "required affinity selects one node", affinity: requiring("edge", "no"), able: 1},
		{name: "required affinity selects no node", affinity: requiring("edge", "maybe")},
	}
	nodes := []corev1.Node{node("a"), node("b", labelled("edge", "no"))}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlacement(nodes, nil, nil, corev1.PodSpec{Affinity: tt.affinity})
			if p.able != tt.able || p.selected != tt.able || len(p.unavailable) > 0 {
				t.Errorf("got %d able, %d selected, unavailable %v, want %d, %d and none", p.able, p.selected, p.unavailable, tt.able, tt.able)
			}
		})
	}
}
