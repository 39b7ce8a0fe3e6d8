package cutover

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNDPResponder reads lines as a speaker of MetalLB v0.16.1 writes them.
func TestNDPResponder(t *testing.T) {
	const (
		start     = `{"caller":"main.go:120","level":"info","msg":"MetalLB speaker starting version 0.16.1 (no build information)","ts":"2026-11-30T12:35:10Z","version":"0.16.1"}`
		arp       = `{"caller":"announcer.go:126","event":"createARPResponder","interface":"eth0","level":"info","msg":"created ARP responder for interface","ts":"2026-11-30T12:35:31Z"}`
		ndp       = `{"caller":"announcer.go:135","event":"createNDPResponder","interface":"eth0","level":"info","msg":"created NDP responder for interface","ts":"2026-11-30T12:35:31Z"}`
		announced = `{"caller":"main.go:481","event":"serviceAnnounced","ips":["192.168.1.119","fd00:192:168:1::1001"],"level":"info","msg":"service has IP, announcing","pool":"lan","protocol":"layer2","ts":"2026-11-30T12:35:12Z"}`
		text      = `panic: "event":"createNDPResponder"`
	)
	for _, tt := range []struct {
		name  string
		lines []string
		want  Responder
	}{
		{"no line", nil, ResponderUnknown},
		{"only the start", []string{start}, ResponderUnknown},
		{"ARP alone", []string{start, arp}, ResponderUnknown},
		{"a line that is no JSON", []string{text, start}, ResponderUnknown},
		{"a line that is cut off", []string{start, ndp[:len(ndp)-20]}, ResponderUnknown},
		{"before the announcement", []string{start, arp, ndp, announced}, ResponderInTime},
		{"no announcement", []string{start, arp, ndp}, ResponderInTime},
		{"after the announcement", []string{start, announced, arp, ndp}, ResponderLate},
		{"no responder", []string{start, announced}, ResponderLate},
		{"only ARP before the announcement", []string{start, arp, announced, ndp}, ResponderLate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ResponderInLog([]byte(strings.Join(tt.lines, "\n"))); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestShowsIPv6(t *testing.T) {
	for _, tt := range []struct {
		name      string
		addresses []string
		want      bool
	}{
		{"no address", nil, false},
		{"IPv4", []string{"192.0.2.1"}, false},
		{"both", []string{"192.0.2.1", "2001:db8::1"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
			for _, a := range tt.addresses {
				svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
			}
			if got := (&Cluster{Controllers: make([]appsv1.Deployment, 1), Services: []corev1.Service{svc}}).ShowsIPv6(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReplaced(t *testing.T) {
	pod := func(node string, deleted bool) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "speaker-" + node}, Spec: corev1.PodSpec{NodeName: node}}
		if deleted {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1e9, 0)}
		}
		return p
	}
	silent := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}}}
	for _, tt := range []struct {
		name  string
		nodes []corev1.Node
		pods  []corev1.Pod
		want  string
	}{
		{"each node has a pod", nil, []corev1.Pod{pod("n1", false), pod("n2", false)}, ""},
		{"a pod is being deleted", nil, []corev1.Pod{pod("n1", false), pod("n2", true)}, "Pod speaker-n2 of MetalLB still runs on node n2"},
		{"a pod is being deleted on a node that does not report", []corev1.Node{silent}, []corev1.Pod{pod("n1", false), pod("n2", true)}, ""},
		{"a pod is not made again yet", nil, []corev1.Pod{pod("n1", false)}, "1 nodes have no pod of the DaemonSet metallb-system/speaker yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "speaker"}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2}}
			if got := (&Cluster{Nodes: tt.nodes, Pods: tt.pods}).MissingPodMessage(set); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
