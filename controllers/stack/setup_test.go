package stack

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestStackChanged(t *testing.T) {
	deleted := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	tests := []struct {
		name   string
		change func(*v1beta1.LoadBalancerStack)
		want   bool
	}{
		{name: "nothing is no change", change: func(*v1beta1.LoadBalancerStack) {}},
		{name: "a new spec counts", change: func(s *v1beta1.LoadBalancerStack) { s.Generation++ }, want: true},
		{name: "a deletion counts", change: func(s *v1beta1.LoadBalancerStack) { s.DeletionTimestamp = &deleted }, want: true},
		{name: "a finalizer that is taken away counts", change: func(s *v1beta1.LoadBalancerStack) { s.Finalizers = nil }, want: true},
		{name: "the status that the operator wrote does not", change: func(s *v1beta1.LoadBalancerStack) { s.Status.Summary = "Ready"; s.ResourceVersion = "2" }},
		{name: "a request to the operator counts", change: func(s *v1beta1.LoadBalancerStack) { s.Annotations = map[string]string{v1beta1.AnnotationPause: ""} }, want: true},
		{name: "an annotation of somebody else does not", change: func(s *v1beta1.LoadBalancerStack) { s.Annotations = map[string]string{"a": "b"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Generation: 1, ResourceVersion: "1", Finalizers: []string{v1beta1.StackFinalizer}}}
			now := before.DeepCopy()
			tt.change(now)
			if got := hasStackChanged(event.UpdateEvent{ObjectOld: before, ObjectNew: now}); got != tt.want {
				t.Errorf("changed: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMatters(t *testing.T) {
	pool := func(change func(*v1beta1.IPAddressPool)) client.Object {
		p := &v1beta1.IPAddressPool{
			ObjectMeta: metav1.ObjectMeta{Generation: 1, Labels: map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator}},
			Status: v1beta1.IPAddressPoolStatus{
				IPv4:       &v1beta1.AddressUsage{Total: "9", Used: 1, Free: "8"},
				Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonPoolReady}},
			},
		}
		change(p)
		return p
	}
	same := func(*v1beta1.IPAddressPool) {}
	tests := []struct {
		name        string
		before, now client.Object
		want        bool
	}{
		{name: "nothing is no change", before: pool(same), now: pool(same)},
		{name: "how much of a pool is used does not matter", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) { p.Status.IPv4.Used, p.ResourceVersion = 2, "2" })},
		{name: "another condition does not matter", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) {
			p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: "Other", Status: metav1.ConditionTrue})
		})},
		{name: "a pool that was edited is put right", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) { p.Generation++ }), want: true},
		{name: "a label that was taken away is put back", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) { p.Labels = nil }), want: true},
		{name: "a pool that gives nothing any more counts", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) { p.Status.Conditions[0].Status = metav1.ConditionFalse }), want: true},
		{name: "a pool that gives nothing for another reason counts", before: pool(same), now: pool(func(p *v1beta1.IPAddressPool) { p.Status.Conditions[0].Message = "x" }), want: true},
		{name: "a first condition counts", before: pool(func(p *v1beta1.IPAddressPool) { p.Status.Conditions = nil }), now: pool(same), want: true},
		{name: "the condition of a BGPAdvertisement does not count", before: &v1beta1.BGPAdvertisement{}, now: &v1beta1.BGPAdvertisement{Status: v1beta1.BGPAdvertisementStatus{ObservedGeneration: 1}}},
		{name: "whether one of the local network means something does", before: &v1beta1.L2Advertisement{}, now: &v1beta1.L2Advertisement{Status: v1beta1.L2AdvertisementStatus{Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady}}}}, want: true},
		{name: "a router that was edited is put right", before: &v1beta1.BGPPeer{}, now: &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Generation: 1}}, want: true},
		{name: "a label of a profile that was taken away is put back", before: &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}}, now: &v1beta1.BFDProfile{}, want: true},
		{name: "communities that were edited are put right", before: &v1beta1.Community{}, now: &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Generation: 1}}, want: true},
		{name: "peer whose nodes lost their speakers matters", before: peerWith(v1beta1.ReasonNotEstablished), now: peerWith(v1beta1.ReasonNoSpeaker), want: true},
		{name: "peer that lost all its sessions counts", before: peerWith(v1beta1.ReasonNotEstablished), now: peerWith(v1beta1.ReasonNoSession), want: true},
		{name: "peer that lost some of them is not", before: peerWith(v1beta1.ReasonAllEstablished), now: peerWith(v1beta1.ReasonNotEstablished)},
		{name: "how many sessions a peer has does not matter", before: &v1beta1.BGPPeer{}, now: &v1beta1.BGPPeer{Status: v1beta1.BGPPeerStatus{Established: 1, Conditions: []metav1.Condition{{Type: v1beta1.ConditionEstablished}}}}},
		{name: "whether it means something does", before: &v1beta1.BGPPeer{}, now: &v1beta1.BGPPeer{Status: v1beta1.BGPPeerStatus{Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady}}}}, want: true},
		{name: "every change of another kind matters", before: &v1beta1.SpeakerState{}, now: &v1beta1.SpeakerState{}, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := affectsPass(event.UpdateEvent{ObjectOld: tt.before, ObjectNew: tt.now}); got != tt.want {
				t.Errorf("matters: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNextReconcileIsAsSoonAsNeeded(t *testing.T) {
	settled, foreign := []componentState{workload("controller", 2)}, []v1beta1.ObjectReference{ref("", "v1", "Secret", "n", "s")}
	tests := []struct {
		name  string
		found findings
		want  time.Duration
	}{
		{name: "when all is well the watches are enough", found: findings{components: settled}},
		{name: "pods are looked at soon", found: findings{components: []componentState{workload("controller", 1)}}, want: eventsInterval},
		{name: "Service that has just got its address is looked at when it should be announced", found: findings{components: settled, foreign: foreign, services: serviceCounts{again: time.Second}}, want: time.Second},
		{name: "what the API server refuses is tried again", found: findings{components: settled, failures: []fault{{v1beta1.ReasonApplyFailed, "no", endsByPerson}}}, want: foreignRetryInterval},
		{name: "old Kubernetes is looked at for an upgrade", found: findings{unfit: &unfitReason{v1beta1.ReasonUnsupportedKubernetes, "1.30"}}, want: preflightInterval},
		{name: "CRDs that are too old are looked at soon", found: findings{unfit: &unfitReason{v1beta1.ReasonCRDsOutdated, "no"}}, want: foreignRetryInterval},
		{name: "pass that ended early has its own retry", found: findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "timeout", endsByRetry}}}},
		{name: "one of several that waits is enough", found: findings{components: append(settled, workload("speaker", 1))}, want: eventsInterval},
		{name: "objects of others are in no watch", found: findings{components: settled, foreign: foreign}, want: foreignRetryInterval},
		{name: "ServiceMonitor is in no watch", found: findings{components: settled, monitored: true}, want: monitoringInterval},
		{name: "when nothing is installed it is looked at soon", want: eventsInterval},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := untilNextPass(tt.found); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// peerWith is a peer that is not Established, for a reason.
func peerWith(reason string) client.Object {
	return &v1beta1.BGPPeer{Status: v1beta1.BGPPeerStatus{Conditions: []metav1.Condition{
		{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: reason}}}}
}
