package bgppeer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/validity"
)

func TestSpeakersHaveTimeToBeginASession(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	peer := tor(func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &v1beta1.PasswordSecret{Name: "key"} })
	peer.Generation = 1
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(peer).
		WithObjects(peer, state, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}).Build()
	recorder := events.NewFakeRecorder(10)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &Reconciler{Client: c, Events: recorder, Now: func() time.Time { return now }}
	establish := func() {
		state.Status.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor", State: v1beta1.BGPEstablished}}
		if err := c.Update(t.Context(), state); err != nil {
			t.Fatal(err)
		}
	}
	const s = time.Second
	for _, look := range []struct {
		name   string
		after  time.Duration
		do     func()
		reason string
		again  time.Duration
		events []string
	}{
		{"at first nothing is wrong", 0, nil, v1beta1.ReasonPeerValid, 10 * s, []string{"Normal PeerValid the peer is in effect"}},
		{"nor is it soon after", 4 * s, nil, v1beta1.ReasonPeerValid, 6 * s, nil},
		{"then it is", 6 * s, nil, v1beta1.ReasonPasswordMissing, 0, []string{"Warning PasswordMissing "}},
		{"once", s, nil, v1beta1.ReasonPasswordMissing, 0, nil},
		{"until there is a session", s, establish, v1beta1.ReasonPeerValid, 0, []string{"Normal PeerValid the peer is in effect", "Normal Established 1 of 1 node"}},
	} {
		now = now.Add(look.after)
		if look.do != nil {
			look.do()
		}
		result, err := r.Reconcile(t.Context(), validity.All)
		if err != nil || result.RequeueAfter != look.again {
			t.Errorf("%s: got %v, %v, want to look again after %s", look.name, result, err, look.again)
		}
		got := &v1beta1.BGPPeer{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(peer), got); err != nil {
			t.Fatal(err)
		}
		if ready := meta.FindStatusCondition(got.Status.Conditions, v1beta1.ConditionReady); ready.Reason != look.reason || got.Status.ObservedGeneration != 1 {
			t.Errorf("%s: got %+v, want %s", look.name, got.Status, look.reason)
		}
		var told []string
		for len(recorder.Events) > 0 {
			e := <-recorder.Events
			if n := len("Warning PasswordMissing "); len(e) > n && e[:n] == "Warning PasswordMissing " {
				e = e[:n]
			}
			told = append(told, e)
		}
		if diff := cmp.Diff(look.events, told); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", look.name, diff)
		}
	}
}
