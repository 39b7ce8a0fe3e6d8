package stack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func announcedService(name string, status metav1.ConditionStatus, reason string, since time.Duration) corev1.Service {
	return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}, Status: corev1.ServiceStatus{Conditions: []metav1.Condition{
		{Type: v1beta1.ServiceAnnounced, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(noon.Add(-since))}}}}
}

func TestCountServices(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	deleted := announcedService("deleted", no, v1beta1.ReasonNoNode, time.Hour)
	deleted.DeletionTimestamp = &metav1.Time{}
	got := countServices([]corev1.Service{
		{}, deleted,
		announcedService("web", yes, v1beta1.ReasonAnnounced, time.Hour),
		announcedService("idle", no, v1beta1.ReasonNoEndpoints, time.Hour),
		announcedService("b", no, v1beta1.ReasonNoNode, time.Hour),
		announcedService("a", no, v1beta1.ReasonNoAdvertisement, announceDelay),
		announcedService("new", no, v1beta1.ReasonNotAnnounced, time.Second),
	}, "", noon)
	want := serviceCounts{addressed: 4, announced: 1, idle: 1, why: []string{"shop/a (NoAdvertisement)", "shop/b (NoNode)"}, again: announceDelay - time.Second}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(serviceCounts{})); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	const sentence = "1 of 4 Services with an address are announced; 1 have no endpoint; not announced: shop/a (NoAdvertisement) and shop/b (NoNode)"
	if got.summary() != sentence || got.noneAnnouncedSentence() != "" {
		t.Errorf("got  %q, %q\nwant %q and no fault", got.summary(), got.noneAnnouncedSentence(), sentence)
	}
	got.announced = 0
	if got.noneAnnouncedSentence() == "" {
		t.Error("no Service is announced, and that is no fault")
	}
}

func TestCountServices_OfAnotherClass(t *testing.T) {
	plain, classed, foreign := announcedService("plain", metav1.ConditionTrue, v1beta1.ReasonAnnounced, time.Hour), announcedService("classed", metav1.ConditionTrue, v1beta1.ReasonAnnounced, 0), corev1.Service{}
	classed.Spec.LoadBalancerClass = new("example.com/lb")
	foreign.Spec.Type, foreign.Spec.LoadBalancerClass = corev1.ServiceTypeLoadBalancer, new("other.example/lb") // another load balancer's
	services := []corev1.Service{plain, classed, foreign}
	for class, want := range map[string]string{
		"":               `spec.loadBalancerClass is not set, and 1 Services of another class keep their addresses: shop/classed: create these Services again without spec.loadBalancerClass, since the class of a Service is immutable`,
		"example.com/lb": `spec.loadBalancerClass is "example.com/lb", and 1 Services of another class keep their addresses: shop/plain: create these Services again with the class "example.com/lb", since the class of a Service is immutable`,
	} {
		if got := countServices(services, class, noon).otherClassSentence(); got != want {
			t.Errorf("class %q:\ngot  %s\nwant %s", class, got, want)
		}
	}
	if got := countServices(services[:1], "", noon).otherClassSentence(); got != "" {
		t.Errorf("no Service of another class: got %q, want nothing", got)
	}
}

func TestNoNodes(t *testing.T) {
	edge := map[string]string{"edge": "yes"}
	for _, tt := range []struct {
		name     string
		p        placement
		selector map[string]string
		affinity *corev1.Affinity
		want     string
	}{
		{name: "nodes that can run it", p: placement{able: 1, selected: 1}},
		{name: "selector that selects none", selector: edge, want: "spec.speaker.nodeSelector (edge=yes) selects no Linux node: no address is announced: correct the selector, or label nodes"},
		{name: "node affinity that selects none", selector: edge, affinity: requiring("edge", "no"),
			want: "spec.speaker.nodeSelector and spec.speaker.affinity select no Linux node: no address is announced: correct these fields, or label nodes"},
		{name: "taints on all of them", p: placement{selected: 2}, selector: edge,
			want: "all 2 nodes that spec.speaker.nodeSelector selects have taints that speakers do not tolerate: no address is announced: add tolerations to spec.speaker.tolerations"},
		{name: "no node at all", want: "the cluster has no Linux node: no address is announced"},
	} {
		if got := noNodesReason(tt.p, v1beta1.ComponentSpec{NodeSelector: tt.selector, Affinity: tt.affinity}); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestOrphans(t *testing.T) {
	claim := func(address string, pool v1beta1.ObjectName, state v1beta1.ClaimState) v1beta1.IPAddressClaim {
		return v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: pool, State: state}}
	}
	got := orphansSentence([]v1beta1.IPAddressClaim{
		claim("10.0.0.2", "gone", v1beta1.ClaimInUse), claim("10.0.0.1", "gone", v1beta1.ClaimInUse),
		claim("10.0.0.3", "gone", v1beta1.ClaimReserved), claim("10.0.0.4", "there", v1beta1.ClaimInUse),
	}, map[v1beta1.ObjectName]bool{"there": true})
	if want := "2 addresses in use are from pools that do not exist: 10.0.0.1 (pool gone) and 10.0.0.2 (pool gone): "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to start with %q", got, want)
	}
}

func TestIsFinal(t *testing.T) {
	resource, kind := schema.GroupResource{Resource: "daemonsets"}, schema.GroupKind{Kind: "DaemonSet"}
	ending := apierrors.NewForbidden(resource, "x", errors.New("the namespace is being terminated"))
	ending.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{apierrors.NewInvalid(kind, "x", nil), true}, {apierrors.NewForbidden(resource, "x", errors.New("exceeded quota")), true}, {apierrors.NewBadRequest("x"), true},
		{apierrors.NewConflict(resource, "x", nil), false}, {apierrors.NewInternalError(errors.New("etcd")), false}, {apierrors.NewTooManyRequests("x", 1), false},
		{errors.New("connection refused"), false}, {ending, false}, {nil, false},
	} {
		if got := isFinal(fmt.Errorf("applying: %w", tt.err)); got != tt.want && tt.err != nil {
			t.Errorf("%v: got final %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestDenied(t *testing.T) {
	c := componentState{ComponentStatus: v1beta1.ComponentStatus{Name: "speaker"}, missing: 3}
	for refusal, advice := range map[string]string{
		`pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces`: "label the namespace ns with pod-security.kubernetes.io/enforce=privileged",
		`pods "x" is forbidden: no PriorityClass with name high was found`:               "create the PriorityClass, or correct spec.speaker.priorityClassName",
		`pods "x" is forbidden: error looking up service account ns/lbstack-speaker`:     "apply the manifests of the installation again",
		`pods "x" is forbidden: exceeded quota: small`:                                   "raise the ResourceQuota of the namespace ns",
		`unable to validate against any security context constraint`:                     "grant the ServiceAccount lbstack-speaker",
		`something else`: "something else",
	} {
		c.refusal = refusal
		if got := deniedProblem(&c, []string{"n1", "n2"}, "ns").String(); !strings.Contains(got, advice) || !strings.Contains(got, refusal) || !strings.HasPrefix(got, "on n1 and n2: 3 pods are not created") {
			t.Errorf("%s: got %q, want the nodes, the number of pods, the words of the API server and %q", refusal, got, advice)
		}
	}
}

func TestSpeakerProblems(t *testing.T) {
	state := func(node, reason, message string) v1beta1.SpeakerState {
		return v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}, Status: v1beta1.SpeakerStateStatus{Conditions: []metav1.Condition{
			{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}}}}
	}
	got := speakerProblemMessages([]v1beta1.SpeakerState{
		state("n2", v1beta1.ReasonInterfaceFailed, "no NET_RAW"), state("n1", v1beta1.ReasonInterfaceFailed, "no NET_RAW"),
		state("n3", v1beta1.ReasonPeersDown, "the peer reports it"), state("down", v1beta1.ReasonCheckpointFailed, "old"), {},
	}, map[string]bool{"down": true})
	if diff := cmp.Diff([]string{"the speakers on n1 and n2: no NET_RAW"}, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestDiffers(t *testing.T) {
	strip := func(o client.Object) client.Object {
		for kind, by := range observedKinds("lbstack-system") {
			if fmt.Sprintf("%T", kind) == fmt.Sprintf("%T", o) {
				stripped, err := by.Transform(o)
				if err != nil {
					t.Fatal(err)
				}
				return stripped.(client.Object)
			}
		}
		t.Fatalf("%T is not watched", o)
		return nil
	}
	up, down := node("a"), node("a", dead)
	up.ResourceVersion, down.ResourceVersion = "1", "2"
	heartbeat := node("a")
	heartbeat.ResourceVersion, heartbeat.Status.Conditions[0].LastHeartbeatTime = "2", metav1.NewTime(noon)
	heartbeat.Status.Images, heartbeat.Annotations = []corev1.ContainerImage{{SizeBytes: 1}}, map[string]string{"a": "b"}
	pod, ready := speakerPod("a", corev1.ConditionFalse), speakerPod("a", corev1.ConditionTrue)
	state, reported := missing("a"), missing("a", "b")
	counted := missing("a")
	counted.Status.AddressCount = 7
	service, other := announcedService("s", metav1.ConditionTrue, "Announced", 0), announcedService("s", metav1.ConditionTrue, "Announced", 0)
	other.Labels, other.Status.Conditions[0].Message = map[string]string{"a": "b"}, "by another node"
	gone := announcedService("s", metav1.ConditionFalse, "NoNode", 0)
	claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Pool: "a"}}
	moved := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Pool: "b"}}
	for _, tt := range []struct {
		name        string
		before, now client.Object
		want        bool
	}{
		{"heartbeat of a node", &up, &heartbeat, false}, {"node that dies", &up, &down, true},
		{"pod that becomes ready", &pod, &ready, true}, {"speaker that misses another", &state, &reported, true}, {"speaker that owns more", &state, &counted, false},
		{"Service that moves", &service, &other, false}, {"Service that nothing announces", &service, &gone, true}, {"claim of another pool", claim, moved, true},
	} {
		if got := requiresPass(event.UpdateEvent{ObjectOld: strip(tt.before), ObjectNew: strip(tt.now)}); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
