package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// speakers is a DaemonSet as MetalLB's own manifest has it, changed.
func speakers(changes ...func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "speaker"}}
	set.Spec.Template.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
	set.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(2))
	set.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType}
	for _, change := range changes {
		change(set)
	}
	return set
}

func affine(terms ...corev1.NodeSelectorTerm) func(*appsv1.DaemonSet) {
	return func(set *appsv1.DaemonSet) {
		set.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
	}
}

func hostname(operator corev1.NodeSelectorOperator, names ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: operator, Values: names}
}

func term(requirements ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: requirements}
}

// TestSpeakers_GoAndComeBack: whatever selected nodes before does so while nodes move, and is as it was at the end.
func TestSpeakers_GoAndComeBack(t *testing.T) {
	rack := corev1.NodeSelectorRequirement{Key: "rack", Operator: corev1.NodeSelectorOpExists}
	notIn, in := corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpIn
	for _, tt := range []struct {
		name  string
		set   *appsv1.DaemonSet
		terms []corev1.NodeSelectorTerm // while a and b have moved
	}{
		{"without an affinity", speakers(), []corev1.NodeSelectorTerm{term(hostname(notIn, "a", "b"))}},
		{"without any selector", speakers(func(set *appsv1.DaemonSet) { set.Spec.Template.Spec.NodeSelector = nil }), []corev1.NodeSelectorTerm{term(hostname(notIn, "a", "b"))}},
		{"with terms of which one is enough", speakers(affine(term(rack), term(hostname(in, "a", "c")))), []corev1.NodeSelectorTerm{
			term(rack, hostname(notIn, "a", "b")), term(hostname(in, "a", "c"), hostname(notIn, "a", "b")),
		}},
		{"with nodes that it leaves out itself", speakers(affine(term(hostname(notIn, "z")))), []corev1.NodeSelectorTerm{term(hostname(notIn, "z"), hostname(notIn, "a", "b"))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if left, stopped := SwitchProgress(tt.set); left != nil || stopped {
				t.Errorf("before: got %v left, stopped %v", left, stopped)
			}
			one := made(t)(LimitSpeakers(tt.set, []string{"b"}))
			if left, stopped := SwitchProgress(one); cmp.Diff([]string{"b"}, left) != "" || stopped {
				t.Errorf("after one: got %v left, stopped %v", left, stopped)
			}
			two := made(t)(LimitSpeakers(one, []string{"b", "a"}))
			if diff := cmp.Diff(tt.terms, requiredTerms(two.Spec.Template.Spec.Affinity)); diff != "" {
				t.Errorf("after two (-want +got):\n%s", diff)
			}
			if two.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
				t.Errorf("after two: the strategy %s replaces the pods that stay", two.Spec.UpdateStrategy.Type)
			}
			stopped := made(t)(StopSpeakers(two))
			if left, is := SwitchProgress(stopped); left != nil || !is {
				t.Errorf("at the end: got %v left, stopped %v", left, is)
			}
			for _, set := range []*appsv1.DaemonSet{one, two, stopped} {
				if got := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; got != GracePeriod {
					t.Errorf("a pod that is made again has %d s to end, want %d", got, GracePeriod)
				}
			}
			back := made(t)(ReturnSpeakers(stopped, []string{"b"}))
			if left, is := SwitchProgress(back); cmp.Diff([]string{"b"}, left) != "" || is {
				t.Errorf("on the way back: got %v left, stopped %v", left, is)
			}
			if diff := cmp.Diff(tt.set.Spec.Template, made(t)(ReturnSpeakers(back, nil)).Spec.Template); diff != "" {
				t.Errorf("at the end of the way back, pods differ from those of before (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.set, made(t)(RestoreSpeakers(stopped))); diff != "" {
				t.Errorf("restored (-want +got):\n%s", diff)
			}
		})
	}
	byHand := speakers(func(set *appsv1.DaemonSet) { set.Spec.Template.Spec.NodeSelector[noNodeLabel] = "true" })
	if diff := cmp.Diff(speakers(), made(t)(RestoreSpeakers(byHand))); diff != "" {
		t.Errorf("stopped by hand and restored (-want +got):\n%s", diff)
	}
	broken := speakers(func(set *appsv1.DaemonSet) { set.Annotations = map[string]string{AnnotationBefore: "{"} })
	if _, err := RestoreSpeakers(broken); err == nil || !strings.Contains(err.Error(), "the DaemonSet metallb-system/speaker: cannot read the annotation lbstack.io/before-migration") {
		t.Errorf("with a note that cannot be read: got the error %v", err)
	}
}

func made(t *testing.T) func(set *appsv1.DaemonSet, err error) *appsv1.DaemonSet {
	return func(set *appsv1.DaemonSet, err error) *appsv1.DaemonSet {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Annotations) == 0 {
			set.Annotations = nil
		}
		return set
	}
}

func TestController_StopsAndStarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		from *int32
		to   int32
	}{
		{"as its manifest has it", nil, 1}, {"with several replicas", new(int32(2)), 2}, {"stopped by hand", new(int32(0)), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			controller := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: tt.from}}
			down, err := StopController(controller)
			if err != nil || replicasOf(down) != 0 {
				t.Fatalf("scaled: got %d replicas, %v", replicasOf(down), err)
			}
			again, err := StopController(down)
			if err != nil {
				t.Fatal(err)
			}
			up, err := StartController(again)
			if err != nil || replicasOf(up) != tt.to || len(up.Annotations) > 0 {
				t.Errorf("started: got %d replicas, annotations %v, %v; want %d and none", replicasOf(up), up.Annotations, err, tt.to)
			}
		})
	}
}

func TestStack_AtEachStep(t *testing.T) {
	const whole = `
metadata: {name: default}
spec:
  ipAddressPools: [{name: lan, addresses: [192.0.2.0/28]}]
  l2Advertisements: [{name: lan}]
  bgpAdvertisements: [{name: routed}]
  bgpPeers:
  - {name: everywhere, peerASN: 64513}
  - name: racks
    nodeSelectors:
    - matchLabels: {rack: "1"}
    - matchExpressions: [{key: rack, operator: In, values: ["2"]}]
`
	for _, tt := range []struct {
		name, want string
		hostnames  []string
	}{
		{"nobody has moved", `
metadata: {name: default}
spec:
  ipAddressPools: [{name: lan, addresses: [192.0.2.0/28]}]
`, nil},
		{"two have", `
metadata: {name: default}
spec:
  ipAddressPools: [{name: lan, addresses: [192.0.2.0/28]}]
  bgpAdvertisements: [{name: routed}]
  bgpPeers:
  - name: everywhere
    peerASN: 64513
    nodeSelectors:
    - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [a, b]}]
  - name: racks
    nodeSelectors:
    - matchLabels: {rack: "1"}
      matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [a, b]}]
    - matchExpressions: [{key: rack, operator: In, values: ["2"]}, {key: kubernetes.io/hostname, operator: In, values: [a, b]}]
`, []string{"b", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stack := object(t, whole)
			got, err := WithRoutesFrom(stack, tt.hostnames)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object(t, tt.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(object(t, whole), stack); diff != "" {
				t.Errorf("the stack itself was changed:\n%s", diff)
			}
		})
	}
	for _, text := range []string{"spec: {bgpPeers: [1]}", "spec: {bgpPeers: [{nodeSelectors: [1]}]}", "spec: {bgpPeers: 1}"} {
		if _, err := WithRoutesFrom(object(t, text), []string{"a"}); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOrder(t *testing.T) {
	nodes := []Node{{"node-3", "c"}, {"node-1", "a"}, {"node-2", "b"}}
	type order struct{ OneByOne, Together, Silent []string }
	for _, tt := range []struct {
		name  string
		nodes []Node
		moved []string
		local map[string][]string
		want  order
	}{
		{"all but the last one, one after the other", nodes, nil, nil, order{OneByOne: []string{"node-1", "node-2"}, Together: []string{"node-3"}}},
		{"those that have moved come first", nodes, []string{"c"}, nil, order{OneByOne: []string{"node-3", "node-1"}, Together: []string{"node-2"}}},
		{"a node with the only endpoint stays", nodes, nil, map[string][]string{"shop/web": {"node-1"}}, order{OneByOne: []string{"node-2", "node-3"}, Together: []string{"node-1"}}},
		{"one of two with endpoints stays", nodes, nil, map[string][]string{"shop/web": {"node-1", "node-2"}}, order{OneByOne: []string{"node-3", "node-1"}, Together: []string{"node-2"}}},
		{"each has an only endpoint", nodes, nil, map[string][]string{"a": {"node-1"}, "b": {"node-2"}, "c": {"node-3"}}, order{OneByOne: []string{"node-1"}, Together: []string{"node-2", "node-3"}, Silent: []string{"a"}}},
		{"a Service without endpoints is announced by nobody", nodes, nil, map[string][]string{"a": nil}, order{OneByOne: []string{"node-1", "node-2"}, Together: []string{"node-3"}}},
		{"a node that may announce nothing goes first", nodes, nil, map[string][]string{"a": {"node-1", "node-2"}}, order{OneByOne: []string{"node-3", "node-1"}, Together: []string{"node-2"}}},
		{"a node without a speaker announces nothing", nodes, nil, map[string][]string{"a": {"node-1", "node-4"}}, order{OneByOne: []string{"node-2", "node-3"}, Together: []string{"node-1"}}},
		{"one node", nodes[:1], nil, nil, order{OneByOne: []string{"node-3"}}},
		{"none", nil, nil, nil, order{}},
		{"all have moved", nodes, []string{"a", "b", "c"}, nil, order{OneByOne: []string{"node-1", "node-2"}, Together: []string{"node-3"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := NewOrder(tt.nodes, tt.moved, tt.local)
			names := func(list []Node) (names []string) {
				for _, n := range list {
					names = append(names, n.Name)
				}
				return names
			}
			if diff := cmp.Diff(tt.want, order{names(got.OneByOne), names(got.Together), got.Silent}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestMoves: nodes that have moved are never taken back, also those that are in no order any more.
func TestMoves_TakeNoNodeBack(t *testing.T) {
	order := NewOrder([]Node{{"node-1", "a"}, {"node-2", "b"}, {"node-3", "c"}, {"node-4", "d"}}, []string{"gone", "b", "a"}, nil)
	moves := order.GroupMoves([]string{"gone", "b", "a"})
	if diff := cmp.Diff([][]Node{{{"node-1", "a"}, {"node-2", "b"}}, {{"node-3", "c"}}}, moves); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "gone"}, AddHostnames([]string{"gone", "b", "a"}, moves[0])); diff != "" {
		t.Errorf("hostnames (-want +got):\n%s", diff)
	}
	if got := NodesPhrase(moves[0]) + "; " + NodesPhrase(moves[1]); got != "nodes node-1, node-2; node node-3" {
		t.Errorf("got %q", got)
	}
	at := PodNodes([]corev1.Pod{{Spec: corev1.PodSpec{NodeName: "b"}}, {Spec: corev1.PodSpec{NodeName: "a"}}, {Spec: corev1.PodSpec{NodeName: "a"}}, {}})
	if diff := cmp.Diff([]Node{{Name: "a"}, {Name: "b"}}, at); diff != "" {
		t.Errorf("nodes of pods (-want +got):\n%s", diff)
	}
}

func TestNodes_AreSelectedByTheirHostnames(t *testing.T) {
	node := func(name, hostname string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: hostname}}}
	}
	pod := func(node string) corev1.Pod { return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}} }
	for _, tt := range []struct {
		name  string
		nodes []corev1.Node
		want  []Node
		err   string
	}{
		{"those with a speaker, or that have moved", []corev1.Node{node("n2", "b"), node("n1", "a"), node("n3", "c")}, []Node{{"n1", "a"}, {"n2", "b"}}, ""},
		{"no hostname", []corev1.Node{node("n1", "")}, nil, "node n1 has no label kubernetes.io/hostname"},
		{"two with one", []corev1.Node{node("n1", "b"), node("n2", "b")}, nil, "nodes n1 and n2 have the same label kubernetes.io/hostname=b"},
		{"two without a speaker", []corev1.Node{node("n3", "c"), node("n4", "c")}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SpeakerNodes(tt.nodes, []corev1.Pod{pod("n1")}, []string{"b"})
			if (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got the error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
