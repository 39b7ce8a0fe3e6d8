package integration

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Another controller writes whole statuses without the conditions of lbstack, five times a
// second: each condition is restored ever more seldom.
func TestAnotherWriterOfConditions_IsAnsweredEverMoreSeldom(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all")
	peer := bgpPeer("second-writer")
	peer.Spec = v1beta1.BGPPeerSpec{MyASN: 65000, PeerASN: 65001, PeerAddress: "10.0.0.1"}
	create(t, b.Client, peer)
	b.controller()
	node1 := b.speaker("node1")
	web := b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.quiet()

	for _, tt := range []struct {
		kind       string
		object     client.Object
		conditions func(client.Object) *[]metav1.Condition
		is         string
	}{
		{"Service", web.DeepCopy(), func(o client.Object) *[]metav1.Condition { return &o.(*corev1.Service).Status.Conditions }, v1beta1.ServiceAnnounced},
		{"BGPPeer", peer, func(o client.Object) *[]metav1.Condition { return &o.(*v1beta1.BGPPeer).Status.Conditions }, v1beta1.ConditionReady},
		{"SpeakerState", &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node1"}}, func(o client.Object) *[]metav1.Condition { return &o.(*v1beta1.SpeakerState).Status.Conditions }, v1beta1.ConditionCurrent},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			const fight, most = 20 * time.Second, 12
			remove := client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":null}}`))
			restored := 0
			end := time.Now().Add(fight)
			for tick := time.NewTicker(200 * time.Millisecond); time.Now().Before(end); <-tick.C {
				if err := b.Get(t.Context(), client.ObjectKeyFromObject(tt.object), tt.object); err != nil {
					t.Fatal(err)
				}
				if meta.FindStatusCondition(*tt.conditions(tt.object), tt.is) == nil {
					continue
				}
				restored++
				if err := b.Status().Patch(t.Context(), tt.object, remove, client.FieldOwner("other")); err != nil {
					t.Fatal(err)
				}
			}
			if t.Logf("restored %d times in %v", restored-1, fight); restored-1 > most {
				t.Errorf("restored %d times in %v, want at most %d", restored-1, fight, most)
			}
			if restored < 3 {
				t.Errorf("restored %d times in %v, want that it is restored", restored-1, fight)
			}
		})
	}
}
