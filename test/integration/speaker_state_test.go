package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestSpeakerState_IsNotCurrentWhenItsSpeakerDied(t *testing.T) {
	b := newBed(t)
	var speakers []*speaker
	for _, node := range []string{"node1", "node2", "node3"} {
		b.machine(node, nil)
		speakers = append(speakers, b.speaker(node))
	}
	b.controller()
	for _, s := range speakers {
		s.write()
		s.current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	}
	speakers[0].misses("node3")
	speakers[1].misses("node3")
	speakers[2].current(metav1.ConditionFalse, v1beta1.ReasonSpeakerMissing)
	speakers[0].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	speakers[0].misses()
	speakers[1].misses()
	speakers[2].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	speakers[2].status.Phase = v1beta1.SpeakerStopped
	speakers[2].write()
	speakers[2].current(metav1.ConditionFalse, v1beta1.ReasonStopped)
	b.ready("node1", corev1.ConditionUnknown) // node2 would miss its speaker
	b.ready("node2", corev1.ConditionUnknown)
	speakers[0].current(metav1.ConditionFalse, v1beta1.ReasonNodeNotReady)
	speakers[1].current(metav1.ConditionFalse, v1beta1.ReasonNodeNotReady)
	b.ready("node2", corev1.ConditionTrue)
	speakers[0].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
}

func TestSpeakerState_IsPartitionedInTheSmallerGroup(t *testing.T) {
	b := newBed(t)
	var speakers []*speaker
	for _, node := range []string{"node1", "node2", "node3"} {
		b.machine(node, nil)
		speakers = append(speakers, b.speaker(node))
	}
	b.controller()
	for _, s := range speakers {
		s.write()
		s.condition(v1beta1.ConditionPartitioned, metav1.ConditionFalse, v1beta1.ReasonNotPartitioned)
	}
	for _, since := range []metav1.Time{metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))} {
		speakers[0].status.MinoritySince = &since
		speakers[0].misses("node2", "node3")
		speakers[1].misses("node1")
		speakers[2].misses("node1")
		c := speakers[0].condition(v1beta1.ConditionPartitioned, metav1.ConditionTrue, v1beta1.ReasonLargerGroup)
		if !c.LastTransitionTime.Equal(&since) {
			t.Errorf("got a condition since %s, want %s", c.LastTransitionTime, since)
		}
		speakers[0].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
		speakers[1].condition(v1beta1.ConditionPartitioned, metav1.ConditionFalse, v1beta1.ReasonNotPartitioned)
		speakers[0].status.MinoritySince = nil
		for _, s := range speakers {
			s.misses()
		}
		speakers[0].condition(v1beta1.ConditionPartitioned, metav1.ConditionFalse, v1beta1.ReasonNotPartitioned)
	}
}

func TestSpeakerState_TheOnlyNodeDies(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	node1 := b.speaker("node1")
	b.advertise("all")
	b.controller()
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.ready("node1", corev1.ConditionUnknown)
	node1.current(metav1.ConditionFalse, v1beta1.ReasonNodeNotReady)
	b.announced("web", v1beta1.ReasonNotAnnounced, "10.9.0.1 is not announced: the node node1, which owns the address, is not ready")
}

// One speaker, which may have been taken over, reports what is not so.
func TestSpeakerState_ForgedReportsDoNotCount(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	for _, node := range []string{"node1", "node2"} {
		b.machine(node, map[string]string{"edge": "yes"})
	}
	b.machine("node3", nil)
	node1, node2, node3 := b.speaker("node1"), b.speaker("node2"), b.speaker("node3")
	edge := []metav1.LabelSelector{{MatchLabels: map[string]string{"edge": "yes"}}}
	b.advertise("edge", func(s *v1beta1.L2AdvertisementSpec) { s.NodeSelectors = edge })
	b.advertiseToRouters("edge", func(s *v1beta1.BGPAdvertisementSpec) { s.NodeSelectors = edge })
	b.peer("tor")
	b.controller()
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	for _, s := range []*speaker{node1, node2, node3} {
		s.session("tor", v1beta1.BGPEstablished, "")
	}
	node1.owns(1, "10.9.0.1")
	node2.routes("10.9.0.1/32", "tor")
	const true2 = ", and by BGP from node2 to the peer tor since "
	b.announced("web", v1beta1.ReasonAnnounced, "by node1 on eth0", true2)

	node3.misses("node1", "node2")
	node3.routes("10.9.0.1/32", "tor")
	node3.owns(1000, "10.9.0.1")
	node3.setConflicts(false, "10.9.0.1")
	eventually.Stays(t, 3*time.Second, "the Service has the same message", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != metav1.ConditionTrue || !containsAll(c.Message, []string{"by node1 on eth0", true2}) {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
	node1.current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	node2.current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	b.announced("web", v1beta1.ReasonAnnounced, "by node1 on eth0", true2)
}

// The speaker on a healthy node was killed, or ends at each start, and no other speaker is
// left that could miss it: the kubelet reports that.
func TestSpeakerState_TheOnlySpeakerEnds(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	node1 := b.speaker("node1")
	b.advertise("all")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "lbstack-speaker-1", Labels: map[string]string{v1beta1.LabelComponent: "speaker"}},
		Spec:       corev1.PodSpec{NodeName: "node1", Containers: []corev1.Container{{Name: "speaker", Image: "lbstack"}}},
	}
	create(t, b.Client, pod)
	setContainerState := func(state corev1.ContainerState, last corev1.ContainerState) {
		t.Helper()
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "speaker", State: state, LastTerminationState: last}}
		if err := b.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	const words = "port 7575 (udp) is in use by another program"
	killed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: words + "\n"}}
	setContainerState(running, corev1.ContainerState{})
	b.controller()
	b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")

	setContainerState(killed, corev1.ContainerState{})
	node1.current(metav1.ConditionFalse, v1beta1.ReasonSpeakerEnded)
	b.announced("web", v1beta1.ReasonNotAnnounced, "10.9.0.1 is not announced: the node node1, which owns the address, is not ready")
	setContainerState(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, killed)
	if c := node1.condition(v1beta1.ConditionCurrent, metav1.ConditionFalse, v1beta1.ReasonSpeakerEnded); !strings.Contains(c.Message, words) {
		t.Errorf("got the message %q, want one with %q", c.Message, words)
	}
	setContainerState(running, killed)
	node1.current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
}

// kubelet has a node's kubelet listen on loopback; one that hangs answers nothing, as that of a
// node without power.
func (b *bed) kubelet(node string, hangs bool) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if hangs {
		b.Cleanup(func() { _ = listener.Close() })
	} else {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		_ = server.Listener.Close()
		server.Listener = listener
		server.StartTLS()
		b.Cleanup(server.Close)
	}
	object := &corev1.Node{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: node}, object); err != nil {
		b.Fatal(err)
	}
	at := netip.MustParseAddrPort(listener.Addr().String())
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: at.Addr().String()}}
	object.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(at.Port())
	if err := b.Status().Update(context.Background(), object); err != nil {
		b.Fatalf("writing the address of the node %s: %v", node, err)
	}
}

// Two of three nodes lose power at once: the report of the third one is confirmed by their
// kubelets, which do not answer, long before the nodes are NotReady.
func TestSpeakerState_TwoOfThreeNodesDieAtOnce(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	var speakers []*speaker
	for _, node := range []string{"node1", "node2", "node3"} {
		b.machine(node, nil)
		b.kubelet(node, node != "node3")
		speakers = append(speakers, b.speaker(node))
	}
	b.advertise("all")
	b.advertiseToRouters("all")
	b.peer("tor")
	b.controller()
	b.service("web")
	b.endpoints("web", "node1", "node2", "node3")
	b.has("web", "10.9.0.1")
	for _, s := range speakers {
		s.session("tor", v1beta1.BGPEstablished, "")
	}
	speakers[0].owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.sessions("tor", 3, 3)

	speakers[2].status.Phase = v1beta1.SpeakerIsolated // it cannot know whether they have taken over
	speakers[2].misses("node1", "node2")
	reported := time.Now()
	speakers[0].current(metav1.ConditionFalse, v1beta1.ReasonSpeakerMissing)
	speakers[1].current(metav1.ConditionFalse, v1beta1.ReasonSpeakerMissing)
	speakers[2].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	b.announced("web", v1beta1.ReasonNotAnnounced, "10.9.0.1 is not announced: the node node1, which owns the address, is not ready", "node3 (its speaker is isolated from other speakers and announces nothing)")
	b.sessions("tor", 1, 3)
	if took := time.Since(reported); took > 5*time.Second {
		t.Errorf("it took %s to show that two nodes died, want 5s at most", took)
	}

	speakers[2].status.Phase = v1beta1.SpeakerActive
	speakers[2].misses() // they are back
	speakers[0].current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
}

// One speaker alone misses another one, whose kubelet answers: the other one may well run.
func TestSpeakerState_KubeletOfTheMissingSpeakerAnswers(t *testing.T) {
	b := newBed(t)
	var speakers []*speaker
	for _, node := range []string{"node1", "node2", "node3"} {
		b.machine(node, nil)
		b.kubelet(node, false)
		speakers = append(speakers, b.speaker(node))
	}
	b.controller()
	for _, s := range speakers {
		s.write()
		s.current(metav1.ConditionTrue, v1beta1.ReasonReporting)
	}
	speakers[2].status.Phase = v1beta1.SpeakerStopped // it restarts
	speakers[2].write()
	speakers[2].current(metav1.ConditionFalse, v1beta1.ReasonStopped)
	speakers[1].misses("node1")
	eventually.Stays(t, 3*time.Second, "the state of node1 is current", func(ctx context.Context) error {
		state := &v1beta1.SpeakerState{}
		if err := b.Get(ctx, client.ObjectKey{Name: "node1"}, state); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}
