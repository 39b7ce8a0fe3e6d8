package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// shows waits until the message of a condition of the stack has all words.
func (b *operatorBed) shows(kind string, words ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%s has %q", kind, words), func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		c := meta.FindStatusCondition(stack.Status.Conditions, kind)
		for _, word := range words {
			if c == nil || !strings.Contains(c.Message, word) {
				return errors.New(conditions(stack))
			}
		}
		return nil
	})
}

func (b *operatorBed) node(name string) *corev1.Node {
	b.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	create(b.T, b.Client, n)
	b.nodeIs(n, corev1.ConditionTrue)
	return n
}

func (b *operatorBed) nodeIs(n *corev1.Node, ready corev1.ConditionStatus) {
	b.Helper()
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "Test", Message: "the test says so"}}
	if err := b.Status().Update(context.Background(), n); err != nil {
		b.Fatal(err)
	}
}

// speakerOn creates a pod as the DaemonSet would, which is not ready.
func (b *operatorBed) speakerOn(node string) *corev1.Pod {
	b.Helper()
	d := speakerDaemonSet()
	b.exists(d)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-speaker-" + node, Labels: d.Spec.Template.Labels},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "speaker", Image: operatorImage}}},
	}
	if err := b.Create(context.Background(), p); err != nil {
		b.Fatal(err)
	}
	// No kubelet ends it.
	b.Cleanup(func() {
		if err := b.Delete(context.Background(), p, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			b.Fatal(err)
		}
	})
	return p
}

func TestStack_DeadNodeIsNamed(t *testing.T) {
	b := newReadyBed(t)
	n := b.node("dead")
	b.speakerOn("dead")
	b.nodeIs(n, corev1.ConditionUnknown)
	stack := b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonNodesUnavailable)
	if stack.Status.Version == "" || stack.Status.Summary != v1beta1.ReasonNodesUnavailable {
		t.Errorf("got the version %q and the summary %q, want a version and %s", stack.Status.Version, stack.Status.Summary, v1beta1.ReasonNodesUnavailable)
	}
	if list := stack.Status.UnavailableNodes; len(list) != 1 || list[0].Name != "dead" || list[0].Reason != v1beta1.ReasonNodeNotReady || !strings.Contains(list[0].Message, "the test says so") {
		t.Errorf("got %+v, want the node with its own words", list)
	}
	b.shows(v1beta1.ConditionReady, "dead (NodeNotReady)")
	b.nodeIs(n, corev1.ConditionTrue)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

func TestStack_FailingPodsAreExplainedOnce(t *testing.T) {
	b := newReadyBed(t)
	b.node("taken")
	p := b.speakerOn("taken")
	const words = "port 7575 (udp) is in use by another program"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "speaker", Image: operatorImage, ImageID: "x", RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: words + "\n"}},
	}}
	if err := b.Status().Update(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	b.shows(v1beta1.ConditionReady, "the speaker fails on taken: the container keeps ending: "+words)
	stack := b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionTrue, v1beta1.ReasonComponentFailing)
	if n := strings.Count(fmt.Sprintf("%+v", stack.Status), words); n != 1 {
		t.Errorf("the status has the reason %d times, want once: %s", n, conditions(stack))
	}
	if err := b.Delete(context.Background(), p, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

// The speaker works, and a file system of its node does not.
func TestStack_CheckpointThatCannotBeWrittenIsExplained(t *testing.T) {
	b := newReadyBed(t)
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "full"}}
	create(t, b.Client, state)
	report := func(status metav1.ConditionStatus, reason, message string) {
		t.Helper()
		state.Status = v1beta1.SpeakerStateStatus{Phase: v1beta1.SpeakerActive, LiveSpeakers: 1}
		meta.SetStatusCondition(&state.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: message})
		if err := b.Status().Update(context.Background(), state); err != nil {
			t.Fatal(err)
		}
	}
	const words = "cannot write its checkpoint: /var/lib/lbstack/speaker.json.new is on a full file system"
	report(metav1.ConditionFalse, v1beta1.ReasonCheckpointFailed, words)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonSpeakersNotReady)
	b.shows(v1beta1.ConditionReady, "the speaker on full: "+words)
	report(metav1.ConditionTrue, v1beta1.ReasonAnnouncing, "it announces")
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

// The folder of the checkpoint cannot be mounted: only an event of the kubelet has the reason why the
// container is not created.
func TestStack_VolumeThatCannotBeMountedIsExplained(t *testing.T) {
	b := newReadyBed(t)
	b.node("broken")
	p := b.speakerOn("broken")
	const words = `MountVolume.SetUp failed for volume "state" : mkdir /var/lib/lbstack/speaker: read-only file system`
	create(t, b.Client, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "mount"}, Type: corev1.EventTypeWarning, Reason: "FailedMount", Message: words,
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: systemNamespace, Name: p.Name, UID: p.UID}, LastTimestamp: metav1.Now(),
	})
	d := speakerDaemonSet()
	b.exists(d)
	d.Status.NumberReady, d.Status.NumberAvailable = d.Status.NumberReady-1, d.Status.NumberAvailable-1
	if err := b.Status().Update(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	eventually.Succeed(t, within, "the stack has the words of the event", func(ctx context.Context) error { // 20 s after the pod was created
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		c := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
		if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "the speaker fails on broken: the container is not created: "+words) {
			return errors.New(conditions(stack))
		}
		return nil
	})
	b.hasCondition(v1beta1.ConditionDegraded, metav1.ConditionTrue, v1beta1.ReasonComponentFailing)
	if err := b.Delete(context.Background(), p, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

func TestStack_PodsThatAreNotMadeAreExplained(t *testing.T) {
	b := newReadyBed(t)
	d := speakerDaemonSet()
	b.exists(d)
	const refusal = `Error creating: pods "lbstack-speaker-" is forbidden: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)`
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "refused"}, Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: refusal,
		InvolvedObject: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: systemNamespace, Name: d.Name, UID: d.UID}, LastTimestamp: metav1.Now(),
	}
	create(t, b.Client, event)
	d.Status.CurrentNumberScheduled, d.Status.UpdatedNumberScheduled, d.Status.NumberReady, d.Status.NumberAvailable = 0, 0, 0, 0
	if err := b.Status().Update(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	b.shows(v1beta1.ConditionReady, "3 pods are not created: "+refusal, "label the namespace "+systemNamespace+" with pod-security.kubernetes.io/enforce=privileged")
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionFalse, v1beta1.ReasonComponentsNotReady)
}

func TestStack_ObjectThatTheAPIServerRefusesStalls(t *testing.T) {
	b := newReadyBed(t)
	limits := &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}, Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
	}
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Speaker.Resources = limits })
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonApplyFailed)
	b.shows(v1beta1.ConditionReady, "applying the DaemonSet", "must be less than or equal to cpu limit", "the object stays as it is: correct spec.speaker.resources")
	b.hasCondition(v1beta1.ConditionConfigurationValid, metav1.ConditionFalse, v1beta1.ReasonSpecInvalid)
	b.shows(v1beta1.ConditionConfigurationValid, "spec.speaker.resources")
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Speaker.Resources = nil })
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	b.hasCondition(v1beta1.ConditionConfigurationValid, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
}

func TestStack_StateOfANodeThatIsToHaveNoSpeakerGoes(t *testing.T) {
	b := newReadyBed(t)
	b.node("vacated")
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "vacated"}}
	routes := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "vacated-0"}, Node: "vacated"}
	others := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "other-0"}, Node: "other"}
	for _, object := range []client.Object{state, routes, others} {
		create(t, b.Client, object)
	}
	ended := metav1.NewTime(time.Now().Add(-time.Hour))
	state.Status = v1beta1.SpeakerStateStatus{Phase: v1beta1.SpeakerStopped, Conditions: []metav1.Condition{
		{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonStopped, LastTransitionTime: ended},
		{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonStopped, LastTransitionTime: ended},
	}}
	if err := b.Status().Update(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	eventually.Stays(t, 3*time.Second, "while the node is to have a speaker the state stays", func(ctx context.Context) error {
		return b.Get(ctx, client.ObjectKeyFromObject(state), state)
	})
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.Speaker.NodeSelector = map[string]string{"no-such": "node"}
	})
	for _, object := range []client.Object{routes, state} {
		eventually.Succeed(t, within, name(object)+" is gone", func(ctx context.Context) error {
			if err := b.Get(ctx, client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
	}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(others), others); err != nil {
		t.Errorf("the slice of another node: %v", err)
	}
}

func TestStack_SelectorWithoutNodesAndPeerWithoutSessions(t *testing.T) {
	b := newReadyBed(t)
	b.node("alone")
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) {
		s.Speaker.NodeSelector = map[string]string{"no-such": "node"}
		s.BGPPeers = []v1beta1.StackBGPPeer{{Name: "tor", BGPPeerSpec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.1"}}}
	})
	d := speakerDaemonSet()
	b.becomes(d, func(client.Object) bool { return d.Spec.Template.Spec.NodeSelector["no-such"] == "node" })
	if d.Spec.Template.Spec.NodeSelector[corev1.LabelOSStable] != "linux" {
		t.Errorf("got the selector %v, want that of the operating system to stay", d.Spec.Template.Spec.NodeSelector)
	}
	d.Status.ObservedGeneration, d.Status.DesiredNumberScheduled, d.Status.NumberAvailable, d.Status.NumberReady = d.Generation, 0, 0, 0
	if err := b.Status().Update(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	b.hasCondition(v1beta1.ConditionStalled, metav1.ConditionTrue, v1beta1.ReasonNoSpeakerNodes)
	b.shows(v1beta1.ConditionReady, "spec.speaker.nodeSelector (no-such=node) selects no Linux node")

	peer := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}}
	b.exists(peer)
	peer.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNoSession,
		Message: "no node has a session", ObservedGeneration: peer.Generation, LastTransitionTime: metav1.Now()}}
	if err := b.Status().Update(context.Background(), peer); err != nil {
		t.Fatal(err)
	}
	b.shows(v1beta1.ConditionReady, "the BGPPeer tor: no node has a session")
	b.shows(v1beta1.ConditionDegraded, v1beta1.ReasonPeersDown)
}

// An edit and a deletion are put back, which events and a metric show, the edit with the field manager.
func TestStack_EditOfAGeneratedObjectIsReverted(t *testing.T) {
	b := newOperatorBed(t)
	metrics := loopback(t, metricsPort)
	b.operatorServing(metrics)
	b.stack(aSpec())
	b.installed()
	scraper := metricsReader(newBed(t), "drift")
	p, ad := pool("first-pool"), advertisement("example")
	b.exists(p)
	if err := b.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"addresses":["172.16.0.1"]}}`)), client.FieldOwner("vendor-tool")); err != nil {
		t.Fatal(err)
	}
	b.becomes(p, func(client.Object) bool { return p.Spec.Addresses[0] == "192.168.1.240-192.168.1.250" })
	b.hasEvent(p, v1beta1.ReasonEditReverted, "the field manager vendor-tool edited the object, and the operator restored what the LoadBalancerStack default requests: edit the LoadBalancerStack instead")
	remove(t, b.Client, ad)
	b.exists(ad)
	b.hasEvent(ad, v1beta1.ReasonDeletionReverted, "the object was deleted, and the operator made it again, since the LoadBalancerStack default requests it")
	b.restoredCounts(metrics, scraper, `{kind="IPAddressPool",manager="vendor-tool"} 1`, `{kind="L2Advertisement",manager=""} 1`)
}

// What happened while no operator ran is reported as well, as far as the cluster shows it.
func TestStack_EditWithoutAnOperatorIsReverted(t *testing.T) {
	b := newOperatorBed(t)
	metrics := loopback(t, metricsPort)
	operator := b.operatorServing(metrics)
	b.stack(aSpec())
	b.installed()
	p, ad, d := pool("first-pool"), advertisement("example"), controllerDeployment()
	b.exists(p)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonComponentsNotReady)
	operator.stop(syscall.SIGTERM)
	if err := b.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"addresses":["172.16.0.1"]}}`)), client.FieldOwner("vendor-tool")); err != nil {
		t.Fatal(err)
	}
	if err := b.Patch(t.Context(), d, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":0}}`)), client.FieldOwner("scaler")); err != nil {
		t.Fatal(err)
	}
	remove(t, b.Client, ad)
	scraper := metricsReader(newBed(t), "drift")
	b.operatorServing(metrics)
	b.exists(ad)
	b.becomes(p, func(client.Object) bool { return p.Spec.Addresses[0] == "192.168.1.240-192.168.1.250" })
	b.hasEvent(p, v1beta1.ReasonEditReverted, "the field manager vendor-tool edited the object")
	b.hasEvent(d, v1beta1.ReasonEditReverted, "the field manager scaler edited the object")
	b.hasEvent(ad, v1beta1.ReasonDeletionReverted, "the object was deleted, and the operator made it again")
	page := b.restoredCounts(metrics, scraper, `{kind="IPAddressPool",manager="vendor-tool"} 1`, `{kind="Deployment",manager="scaler"} 1`, `{kind="L2Advertisement",manager=""} 1`)
	if n := strings.Count(page, "\nlbstack_operator_restored_objects_total{"); n != 3 {
		t.Errorf("counts of restored objects: got %d, want 3", n)
	}
}

// restoredCounts waits until the metrics have counts of restored objects, and returns the metrics.
func (b *operatorBed) restoredCounts(metrics, scraper string, wants ...string) (page string) {
	b.Helper()
	eventually.Succeed(b.T, within, "all are counted", func(ctx context.Context) error {
		var err error
		if page, err = fetch(ctx, "https://"+metrics+"/metrics", scraper); err != nil {
			return err
		}
		for _, want := range wants {
			if !strings.Contains(page, "\nlbstack_operator_restored_objects_total"+want+"\n") {
				return fmt.Errorf("the metrics have no %s", want)
			}
		}
		return nil
	})
	return page
}

func TestStack_ChangedTemplateIsNamedInAnEvent(t *testing.T) {
	b := newReadyBed(t)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Controller.LogLevel = v1beta1.LogLevelDebug })
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	b.refresh(stack)
	b.hasEvent(stack, v1beta1.ReasonTemplateChanged,
		"the pods of the Deployment "+systemNamespace+"/lbstack-controller are replaced, since these fields of the pod template change: spec.containers[controller].args")
}

// hasEvent waits for an event about an object whose note has some words.
func (b *operatorBed) hasEvent(object client.Object, reason, words string) {
	b.Helper()
	eventually.Succeed(b.T, within, "an event "+reason+" on "+name(object), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := b.List(ctx, &list, client.InNamespace(cmp.Or(object.GetNamespace(), "default"))); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.UID == object.GetUID() && e.Reason == reason && strings.Contains(e.Note, words) {
				return nil
			}
		}
		return fmt.Errorf("none of %d events", len(list.Items))
	})
}

func TestStack_ServicesThatNothingAnnouncesAreCounted(t *testing.T) {
	b := newReadyBed(t)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "unannounced"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: new("example.com/nobody"), Ports: []corev1.ServicePort{{Port: 80}}}}
	create(t, b.Client, svc)
	is := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		svc.Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceAnnounced, Status: status, Reason: reason, Message: "the test says so", LastTransitionTime: metav1.Now()}}
		if err := b.Status().Update(context.Background(), svc); err != nil {
			t.Fatal(err)
		}
	}
	is(metav1.ConditionFalse, v1beta1.ReasonNoAdvertisement)
	b.hasCondition(v1beta1.ConditionAvailable, metav1.ConditionFalse, v1beta1.ReasonServicesNotAnnounced)
	b.shows(v1beta1.ConditionAvailable, "0 of 1 Services with an address are announced; not announced: default/unannounced (NoAdvertisement)")
	is(metav1.ConditionTrue, v1beta1.ReasonAnnounced)
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonServicesOfOtherClass)
	b.shows(v1beta1.ConditionReady, "1 Services of another class keep their addresses: default/unannounced: create these Services again")
	b.shows(v1beta1.ConditionAvailable, "all 1 Services with an address are announced")
	b.editStack(func(spec *v1beta1.LoadBalancerStackSpec) { spec.LoadBalancerClass = "example.com/nobody" })
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonRollingOut) // the controller starts anew
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
}

// An object that somebody writes all the time cannot be applied; what else there is to report
// is reported.
func TestStackReports_WhileAnObjectConflicts(t *testing.T) {
	b := newReadyBed(t)
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	for writer := range 4 {
		writing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = b.Patch(ctx, meshKeySecret(), client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/writer":"%d-%d"}}}`, writer, i)))
			}
		})
	}
	for range 3 {
		b.editStack(func(spec *v1beta1.LoadBalancerStackSpec) {
			if len(spec.L2Advertisements) == 1 {
				spec.L2Advertisements = append(spec.L2Advertisements, v1beta1.StackL2Advertisement{Name: "second"})
			} else {
				spec.L2Advertisements = spec.L2Advertisements[:1]
			}
		})
		eventually.Succeed(t, within, "the stack reports for its new spec", func(ctx context.Context) error {
			stack := &v1beta1.LoadBalancerStack{}
			if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
				return err
			}
			if stack.Status.ObservedGeneration != stack.Generation {
				return fmt.Errorf("generation %d, it reports for %d: %s", stack.Generation, stack.Status.ObservedGeneration, conditions(stack))
			}
			return nil
		})
	}
}
