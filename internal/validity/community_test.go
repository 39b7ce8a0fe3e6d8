package validity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestCommunities(t *testing.T) {
	object := func(name string, aliases ...v1beta1.CommunityAlias) v1beta1.Community {
		return v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.CommunitySpec{Communities: aliases}}
	}
	got := CommunityResults([]v1beta1.Community{
		object("a", v1beta1.CommunityAlias{Name: "gold", Value: "65000:1"}),
		object("b", v1beta1.CommunityAlias{Name: "gold", Value: "65000:2"}),
		object("c", v1beta1.CommunityAlias{Name: "odd", Value: "65000"}),
	})
	want := map[string]Result{
		"a": {Ready: true, Reason: v1beta1.ReasonCommunityValid, Message: "all names can be used"},
		"b": {Reason: v1beta1.ReasonDuplicateAlias, Message: `spec.communities[0]: the name "gold" of the Community b is already defined in the Community a, which is older; the other names of the object can be used`},
		"c": {Reason: v1beta1.ReasonInvalidCommunity, Message: `spec.communities[0]: "65000" is not a community: it must be like 65000:100, large:65000:1:2 or no-export; the other names of the object can be used`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}
