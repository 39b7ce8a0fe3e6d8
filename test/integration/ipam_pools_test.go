package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func excluding(items ...v1beta1.AddressRange) func(*v1beta1.IPAddressPoolSpec) {
	return func(spec *v1beta1.IPAddressPoolSpec) { spec.ExcludeAddresses = items }
}

func onlyWhenNamed(spec *v1beta1.IPAddressPoolSpec) { no := false; spec.AutoAssign = &no }
func draining(spec *v1beta1.IPAddressPoolSpec)      { spec.State = v1beta1.PoolDraining }
func avoidBuggy(spec *v1beta1.IPAddressPoolSpec)    { spec.AvoidBuggyIPs = true }

// MetalLB needs /32 for a lone address.
func TestPoolOfAllFormsAndBothFamiliesGivesAllOfThem(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.0/31 10.9.1.1-10.9.1.2 10.9.2.1 2001:db8::/127 2001:db8:1::1")
	b.controller()
	names := []string{"10.9.0.0", "10.9.0.1", "10.9.1.1", "10.9.1.2", "10.9.2.1"}
	for i, address := range names {
		b.service(fmt.Sprintf("v4-%d", i))
		b.has(fmt.Sprintf("v4-%d", i), address)
	}
	for i, address := range []string{"2001:db8::", "2001:db8::1", "2001:db8:1::1"} {
		b.service(fmt.Sprintf("v6-%d", i), stacked(corev1.IPFamilyPolicySingleStack, corev1.IPv6Protocol))
		b.has(fmt.Sprintf("v6-%d", i), address)
	}
	b.service("late")
	b.refused("late", v1beta1.ReasonPoolExhausted)
	b.poolCounts("pool", "5/5/0", "3/3/0")
}

// MetalLB has no such field: the pool must be written around the addresses.
func TestExcludedAddressesAreNotGivenAndNotCounted(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.0/29", excluding("10.9.0.0/30", "10.9.0.5-10.9.0.6"))
	b.controller()
	b.service("first")
	b.has("first", "10.9.0.4")
	b.service("second")
	b.has("second", "10.9.0.7")
	b.service("third")
	b.refused("third", v1beta1.ReasonPoolExhausted)
	b.service("wants", asking("10.9.0.6"))
	refused := b.refused("wants", v1beta1.ReasonAddressNotInPool)
	if m := allocated(refused).Message; !strings.Contains(m, "excludeAddresses") {
		t.Errorf("message: got %q, want it to name excludeAddresses", m)
	}
	b.poolCounts("pool", "2/2/0", "")
	b.editPool("pool", excluding("10.9.0.0/30"))
	b.has("third", "10.9.0.5")
	b.has("wants", "10.9.0.6")
	b.poolCounts("pool", "4/4/0", "")
}

func TestBuggyAddressesAreAvoided(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.254-10.9.1.1 2001:db8::ff00/127", avoidBuggy)
	b.controller()
	b.service("first")
	b.has("first", "10.9.0.254")
	b.service("second")
	b.has("second", "10.9.1.1")
	b.service("wants", asking("10.9.0.255"))
	b.refused("wants", v1beta1.ReasonAddressNotInPool)
	b.service("six", stacked(corev1.IPFamilyPolicySingleStack, corev1.IPv6Protocol))
	b.has("six", "2001:db8::ff00")
	b.poolCounts("pool", "2/2/0", "2/1/1")
}

func TestPoolWithoutAutoAssignGivesOnlyWhenNamed(t *testing.T) {
	b := newBed(t)
	b.poolWith("named", "10.9.0.1-10.9.0.9", onlyWhenNamed)
	b.controller()
	b.service("plain")
	b.refused("plain", v1beta1.ReasonNoPool)
	b.service("by-pool", from("named"))
	b.has("by-pool", "10.9.0.1")
	b.service("by-address", asking("10.9.0.5"))
	b.has("by-address", "10.9.0.5")
	b.editPool("named", func(spec *v1beta1.IPAddressPoolSpec) { yes := true; spec.AutoAssign = &yes })
	b.has("plain", "10.9.0.2")
	b.editPool("named", onlyWhenNamed) // turned off it takes nothing away
	b.poolCondition("named", v1beta1.ConditionReady, v1beta1.ReasonPoolReady)
	b.keeps("plain", "10.9.0.2")
}

// MetalLB has no such state: autoAssign: false still gives to who names the pool.
func TestDrainingPoolTakesNothingBackAndGivesNothingNew(t *testing.T) {
	b := newBed(t)
	b.poolWith("old", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("stays")
	b.has("stays", "10.9.0.1")
	b.editPool("old", draining)
	b.poolCondition("old", v1beta1.ConditionReady, v1beta1.ReasonDraining)
	b.event("old", v1beta1.ReasonDraining)
	b.service("plain")
	b.refused("plain", v1beta1.ReasonPoolDraining)
	b.service("by-pool", from("old"))
	b.refused("by-pool", v1beta1.ReasonPoolDraining)
	b.service("by-address", asking("10.9.0.7"))
	b.refused("by-address", v1beta1.ReasonPoolDraining)
	b.keeps("stays", "10.9.0.1")
	b.impact("old") // it is no address outside its pool

	b.pool("new", "10.8.0.1-10.8.0.9")
	b.has("plain", "10.8.0.1")
	b.editPool("old", func(spec *v1beta1.IPAddressPoolSpec) { spec.State = v1beta1.PoolActive })
	b.has("by-address", "10.9.0.7")
	b.anyOf("by-pool", "10.9.0.2")
}

// MetalLB refuses pools that overlap in its webhook, or takes none of the
// configuration.
func TestOfPoolsThatOverlapTheOlderOwnsTheAddresses(t *testing.T) {
	b := newBed(t)
	b.poolWith("z-older", "10.9.0.2-10.9.0.3", onlyWhenNamed)
	nextSecond(b)
	b.poolWith("a-younger", "10.9.0.1-10.9.0.4")
	b.controller()
	conflicting := b.poolCondition("a-younger", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	for _, c := range conflicting.Status.Conditions {
		if c.Type == v1beta1.ConditionConflict && (!strings.Contains(c.Message, "z-older") || !strings.Contains(c.Message, "10.9.0.2-10.9.0.3")) {
			t.Errorf("message: got %q, want it to name z-older and 10.9.0.2-10.9.0.3", c.Message)
		}
	}
	b.poolReady("a-younger", v1beta1.ReasonOverlap)
	b.poolCondition("z-older", v1beta1.ConditionConflict, v1beta1.ReasonNoConflict)
	for i, address := range []string{"10.9.0.1", "10.9.0.4"} {
		b.service(fmt.Sprint("web-", i))
		b.has(fmt.Sprint("web-", i), address)
	}
	b.service("full")
	b.refused("full", v1beta1.ReasonPoolExhausted)
	b.service("wants", asking("10.9.0.3"), from("a-younger"))
	b.refused("wants", v1beta1.ReasonAddressNotInPool)
	b.poolCounts("a-younger", "2/2/0", "")
	remove(t, b.Client, pool("z-older"))
	b.has("full", "10.9.0.2")
	b.has("wants", "10.9.0.3")
	b.poolCondition("a-younger", v1beta1.ConditionConflict, v1beta1.ReasonNoConflict)
}

func TestAddressesThatAPoolListsTwiceAreReportedAndGivenOnce(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.2 10.9.0.2")
	b.controller()
	b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	b.poolReady("pool", v1beta1.ReasonPoolReady)
	b.poolCounts("pool", "2/0/2", "")
	b.service("a")
	b.has("a", "10.9.0.1")
	b.service("b")
	b.has("b", "10.9.0.2")
	b.service("c")
	b.refused("c", v1beta1.ReasonPoolExhausted)
}

// MetalLB gives a node's address, or one of the pods', to a Service.
func TestAddressesOfNodesAndTheirPodsAreHeldBack(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.3 10.9.7.0/30")
	b.controller()
	b.poolCounts("pool", "7/0/7", "")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Spec: corev1.NodeSpec{PodCIDR: "10.9.7.0/24", PodCIDRs: []string{"10.9.7.0/24"}}}
	create(t, b.Client, node)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "node"}, {Type: corev1.NodeInternalIP, Address: "10.9.0.2"}}
	if err := b.Status().Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	b.poolCounts("pool", "2/0/2", "")
	conflicting := b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	b.event("pool", v1beta1.ReasonOverlap)
	if text := fmt.Sprint(conflicting.Status.Conditions); !strings.Contains(text, node.Name) || !strings.Contains(text, "pods of the node") {
		t.Errorf("conditions: got %s, want the node and its pods named", text)
	}
	b.service("a")
	b.has("a", "10.9.0.1")
	b.service("b")
	b.has("b", "10.9.0.3")
	b.service("c")
	b.refused("c", v1beta1.ReasonPoolExhausted)
	remove(t, b.Client, node)
	b.has("c", "10.9.0.2")
	b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonNoConflict)
}

func TestAddressThatBecomesANodesStaysWithItsServiceAndIsReported(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.3")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	create(t, b.Client, node)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.9.0.1"}}
	if err := b.Status().Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	b.impact("pool", "web=10.9.0.1")
	b.keeps("web", "10.9.0.1")
	remove(t, b.Client, node)
	b.impact("pool")
}

// The API server takes any text for a node's address, and the kubelet writes it.
func TestNodeThatReportsAllAddressesReservesNone(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.3 2001:db8:9::1", func(s *v1beta1.IPAddressPoolSpec) { s.OutsidePoolPolicy = v1beta1.EvictOutsidePool })
	b.controller()
	b.service("web", asking("10.9.0.2"))
	b.has("web", "10.9.0.2")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	create(t, b.Client, node)
	node.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeExternalIP, Address: "0.0.0.0/0"}, {Type: corev1.NodeInternalIP, Address: "::/0"}, {Type: corev1.NodeInternalIP, Address: "10.9.0.1-10.9.0.3"},
		{Type: corev1.NodeHostName, Address: "10.9.0.1"}, {Type: corev1.NodeInternalIP, Address: "10.9.0.2"}, {Type: corev1.NodeExternalIP, Address: "10.9.0.3"},
	}
	if err := b.Status().Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	b.impact("pool", "web=10.9.0.2") // the address is reported, and not taken away
	b.keeps("web", "10.9.0.2")
	b.poolCounts("pool", "1/0/1", "1/0/1")
	b.service("new")
	b.has("new", "10.9.0.1")
}

func TestAddressesThatNoHostOfTheNodesSubnetsCanHaveAreNotGiven(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.3.252/30")
	b.poolWith("broadcast", "10.9.1.255")
	b.controller()
	b.poolCounts("pool", "4/0/4", "")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	create(t, b.Client, node)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.9.1.1"}, {Type: corev1.NodeExternalIP, Address: "10.9.3.1"}}
	if err := b.Status().Update(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
	create(t, b.Client, state)
	state.Status.Interfaces = []v1beta1.SpeakerInterface{{Name: "eth0", HardwareAddress: "02:00:00:00:00:01", Subnets: []string{"10.9.1.0/24", "10.9.3.0/24"}}}
	if err := b.Status().Update(context.Background(), state); err != nil {
		t.Fatal(err)
	}
	b.poolCounts("pool", "3/0/3", "")
	b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonSubnetAddresses)
	b.poolReady("pool", v1beta1.ReasonPoolReady)
	b.poolReady("broadcast", v1beta1.ReasonNothingToGive)
	b.service("web", asking("10.9.1.255"))
	refused := b.refused("web", v1beta1.ReasonAddressNotInPool)
	if text := fmt.Sprint(refused.Status.Conditions); !strings.Contains(text, "the broadcast address of the subnet 10.9.1.0/24") {
		t.Errorf("conditions: got %s, want the subnet named", text)
	}
	remove(t, b.Client, node) // and the state of a node that does not exist counts for nothing
	b.has("web", "10.9.1.255")
}

// MetalLB gives an address that is a Service's clusterIP.
func TestTheClustersOwnServiceAddressesAreHeldBack(t *testing.T) {
	b := newBed(t)
	var network networkingv1.ServiceCIDR
	if err := b.Get(context.Background(), client.ObjectKey{Name: "kubernetes"}, &network); err != nil {
		t.Fatal(err)
	}
	b.poolWith("good", "10.9.0.1")
	b.poolWith("pool", strings.Join(network.Spec.CIDRs, " "))
	b.controller()
	b.poolReady("pool", v1beta1.ReasonNothingToGive)
	b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	b.service("web")
	b.has("web", "10.9.0.1")
	b.service("wants", from("pool"))
	b.refused("wants", v1beta1.ReasonNoPool)
}

// nextSecond waits until objects get another creation time: it has no more
// precision than that.
func nextSecond(b *bed) {
	b.Helper()
	born := func(ctx context.Context) (metav1.Time, error) {
		probe := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "clock"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "x"}}
		err := b.Create(ctx, probe, client.DryRunAll)
		return probe.CreationTimestamp, err
	}
	start, err := born(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	eventually.Succeed(b.T, within, "a second has passed", func(ctx context.Context) error {
		now, err := born(ctx)
		if err == nil && !now.After(start.Time) {
			err = fmt.Errorf("it is still %s", now)
		}
		return err
	})
}
