package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// Another load balancer writes its address to the status five times a second. The Service
// stays announced, the controller restores the status ever more seldom and names the other
// writer, and all is well soon after that one stops.
func TestAnotherWriterOfTheStatusDoesNotMakeTheAddressFlap(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.advertise("all")
	b.controller()
	node1 := b.speaker("node1")
	web := b.service("web")
	b.endpoints("web", "node1")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	b.announced("web", v1beta1.ReasonAnnounced, "by node1")
	b.quiet()

	_, changes := b.watchServices()
	overwrite := client.RawPatch(types.MergePatchType, []byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`))
	otherWriter(t, func(ctx context.Context) error {
		return b.Status().Patch(ctx, web.DeepCopy(), overwrite, client.FieldOwner("other-lb"))
	})
	stopped := time.Now()
	eventually.Succeed(t, within, "the status is restored after the other writer stops", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		c := allocated(svc)
		if got := ingress(svc); got != "10.9.0.1" || c.Status != metav1.ConditionTrue || c.Reason != v1beta1.ReasonStatusOverwritten {
			return fmt.Errorf("status has %q, condition %s", got, allocatedText(svc))
		}
		if !strings.Contains(c.Message, `the field manager "other-lb" overwrites status.loadBalancer`) || !strings.Contains(c.Message, "spec.loadBalancerClass") {
			return fmt.Errorf("the message %q does not name the other writer, or what to do", c.Message)
		}
		return nil
	})
	t.Logf("restored %v after the other writer stopped", time.Since(stopped).Round(time.Millisecond))

	restored, showed := 0, "10.9.0.1"
	for len(changes.ResultChan()) > 0 || showed != "10.9.0.1" || restored == 0 {
		e := <-changes.ResultChan()
		svc, is := e.Object.(*corev1.Service)
		if !is || e.Type != watch.Modified {
			continue
		}
		if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced); c == nil || c.Status != metav1.ConditionTrue {
			t.Errorf("while the other one writes: got condition %+v, want announced", c)
		}
		if now := ingress(svc); now != showed {
			if showed = now; now == "10.9.0.1" {
				restored++
			}
		}
	}
	changes.Stop()
	t.Logf("%d restorations of %d foreign writes", restored, int(fight/(200*time.Millisecond)))
	if restored > mostRestored {
		t.Errorf("restored %d times in %v, want at most %d", restored, fight, mostRestored)
	}
	for reason, most := range map[string]int{v1beta1.ReasonStatusOverwritten: 1, v1beta1.ReasonAnnounced: 1, v1beta1.ReasonAllocated: 1} {
		if notes, err := b.notes(context.Background(), "web", reason); err != nil || len(notes) > most {
			t.Errorf("events %s: got %q, %v, want %d", reason, notes, err, most)
		}
	}
	eventually.Succeed(t, within, "the condition is as before a minute later", func(ctx context.Context) error {
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		if allocated(svc).Reason != v1beta1.ReasonAllocated {
			return fmt.Errorf("condition %s", allocatedText(svc))
		}
		return nil
	})
}
