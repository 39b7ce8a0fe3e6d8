package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// As MetalLB's e2e A03.
func TestOwnerHasItsAddressThroughRestartsWhileOthersWait(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1")
	controller := b.controller()
	b.service("z-owner")
	b.has("z-owner", "10.9.0.1")
	for _, name := range []string{"a", "b", "c"} {
		b.service(name)
		b.refused(name, v1beta1.ReasonPoolExhausted)
	}
	for range 3 {
		crash(controller)
		controller = b.controller()
		b.logged(controller, "read the pools, claims and Services of the cluster")
		b.keeps("z-owner", "10.9.0.1")
	}
	b.remove("z-owner")
	b.has(b.eitherHas("10.9.0.1", "a", "b", "c"), "10.9.0.1")
}

// logged waits until a program has logged a text.
func (b *bed) logged(p *process, what string) {
	b.Helper()
	eventually.Succeed(b.T, within, "the log has "+what, func(context.Context) error {
		if !strings.Contains(p.log.String(), what) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

func TestSharersShareStillAfterARestart(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	b.service("z-first", sharing("key"), on("80/TCP"))
	b.has("z-first", "10.9.0.1")
	second := b.service("a-second", sharing("key"), on("81/TCP"))
	b.share("10.9.0.1", "z-first", "a-second")
	crash(controller)
	// While no controller runs one changes so that it cannot share: that one goes.
	b.edit(second, on("80/TCP", "81/TCP"))
	b.controller()
	b.has("a-second", "10.9.0.2")
	b.has("z-first", "10.9.0.1")
}

func TestServiceThatIsCreatedAnewHasAClaimOfItsOwn(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2")
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	for range 3 { // the claim names the UID of the old one
		b.remove("web")
		b.service("web")
		b.anyOf("web", "10.9.0.1", "10.9.0.2")
	}
	crash(controller)
	b.remove("web")
	b.service("web")
	b.controller()
	b.anyOf("web", "10.9.0.1", "10.9.0.2")
	b.poolCounts("pool", "2/1/1", "")
}

// A pool edit and the deletion of a pool take no address away.
func TestSharersOfTwoNamespacesStayOnTheirAddressWhenThePoolChanges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b *bed)
	}{
		{"narrower scope", func(b *bed) {
			b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.SharingScope = v1beta1.SharingInNamespace })
		}},
		{"pool deleted", func(b *bed) { remove(b.T, b.Client, pool("pool")) }},
		{"address taken out", func(b *bed) { b.editPool("pool", withAddresses("10.9.0.5")) }},
		{"pool wrong", func(b *bed) { b.editPool("pool", withAddresses("10.9.0.9-10.9.0.1")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.poolWith("pool", "10.9.0.1-10.9.0.9", func(spec *v1beta1.IPAddressPoolSpec) { spec.SharingScope = v1beta1.SharingInCluster })
			other := b.elsewhere(nil)
			controller := b.controller()
			b.service("one", sharing("key"), on("80/TCP"))
			b.has("one", "10.9.0.1")
			other.service("two", sharing("key"), on("81/TCP"))
			other.shows("two", "10.9.0.1", v1beta1.ReasonAllocated)
			tt.change(b)
			b.service("probe") // the change has arrived when this is decided
			eventually.Succeed(t, within, "the probe is decided", func(ctx context.Context) error {
				svc, err := b.get(ctx, "probe")
				if err == nil && (allocated(svc) == nil || ingress(svc) == "10.9.0.2" && tt.name != "narrower scope") {
					err = fmt.Errorf("status %+v", svc.Status)
				}
				return err
			})
			both := func(ctx context.Context) error {
				for where, name := range map[*bed]string{b: "one", other: "two"} {
					svc, err := where.get(ctx, name)
					if err != nil {
						return err
					}
					if ingress(svc) != "10.9.0.1" {
						return fmt.Errorf("%s has %q, condition %s", name, ingress(svc), allocatedText(svc))
					}
				}
				return b.holders(ctx, "10.9.0.1", "one", "two")
			}
			eventually.Stays(t, 2*time.Second, "both have the address", both)
			crash(controller)
			b.logged(b.controller(), "read the pools, claims and Services of the cluster")
			eventually.Stays(t, 2*time.Second, "both have the address after a restart", both)
		})
	}
}

func TestTwoServicesSwapTheirAddresses(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2")
	b.controller()
	blue := b.service("blue")
	b.has("blue", "10.9.0.1")
	green := b.service("green")
	b.has("green", "10.9.0.2")
	one, err := b.claim(context.Background(), "10.9.0.1")
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.claim(context.Background(), "10.9.0.2")
	if err != nil {
		t.Fatal(err)
	}
	b.handTo(one, green.Name)
	b.handTo(two, blue.Name)
	b.has("green", "10.9.0.1")
	b.has("blue", "10.9.0.2")
}

func TestServicesThatShareMoveTogetherIfThePoolEvicts(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.3", evicting)
	b.controller()
	b.service("a", sharing("key"), on("80/TCP"))
	b.service("b", sharing("key"), on("81/TCP"))
	b.share("10.9.0.1", "a", "b")
	b.editPool("pool", excluding("10.9.0.1"))
	b.share("10.9.0.2", "a", "b")
	b.free("10.9.0.1")
}

func TestRetainedAddressIsOfTheLastOfTheSharers(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9", retaining(0))
	b.controller()
	b.service("a", sharing("key"), on("80/TCP"))
	b.service("b", sharing("key"), on("81/TCP"))
	b.share("10.9.0.1", "a", "b")
	b.remove("a")
	b.has("b", "10.9.0.1")
	b.remove("b")
	b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "b")
	b.service("a")
	b.has("a", "10.9.0.2")
	b.service("b")
	b.has("b", "10.9.0.1")
}
