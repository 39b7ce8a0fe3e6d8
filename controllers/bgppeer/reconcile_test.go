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
	"github.com/lbstack/lbstack/controllers/request"
)

func TestReconcile_SessionsThatEndAndComeBack(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	peer := tor()
	peer.Generation = 1
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(peer).
		WithObjects(peer, state, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}).Build()
	recorder := events.NewFakeRecorder(10)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &Reconciler{Client: c, Events: recorder, Now: func() time.Time { return now }}
	report := func(to v1beta1.BGPState, flaps int32) func() {
		return func() {
			state.Status.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor", State: to, LastError: "closed", Flaps: flaps}}
			if err := c.Update(t.Context(), state); err != nil {
				t.Fatal(err)
			}
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
		{"a session begins", 0, nil, v1beta1.ReasonConnecting, 3 * s, []string{"Normal PeerValid the peer is in effect"}},
		{"it is late", 4 * s, nil, v1beta1.ReasonNoSession, 0, nil},
		{"it is established", s, report(v1beta1.BGPEstablished, 0), v1beta1.ReasonAllEstablished, 0, []string{"Normal Established the session is established on 1 of 1 node"}},
		{"it ends", s, report(v1beta1.BGPActive, 1), v1beta1.ReasonConnecting, 3 * s, []string{"Warning SessionLost the session is established on 0 of 1 node; n1: closed"}},
		{"it is back", s, report(v1beta1.BGPEstablished, 1), v1beta1.ReasonAllEstablished, 0, []string{"Normal Established the session is established on 1 of 1 node"}},
		{"it ends for the third time", s, report(v1beta1.BGPActive, 3), v1beta1.ReasonFlapping, 60 * s, []string{"Warning Flapping "}},
		{"it is back again", s, report(v1beta1.BGPEstablished, 3), v1beta1.ReasonFlapping, 0, nil},
		{"it ends again", s, report(v1beta1.BGPActive, 4), v1beta1.ReasonFlapping, 60 * s, nil},
		{"it does not come back", 60 * s, nil, v1beta1.ReasonNoSession, 0, nil},
	} {
		now = now.Add(look.after)
		if look.do != nil {
			look.do()
		}
		result, err := r.Reconcile(t.Context(), request.AllObjects)
		if err != nil || result.RequeueAfter != look.again {
			t.Errorf("%s: got %v, %v, want to look again after %s", look.name, result, err, look.again)
		}
		got := &v1beta1.BGPPeer{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(peer), got); err != nil {
			t.Fatal(err)
		}
		if c := meta.FindStatusCondition(got.Status.Conditions, v1beta1.ConditionEstablished); c.Reason != look.reason || got.Status.ObservedGeneration != 1 {
			t.Errorf("%s: got %+v, want %s", look.name, got.Status, look.reason)
		}
		var reported []string
		for len(recorder.Events) > 0 {
			e := <-recorder.Events
			if n := len("Warning Flapping "); len(e) > n && e[:n] == "Warning Flapping " {
				e = e[:n]
			}
			reported = append(reported, e)
		}
		if diff := cmp.Diff(look.events, reported); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", look.name, diff)
		}
	}
}
