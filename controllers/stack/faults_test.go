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
		{name: "nothing is wrong with what only waits", found: findings{components: []component{workload("speaker", 0)}}},
		{name: "a spec that cannot be rendered needs a person", found: findings{renderFailed: "no"}, want: []fault{{v1beta1.ReasonRenderFailed, "no", person}}},
		{name: "what was not taken is tried again", found: findings{failures: []fault{{v1beta1.ReasonApplyFailed, "one", retried}, {v1beta1.ReasonApplyFailed, "two", retried}}},
			want: []fault{{v1beta1.ReasonApplyFailed, "one", retried}, {v1beta1.ReasonApplyFailed, "two", retried}}},
		{name: "a name of the spec that is taken can be changed there", found: findings{foreign: []v1beta1.ObjectReference{pool}},
			want: []fault{{v1beta1.ReasonObjectNotOurs, "the IPAddressPool p exists already and was not made by lbstack, which does not touch it: " +
				"delete or rename it, or use another name in the LoadBalancerStack, or hand it over with the label " + label, person}}},
		{name: "a name that is given cannot", found: findings{foreign: []v1beta1.ObjectReference{secret}},
			want: []fault{{v1beta1.ReasonObjectNotOurs, "the Secret n/lbstack-mesh-keys exists already and was not made by lbstack, which does not touch it: " +
				"delete or rename it, or hand it over with the label " + label, person}}},
		{name: "invalid peer needs a person", found: findings{peers: []string{"why"}}, want: []fault{{v1beta1.ReasonPeerNotReady, "why", person}}},
		{name: "so does an advertisement", found: findings{advertisements: []string{"why"}}, want: []fault{{v1beta1.ReasonAdvertisementNotReady, "why", person}}},
		{name: "a pool that gives nothing needs a person", found: findings{pools: []string{"why"}}, want: []fault{{v1beta1.ReasonPoolNotReady, "why", person}}},
		{name: "failing components are reported", found: findings{components: []component{workload("controller", 2), failing(workload("speaker", 1), "ErrImagePull")}},
			want: []fault{{v1beta1.ReasonComponentFailing, "the speaker fails: ErrImagePull", retried}}},
		{name: "what several components have in common is a single fact",
			found: findings{components: []component{
				{ComponentStatus: v1beta1.ComponentStatus{Name: "controller"}, failing: []problem{{"no image", []string{"n2"}}}},
				{ComponentStatus: v1beta1.ComponentStatus{Name: "speaker"}, failing: []problem{{"no image", []string{"n1", "n2"}}, {"a port", []string{"n3"}}}},
			}},
			want: []fault{{v1beta1.ReasonComponentFailing, "the controller and the speaker fail: on n1, n2: no image", retried},
				{v1beta1.ReasonComponentFailing, "the speaker fails: on n3: a port", retried}}},
		{name: "the heaviest comes first", want: []fault{
			{v1beta1.ReasonRenderFailed, "render", person}, {v1beta1.ReasonApplyFailed, "apply", retried}, {v1beta1.ReasonObjectNotOurs, notOurs(pool), person},
			{v1beta1.ReasonPoolNotReady, "pool", person}, {v1beta1.ReasonComponentFailing, "the speaker fails: pod", retried}},
			found: findings{renderFailed: "render", failures: []fault{{v1beta1.ReasonApplyFailed, "apply", retried}}, foreign: []v1beta1.ObjectReference{pool},
				pools: []string{"pool"}, components: []component{failing(workload("speaker", 1), "pod")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, faultsOf(tt.found), cmp.AllowUnexported(fault{})); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
