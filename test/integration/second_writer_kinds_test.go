package integration

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// fight is how long another writer and the controller undo each other's writes in these tests, and
// mostRestored how often the controller may restore its own meanwhile.
const (
	fight        = 20 * time.Second
	mostRestored = 12
)

// otherWriter writes, five times a second, for as long as a fight lasts.
func otherWriter(t *testing.T, write func(context.Context) error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(fight); time.Now().Before(end); <-tick.C {
		if err := write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Another controller undoes what lbstack writes, five times a second: whole statuses without its
// conditions, the state of a claim, and claims themselves. Each is restored ever more seldom.
func TestAnotherWriter_IsAnsweredEverMoreSeldom(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all")
	peer := bgpPeer("second-writer")
	peer.Spec = v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65001, PeerAddress: "10.0.0.1"}
	create(t, b.Client, peer)
	reserved := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "10.9.0.9"}, Spec: v1beta1.IPAddressClaimSpec{Address: "10.9.0.9", Pool: "pool", State: v1beta1.ClaimReserved}}
	create(t, b.Client, reserved)
	b.controller()
	node1 := b.speaker("node1")
	web := b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	b.service("db")
	b.has("db", "10.9.0.2")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.quiet()

	withoutConditions := func(o client.Object) error {
		return b.Status().Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":null}}`)), client.FieldOwner("other"))
	}
	has := func(conditions []metav1.Condition, kind string) bool {
		return meta.FindStatusCondition(conditions, kind) != nil
	}
	claim := func(name string) *v1beta1.IPAddressClaim {
		return &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	for _, tt := range []struct {
		name   string
		object client.Object
		is     func(client.Object) bool
		undo   func(client.Object) error
	}{
		{"conditions of a Service", web.DeepCopy(), func(o client.Object) bool {
			return has(o.(*corev1.Service).Status.Conditions, v1beta1.ServiceAnnounced)
		}, withoutConditions},
		{"conditions of a BGPPeer", peer, func(o client.Object) bool { return has(o.(*v1beta1.BGPPeer).Status.Conditions, v1beta1.ConditionReady) }, withoutConditions},
		{"conditions of a SpeakerState", &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node1"}},
			func(o client.Object) bool {
				return has(o.(*v1beta1.SpeakerState).Status.Conditions, v1beta1.ConditionCurrent)
			}, withoutConditions},
		{"conditions of an IPAddressClaim", reserved, func(o client.Object) bool {
			return has(o.(*v1beta1.IPAddressClaim).Status.Conditions, v1beta1.ConditionReady)
		}, withoutConditions},
		{"state of an IPAddressClaim", claim("10.9.0.1"), func(o client.Object) bool { return o.(*v1beta1.IPAddressClaim).Spec.State == v1beta1.ClaimInUse }, func(o client.Object) error {
			return b.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"state":"Reserved"}}`)), client.FieldOwner("other"))
		}},
		{"IPAddressClaim", claim("10.9.0.2"), func(o client.Object) bool { return o.GetDeletionTimestamp() == nil }, func(o client.Object) error { return b.Delete(t.Context(), o) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			restored := -1 // it is there to begin with
			otherWriter(t, func(ctx context.Context) error {
				err := b.Get(ctx, client.ObjectKeyFromObject(tt.object), tt.object)
				if apierrors.IsNotFound(err) || err == nil && !tt.is(tt.object) {
					return nil
				}
				if err != nil {
					return err
				}
				restored++
				return tt.undo(tt.object)
			})
			if t.Logf("restored %d times in %v", restored, fight); restored < 2 || restored > mostRestored {
				t.Errorf("restored %d times in %v, want 2 to %d", restored, fight, mostRestored)
			}
		})
	}
}
