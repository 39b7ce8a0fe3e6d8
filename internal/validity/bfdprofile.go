package validity

import (
	"fmt"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// BFDProfile returns whether a profile can be used.
func BFDProfile(profile *v1beta1.BFDProfile) Result {
	p, err := apiconv.ParseBFDProfile(profile)
	if err != nil {
		return Result{Reason: err.Reason, Message: err.Error() + ": correct it; until then sessions that use the profile run with its last valid values, and new ones without BFD, or with strictBFD not at all"}
	}
	slowest := max(p.Receive, p.Transmit)
	return Result{Ready: true, Reason: v1beta1.ReasonProfileValid, Message: fmt.Sprintf(
		"the profile can be used: with it on both sides a path that is lost is noticed within %s", slowest*time.Duration(p.Multiplier))}
}
