package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// reservedFor is an administrator's claim for Services that need not exist.
func (b *bed) reservedFor(address string, names ...string) *v1beta1.IPAddressClaim {
	b.Helper()
	claim := claimOf(address, nil)
	for _, name := range names {
		claim.Spec.Holders = append(claim.Spec.Holders, v1beta1.ClaimHolder{Namespace: b.namespace, Name: name})
	}
	create(b.T, b.Client, claim)
	return claim
}

// MetalLB has nothing of the kind.
func TestAddressIsReservedForAServiceThatDoesNotExistYet(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.reservedFor("10.9.0.1", "late")
	b.claimCondition("10.9.0.1", metav1.ConditionTrue, v1beta1.ReasonClaimReserves)
	b.service("other")
	b.has("other", "10.9.0.2")
	b.service("wants", asking("10.9.0.1"))
	b.refused("wants", v1beta1.ReasonAddressInUse)
	for range 2 { // it is never deleted by the controller
		b.service("late")
		b.has("late", "10.9.0.1")
		b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "late")
		b.claimCondition("10.9.0.1", metav1.ConditionTrue, v1beta1.ReasonClaimInUse)
		b.remove("late")
		b.claimIs("10.9.0.1", v1beta1.ClaimReserved, "late")
		b.claimCondition("10.9.0.1", metav1.ConditionTrue, v1beta1.ReasonClaimReserves)
	}
	if got := ingress(b.shows("wants", "", v1beta1.ReasonAddressInUse)); got != "" {
		t.Errorf("who waits got %q, want nothing", got)
	}
}

func TestReservationIsLeftAloneByAServiceThatAsksForAnother(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.reservedFor("10.9.0.1", "web")
	svc := b.service("web", asking("10.9.0.5"))
	b.has("web", "10.9.0.5")
	b.claimIs("10.9.0.1", v1beta1.ClaimReserved, "web")
	b.edit(svc, func(svc *corev1.Service) { delete(svc.Annotations, v1beta1.AnnotationLoadBalancerIPs) })
	b.has("web", "10.9.0.1")
	b.free("10.9.0.5")
}

func TestReservationOfAnAddressThatNoPoolGivesIsReported(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.reservedFor("10.9.1.1")
	b.claimCondition("10.9.1.1", metav1.ConditionFalse, v1beta1.ReasonClaimOutsidePools)
	b.event("10.9.1.1", v1beta1.ReasonClaimOutsidePools)
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = append(spec.Addresses, "10.9.1.1") })
	b.claimCondition("10.9.1.1", metav1.ConditionTrue, v1beta1.ReasonClaimReserves)
	b.poolCounts("pool", "10/1/9", "")
}

func TestHolderThatCannotShareLosesTheAddressWithAReason(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("first", sharing("key"), on("80/TCP"))
	b.service("second", sharing("other"), on("81/TCP"))
	b.has("first", "10.9.0.1")
	b.has("second", "10.9.0.2")
	b.reservedFor("10.9.0.5", "first", "second")
	b.event("10.9.0.5", v1beta1.ReasonClaimHolderRefused)
	b.has("first", "10.9.0.5")
	b.has("second", "10.9.0.2")
	b.claimCondition("10.9.0.5", metav1.ConditionTrue, v1beta1.ReasonClaimInUse)
	b.free("10.9.0.1")
}

func TestAddressIsHandedFromOneServiceToAnother(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("blue")
	b.has("blue", "10.9.0.1")
	b.service("green")
	b.has("green", "10.9.0.2")
	claim, err := b.claim(context.Background(), "10.9.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b.handTo(claim, "green")
	b.has("green", "10.9.0.1")
	b.anyOf("blue", "10.9.0.2", "10.9.0.3")
	b.event("blue", v1beta1.ReasonAddressLost)
	b.poolCounts("pool", "9/2/7", "")
	// And back, to one of a single address.
	if claim, err = b.claim(context.Background(), "10.9.0.1"); err != nil {
		t.Fatal(err)
	}
	b.handTo(claim, "blue")
	b.has("blue", "10.9.0.1")
	b.anyOf("green", "10.9.0.2", "10.9.0.3")
	b.poolCounts("pool", "9/2/7", "")
}

// A reservation, or a name that is misspelt, takes nothing from a Service by itself.
func TestAddressInUseIsTakenOverOnlyIfTheClaimAllowsIt(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web")
	holders := func(text string) []byte { return fmt.Appendf(nil, `{"spec":{"holders":%s}}`, text) }
	notYet := fmt.Sprintf(`[{"namespace":%q,"name":"not-yet"}]`, b.namespace)
	applied := fmt.Appendf(nil, `{"apiVersion":"lbstack.io/v1beta1","kind":"IPAddressClaim","metadata":{"name":"10.9.0.1"},"spec":{"address":"10.9.0.1","pool":"pool","holders":%s}}`, notYet)
	want := "in use by the Service " + b.namespace + "/web, which keeps it: to take it away, set takeOver: true in the same change"
	for name, patch := range map[string]client.Patch{
		"a holder that does not exist":     client.RawPatch(types.MergePatchType, holders(notYet)),
		"the same, applied by the server":  client.RawPatch(types.ApplyPatchType, applied),
		"no holder":                        client.RawPatch(types.MergePatchType, holders("null")),
		"an empty list of holders":         client.RawPatch(types.MergePatchType, holders("[]")),
		"a holder that would have to wait": client.RawPatch(types.JSONPatchType, fmt.Appendf(nil, `[{"op":"add","path":"/spec/holders/-","value":{"namespace":%q,"name":"not-yet"}}]`, b.namespace)),
	} {
		var options []client.PatchOption
		if patch.Type() == types.ApplyPatchType {
			options = append(options, client.FieldOwner("administrator"), client.ForceOwnership)
		}
		err := b.Patch(context.Background(), claimOf("10.9.0.1", nil), patch, options...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a refusal with %q", name, err, want)
		}
	}
	b.keeps("web", "10.9.0.1")
	b.handTo(claimOf("10.9.0.1", nil), "not-yet") // which does not exist
	b.event("10.9.0.1", v1beta1.ReasonClaimHolderMissing)
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web")
	b.keeps("web", "10.9.0.1")
	if notes, err := b.notes(context.Background(), "web", v1beta1.ReasonAddressLost); err != nil || len(notes) > 0 {
		t.Errorf("events %s of web: got %q, %v, want none", v1beta1.ReasonAddressLost, notes, err)
	}
	b.service("next")
	b.has("next", "10.9.0.2")
	b.handTo(claimOf("10.9.0.1", nil), "next")
	b.has("next", "10.9.0.1")
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "next")
	claim, err := b.claim(context.Background(), "10.9.0.1")
	if err != nil || claim.Spec.TakeOver {
		t.Errorf("takeOver: got %v, %v, want false: the next change has to set it again", claim.Spec.TakeOver, err)
	}
	b.remove("next") // and what the controller writes is never refused
	b.free("10.9.0.1")
}

func TestAddressIsHandedToAServiceThatWaits(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1")
	b.controller()
	b.service("blue")
	b.has("blue", "10.9.0.1")
	b.service("green")
	b.refused("green", v1beta1.ReasonPoolExhausted)
	claim, err := b.claim(context.Background(), "10.9.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b.handTo(claim, "green")
	b.has("green", "10.9.0.1")
	b.refused("blue", v1beta1.ReasonPoolExhausted)
	b.remove("green")
	b.has("blue", "10.9.0.1")
}

func retaining(seconds int32) func(*v1beta1.IPAddressPoolSpec) {
	return func(spec *v1beta1.IPAddressPoolSpec) {
		spec.Reclaim = &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain, RetainSeconds: seconds}
		spec.Quota = &v1beta1.PoolQuota{MaxAddressesPerNamespace: 9}
	}
}

// In MetalLB a Service that is created again gets any address.
func TestRetainedAddressComesBackToAServiceOfTheSameName(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2", retaining(0))
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.remove("web")
	claim := b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web")
	if claim.Spec.RetainUntil != nil || claim.Spec.Holders[0].UID != "" {
		t.Errorf("claim: got %+v, want no end and no UID", claim.Spec)
	}
	b.service("other")
	b.has("other", "10.9.0.2")
	b.service("third")
	b.refused("third", v1beta1.ReasonPoolExhausted)
	b.poolCounts("pool", "2/2/0", "")
	crash(controller)
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web")
	b.remove("web")
	remove(t, b.Client, b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web"))
	b.has("third", "10.9.0.1")
	// A Service that is no LoadBalancer for a while has gone, too.
	other, err := b.get(context.Background(), "other")
	if err != nil {
		t.Fatal(err)
	}
	b.edit(other, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.claimIs("10.9.0.2", v1beta1.ClaimRetained, "other")
	b.edit(other, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeLoadBalancer })
	b.has("other", "10.9.0.2")
}

// The test bed has no controller that removes what is in a namespace, so that another UID
// stands for a namespace that was created again.
func TestRetainedAddressIsNotInheritedByANewNamespaceOfTheName(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2", retaining(0))
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.remove("web")
	b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web")
	claim, err := b.claim(context.Background(), "10.9.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if claim.Spec.Holders[0].NamespaceUID == "" {
		t.Fatal("namespaceUID: got none, want that of the namespace")
	}
	claim.Spec.Holders[0].NamespaceUID = "of-another-one"
	if err := b.Update(context.Background(), claim); err != nil {
		t.Fatal(err)
	}
	b.free("10.9.0.1")
}

// What is in a namespace that is deleted goes first, so that its addresses are retained when it
// is gone: nobody can ask for them any more.
func TestRetainedAddressIsFreeWhenItsNamespaceIsDeleted(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2", retaining(0))
	b.controller()
	tenant := b.elsewhere(nil)
	tenant.service("web")
	tenant.has("web", "10.9.0.1")
	b.service("other")
	b.has("other", "10.9.0.2")
	tenant.remove("web")
	tenant.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web")
	b.service("next")
	b.refused("next", v1beta1.ReasonPoolExhausted)

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant.namespace}}
	remove(t, b.Client, namespace)
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Spec.Finalizers = nil // what Kubernetes does when nothing is left in the namespace
	if err := b.SubResource("finalize").Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	b.has("next", "10.9.0.1")
}

func TestRetainedAddressIsFreeWhenItsTimeIsOver(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1", retaining(2))
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.service("waits")
	b.refused("waits", v1beta1.ReasonPoolExhausted)
	b.remove("web")
	if claim := b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web"); claim.Spec.RetainUntil == nil {
		t.Error("the claim has no time until which it is retained")
	}
	b.has("waits", "10.9.0.1")
}

func TestRetainedAddressIsFreedAlsoByAControllerThatStartsLater(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1", retaining(2))
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.remove("web")
	b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web")
	crash(controller)
	b.controller()
	b.free("10.9.0.1")
}

// MetalLB has no quota.
func TestQuotaBoundsAddressesOfANamespace(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9", func(spec *v1beta1.IPAddressPoolSpec) {
		spec.Quota = &v1beta1.PoolQuota{MaxAddressesPerNamespace: 2}
	})
	other := b.elsewhere(nil)
	b.controller()
	b.service("a", sharing("key"), on("80/TCP"))
	b.has("a", "10.9.0.1")
	b.service("b", sharing("key"), on("81/TCP"))
	b.share("10.9.0.1", "a", "b")
	b.service("c")
	b.has("c", "10.9.0.2")
	b.service("d")
	b.refused("d", v1beta1.ReasonQuotaExceeded)
	b.service("named", asking("10.9.0.7"))
	b.refused("named", v1beta1.ReasonQuotaExceeded)
	other.service("e")
	other.has("e", "10.9.0.3")
	b.service("shares", sharing("key"), on("82/TCP")) // it counts once
	b.share("10.9.0.1", "a", "b", "shares")
	b.remove("c")
	b.has("d", "10.9.0.2")
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.Quota.MaxAddressesPerNamespace = 3 })
	b.has("named", "10.9.0.7")
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.Quota.MaxAddressesPerNamespace = 1 })
	b.service("late")
	b.refused("late", v1beta1.ReasonQuotaExceeded)
	b.keeps("d", "10.9.0.2") // a lower bound takes nothing away
	b.poolWith("z-unbounded", "10.9.1.1")
	b.has("late", "10.9.1.1")
}

func TestReservationOutlivesTheController(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	claim := b.reservedFor("10.9.0.1", "web")
	b.service("web")
	b.has("web", "10.9.0.1")
	crash(controller)
	b.remove("web")
	b.controller()
	b.claimIs("10.9.0.1", v1beta1.ClaimReserved, "web")
	b.service("other")
	b.has("other", "10.9.0.2")
	remove(t, b.Client, claim)
	eventually.Succeed(t, within, "the claim is gone and stays so", func(ctx context.Context) error {
		err := b.Get(ctx, client.ObjectKeyFromObject(claim), &v1beta1.IPAddressClaim{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading it: %w", err)
		}
		return nil
	})
	b.service("next")
	b.has("next", "10.9.0.1")
}

func TestClaimWithoutHoldersReservesItsAddressForNoService(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"holders":null,"takeOver":true}}`))
	if err := b.Patch(context.Background(), claimOf("10.9.0.1", nil), patch); err != nil {
		t.Fatal(err)
	}
	b.has("web", "10.9.0.2")
	eventually.Succeed(t, within, "the claim is the administrator's now", func(ctx context.Context) error {
		claim, err := b.claim(ctx, "10.9.0.1")
		if err != nil {
			return err
		}
		if claim.Spec.State != v1beta1.ClaimReserved || claim.Labels[v1beta1.LabelManagedBy] != "" {
			return fmt.Errorf("state %s, labels %v", claim.Spec.State, claim.Labels)
		}
		return nil
	})
	b.claimCondition("10.9.0.1", metav1.ConditionTrue, v1beta1.ReasonClaimReserves)
}
