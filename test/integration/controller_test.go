package integration

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestServicesGetAddresses(t *testing.T) {
	b := newBed(t)
	b.pool("first-pool", "192.168.1.240-192.168.1.241", "2001:db8::10-2001:db8::1f")
	b.controller()

	b.service("web", annotated("metallb.universe.tf/address-pool", "first-pool"))
	b.has("web", "192.168.1.240")
	b.service("six", func(svc *corev1.Service) { svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} })
	b.has("six", "2001:db8::10")

	svc, err := b.get(context.Background(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if got := svc.Annotations[v1beta1.AnnotationAllocatedFromPool]; got != "first-pool" {
		t.Errorf("annotation %s: got %q, want first-pool", v1beta1.AnnotationAllocatedFromPool, got)
	}
	if mode := svc.Status.LoadBalancer.Ingress[0].IPMode; mode == nil || *mode != corev1.LoadBalancerIPModeVIP {
		t.Errorf("ipMode: got %v, want VIP", mode)
	}
	eventually.Succeed(t, within, "the pool counts its addresses", func(ctx context.Context) error {
		pool := b.poolReady("first-pool", v1beta1.ReasonPoolReady)
		want := v1beta1.AddressUsage{Total: "2", Used: 1, Free: "1"}
		if pool.Status.IPv4 == nil || *pool.Status.IPv4 != want {
			return fmt.Errorf("IPv4: got %+v, want %+v", pool.Status.IPv4, want)
		}
		return nil
	})
}

func TestDeletedServiceFreesItsAddressForWaitingServices(t *testing.T) {
	b := newBed(t)
	b.pool("tiny", "192.168.1.240")
	b.controller()
	first := b.service("first")
	b.has("first", "192.168.1.240")
	b.service("second")
	b.refused("second", v1beta1.ReasonPoolExhausted)
	remove(t, b.Client, first)
	b.has("second", "192.168.1.240")
}

func TestRefusalsAreReportedAndEndByThemselves(t *testing.T) {
	b := newBed(t)
	b.controller()
	b.service("early")
	b.refused("early", v1beta1.ReasonNoPool)
	b.service("named", annotated("lbstack.io/address-pool", "later"))
	b.refused("named", v1beta1.ReasonUnknownPool)

	b.pool("later", "10.9.0.1-10.9.0.9")
	// Both waited; who is first gets the lower address.
	first, second := b.anyOf("named", "10.9.0.1", "10.9.0.2"), b.anyOf("early", "10.9.0.1", "10.9.0.2")
	if first == second {
		t.Errorf("both have %s", first)
	}

	b.service("elsewhere", annotated("lbstack.io/load-balancer-ips", "10.77.0.1"))
	b.refused("elsewhere", v1beta1.ReasonAddressNotInPool)
	b.service("taken", annotated("lbstack.io/load-balancer-ips", "10.9.0.1"))
	b.refused("taken", v1beta1.ReasonAddressInUse)
	b.service("nonsense", annotated("lbstack.io/load-balancer-ips", "web.example"))
	b.refused("nonsense", v1beta1.ReasonInvalidRequest)
	b.service("both", func(svc *corev1.Service) {
		policy := corev1.IPFamilyPolicyRequireDualStack
		svc.Spec.IPFamilyPolicy = &policy
	})
	b.refused("both", v1beta1.ReasonNoPool)
}

func TestRequestThatCannotBeMetLeavesTheAddress(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	svc := b.service("web")
	b.has("web", "10.9.0.1")
	b.edit(svc, annotated("lbstack.io/address-pool", "nope"))
	refused := b.refused("web", v1beta1.ReasonUnknownPool)
	if got := ingress(refused); got != "10.9.0.1" {
		t.Errorf("address: got %q, want 10.9.0.1 still", got)
	}
	b.edit(svc, annotated("lbstack.io/address-pool", "pool"))
	b.edit(svc, annotated("lbstack.io/load-balancer-ips", "10.9.0.7"))
	b.has("web", "10.9.0.7")
	b.free("10.9.0.1")
}

func TestInvalidPoolsAreReportedAndDisturbNoOtherPool(t *testing.T) {
	b := newBed(t)
	b.pool("good", "10.9.0.1-10.9.0.2")
	b.controller()
	b.poolReady("good", v1beta1.ReasonPoolReady)
	b.service("web")
	b.has("web", "10.9.0.1")

	b.pool("backwards", "10.8.0.9-10.8.0.1")
	b.poolReady("backwards", v1beta1.ReasonInvalidAddresses)
	b.event("backwards", v1beta1.ReasonInvalidAddresses)
	b.pool("overlapping", "10.9.0.2-10.9.0.200")
	b.poolCondition("overlapping", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	b.event("overlapping", v1beta1.ReasonOverlap)

	b.service("wants-bad", annotated("lbstack.io/address-pool", "backwards"))
	b.refused("wants-bad", v1beta1.ReasonPoolUnusable)
	b.service("more")
	b.has("more", "10.9.0.2")
	b.has("web", "10.9.0.1")
}

func TestPoolEditTakesNoAddressAway(t *testing.T) {
	b := newBed(t)
	pool := b.pool("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.setAddresses(pool, "10.9.0.5-10.9.0.9")
	b.poolReady("pool", v1beta1.ReasonPoolReady) // of the edited pool
	b.service("next")
	b.has("next", "10.9.0.5")
	b.has("web", "10.9.0.1")
	remove(t, b.Client, pool)
	controller.stop(syscall.SIGKILL)
	b.controller()
	b.service("late")
	b.refused("late", v1beta1.ReasonNoPool)
	b.has("web", "10.9.0.1")
}

func TestKilledControllerAdoptsBeforeItGives(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	gone := b.service("gone")
	b.has("gone", "10.9.0.1")
	b.service("stays")
	b.has("stays", "10.9.0.2")
	controller.stop(syscall.SIGKILL)

	// While no controller runs: a Service goes, one is claimed but was never
	// reported (the crash between two writes), one has an address without a claim.
	remove(t, b.Client, gone)
	half := b.service("half")
	create(t, b.Client, claimOf("10.9.0.4", half))
	b.unclaimed("moved", "10.9.0.5")
	b.service("new")

	b.controller()
	b.has("stays", "10.9.0.2")
	b.has("half", "10.9.0.4")
	b.has("moved", "10.9.0.5")
	eventually.Succeed(t, within, "the new Service has an address that was free", func(ctx context.Context) error {
		svc, err := b.get(ctx, "new")
		if err != nil {
			return err
		}
		if got := ingress(svc); got != "10.9.0.1" && got != "10.9.0.3" {
			return fmt.Errorf("status has %q", got)
		}
		return nil
	})
}

func TestOfTwoServicesWithOneAddressTheOlderHasIt(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.unclaimed("older", "10.9.0.3")
	time.Sleep(1100 * time.Millisecond) // creation times have a resolution of a second
	b.unclaimed("a-younger", "10.9.0.3")
	b.controller()
	b.has("older", "10.9.0.3")
	b.has("a-younger", "10.9.0.1")
}

func TestClaimDeletedByHandComesBack(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	if err := b.DeleteAllOf(context.Background(), &v1beta1.IPAddressClaim{}); err != nil {
		t.Fatal(err)
	}
	b.service("other")
	b.has("web", "10.9.0.1")
	b.has("other", "10.9.0.2")
}

func TestReservedAddressIsNotGiven(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	reservation := claimOf("10.9.0.1", nil)
	create(t, b.Client, reservation)
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.2")
	b.service("wants", annotated("metallb.io/loadBalancerIPs", "10.9.0.1"))
	b.refused("wants", v1beta1.ReasonAddressInUse)
	remove(t, b.Client, reservation)
	b.has("wants", "10.9.0.1")
}

func TestReservationIsHandedToAService(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	reservation := claimOf("10.9.0.1", nil)
	create(t, b.Client, reservation)
	b.controller()
	wants := b.service("wants", annotated("lbstack.io/load-balancer-ips", "10.9.0.1"))
	b.refused("wants", v1beta1.ReasonAddressInUse)
	b.handTo(reservation, wants.Name)
	b.has("wants", "10.9.0.1")
}

func TestRenamedPoolTakesItsAddressesAlong(t *testing.T) {
	b := newBed(t)
	old := b.pool("old-name", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	remove(t, b.Client, old)
	b.pool("new-name", "10.9.0.1-10.9.0.9")
	eventually.Succeed(t, within, "claim and Service name the new pool", func(ctx context.Context) error {
		claim, err := b.claim(ctx, "10.9.0.1")
		if err != nil {
			return err
		}
		svc, err := b.get(ctx, "web")
		if err != nil {
			return err
		}
		if named := svc.Annotations[v1beta1.AnnotationAllocatedFromPool]; claim.Spec.Pool != "new-name" || named != "new-name" {
			return fmt.Errorf("the claim names %q, the Service %q", claim.Spec.Pool, named)
		}
		return nil
	})
	b.has("web", "10.9.0.1")
}

func TestAddressWithoutAClaimOutlivesAWrongPool(t *testing.T) {
	b := newBed(t)
	pool := b.pool("pool", "10.9.0.9-10.9.0.1")
	b.unclaimed("moved", "10.9.0.5")
	b.controller()
	if got := ingress(b.refused("moved", v1beta1.ReasonPoolUnusable)); got != "10.9.0.5" {
		t.Errorf("address while the pool is wrong: got %q, want 10.9.0.5 still", got)
	}
	b.setAddresses(pool, "10.9.0.1-10.9.0.9")
	b.has("moved", "10.9.0.5")
}

func TestOnlyOwnServicesAreServed(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	class := "example.com/other"
	b.service("theirs", func(svc *corev1.Service) { svc.Spec.LoadBalancerClass = &class })
	ours := b.service("ours")
	b.has("ours", "10.9.0.1")
	eventually.Stays(t, time.Second, "a Service of another class is left alone", func(ctx context.Context) error {
		svc, err := b.get(ctx, "theirs")
		if err != nil {
			return err
		}
		if len(svc.Status.LoadBalancer.Ingress)+len(svc.Status.Conditions) != 0 {
			return fmt.Errorf("status %+v", svc.Status)
		}
		return nil
	})
	b.edit(ours, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.free("10.9.0.1")
	eventually.Succeed(t, within, "a Service that is no LoadBalancer any more shows nothing of one", func(ctx context.Context) error {
		svc, err := b.get(ctx, "ours")
		if err != nil {
			return err
		}
		if ingress(svc) != "" || allocated(svc) != nil || svc.Annotations[v1beta1.AnnotationAllocatedFromPool] != "" {
			return fmt.Errorf("status %+v, annotations %v", svc.Status, svc.Annotations)
		}
		return nil
	})
}

func TestOutageOfTheAPIServerLosesNothing(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	if err := server.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := server.StartAPIServer(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.service("next")
	// The controller may have lost its lease and ended: as in a cluster, it is
	// started again.
	b.controller()
	b.has("next", "10.9.0.2")
	b.has("web", "10.9.0.1")
}

// edit changes a Service.
func (b *bed) edit(svc *corev1.Service, change func(*corev1.Service)) {
	b.Helper()
	current, err := b.get(context.Background(), svc.Name)
	if err != nil {
		b.Fatal(err)
	}
	next := current.DeepCopy()
	change(next)
	if err := b.Patch(context.Background(), next, client.MergeFrom(current)); err != nil {
		b.Fatalf("editing the Service %s: %v", svc.Name, err)
	}
}

// setAddresses changes what a pool has.
func (b *bed) setAddresses(pool *v1beta1.IPAddressPool, addresses ...v1beta1.AddressRange) {
	b.Helper()
	before := pool.DeepCopy()
	pool.Spec.Addresses = addresses
	if err := b.Patch(context.Background(), pool, client.MergeFrom(before)); err != nil {
		b.Fatalf("changing the pool %s: %v", pool.Name, err)
	}
}

// handTo makes a Service the only holder of a claim, as an administrator does it.
func (b *bed) handTo(claim *v1beta1.IPAddressClaim, service string) {
	b.Helper()
	patch := fmt.Sprintf(`{"spec":{"holders":[{"namespace":%q,"name":%q}],"takeOver":true}}`, b.namespace, service)
	if err := b.Patch(context.Background(), claim, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		b.Fatalf("handing the claim %s to %s: %v", claim.Name, service, err)
	}
}

// unclaimed creates a Service that has an address which no claim has, as
// another load balancer would leave it.
func (b *bed) unclaimed(name, address string) {
	b.Helper()
	svc := b.service(name)
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	if err := b.Status().Update(context.Background(), svc); err != nil {
		b.Fatal(err)
	}
}

// claimOf is the claim of an address, for a Service or as a reservation.
func claimOf(address string, svc *corev1.Service) *v1beta1.IPAddressClaim {
	claim := &v1beta1.IPAddressClaim{
		ObjectMeta: metav1.ObjectMeta{Name: strings.ReplaceAll(address, ":", "-")},
		Spec:       v1beta1.IPAddressClaimSpec{Address: address, Pool: "pool"},
	}
	if svc != nil {
		claim.Spec.Holders = []v1beta1.ClaimHolder{{Namespace: svc.Namespace, Name: svc.Name, UID: svc.UID}}
	}
	return claim
}
