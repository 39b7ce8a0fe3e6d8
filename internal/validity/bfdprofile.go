package validity

import (
	"fmt"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// BFDProfileResult returns the result for a BFDProfile, which depends only on its own fields.
func BFDProfileResult(profile *v1beta1.BFDProfile) Result {
	p, err := apiconv.ParseBFDProfile(profile)
	if err != nil {
		return Result{Reason: err.Reason, Message: err.Error() + ": correct the field; until then existing sessions use the last valid profile, and new sessions run without BFD, or do not start if their BGPPeer sets strictBFD"}
	}
	slowest := max(p.Receive, p.Transmit)
	return Result{Ready: true, Reason: v1beta1.ReasonProfileValid, Message: fmt.Sprintf(
		"the profile is valid: a lost path is detected within %s if the router uses the same intervals", slowest*time.Duration(p.Multiplier))}
}
