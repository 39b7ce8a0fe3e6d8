package announcement

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestClaimsWakeTheServicesThatTheyName(t *testing.T) {
	claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Holders: []v1beta1.ClaimHolder{{Namespace: "a", Name: "web"}, {Namespace: "b", Name: "dns"}}}}
	var got []string
	for _, r := range onClaim(t.Context(), claim) {
		got = append(got, r.String())
	}
	if want := []string{"a/web", "b/dns"}; !slices.Equal(got, want) {
		t.Errorf("woken: got %v, want %v", got, want)
	}
	if got := onClaim(t.Context(), &corev1.Node{}); len(got) > 0 {
		t.Errorf("what is no claim: got %v, want nobody", got)
	}
}

func TestClaimsAreIndexedByHolder(t *testing.T) {
	claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Holders: []v1beta1.ClaimHolder{{Namespace: "a", Name: "web"}, {Namespace: "b", Name: "dns"}}}}
	if got, want := holderIndexKeys(claim), []string{"a/web", "b/dns"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
