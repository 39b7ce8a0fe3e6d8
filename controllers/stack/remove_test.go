package stack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestRunningPods(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	pod := func(name, component string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1beta1.LabelComponent: component}}, Spec: corev1.PodSpec{NodeName: "up"}}
	}
	at := func(p corev1.Pod, node string) corev1.Pod {
		p.Spec.NodeName = node
		return p
	}
	// due is when a pod must have ended.
	due := func(p corev1.Pod, at time.Time) corev1.Pod {
		p.DeletionTimestamp = &metav1.Time{Time: at}
		return p
	}
	tests := []struct {
		name string
		pods []corev1.Pod
		want string
	}{
		{name: "without pods nothing is waited for"},
		{name: "pods that run are named in order", pods: []corev1.Pod{pod("speaker-b", "speaker"), pod("controller-x", "controller"), pod("speaker-a", "speaker")},
			want: "waiting until these pods have ended: controller-x, speaker-a, speaker-b"},
		{name: "the operator and strangers do not count", pods: []corev1.Pod{pod("operator-x", "operator"), pod("stranger", ""), {ObjectMeta: metav1.ObjectMeta{Name: "plain"}}}},
		{name: "a pod that is ending is waited for", pods: []corev1.Pod{due(pod("speaker-a", "speaker"), now.Add(10*time.Second))}, want: "waiting until these pods have ended: speaker-a"},
		{name: "a pod that is a little late is waited for", pods: []corev1.Pod{due(pod("speaker-a", "speaker"), now.Add(-lostPodTimeout))}, want: "waiting until these pods have ended: speaker-a"},
		{name: "a pod that is lost does not hold up the removal", pods: []corev1.Pod{due(pod("speaker-a", "speaker"), now.Add(-lostPodTimeout-time.Second)), pod("speaker-b", "speaker")},
			want: "waiting until these pods have ended: speaker-b"},
		{name: "deleted pod on a node whose kubelet does not report is not waited for", pods: []corev1.Pod{due(at(pod("speaker-a", "speaker"), "silent"), now.Add(70*time.Second))}},
		{name: "deleted pod on a node that does not exist is not waited for", pods: []corev1.Pod{due(at(pod("speaker-a", "speaker"), "removed"), now.Add(70*time.Second))}},
		{name: "deleted pod on a node that is not ready and reports is waited for", pods: []corev1.Pod{due(at(pod("speaker-a", "speaker"), "unready"), now.Add(70*time.Second))},
			want: "waiting until these pods have ended: speaker-a"},
		{name: "deleted pod without a node is waited for", pods: []corev1.Pod{due(at(pod("speaker-a", "speaker"), ""), now.Add(time.Second))}, want: "waiting until these pods have ended: speaker-a"},
		{name: "pod that is not deleted yet is waited for on a node whose kubelet does not report", pods: []corev1.Pod{at(pod("speaker-a", "speaker"), "silent")},
			want: "waiting until these pods have ended: speaker-a"},
		{name: "when only lost pods are left the removal goes on", pods: []corev1.Pod{due(pod("speaker-a", "speaker"), now.Add(-time.Hour))}},
	}
	node := func(name string, ready corev1.ConditionStatus) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	nodes := reportingNodes([]corev1.Node{node("up", corev1.ConditionTrue), node("unready", corev1.ConditionFalse), node("silent", corev1.ConditionUnknown)})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := runningPodsMessage(tt.pods, nodes, now); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAddressesByService(t *testing.T) {
	claim := func(address string, holders ...v1beta1.ClaimHolder) v1beta1.IPAddressClaim {
		return v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Address: address, Holders: holders}}
	}
	web, other := v1beta1.ClaimHolder{Namespace: "a", Name: "web"}, v1beta1.ClaimHolder{Namespace: "b", Name: "web"}
	type held = map[types.NamespacedName]map[string]bool
	keyA, keyB := types.NamespacedName{Namespace: "a", Name: "web"}, types.NamespacedName{Namespace: "b", Name: "web"}
	tests := []struct {
		name   string
		claims []v1beta1.IPAddressClaim
		want   held
	}{
		{name: "no claims, no addresses", want: held{}},
		{name: "a reservation is nobody's", claims: []v1beta1.IPAddressClaim{claim("10.0.0.1")}, want: held{}},
		{name: "a Service may have several", claims: []v1beta1.IPAddressClaim{claim("10.0.0.1", web), claim("2001:db8::1", web)}, want: held{keyA: {"10.0.0.1": true, "2001:db8::1": true}}},
		{name: "Services of one name in two namespaces are two", claims: []v1beta1.IPAddressClaim{claim("10.0.0.1", web), claim("10.0.0.2", other)}, want: held{keyA: {"10.0.0.1": true}, keyB: {"10.0.0.2": true}}},
		{name: "an address may have several holders", claims: []v1beta1.IPAddressClaim{claim("10.0.0.1", web, other)}, want: held{keyA: {"10.0.0.1": true}, keyB: {"10.0.0.1": true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, addressesByService(tt.claims)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReleased(t *testing.T) {
	service := func(annotations map[string]string, conditions []metav1.Condition, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web", Annotations: annotations, Finalizers: []string{"example.com/keep"}},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
			Status:     corev1.ServiceStatus{Conditions: conditions, LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
		}
	}
	ours := corev1.LoadBalancerIngress{IP: "10.0.0.1", IPMode: new(corev1.LoadBalancerIPMode)}
	theirs, host := corev1.LoadBalancerIngress{IP: "10.0.0.2"}, corev1.LoadBalancerIngress{Hostname: "lb.example"}
	allocated := metav1.Condition{Type: v1beta1.ServiceAddressAllocated, Status: metav1.ConditionTrue}
	announced := metav1.Condition{Type: v1beta1.ServiceAnnounced, Status: metav1.ConditionTrue}
	foreign := metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue}
	const pool, kept, wish, note = v1beta1.AnnotationAllocatedFromPool, v1beta1.AnnotationKeptAddresses, v1beta1.AnnotationAddressPool, "example.com/note"
	tests := []struct {
		name      string
		svc, want *corev1.Service
		held      map[string]bool
		policy    v1beta1.AddressRemoval
	}{
		{name: "addresses are kept", held: map[string]bool{"10.0.0.1": true, "2001:db8::1": true}, policy: v1beta1.AddressesKeep,
			svc:  service(map[string]string{pool: "p"}, nil, ours, theirs, corev1.LoadBalancerIngress{IP: "2001:db8::1"}),
			want: service(map[string]string{kept: "10.0.0.1,2001:db8::1"}, nil, theirs)},
		{name: "kept by default", held: map[string]bool{"10.0.0.1": true}, svc: service(nil, nil, ours), want: service(map[string]string{kept: "10.0.0.1"}, nil)},
		{name: "another try of the removal", held: map[string]bool{"10.0.0.1": true}, svc: service(map[string]string{kept: "10.0.0.1"}, nil), want: service(map[string]string{kept: "10.0.0.1"}, nil)},
		{name: "addresses that an earlier removal kept are released", policy: v1beta1.AddressesRelease, svc: service(map[string]string{kept: "10.0.0.1"}, nil), want: service(nil, nil)},
		{name: "all that lbstack wrote goes", policy: v1beta1.AddressesRelease, held: map[string]bool{"10.0.0.1": true},
			svc:  service(map[string]string{pool: "p"}, []metav1.Condition{allocated, announced}, ours),
			want: service(nil, nil)},
		{name: "what others wrote stays", policy: v1beta1.AddressesRelease, held: map[string]bool{"10.0.0.1": true},
			svc:  service(map[string]string{pool: "p", note: "x"}, []metav1.Condition{foreign, allocated}, host, ours, theirs),
			want: service(map[string]string{note: "x"}, []metav1.Condition{foreign}, host, theirs)},
		{name: "what the Service asks for stays, for the next installation", policy: v1beta1.AddressesRelease, held: map[string]bool{"10.0.0.1": true},
			svc:  service(map[string]string{wish: "p", pool: "p"}, nil, ours),
			want: service(map[string]string{wish: "p"}, nil)},
		{name: "a refusal goes, and the address that nobody claimed for it stays",
			svc:  service(nil, []metav1.Condition{allocated}, theirs),
			want: service(nil, nil, theirs)},
		{name: "a Service that lbstack never touched is as it was",
			svc:  service(map[string]string{note: "x"}, []metav1.Condition{foreign}, host, theirs),
			want: service(map[string]string{note: "x"}, []metav1.Condition{foreign}, host, theirs)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.svc.DeepCopy()
			if diff := cmp.Diff(tt.want, withoutOwnData(tt.svc, tt.held, tt.policy), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.svc); diff != "" {
				t.Errorf("the Service that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}
