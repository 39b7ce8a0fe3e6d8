package stack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// byNumbers leaves out the messages, which TestSettle looks at.
var byNumbers = cmp.Options{cmp.AllowUnexported(componentState{}), cmpopts.IgnoreFields(componentState{}, "ComponentStatus.Message", "missing", "nowhere")}

func metaOf(component string, generation int64) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: "lbstack-" + component, Generation: generation, Labels: map[string]string{v1beta1.LabelComponent: component}}
}

func numbers(name, kind string, desired, updated, ready int32) v1beta1.ComponentStatus {
	return v1beta1.ComponentStatus{Name: name, Kind: kind, Desired: desired, Updated: updated, Ready: ready}
}

func TestOfDeployment(t *testing.T) {
	two := int32(2)
	tests := []struct {
		name     string
		replicas *int32
		status   appsv1.DeploymentStatus
		want     componentState
	}{
		{name: "all pods are there", replicas: &two, status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2},
			want: componentState{ComponentStatus: numbers("controller", "Deployment", 2, 2, 2), available: 2, settled: true}},
		{name: "the numbers are not mixed up", replicas: &two, status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 5, UpdatedReplicas: 4, ReadyReplicas: 3, AvailableReplicas: 1},
			want: componentState{ComponentStatus: numbers("controller", "Deployment", 2, 4, 3), available: 1}},
		{name: "no number means one pod", status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1},
			want: componentState{ComponentStatus: numbers("controller", "Deployment", 1, 1, 1), available: 1, settled: true}},
		{name: "the numbers of an older spec do not count", replicas: &two, status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2},
			want: componentState{ComponentStatus: numbers("controller", "Deployment", 2, 2, 2), available: 2}},
		{name: "pods of an old template that still run are waited for", replicas: &two, status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 2, ReadyReplicas: 3, AvailableReplicas: 3},
			want: componentState{ComponentStatus: numbers("controller", "Deployment", 2, 2, 3), available: 3}},
		{name: "what nobody has seen yet has no pods", replicas: &two, want: componentState{ComponentStatus: numbers("controller", "Deployment", 2, 0, 0)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := appsv1.Deployment{ObjectMeta: metaOf("controller", 3), Spec: appsv1.DeploymentSpec{Replicas: tt.replicas}, Status: tt.status}
			got := deploymentState(&d, downPods{})
			if diff := cmp.Diff(tt.want, got, byNumbers); diff != "" {
				t.Errorf("component (-want +got):\n%s", diff)
			}
			if got.settled != (got.Message == "") {
				t.Errorf("settled %v with the message %q: want a message if and only if it is not settled", got.settled, got.Message)
			}
		})
	}
}

func TestOfDaemonSet(t *testing.T) {
	tests := []struct {
		name   string
		status appsv1.DaemonSetStatus
		want   componentState
	}{
		{name: "every node has its pod", status: appsv1.DaemonSetStatus{ObservedGeneration: 3, DesiredNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3},
			want: componentState{ComponentStatus: numbers("speaker", "DaemonSet", 3, 3, 3), available: 3, settled: true}},
		{name: "the numbers are not mixed up", status: appsv1.DaemonSetStatus{ObservedGeneration: 3, DesiredNumberScheduled: 9, CurrentNumberScheduled: 8, UpdatedNumberScheduled: 7, NumberReady: 6, NumberAvailable: 5},
			want: componentState{ComponentStatus: numbers("speaker", "DaemonSet", 9, 7, 6), available: 5}},
		{name: "the numbers of an older spec do not count", status: appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3},
			want: componentState{ComponentStatus: numbers("speaker", "DaemonSet", 3, 3, 3), available: 3}},
		{name: "a node selector that matches no node is no success", status: appsv1.DaemonSetStatus{ObservedGeneration: 3},
			want: componentState{ComponentStatus: numbers("speaker", "DaemonSet", 0, 0, 0)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := daemonSetState(&appsv1.DaemonSet{ObjectMeta: metaOf("speaker", 3), Status: tt.status}, downPods{})
			if diff := cmp.Diff(tt.want, got, byNumbers); diff != "" {
				t.Errorf("component (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	tests := []struct {
		name                    string
		unobserved              bool
		desired, updated, ready int32
		down                    downPods
		want                    string
	}{
		{name: "all are up to date and ready", desired: 2, updated: 2, ready: 2},
		{name: "more than enough are enough", desired: 2, updated: 3, ready: 3},
		{name: "numbers from before the change do not count", unobserved: true, desired: 2, updated: 2, ready: 2, want: "Kubernetes has not observed the change yet"},
		{name: "a change comes before the lack of nodes", unobserved: true, want: "Kubernetes has not observed the change yet"},
		{name: "none is wanted because no node fits", want: "no node can run its pods"},
		{name: "old pods that are ready do not count", desired: 3, updated: 1, ready: 3, want: "1 of 3 pods are up to date"},
		{name: "new pods come before ready ones", desired: 3, updated: 2, ready: 1, want: "2 of 3 pods are up to date"},
		{name: "new pods must be ready", desired: 3, updated: 3, ready: 2, want: "2 of 3 pods are ready"},
		{name: "old pod on a node that is down is not waited for", desired: 3, updated: 2, ready: 2, down: downPods{desired: 1}},
		{name: "new pod on a node that is down does not stand for one that is up", desired: 3, updated: 2, ready: 2, down: downPods{desired: 1, updated: 1}, want: "2 of 3 pods are up to date, including 1 on nodes that are down"},
		{name: "pod on a node that has just died does not stand for one that starts", desired: 3, updated: 3, ready: 2, down: downPods{desired: 1, updated: 1, ready: 1}, want: "2 of 3 pods are ready, including 1 on nodes that are down"},
		{name: "all pods on nodes that have just died", desired: 2, updated: 2, ready: 2, down: downPods{desired: 1, updated: 2, ready: 2}, want: "2 of 2 pods are up to date, including 2 on nodes that are down"},
		{name: "all nodes are down", desired: 1, down: downPods{desired: 1}, want: "all nodes that can run its pods are down"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := componentState{ComponentStatus: numbers("c", "k", tt.desired, tt.updated, tt.ready)}
			c.setSettled(!tt.unobserved, tt.down)
			if c.Message != tt.want || c.settled != (tt.want == "") {
				t.Errorf("got settled %v, %q, want %v, %q", c.settled, c.Message, tt.want == "", tt.want)
			}
		})
	}
}

func TestSee(t *testing.T) {
	pool := func(generation, observed int64, status metav1.ConditionStatus) *v1beta1.IPAddressPool {
		return &v1beta1.IPAddressPool{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "IPAddressPool"},
			ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: generation},
			Status: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{
				{Type: "Other", Status: metav1.ConditionFalse, Reason: "No", ObservedGeneration: generation},
				{Type: v1beta1.ConditionReady, Status: status, Reason: v1beta1.ReasonOverlap, Message: "it overlaps", ObservedGeneration: observed}}},
		}
	}
	ours := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: kind}
	}
	wrong := []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Why", Message: "why", ObservedGeneration: 2}}
	down := []metav1.Condition{{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: "Why", Message: "why", ObservedGeneration: 2}}
	noSession := []metav1.Condition{{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNoSession, Message: "why", ObservedGeneration: 2}}
	noSpeaker := []metav1.Condition{{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNoSpeaker, Message: "why", ObservedGeneration: 2}}
	flapping := []metav1.Condition{{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonFlapping, Message: "why", ObservedGeneration: 2}}
	conflicting := pool(2, 2, metav1.ConditionTrue)
	conflicting.Status.Conditions = append(conflicting.Status.Conditions,
		metav1.Condition{Type: v1beta1.ConditionConflict, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonOverlap, Message: "a node has one", ObservedGeneration: 2})
	overlapping := pool(2, 2, metav1.ConditionFalse)
	overlapping.Status.Conditions = append(overlapping.Status.Conditions, conflicting.Status.Conditions[2])
	unread := pool(1, 0, metav1.ConditionUnknown)
	unread.Status = v1beta1.IPAddressPoolStatus{}
	speakers := &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"}, ObjectMeta: metaOf("speaker", 1)}
	controllers := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metaOf("controller", 1)}
	tests := []struct {
		name   string
		object any
		want   findings
	}{
		{name: "pool that is not ready is reported with its own words", object: pool(2, 2, metav1.ConditionFalse), want: findings{pools: []string{"the pool p: it overlaps"}}},
		{name: "pool that is not ready for a conflict is reported once", object: overlapping, want: findings{pools: []string{"the pool p: a node has one"}}},
		{name: "a condition of an older spec does not count", object: pool(2, 1, metav1.ConditionFalse)},
		{name: "a pool that is ready is no finding", object: pool(2, 2, metav1.ConditionTrue)},
		{name: "a pool that nobody has looked at is no finding", object: unread},
		{name: "an invalid peer is reported", object: &v1beta1.BGPPeer{TypeMeta: ours("BGPPeer"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPPeerStatus{Conditions: wrong}},
			want: findings{peers: []string{"the BGPPeer p: why"}}},
		{name: "peer without any session is reported", object: &v1beta1.BGPPeer{TypeMeta: ours("BGPPeer"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPPeerStatus{Conditions: noSession}},
			want: findings{peersDown: []string{"the BGPPeer p: why"}}},
		{name: "peer whose nodes have no speaker is reported apart", object: &v1beta1.BGPPeer{TypeMeta: ours("BGPPeer"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPPeerStatus{Conditions: noSpeaker}},
			want: findings{noSpeaker: []string{"the BGPPeer p: why"}}},
		{name: "peer whose sessions flap is reported as flapping", object: &v1beta1.BGPPeer{TypeMeta: ours("BGPPeer"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPPeerStatus{Conditions: flapping}},
			want: findings{flapping: []string{"the BGPPeer p: why"}}},
		{name: "pool with addresses of others is reported in the words of the pool", object: conflicting, want: findings{conflicts: []string{"the pool p: a node has one"}}},
		{name: "peer without some sessions is not", object: &v1beta1.BGPPeer{TypeMeta: ours("BGPPeer"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPPeerStatus{Conditions: down}}},
		{name: "an invalid profile is reported", object: &v1beta1.BFDProfile{TypeMeta: ours("BFDProfile"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BFDProfileStatus{Conditions: wrong}},
			want: findings{peers: []string{"the BFDProfile p: why"}}},
		{name: "so is an advertisement", object: &v1beta1.BGPAdvertisement{TypeMeta: ours("BGPAdvertisement"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.BGPAdvertisementStatus{Conditions: wrong}},
			want: findings{advertisements: []string{"the BGPAdvertisement p: why"}}},
		{name: "one of the local network as well", object: &v1beta1.L2Advertisement{TypeMeta: ours("L2Advertisement"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.L2AdvertisementStatus{Conditions: wrong}},
			want: findings{advertisements: []string{"the L2Advertisement p: why"}}},
		{name: "and a community", object: &v1beta1.Community{TypeMeta: ours("Community"), ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}, Status: v1beta1.CommunityStatus{Conditions: wrong}},
			want: findings{advertisements: []string{"the Community p: why"}}},
		{name: "a DaemonSet is a component", object: speakers, want: findings{components: []componentState{daemonSetState(speakers, downPods{})}}},
		{name: "a Deployment is a component", object: controllers, want: findings{components: []componentState{deploymentState(controllers, downPods{})}}},
		{name: "other kinds report nothing", object: &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(tt.object)
			if err != nil {
				t.Fatal(err)
			}
			object := objectOf(v1beta1.ObjectReference{})
			object.Object = content
			var got findings
			if err := got.addStatus(object, &clusterState{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(findings{}, componentState{}, serviceCounts{})); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
