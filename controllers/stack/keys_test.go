package stack

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/keyring"
	"github.com/lbstack/lbstack/internal/lb"
)

func meshKey(number uint64, char string) keyring.Entry {
	return keyring.NewEntry(number, [keyring.KeySize]byte(bytes.Repeat([]byte(char), keyring.KeySize)))
}

func TestRotation(t *testing.T) {
	a, b := meshKey(1, "a"), meshKey(2, "b")
	both := func(late bool, waiting ...lb.NodeName) keyring.RotationPlan {
		return keyring.RotationPlan{Keys: []keyring.Entry{b, a}, Waiting: waiting, Late: late, Until: time.Date(2026, 11, 29, 13, 0, 0, 5, time.UTC)}
	}
	tests := []struct {
		name          string
		plan          keyring.RotationPlan
		reason, words string
	}{
		{name: "nothing was decided"},
		{name: "one key that all speakers accept", plan: keyring.RotationPlan{Keys: []keyring.Entry{a}}},
		{name: "speakers do not have the new key yet", plan: both(false, "n1", "n2"), reason: v1beta1.ReasonKeyRotating,
			words: "the speakers on n1 and n2 do not accept the new key " + b.ID + " of the mesh yet"},
		{name: "all speakers have the new key", plan: both(false), reason: v1beta1.ReasonKeyRotating, words: "the former key is removed within a minute"},
		{name: "speaker without the new key for long", plan: both(true, "n2"), reason: v1beta1.ReasonKeyNotAccepted,
			words: "the speakers on n2 do not accept the new key " + b.ID + " of the mesh: the former key is removed at 2026-11-29 13:00:00 UTC at the latest, which isolates the speakers that do not accept the new key"},
		{name: "key that replaced a deleted one", plan: keyring.RotationPlan{Keys: []keyring.Entry{b}, Waiting: []lb.NodeName{"n1"}}, reason: v1beta1.ReasonKeyRotating, words: "the speakers on n1 do not accept the new key"},
		{name: "key that replaced a deleted one, for long", plan: keyring.RotationPlan{Keys: []keyring.Entry{b}, Waiting: []lb.NodeName{"n1"}, Late: true}, reason: v1beta1.ReasonKeyNotAccepted,
			words: "these speakers still use keys that the Secret does not have any more: look at the pods of these speakers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reason, message := rotationReason(tt.plan)
			if reason != tt.reason || !strings.Contains(message, tt.words) || (reason == "") != (message == "") {
				t.Errorf("got  %s: %s\nwant %s: ... %s ...", reason, message, tt.reason, tt.words)
			}
		})
	}
}

func TestAssess_KeyRotationIsPresentOnlyWhileUnderWay(t *testing.T) {
	under := findings{keys: keyring.RotationPlan{Keys: []keyring.Entry{meshKey(2, "b"), meshKey(1, "a")}}}
	status := v1beta1.LoadBalancerStackStatus{}
	for _, step := range []struct {
		name  string
		found findings
		want  bool
	}{
		{"one key", findings{keys: keyring.RotationPlan{Keys: []keyring.Entry{meshKey(1, "a")}}}, false},
		{"two keys", under, true},
		{"a pass that does not read the Secret reports no change", findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "no", endsByRetry}}}, true},
		{"the former key is gone", findings{keys: keyring.RotationPlan{Keys: []keyring.Entry{meshKey(2, "b")}}}, false},
		{"two keys again", under, true},
		{"the stack is removed", findings{removing: new("waiting")}, false},
	} {
		status = buildStatus(status, step.found)
		c := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionKeyRotation)
		if (c != nil) != step.want || (c != nil && c.Status != metav1.ConditionTrue) {
			t.Errorf("%s: got the condition %+v, want one: %t", step.name, c, step.want)
		}
	}
}

func TestSurroundings_Speakers(t *testing.T) {
	state := func(node string, phase v1beta1.SpeakerPhase, keys ...string) v1beta1.SpeakerState {
		return v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}, Status: v1beta1.SpeakerStateStatus{Phase: phase, MeshKeys: keys}}
	}
	s := &clusterState{
		placement: placement{down: map[string]bool{"down": true}},
		pods:      []corev1.Pod{speakerPod("up", corev1.ConditionTrue), speakerPod("starts", corev1.ConditionFalse), speakerPod("restarts", corev1.ConditionFalse)},
		states: []v1beta1.SpeakerState{
			state("up", v1beta1.SpeakerActive, "11", "22"), state("down", v1beta1.SpeakerActive, "11"),
			state("stopped", v1beta1.SpeakerStopped, "11"), state("restarts", v1beta1.SpeakerStopped, "11"),
		},
	}
	want := map[lb.NodeName]keyring.SpeakerKeys{"up": {Accepts: []string{"11", "22"}}, "down": {Accepts: []string{"11"}, Down: true}, "starts": {}, "restarts": {}}
	if diff := cmp.Diff(want, s.speakerKeys()); diff != "" {
		t.Errorf("speakers (-want +got):\n%s", diff)
	}
}

func TestPutKeys(t *testing.T) {
	object, err := findKeySecret(renderedObjects(t))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 11, 29, 13, 0, 0, 999, time.FixedZone("", 3600))
	setKeys(object, keyring.RotationPlan{Keys: []keyring.Entry{meshKey(2, "b"), meshKey(1, "a")}, Since: since, Done: "x"})
	text := func(char string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(char, keyring.KeySize)))
	}
	if diff := cmp.Diff(any(map[string]any{"key-1": text("a"), "key-2": text("b")}), object.Object["data"]); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{annotationKeySince: "2026-11-29T12:00:00Z", annotationKeyRotation: "x"}, object.GetAnnotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestNewKey_Random(t *testing.T) {
	seen := map[[keyring.KeySize]byte]bool{{}: true}
	for range 100 {
		key := newKey()
		if seen[key] {
			t.Fatal("got a key twice, or zeros")
		}
		seen[key] = true
	}
}

func TestInvalidKeys_NamesEntriesAndConsequence(t *testing.T) {
	secret := ref("", "v1", "Secret", "n", "lbstack-mesh-keys")
	damaged := errors.Join(errors.New(`the entry "key-1": why`), errors.New(`the entry "x": why not`))
	for valid, consequence := range map[int]string{0: "makes a new key", 1: "keeps the valid keys: to replace them"} {
		want := fmt.Sprintf(`the Secret n/lbstack-mesh-keys: the entry "key-1": why; the entry "x": why not: the operator removes these entries and %s`, consequence)
		if got := invalidKeysSentence(secret, damaged, valid); !strings.HasPrefix(got, want) {
			t.Errorf("%d valid keys:\ngot  %s\nwant %s", valid, got, want)
		}
	}
}
