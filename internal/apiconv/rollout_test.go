package apiconv

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/rollout"
)

func TestRolloutSettings(t *testing.T) {
	number, share := intstr.FromInt32(7), intstr.FromString("30%")
	for _, tt := range []struct {
		name string
		spec v1beta1.RolloutSpec
		want rollout.Settings
	}{
		{"nothing gives the defaults", v1beta1.RolloutSpec{}, rollout.Settings{MaxUnavailable: rollout.MaxUnavailable{Count: 1}, StepTimeout: 300 * time.Second}},
		{"number of nodes", v1beta1.RolloutSpec{MaxUnavailable: &number, StepTimeoutSeconds: 60, OnFailure: v1beta1.RolloutHalt},
			rollout.Settings{MaxUnavailable: rollout.MaxUnavailable{Count: 7}, StepTimeout: time.Minute, Halt: true}},
		{"share of the nodes", v1beta1.RolloutSpec{MaxUnavailable: &share, OnFailure: v1beta1.RolloutRollback},
			rollout.Settings{MaxUnavailable: rollout.MaxUnavailable{Percent: 30}, StepTimeout: 300 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, RolloutSettings(tt.spec)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// What is stored has to be read again as it was, also by another process.
func TestRolloutStoredIsReadAgain(t *testing.T) {
	at := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	want := rollout.Stored{
		Phase: rollout.PhaseRollingBack, Revision: rollout.Revision{Controller: "aa", Speaker: "bb"}, Good: rollout.Revision{Controller: "aa", Speaker: "cc"},
		Retry: "again", Since: at, Proven: true, Unverified: true, Quiet: "n4", Lost: 1, Failure: rollout.Failure{Node: "n1", Why: "the pod p: the speaker is not ready", Unreceived: true},
		Edits: rollout.Edits{Generation: 7, First: at.Add(-time.Minute), Last: at},
		Steps: []rollout.Step{
			{Node: "n1", Pod: "uid-1", Since: at.Add(time.Second), Tries: 2, Broken: true, Gap: 3, Addresses: 4, Routes: 5, Others: 6, Moved: true, CoveredBy: "n2", CoveredByStarted: at.Add(-time.Hour)},
			{Node: "n2", Since: at.Add(time.Minute), CoveredBy: "n3", Sessions: []bgp.PeerName{"tor-a", "tor-b"}},
		},
	}
	text, err := json.Marshal(RolloutStatus(want, rollout.Progress{}, "words"))
	if err != nil {
		t.Fatal(err)
	}
	var status v1beta1.RolloutStatus
	if err := json.Unmarshal(text, &status); err != nil {
		t.Fatal(err)
	}
	if got := ParseRolloutStatus(&status); !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := ParseRolloutStatus(nil); !got.Equal(rollout.Stored{}) {
		t.Errorf("nothing stored: got %+v, want the zero value", got)
	}
}
