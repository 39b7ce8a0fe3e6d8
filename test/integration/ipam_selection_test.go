package integration

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// As MetalLB's e2e A07.
func TestPoolsForANamespaceAreUsedByPriority(t *testing.T) {
	b := newBed(t)
	ours := []v1beta1.ObjectName{v1beta1.ObjectName(b.namespace)}
	b.poolWith("a-unset", "10.9.0.1", allocation(v1beta1.ServiceAllocation{Namespaces: ours}))
	b.poolWith("b-twenty", "10.9.0.2", allocation(v1beta1.ServiceAllocation{Namespaces: ours, Priority: 20}))
	b.poolWith("c-ten", "10.9.0.3", allocation(v1beta1.ServiceAllocation{Namespaces: ours, Priority: 10}))
	b.poolWith("a-generic", "10.9.0.4")
	b.controller()
	for i, address := range []string{"10.9.0.3", "10.9.0.2", "10.9.0.1", "10.9.0.4"} {
		name := string(rune('a' + i))
		b.service(name)
		b.has(name, address)
	}
	b.service("late")
	b.refused("late", v1beta1.ReasonPoolExhausted)
}

// As MetalLB's e2e A08.
func TestPoolsWithPriorityAloneAreForAllServices(t *testing.T) {
	b := newBed(t)
	b.poolWith("a", "10.9.0.1", allocation(v1beta1.ServiceAllocation{Priority: 20}))
	b.poolWith("b", "10.9.0.2", allocation(v1beta1.ServiceAllocation{Priority: 10}))
	b.poolWith("c", "10.9.0.3", allocation(v1beta1.ServiceAllocation{}))
	b.controller()
	for i, address := range []string{"10.9.0.2", "10.9.0.1", "10.9.0.3"} {
		name := string(rune('a' + i))
		b.service(name)
		b.has(name, address)
	}
}

// MetalLB tries generic pools in random order.
func TestPoolsWithoutSelectionAreUsedByName(t *testing.T) {
	b := newBed(t)
	for _, name := range []string{"d", "b", "a", "c"} {
		b.poolWith(name, "10.9.0."+map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}[name])
	}
	b.controller()
	for i, address := range []string{"10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"} {
		name := string(rune('a' + i))
		b.service(name)
		b.has(name, address)
	}
}

// As MetalLB's e2e A09 and A12.
func TestRelabelledNamespaceGetsThePoolsForItsNewLabel(t *testing.T) {
	b := newBed(t)
	b.poolWith("gold", "10.9.0.1-10.9.0.9", allocation(v1beta1.ServiceAllocation{Priority: 1, NamespaceSelectors: matching("tier", "gold")}))
	b.poolWith("silver", "10.9.1.1-10.9.1.9", allocation(v1beta1.ServiceAllocation{Priority: 2, NamespaceSelectors: matching("tier", "silver")}))
	b.poolWith("generic", "10.9.2.1-10.9.2.9")
	one, two, none := b.elsewhere(map[string]string{"tier": "gold"}), b.elsewhere(map[string]string{"tier": "silver"}), b.elsewhere(nil)
	b.controller()
	one.service("web")
	one.has("web", "10.9.0.1")
	two.service("web")
	two.has("web", "10.9.1.1")
	none.service("web")
	none.has("web", "10.9.2.1")
	none.service("wants", from("gold"))
	none.refused("wants", v1beta1.ReasonPoolNotAllowed)

	none.relabel("tier", "gold")
	none.has("wants", "10.9.0.2") // who waited gets it by itself
	none.service("next")
	none.has("next", "10.9.0.3")
	none.keeps("web", "10.9.2.1") // the generic pool is for it still

	// MetalLB takes the address away; lbstack retains and reports it.
	two.relabel("tier", "gold")
	two.impact("silver", "web=10.9.1.1")
	two.keeps("web", "10.9.1.1")
	two.relabel("tier", "silver")
	two.impact("silver")
}

// As MetalLB's e2e A10 and A11.
func TestPoolForLabelsOfServicesAndNamespaces(t *testing.T) {
	b := newBed(t)
	b.poolWith("labelled", "10.9.0.1-10.9.0.9", allocation(v1beta1.ServiceAllocation{ServiceSelectors: append(matching("app", "web"), matching("app", "api")...)}))
	b.poolWith("both", "10.9.1.1-10.9.1.9", allocation(v1beta1.ServiceAllocation{
		Priority: 1, ServiceSelectors: matching("app", "web"), NamespaceSelectors: matching("tier", "gold"),
	}))
	b.poolWith("generic", "10.9.2.1-10.9.2.9")
	gold := b.elsewhere(map[string]string{"tier": "gold"})
	b.controller()
	b.service("web", labelled("app", "web"))
	b.has("web", "10.9.0.1")
	b.service("api", labelled("app", "api"))
	b.has("api", "10.9.0.2")
	b.service("other", labelled("app", "other"))
	b.has("other", "10.9.2.1")
	gold.service("web", labelled("app", "web"))
	gold.has("web", "10.9.1.1")
	gold.service("plain")
	gold.has("plain", "10.9.2.2")
	b.service("wants", labelled("app", "web"), asking("10.9.1.7"))
	b.refused("wants", v1beta1.ReasonPoolNotAllowed)
	gold.service("wants-too", from("both"))
	refused := gold.refused("wants-too", v1beta1.ReasonPoolNotAllowed)
	if m := allocated(refused).Message; !strings.Contains(m, "both") || !strings.Contains(m, "serviceAllocation") {
		t.Errorf("message: got %q, want it to name the pool and the field", m)
	}
	gold.edit(refused, labelled("app", "web"))
	gold.has("wants-too", "10.9.1.2")
}

// MetalLB treats a pool whose namespaceSelectors select nothing as one for all.
func TestPoolWhoseSelectorsMatchNoNamespaceServesNone(t *testing.T) {
	b := newBed(t)
	b.poolWith("nobody", "10.9.0.1-10.9.0.9", allocation(v1beta1.ServiceAllocation{NamespaceSelectors: matching("no", "such")}))
	b.controller()
	b.service("web")
	b.refused("web", v1beta1.ReasonPoolNotAllowed)
	b.service("named", from("nobody"))
	b.refused("named", v1beta1.ReasonPoolNotAllowed)
}

func TestInvalidSelectorIsReportedAndStopsNoOtherPool(t *testing.T) {
	b := newBed(t)
	b.poolWith("wrong", "10.9.0.1-10.9.0.9", allocation(v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{
		{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Sometimes"}}},
	}}))
	b.poolWith("right", "10.9.1.1-10.9.1.9")
	b.controller()
	pool := b.poolReady("wrong", v1beta1.ReasonInvalidSelector)
	b.event("wrong", v1beta1.ReasonInvalidSelector)
	if m := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionReady).Message; !strings.Contains(m, "spec.serviceAllocation.serviceSelectors[0]") {
		t.Errorf("message: got %q, want it to name the field", m)
	}
	b.service("web")
	b.has("web", "10.9.1.1")
	b.service("wants", from("wrong"))
	b.refused("wants", v1beta1.ReasonPoolUnusable)
	b.editPool("wrong", func(spec *v1beta1.IPAddressPoolSpec) { spec.ServiceAllocation = nil })
	b.has("wants", "10.9.0.1")
	b.poolReady("wrong", v1beta1.ReasonPoolReady)
}
