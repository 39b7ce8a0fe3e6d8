package stack

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestFailuresOf(t *testing.T) {
	pool := ref("lbstack.io", "v1beta1", "IPAddressPool", "", "p")
	secret := ref("", "v1", "Secret", "n", "lbstack-mesh-keys")
	label := "app.kubernetes.io/managed-by=lbstack-operator"
	tests := []struct {
		name  string
		found findings
		want  []fault
	}{
		{name: "nothing is wrong with what only waits", found: findings{components: []componentState{workload("speaker", 0)}}},
		{name: "a spec that cannot be rendered needs a person", found: findings{renderFailed: "no"}, want: []fault{{v1beta1.ReasonRenderFailed, "no", endsByPerson}}},
		{name: "what was not taken is tried again", found: findings{failures: []fault{{v1beta1.ReasonApplyFailed, "one", endsByRetry}, {v1beta1.ReasonApplyFailed, "two", endsByRetry}}},
			want: []fault{{v1beta1.ReasonApplyFailed, "one", endsByRetry}, {v1beta1.ReasonApplyFailed, "two", endsByRetry}}},
		{name: "a name of the spec that is taken can be changed there", found: findings{foreign: []v1beta1.ObjectReference{pool}},
			want: []fault{{v1beta1.ReasonObjectNotOurs, "the IPAddressPool p exists already: lbstack did not make it, and does not change it: " +
				"delete the object, use another name in the LoadBalancerStack, or set the label " + label + " on the object so that lbstack manages it", endsByPerson}}},
		{name: "a name that is given cannot", found: findings{foreign: []v1beta1.ObjectReference{secret}},
			want: []fault{{v1beta1.ReasonObjectNotOurs, "the Secret n/lbstack-mesh-keys exists already: lbstack did not make it, and does not change it: " +
				"delete the object, or set the label " + label + " on the object so that lbstack manages it", endsByPerson}}},
		{name: "invalid peer needs a person", found: findings{peers: []string{"why"}}, want: []fault{{v1beta1.ReasonPeerNotReady, "why", endsByPerson}}},
		{name: "so does an advertisement", found: findings{advertisements: []string{"why"}}, want: []fault{{v1beta1.ReasonAdvertisementNotReady, "why", endsByPerson}}},
		{name: "a pool that gives nothing needs a person", found: findings{pools: []string{"why"}}, want: []fault{{v1beta1.ReasonPoolNotReady, "why", endsByPerson}}},
		{name: "failing components are reported", found: findings{components: []componentState{workload("controller", 2), failing(workload("speaker", 1), "ErrImagePull")}},
			want: []fault{{v1beta1.ReasonComponentFailing, "the speaker fails: ErrImagePull", endsByRetry}}},
		{name: "what several components have in common is a single fact",
			found: findings{components: []componentState{
				{ComponentStatus: v1beta1.ComponentStatus{Name: "controller"}, failing: []podProblem{{"no image", []string{"n2"}}}},
				{ComponentStatus: v1beta1.ComponentStatus{Name: "speaker"}, failing: []podProblem{{"no image", []string{"n1", "n2"}}, {"a port", []string{"n3"}}}},
			}},
			want: []fault{{v1beta1.ReasonComponentFailing, "the controller and the speaker fail on n1 and n2: no image", endsByRetry},
				{v1beta1.ReasonComponentFailing, "the speaker fails on n3: a port", endsByRetry}}},
		{name: "the heaviest comes first", want: []fault{
			{v1beta1.ReasonRenderFailed, "render", endsByPerson}, {v1beta1.ReasonApplyFailed, "apply", endsByRetry}, {v1beta1.ReasonObjectNotOurs, foreignSentence(pool), endsByPerson},
			{v1beta1.ReasonPoolNotReady, "pool", endsByPerson}, {v1beta1.ReasonComponentFailing, "the speaker fails: pod", endsByRetry}},
			found: findings{renderFailed: "render", failures: []fault{{v1beta1.ReasonApplyFailed, "apply", endsByRetry}}, foreign: []v1beta1.ObjectReference{pool},
				pools: []string{"pool"}, components: []componentState{failing(workload("speaker", 1), "pod")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, faultsOf(tt.found), cmp.AllowUnexported(fault{})); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
