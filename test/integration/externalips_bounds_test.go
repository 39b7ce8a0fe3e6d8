package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// headless is a Service that takes no ClusterIP.
func headless(svc *corev1.Service) {
	svc.Spec.Type, svc.Spec.ClusterIP = corev1.ServiceTypeClusterIP, corev1.ClusterIPNone
}

// leftOut waits until so many Services of the namespace report that their externalIPs are not compared.
func (b *bed) leftOut(want int) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%d Services of %s are left out", want, b.namespace), func(ctx context.Context) error {
		var list corev1.ServiceList
		if err := b.List(ctx, &list, client.InNamespace(b.namespace)); err != nil {
			return err
		}
		got := 0
		for i := range list.Items {
			c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1beta1.ServiceExternalIPConflict)
			if c != nil && c.Reason == v1beta1.ReasonTooManyExternalIPs && c.Status == metav1.ConditionUnknown {
				got++
			}
		}
		if got != want {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// One tenant lists as many addresses as are compared in all: that is reported on one of its own
// Services, and what another tenant lists is compared.
func TestExternalIPs_OneTenantListsMoreThanAreCompared(t *testing.T) {
	b := newBed(t)
	greedy, other := b.elsewhere(nil), b.elsewhere(nil)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	for i := range 512 {
		list := make([]string, 0, 64)
		for j := range 64 {
			list = append(list, fmt.Sprintf("172.16.%d.%d", i%256, i/256*64+j))
		}
		greedy.service(fmt.Sprintf("s%d", i), headless, external(list...))
	}
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	greedy.leftOut(0)
	other.service("old", headless, external("10.9.0.1"))
	other.conflicts("old", v1beta1.ReasonAddressOfPool, "in use by a Service of another namespace")
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, "a Service of another namespace")
	greedy.leftOut(1)
	other.leftOut(0)
	other.remove("old")
	b.conflicts("web", "")
	greedy.leftOut(0)
}

// A tenant edits its externalIPs each second: the Service that has the address is not written
// each time.
func TestExternalIPs_ListThatAlternates(t *testing.T) {
	b := newBed(t)
	other := b.elsewhere(nil)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	old := other.service("old", headless)
	b.quiet()
	_, w := b.watchServices()
	defer w.Stop()
	writes, ticks := 0, time.NewTicker(1500*time.Millisecond)
	defer ticks.Stop()
	for edits := 0; edits < 16; {
		select {
		case <-w.ResultChan():
			writes++
		case <-ticks.C:
			if edits++; edits%2 == 1 {
				other.edit(old, external("10.9.0.1"))
			} else {
				other.edit(old, external())
			}
		}
	}
	if writes == 0 || writes > 4 {
		t.Errorf("16 edits in 24 s: got %d writes of the Service that has the address, want 1 to 4", writes)
	}
}
