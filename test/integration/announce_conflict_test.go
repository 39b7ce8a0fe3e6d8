package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// conflictBed returns a bed with a pool, a running controller, and the speaker of node1, which may announce
// all addresses.
func conflictBed(t *testing.T, addresses string) (b *bed, controller *process, node1 *speaker) {
	t.Helper()
	b = newBed(t)
	b.poolWith("pool", addresses)
	controller = b.controller()
	b.machine("node1", nil)
	b.advertise("conflicts")
	return b, controller, b.speaker("node1")
}

func TestServiceLeavesAnAddressThatAForeignHostUses(t *testing.T) {
	b, controller, node1 := conflictBed(t, "10.9.0.1-10.9.0.9")
	b.service("web")
	b.has("web", "10.9.0.1")
	node1.setConflicts(false, "10.9.0.1")
	b.has("web", "10.9.0.2")
	b.warned("web", v1beta1.ReasonAddressConflict, foreignMAC, "10.9.0.1", "10.9.0.2", "node1", "eth0")
	b.free("10.9.0.1")
	b.poolConflict("pool", "10.9.0.1")
	b.event("pool", v1beta1.ReasonForeignHost)

	// No node has the address now, so that no node can report the host. The address is still held back.
	node1.setConflicts(false)
	node1.owns(1, "10.9.0.2")
	b.service("next")
	b.has("next", "10.9.0.3")
	b.poolConflict("pool", "10.9.0.1")
	b.service("eager", asking("10.9.0.1"))
	b.refused("eager", v1beta1.ReasonAddressInUse)
	b.quiet()
	crash(controller)
	b.controller()
	b.service("late")
	b.has("late", "10.9.0.4")
	b.keeps("web", "10.9.0.2")
	b.poolConflict("pool", "10.9.0.1")
	b.nothingIsWritten()
}

func TestHeldBackAddressIsGivenAgainWhenTheTimeIsOver(t *testing.T) {
	b, first, node1 := conflictBed(t, "10.9.0.1-10.9.0.9")
	b.service("web")
	b.has("web", "10.9.0.1")
	node1.setConflicts(false, "10.9.0.1")
	b.has("web", "10.9.0.2")
	node1.setConflicts(false)
	b.service("next")
	b.has("next", "10.9.0.3")
	crash(first)
	pool := &v1beta1.IPAddressPool{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: "pool"}, pool); err != nil {
		t.Fatal(err)
	}
	if len(pool.Status.Foreign) != 1 || pool.Status.Foreign[0].Until == nil {
		t.Fatalf("status.foreign: got %+v, want one that ends", pool.Status.Foreign)
	}
	pool.Status.Foreign[0].Until = &metav1.Time{Time: time.Now().Add(-time.Second)}
	if err := b.Status().Update(context.Background(), pool); err != nil {
		t.Fatal(err)
	}
	b.controller()
	b.poolConflict("pool", "")
	b.service("late")
	b.has("late", "10.9.0.1")
	b.keeps("web", "10.9.0.2")
}

func TestServiceThatAsksForAnAddressHasItDespiteAForeignHost(t *testing.T) {
	b, controller, node1 := conflictBed(t, "10.9.0.1-10.9.0.9")
	b.service("web", asking("10.9.0.1"))
	b.has("web", "10.9.0.1")
	node1.setConflicts(false, "10.9.0.1")
	b.claimConflict("10.9.0.1", true)
	b.event("10.9.0.1", v1beta1.ReasonForeignHost)
	b.poolConflict("pool", "10.9.0.1")
	b.announced("web", v1beta1.ReasonAddressConflict, foreignMAC, "10.9.0.1", "node1", "eth0")
	b.warned("web", v1beta1.ReasonAddressConflict, foreignMAC)
	b.keeps("web", "10.9.0.1")
	b.impact("pool") // it is not one that Evict would take away
	crash(controller)
	b.controller()
	b.keeps("web", "10.9.0.1")
	b.claimConflict("10.9.0.1", true)
	b.nothingIsWritten()

	// The host is gone, and the speaker announces the address.
	node1.status.Conflicts = nil
	node1.owns(1, "10.9.0.1")
	b.claimConflict("10.9.0.1", false)
	b.poolConflict("pool", "")
	b.poolCounts("pool", "9/1/8", "")
	b.announced("web", v1beta1.ReasonAnnounced, "node1")
	b.keeps("web", "10.9.0.1")
}

func TestNothingIsTakenAwayWhereTheAddressWasInUseBefore(t *testing.T) {
	b, _, node1 := conflictBed(t, "10.9.0.1-10.9.0.9")
	b.service("web")
	b.has("web", "10.9.0.1")
	node1.owns(1, "10.9.0.1")
	node1.setConflicts(true, "10.9.0.1")
	b.poolConflict("pool", "10.9.0.1")
	b.claimConflict("10.9.0.1", true)
	b.announced("web", v1beta1.ReasonAnnounced, foreignMAC, "10.9.0.1", "node1 on eth0")
	b.warned("web", v1beta1.ReasonAddressConflict, foreignMAC, "as well")
	b.keeps("web", "10.9.0.1")
	b.nothingIsWritten()
	b.remove("web")
	b.service("next")
	b.has("next", "10.9.0.2") // the host is still there
	node1.setConflicts(false)
	b.poolConflict("pool", "")
}

func TestServiceStaysOnAForeignHostsAddressUntilThereIsAnother(t *testing.T) {
	b, _, node1 := conflictBed(t, "10.9.0.1-10.9.0.2")
	b.service("web")
	b.has("web", "10.9.0.1")
	b.service("other")
	b.has("other", "10.9.0.2")
	node1.setConflicts(false, "10.9.0.1")
	b.shows("web", "10.9.0.1", v1beta1.ReasonPoolExhausted)
	b.claimConflict("10.9.0.1", true)
	b.remove("other")
	b.has("web", "10.9.0.2")
	b.free("10.9.0.1")
}

func TestReservedAddressReportsTheForeignHost(t *testing.T) {
	b, _, node1 := conflictBed(t, "10.9.0.1-10.9.0.9")
	b.reservedFor("10.9.0.7", "later")
	b.claimCondition("10.9.0.7", "True", v1beta1.ReasonClaimReserves)
	node1.setConflicts(false, "10.9.0.7")
	b.claimConflict("10.9.0.7", true)
	b.service("later")
	b.has("later", "10.9.0.1") // and takes it up when it is free
	b.claimCondition("10.9.0.7", "True", v1beta1.ReasonClaimReserves)
	b.poolCounts("pool", "8/1/7", "")
	b.nothingIsWritten()
}

// TestConflict_OfANodeThatIsNoCandidate has states of speakers that lie, as one whose node
// was taken over, and of nodes that do not exist.
func TestConflict_OfANodeThatIsNoCandidate(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.machine("node1", map[string]string{"rack": "1"})
	b.machine("node2", nil)
	b.advertise("rack", func(spec *v1beta1.L2AdvertisementSpec) {
		spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "1"}}}
	})
	b.service("web")
	b.has("web", "10.9.0.1")
	b.speaker("ghost").setConflicts(false, "10.9.0.1", "10.9.0.2")
	b.speaker("node2").setConflicts(false, "10.9.0.1", "10.9.0.3")
	candidate := b.speaker("node1")
	candidate.setConflicts(false, "10.9.0.4", "10.9.0.5") // which nobody has
	b.quiet()
	b.keeps("web", "10.9.0.1")
	b.poolConflict("pool", "")
	b.service("next")
	b.has("next", "10.9.0.2")
	candidate.setConflicts(false, "10.9.0.1")
	b.has("web", "10.9.0.3")
	b.poolConflict("pool", "10.9.0.1")
}

// TestConflict_HostThatAnswersForAll keeps most of the pool: the Service stops moving.
func TestConflict_HostThatAnswersForAll(t *testing.T) {
	b, controller, node1 := conflictBed(t, "10.9.0.1-10.9.0.4")
	b.service("web")
	b.has("web", "10.9.0.1")
	node1.setConflicts(false, "10.9.0.1")
	b.has("web", "10.9.0.2")
	node1.setConflicts(false, "10.9.0.2")
	b.has("web", "10.9.0.3")
	node1.setConflicts(false, "10.9.0.3")
	b.claimConflict("10.9.0.3", true)
	b.quiet()
	b.keeps("web", "10.9.0.3")
	b.service("next")
	b.has("next", "10.9.0.4")
	pool := b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonForeignHost)
	message := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionConflict).Message
	for _, part := range []string{"the host with the MAC " + foreignMAC + " uses 3 of the 3 addresses in status.foreign", "10.9.0.3", "the pool gives these addresses nevertheless", "conflictDetection"} {
		if !strings.Contains(message, part) {
			t.Errorf("the pool has the message %q, want %q", message, part)
		}
	}
	b.quiet()
	crash(controller)
	b.controller()
	b.quiet()
	b.keeps("web", "10.9.0.3")
}
