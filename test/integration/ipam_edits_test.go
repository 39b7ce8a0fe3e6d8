package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func evicting(spec *v1beta1.IPAddressPoolSpec) { spec.OutsidePoolPolicy = v1beta1.EvictOutsidePool }

func withAddresses(items ...v1beta1.AddressRange) func(*v1beta1.IPAddressPoolSpec) {
	return func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = items }
}

// MetalLB takes such addresses away at once.
func TestAddressesThatLeaveAPoolAreRetainedAndReported(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.service("api")
	b.has("api", "10.9.0.2")
	b.impact("pool")
	b.editPool("pool", withAddresses("10.9.0.2", "10.9.0.9"))
	pool := b.impact("pool", "web=10.9.0.1")
	b.event("pool", v1beta1.ReasonKept)
	if why := pool.Status.Impact[0].Why; !strings.Contains(why, "spec.addresses") {
		t.Errorf("why: got %q, want it to name spec.addresses", why)
	}
	b.poolCounts("pool", "2/1/1", "")
	b.editPool("pool", excluding("10.9.0.2"))
	b.impact("pool", "web=10.9.0.1", "api=10.9.0.2")
	b.keeps("web", "10.9.0.1")
	crash(controller)
	b.controller()
	b.impact("pool", "web=10.9.0.1", "api=10.9.0.2")
	b.keeps("api", "10.9.0.2")
	b.remove("web")
	b.impact("pool", "api=10.9.0.2")
	b.service("new")
	b.has("new", "10.9.0.9")
	b.remove("api")
	b.impact("pool")
	b.free("10.9.0.1")
}

func TestBuggyAddressIsRetainedWhenTheFieldIsTurnedOn(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.0-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.0")
	b.editPool("pool", avoidBuggy)
	b.impact("pool", "web=10.9.0.0")
	b.keeps("web", "10.9.0.0")
	b.editPool("pool", evicting)
	b.has("web", "10.9.0.1")
}

// As MetalLB always does.
func TestEvictMovesServicesThatAreOutsideTheirPool(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2")
	b.controller()
	b.service("a")
	b.has("a", "10.9.0.1")
	b.service("b")
	b.has("b", "10.9.0.2")
	b.editPool("pool", withAddresses("10.9.0.5"))
	b.impact("pool", "a=10.9.0.1", "b=10.9.0.2") // the dry run
	b.editPool("pool", evicting)
	moved := b.eitherHas("10.9.0.5", "a", "b")
	left := map[string]string{"a": "b", "b": "a"}[moved]
	b.shows(left, "", v1beta1.ReasonPoolExhausted) // there is nothing else
	b.event("a", v1beta1.ReasonAddressLost)
	b.event("b", v1beta1.ReasonAddressLost)
	b.free("10.9.0.1")
	b.free("10.9.0.2")
	b.impact("pool")
	b.poolWith("z-other", "10.9.1.1")
	b.has(left, "10.9.1.1")
	b.keeps(moved, "10.9.0.5")
}

// eitherHas waits until one of two Services has an address, and returns which.
func (b *bed) eitherHas(address string, names ...string) (which string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("one of %v has %s", names, address), func(ctx context.Context) error {
		for _, name := range names {
			svc, err := b.get(ctx, name)
			if err != nil {
				return err
			}
			if ingress(svc) == address {
				which = name
				return nil
			}
		}
		return fmt.Errorf("none has")
	})
	b.has(which, address)
	return which
}

func TestTightenedSelectorsRetainOrEvict(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.poolWith("z-other", "10.9.1.1-10.9.1.9", onlyWhenNamed)
	b.controller()
	web := b.service("web", labelled("app", "web"))
	b.has("web", "10.9.0.1")
	b.service("api", labelled("app", "api"))
	b.has("api", "10.9.0.2")
	b.editPool("pool", allocation(v1beta1.ServiceAllocation{ServiceSelectors: matching("app", "web")}))
	pool := b.impact("pool", "api=10.9.0.2")
	if why := pool.Status.Impact[0].Why; !strings.Contains(why, "spec.serviceAllocation") {
		t.Errorf("why: got %q, want it to name spec.serviceAllocation", why)
	}
	b.keeps("api", "10.9.0.2")
	b.edit(web, labelled("app", "other")) // the label of the Service counts as well
	b.impact("pool", "web=10.9.0.1", "api=10.9.0.2")
	b.edit(web, labelled("app", "web"))
	b.impact("pool", "api=10.9.0.2")
	b.editPool("z-other", func(spec *v1beta1.IPAddressPoolSpec) { spec.AutoAssign = nil })
	b.editPool("pool", evicting)
	b.has("api", "10.9.1.1")
	b.event("api", v1beta1.ReasonAddressLost)
	b.keeps("web", "10.9.0.1")
	b.impact("pool")
}

// In MetalLB's e2e A05 and A06 the Service loses its address.
func TestDeletedPoolsLeaveTheAddressesWithTheServices(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9", evicting)
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.poolWith("other", "10.9.1.1-10.9.1.9")
	remove(t, b.Client, pool("pool"))
	b.service("new")
	b.has("new", "10.9.1.1")
	b.keeps("web", "10.9.0.1")
	remove(t, b.Client, pool("other"))
	b.service("late")
	b.refused("late", v1beta1.ReasonNoPool)
	b.keeps("new", "10.9.1.1")
	b.poolWith("again", "10.9.0.1-10.9.0.9")
	b.has("late", "10.9.0.2")
	b.keeps("web", "10.9.0.1")
	b.poolCounts("again", "9/2/7", "")
}

func TestPoolThatBecomesInvalidTakesNoAddressBack(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9", evicting)
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.editPool("pool", withAddresses("10.9.0.9-10.9.0.1"))
	b.poolReady("pool", v1beta1.ReasonInvalidAddresses)
	b.service("new")
	b.refused("new", v1beta1.ReasonPoolUnusable)
	b.keeps("web", "10.9.0.1")
	b.editPool("pool", withAddresses("10.9.0.1-10.9.0.9"))
	b.has("new", "10.9.0.2")
}

// As MetalLB's e2e A20.
func TestCountsFollowAndHandEditedStatusOfAPoolIsPutRight(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.4 2001:db8::/64")
	b.controller()
	b.poolCounts("pool", "4/0/4", "18446744073709551616/0/18446744073709551616")
	b.service("web", stacked(require, v4, v6))
	b.poolCounts("pool", "4/1/3", "18446744073709551616/1/18446744073709551615")
	b.editPool("pool", withAddresses("10.9.0.1-10.9.0.8", "2001:db8::/64", "2001:db8:1::/64"))
	b.poolCounts("pool", "8/1/7", "36893488147419103232/1/36893488147419103231")
	object := &v1beta1.IPAddressPool{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: "pool"}, object); err != nil {
		t.Fatal(err)
	}
	object.Status.IPv4 = &v1beta1.AddressUsage{Total: "7", Used: 7, Free: "0"}
	object.Status.Claims, object.Status.Conditions = 99, nil
	if err := b.Status().Update(context.Background(), object); err != nil {
		t.Fatal(err)
	}
	b.poolCounts("pool", "8/1/7", "36893488147419103232/1/36893488147419103231")
	if after := b.poolReady("pool", v1beta1.ReasonPoolReady); after.Status.Claims != 2 || after.Status.ObservedGeneration != after.Generation {
		t.Errorf("status: got %+v, want 2 claims", after.Status)
	}
	b.remove("web")
	b.poolCounts("pool", "8/0/8", "36893488147419103232/0/36893488147419103232")
}

func TestScarcityIsReportedBeforeAndWhenItIsThere(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.10 2001:db8::/64")
	b.controller()
	expectCondition := func(kind, reason string, status metav1.ConditionStatus) {
		t.Helper()
		pool := b.poolCondition("pool", kind, reason)
		if c := meta.FindStatusCondition(pool.Status.Conditions, kind); c.Status != status {
			t.Errorf("%s: got %s, want %s", kind, c.Status, status)
		}
	}
	fill := func(n int) {
		t.Helper()
		for i := range n {
			b.service(fmt.Sprint("web-", i), asking(fmt.Sprintf("10.9.0.%d", i+1)), func(svc *corev1.Service) {})
			b.has(fmt.Sprint("web-", i), fmt.Sprintf("10.9.0.%d", i+1))
		}
	}
	fill(8)
	b.poolCounts("pool", "10/8/2", "18446744073709551616/0/18446744073709551616")
	expectCondition(v1beta1.ConditionNearlyExhausted, v1beta1.ReasonAddressesFree, metav1.ConditionFalse)
	b.service("nine")
	b.has("nine", "10.9.0.9")
	expectCondition(v1beta1.ConditionNearlyExhausted, v1beta1.ReasonFewFree, metav1.ConditionTrue)
	b.event("pool", v1beta1.ReasonFewFree)
	expectCondition(v1beta1.ConditionExhausted, v1beta1.ReasonAddressesFree, metav1.ConditionFalse)
	b.service("ten")
	expectCondition(v1beta1.ConditionExhausted, v1beta1.ReasonNoneFree, metav1.ConditionTrue)
	b.event("pool", v1beta1.ReasonNoneFree)
	b.poolReady("pool", v1beta1.ReasonPoolReady)
	b.remove("nine")
	b.remove("ten")
	expectCondition(v1beta1.ConditionExhausted, v1beta1.ReasonAddressesFree, metav1.ConditionFalse)
	expectCondition(v1beta1.ConditionNearlyExhausted, v1beta1.ReasonAddressesFree, metav1.ConditionFalse)
}

func TestKubectlShowsHowPoolsAndClaimsStand(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.4 2001:db8::/64")
	b.controller()
	b.service("web", stacked(require, v4, v6), sharing("k"))
	b.poolCounts("pool", "4/1/3", "18446744073709551616/1/18446744073709551615")
	b.service("dns", on("53/UDP"), sharing("k"))
	eventually.Succeed(t, within, "web and dns share an address", func(ctx context.Context) error {
		return b.holders(ctx, "10.9.0.1", "web", "dns")
	})
	table := func(args ...string) (header, row []string) {
		t.Helper()
		out, err := server.Kubectl(context.Background(), append([]string{"get"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) < 2 {
			t.Fatalf("kubectl get %v: got %q", args, out)
		}
		return strings.Fields(lines[0]), strings.Fields(lines[1])
	}
	for _, tt := range []struct {
		args         []string
		header, want string
	}{
		{[]string{"lbpool", "pool"}, "NAME READY REASON AUTO USED FREE4 FREE6 OUTSIDE CONFLICT AGE", "pool True PoolReady true 2 3 18446744073709551615 False"},
		{[]string{"lbip", "10.9.0.1"}, "NAME ADDRESS POOL STATE NAMESPACE SERVICE OTHERS PROBLEM CONFLICT AGE", "10.9.0.1 10.9.0.1 pool InUse " + b.namespace + " web " + b.namespace + "/dns"},
	} {
		header, row := table(tt.args...)
		if got := strings.Join(header, " "); got != tt.header {
			t.Errorf("kubectl get %v: got columns %q, want %q", tt.args, got, tt.header)
		}
		if got := strings.Join(row[:len(row)-1], " "); got != tt.want {
			t.Errorf("kubectl get %v: got %q, want %q", tt.args, got, tt.want)
		}
	}
	if _, wide := table("lbpool", "pool", "-o", "wide"); len(wide) < 9 || wide[8] != "Active" {
		t.Errorf("kubectl get lbpool -o wide: got %q, want Active", wide)
	}
}
