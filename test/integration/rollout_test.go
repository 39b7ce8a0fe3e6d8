package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// rolls is how long a rollout may take: a speaker must be ready for 10 s before the next follows.
const rolls = 3 * time.Minute

// newRollingBed has a stack that is Ready on three nodes.
func newRollingBed(t *testing.T, env ...string) (*fleet, *process) {
	t.Helper()
	b := newOperatorBed(t)
	operator := b.operator(env...)
	spec := aSpec()
	spec.Speaker.Rollout.StepTimeoutSeconds = 60
	b.stack(spec)
	f := newFleet(b, "roll-a", "roll-b", "roll-c")
	f.rolled(v1beta1.RolloutComplete)
	return f, operator
}

// rolled waits until a rollout of the spec as it is now is in a phase.
func (f *fleet) rolled(phase v1beta1.RolloutPhase) *v1beta1.LoadBalancerStack {
	f.Helper()
	return f.rolledUntil(string(phase), func(s *v1beta1.RolloutStatus) bool { return s.Phase == phase })
}

func (f *fleet) rolledUntil(what string, is func(*v1beta1.RolloutStatus) bool) *v1beta1.LoadBalancerStack {
	f.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	eventually.Succeed(f.T, rolls, "the rollout is "+what, func(ctx context.Context) error {
		if err := f.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		if stack.Status.Rollout == nil || stack.Status.ObservedGeneration != stack.Generation || !is(stack.Status.Rollout) {
			return fmt.Errorf("%+v; %s", stack.Status.Rollout, conditions(stack))
		}
		return nil
	})
	return stack
}

func debug(s *v1beta1.LoadBalancerStackSpec) { s.Speaker.LogLevel = v1beta1.LogLevelDebug }

// levels returns the log level of the speaker of each node.
func (f *fleet) levels() (list []string) {
	f.Helper()
	var pods corev1.PodList
	if err := f.List(context.Background(), &pods, client.InNamespace(systemNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
		f.Fatal(err)
	}
	for i := range pods.Items {
		list = append(list, pods.Items[i].Spec.NodeName+" "+pods.Items[i].Spec.Containers[0].Args[0])
	}
	slices.Sort(list)
	return list
}

func (f *fleet) haveLevel(t *testing.T, level string) {
	t.Helper()
	var want []string
	for _, node := range f.nodes {
		want = append(want, node.Name+" --log-level="+level)
	}
	if got := f.levels(); !slices.Equal(got, want) {
		t.Errorf("speakers: got %v, want %v", got, want)
	}
}

func failsWithDebug(pod *corev1.Pod) string {
	if slices.Contains(pod.Spec.Containers[0].Args, "--log-level=debug") {
		return "manifest unknown"
	}
	return ""
}

func TestRollout_ChangeReachesOneNodeAfterTheOther(t *testing.T) {
	f, _ := newRollingBed(t)
	f.editStack(debug)
	stack := f.rolledUntil("under way", func(s *v1beta1.RolloutStatus) bool { return len(s.CurrentNodes) > 0 })
	if stack.Status.TargetVersion == "" || len(stack.Status.Rollout.CurrentNodes) != 1 || stack.Status.Rollout.GoodRevision == stack.Status.Rollout.Revision {
		t.Errorf("got target %q, %+v, want a target, one node and another revision than the good one", stack.Status.TargetVersion, stack.Status.Rollout)
	}
	f.hasCondition(v1beta1.ConditionProgressing, metav1.ConditionTrue, v1beta1.ReasonRollingOut)
	stack = f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	if made, most := f.counted(); made != 6 || most != 1 {
		t.Errorf("got %d pods made and %d nodes without a speaker at a time, want 6 and 1", made, most)
	}
	if s := stack.Status.Rollout; s.GoodRevision != s.Revision || s.Updated != 3 || s.Total != 3 {
		t.Errorf("got %+v, want the revision good, on 3 of 3", s)
	}
	eventually.Succeed(t, within, "at most three revisions are stored", func(ctx context.Context) error {
		var list appsv1.ControllerRevisionList
		if err := f.List(ctx, &list, client.InNamespace(systemNamespace), client.MatchingLabels{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator}); err != nil {
			return err
		}
		if len(list.Items) == 0 || len(list.Items) > 3 {
			return fmt.Errorf("got %d", len(list.Items))
		}
		return nil
	})
}

// What the nodes announce is known only once all objects of the spec are applied.
func TestRollout_EditThatTheAPIServerRefusesCountsFromNow(t *testing.T) {
	f, _ := newRollingBed(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "lbstack-operator"}}
	if err := f.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		t.Fatal(err)
	}
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, "ipaddresspools") {
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(verb string) bool { return verb == "patch" })
		}
	}
	t.Cleanup(func() { f.install("operator") })
	if err := f.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	edited := time.Now()
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		debug(s)
		s.IPAddressPools = append(s.IPAddressPools, v1beta1.StackIPAddressPool{Name: "refused", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.9.8.0/28"}}})
	})
	f.rolledUntil("one whose edit is of later", func(s *v1beta1.RolloutStatus) bool {
		return s.Edits != nil && s.Edits.Last.After(edited.Add(5*time.Second))
	})
}

func TestRollout_ChangeThatFailsIsTakenBack(t *testing.T) {
	f, _ := newRollingBed(t)
	f.failing(failsWithDebug)
	f.editStack(debug)
	stack := f.rolled(v1beta1.RolloutRolledBack)
	f.haveLevel(t, "info")
	f.shows(v1beta1.ConditionReady, "manifest unknown", "lbstack-speaker-roll-", "failed on roll-", v1beta1.AnnotationRetry)
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonRolledBack)
	f.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonRolledBack)
	f.hasCondition(v1beta1.ConditionProgressing, metav1.ConditionFalse, v1beta1.ReasonAsExpected)
	if s := stack.Status.Rollout; s.FailedRevision != s.Revision || s.FailedNode == "" || stack.Status.Version == "" {
		t.Errorf("got %+v and version %q, want the revision failed on a node, and a version", s, stack.Status.Version)
	}
	made, most := f.counted()
	if made != 5 || most != 1 {
		t.Errorf("got %d pods made and %d nodes without a speaker at a time, want 5 and 1", made, most)
	}
	eventually.Stays(t, 5*time.Second, "it is not tried again", func(context.Context) error {
		if now, _ := f.counted(); now != made {
			return fmt.Errorf("%d pods were made", now-made)
		}
		return nil
	})
	f.failing(func(*corev1.Pod) string { return "" })
	stack.Annotations = map[string]string{v1beta1.AnnotationRetry: "1"}
	eventually.Succeed(t, within, "another try is asked for", func(ctx context.Context) error {
		if err := f.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		metav1.SetMetaDataAnnotation(&stack.ObjectMeta, v1beta1.AnnotationRetry, "1")
		return f.Update(ctx, stack)
	})
	f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
}

// With Halt the nodes stay as they are when a change fails, until another one or another try is asked for.
func TestRollout_ChangeThatFailsHalts(t *testing.T) {
	f, _ := newRollingBed(t)
	f.failing(failsWithDebug)
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		debug(s)
		s.Speaker.Rollout.OnFailure = v1beta1.RolloutHalt
	})
	f.rolled(v1beta1.RolloutHalted)
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonHalted)
	stack := f.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonHalted)
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	for _, words := range []string{"manifest unknown", "lbstack-speaker-roll-", "failed on roll-"} {
		if n := strings.Count(ready.Message, words); n != 1 {
			t.Errorf("Ready: got %q %d times, want once: %s", words, n, ready.Message)
		}
	}
	made, _ := f.counted()
	changed := func() (n int) {
		for _, level := range f.levels() {
			n += strings.Count(level, "--log-level=debug")
		}
		return n
	}
	eventually.Stays(t, 5*time.Second, "no more speaker is replaced, and none goes back", func(context.Context) error {
		if now, _ := f.counted(); now != made || changed() != 1 {
			return fmt.Errorf("%d pods were made; speakers: %v", now-made, f.levels())
		}
		return nil
	})
	f.failing(func(*corev1.Pod) string { return "" })
	f.annotate(v1beta1.AnnotationRetry, new("1"))
	f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
}

// The operator may not delete pods for a while, so that it is killed between the write of a step and
// the deletion.
func TestRollout_GoesOnAfterADeletionWasRefused(t *testing.T) {
	f, _ := newRollingBed(t)
	f.refuseDeletions()
	f.editStack(debug)
	f.inStep()
	f.shows(v1beta1.ConditionReady, "deleting the pod")
	f.install("operator")
	f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
	if made, most := f.counted(); made != 6 || most != 1 {
		t.Errorf("got %d pods made and %d nodes without a speaker at a time, want 6 and 1", made, most)
	}
}

func TestRollout_GoesOnAfterTheOperatorWasKilled(t *testing.T) {
	f, operator := newRollingBed(t)
	f.refuseDeletions()
	f.editStack(debug)
	stack := f.inStep()
	f.shows(v1beta1.ConditionReady, "deleting the pod")
	crash(operator)
	step := stack.Status.Rollout.CurrentNodes[0]
	if made, _ := f.counted(); made != 3 {
		t.Fatalf("%d pods were made, want the 3 of the installation", made)
	}
	f.install("operator")
	f.operator()
	f.rolledUntil("past that step", func(s *v1beta1.RolloutStatus) bool {
		return s.Phase == v1beta1.RolloutSpeakers || s.Phase == v1beta1.RolloutComplete
	})
	for _, level := range f.levels() {
		if strings.HasPrefix(level, string(step.Name)) && !strings.HasSuffix(level, "debug") {
			t.Errorf("got %s, want the stored step done first", level)
		}
	}
	f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
	if made, most := f.counted(); made != 6 || most != 1 {
		t.Errorf("got %d pods made and %d nodes without a speaker at a time, want 6 and 1", made, most)
	}
}

// refuseDeletions takes the right to delete pods from the operator; install gives it back.
func (f *fleet) refuseDeletions() {
	f.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-operator"}}
	if err := f.Get(f.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		f.Fatal(err)
	}
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, "pods") {
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(verb string) bool { return verb == "delete" })
		}
	}
	f.Cleanup(func() { f.install("operator") })
	if err := f.Update(f.Context(), role); err != nil {
		f.Fatal(err)
	}
}

// inStep waits until the speaker of one node is being replaced.
func (f *fleet) inStep() *v1beta1.LoadBalancerStack {
	f.Helper()
	return f.rolledUntil("in a step", func(s *v1beta1.RolloutStatus) bool { return len(s.CurrentNodes) == 1 })
}

// A patch of the pod template is a change as any other.
func TestRollout_PauseStopsItAndThePatchGoesOnAfterwards(t *testing.T) {
	f, operator := newRollingBed(t)
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.Patches = []v1beta1.Patch{{Target: v1beta1.PatchTarget{Kind: "DaemonSet"}, Patch: "spec: {template: {spec: {containers: [{name: speaker, args: [--log-level=debug]}]}}}"}}
	})
	f.inStep()
	f.annotate(v1beta1.AnnotationPause, new("repair"))
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, v1beta1.ReasonPaused)
	f.hasCondition(v1beta1.ConditionProgressing, metav1.ConditionFalse, v1beta1.ReasonAsExpected)
	made, _ := f.counted()
	eventually.Stays(t, 15*time.Second, "no other speaker is replaced", func(context.Context) error {
		if now, _ := f.counted(); now > made+1 { // the pod of the step may have been deleted already
			return fmt.Errorf("%d pods were made", now-made)
		}
		return nil
	})
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.L2Advertisements = nil })
	observed := f.hasCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, v1beta1.ReasonPaused)
	crash(operator)
	f.operator()
	if got := observed.Status.Rollout.Edits; got == nil || got.Generation >= observed.Generation {
		t.Fatalf("edits: got %+v while the stack is paused, want that of generation %d not followed", got, observed.Generation)
	}
	f.annotate(v1beta1.AnnotationPause, nil)
	stack := f.rolled(v1beta1.RolloutComplete)
	if got := stack.Status.Rollout.Edits; got == nil || got.Generation != stack.Generation || !got.Last.After(observed.Status.Rollout.Edits.Last.Time) {
		t.Errorf("edits: got %+v, want that of generation %d followed after the pause, by an operator that has not seen it come", got, stack.Generation)
	}
	f.haveLevel(t, "debug")
	if made, most := f.counted(); made != 6 || most != 1 {
		t.Errorf("got %d pods made and %d nodes without a speaker at a time, want 6 and 1", made, most)
	}
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

func TestRollout_RemovalEndsItAndTheNextInstallationBeginsAnew(t *testing.T) {
	f, _ := newRollingBed(t)
	f.editStack(debug)
	f.inStep()
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackRemoved })
	stack := f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonRemoved)
	if s := stack.Status; s.Rollout != nil || s.TargetVersion != "" {
		t.Errorf("got %+v and the target %q, want neither", s.Rollout, s.TargetVersion)
	}
	var revisions appsv1.ControllerRevisionList
	if err := f.List(t.Context(), &revisions, client.InNamespace(systemNamespace)); err != nil || len(revisions.Items) > 0 {
		t.Errorf("got %d ControllerRevisions, %v, want none", len(revisions.Items), err)
	}
	f.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.ManagementState = v1beta1.StackManaged })
	f.rolled(v1beta1.RolloutComplete)
	f.haveLevel(t, "debug")
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

func TestRollout_NodeThatIsDownIsSkippedUntilItIsBack(t *testing.T) {
	f, _ := newRollingBed(t)
	f.editStack(debug)
	stack := f.inStep()
	lost := slices.IndexFunc(f.nodes, func(n *corev1.Node) bool { return n.Name != string(stack.Status.Rollout.CurrentNodes[0].Name) })
	f.isDown(t, lost, true)
	stack = f.rolled(v1beta1.RolloutComplete)
	if s := stack.Status.Rollout.Skipped; len(s) != 1 || string(s[0].Name) != f.nodes[lost].Name {
		t.Errorf("skipped: got %+v, want %s", s, f.nodes[lost].Name)
	}
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonNodesUnavailable)
	f.isDown(t, lost, false)
	eventually.Succeed(t, rolls, "the node that is back is updated", func(context.Context) error {
		if got := f.levels(); slices.ContainsFunc(got, func(level string) bool { return strings.HasSuffix(level, "info") }) {
			return errors.New(strings.Join(got, ", "))
		}
		return nil
	})
	f.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}
