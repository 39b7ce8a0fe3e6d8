package validity

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestBFDProfile(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec v1beta1.BFDProfileSpec
		want Result
	}{
		{"the defaults", v1beta1.BFDProfileSpec{}, Result{Ready: true, Reason: v1beta1.ReasonProfileValid,
			Message: "the profile is valid: a lost path is detected within 900ms if the router uses the same intervals"}},
		{"the slower side counts", v1beta1.BFDProfileSpec{TransmitIntervalMilliseconds: 1000, DetectMultiplier: 5}, Result{Ready: true, Reason: v1beta1.ReasonProfileValid,
			Message: "the profile is valid: a lost path is detected within 5s if the router uses the same intervals"}},
		{"an invalid multiplier", v1beta1.BFDProfileSpec{DetectMultiplier: 1}, Result{Reason: v1beta1.ReasonInvalidProfile,
			Message: "spec.detectMultiplier: 1 is not a number from 2 to 255: correct the field; until then existing sessions use the last valid profile, and new sessions run without BFD, or do not start if their BGPPeer sets strictBFD"}},
	} {
		if diff := cmp.Diff(tt.want, BFDProfileResult(&v1beta1.BFDProfile{Spec: tt.spec})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
