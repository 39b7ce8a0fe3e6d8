package bgppeer

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestSessionsChanged(t *testing.T) {
	current := func(reason string) func(*v1beta1.SpeakerStateStatus) {
		return func(s *v1beta1.SpeakerStateStatus) {
			s.Conditions = []metav1.Condition{{Type: v1beta1.ConditionCurrent, Reason: reason}}
		}
	}
	for name, tt := range map[string]struct {
		edit func(*v1beta1.SpeakerStateStatus)
		want bool
	}{
		"nothing":                           {func(*v1beta1.SpeakerStateStatus) {}, false},
		"an address":                        {func(s *v1beta1.SpeakerStateStatus) { s.AddressCount = 7 }, false},
		"a session":                         {func(s *v1beta1.SpeakerStateStatus) { s.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor"}} }, true},
		"it misses another one":             {func(s *v1beta1.SpeakerStateStatus) { s.MissingSpeakers = []v1beta1.NodeName{"b"} }, true},
		"it stops":                          {func(s *v1beta1.SpeakerStateStatus) { s.Phase = v1beta1.SpeakerStopped }, true},
		"its container does not run":        {current(v1beta1.ReasonSpeakerEnded), true},
		"others miss it":                    {current(v1beta1.ReasonSpeakerMissing), true},
		"the controller finds that it runs": {current(v1beta1.ReasonReporting), false},
	} {
		before := &v1beta1.SpeakerState{}
		now := before.DeepCopy()
		tt.edit(&now.Status)
		if got := sessionsChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: now}); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
