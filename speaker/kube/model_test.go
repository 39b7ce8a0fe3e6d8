package kube

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// drawObject returns one of a few objects, with random contents.
func drawObject(t *rapid.T) client.Object {
	name := rapid.SampledFrom([]string{"web", "dns"}).Draw(t, "name")
	address := rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "2001-0db8-0000-0000-0000-0000-0000-0001"}).Draw(t, "address")
	nodes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"n1", "n2"}), 0, 2, rapid.ID).Draw(t, "nodes")
	zone := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")
	switch rapid.SampledFrom([]string{"Service", "endpoints", "endpoints", "claim", "pool", "node", "advertisement"}).Draw(t, "kind") {
	case "Service":
		svc := service(name, rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "2001:db8::1"}), 0, 3).Draw(t, "shown")...)
		svc.Spec.Type = rapid.SampledFrom([]corev1.ServiceType{corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeClusterIP}).Draw(t, "type")
		svc.Spec.ExternalTrafficPolicy = rapid.SampledFrom([]corev1.ServiceExternalTrafficPolicy{"", corev1.ServiceExternalTrafficPolicyLocal}).Draw(t, "policy")
		return &svc
	case "endpoints":
		slice := endpoints(name, nodes...)
		slice.Name = rapid.SampledFrom([]string{"web", "more"}).Draw(t, "slice") // so that a slice may move to another Service
		slice.AddressType = rapid.SampledFrom([]discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}).Draw(t, "family")
		return &slice
	case "claim":
		held := claim(address, rapid.SampledFrom([]string{"gold", "tin"}).Draw(t, "pool"), name)
		if a, err := apiconv.AddressFromClaimName(address); err == nil {
			held.Spec.Address = a.String()
		}
		return &held
	case "pool":
		p := pool(rapid.SampledFrom([]string{"gold", "tin"}).Draw(t, "pool"), rapid.SampledFrom([]string{"high", "low"}).Draw(t, "tier"))
		return &p
	case "node":
		n := node(rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node"), zone)
		if rapid.Bool().Draw(t, "drains") {
			n.Annotations = map[string]string{"drain": ""}
		}
		return &n
	}
	spec := rapid.SampledFrom([]v1beta1.L2AdvertisementSpec{
		{}, {NodeSelectors: selector("zone", zone)}, {IPAddressPoolSelectors: selector("tier", "high"), Interfaces: []v1beta1.InterfaceName{"eth0"}},
		{NodeSelectors: []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}},
	}).Draw(t, "advertisement")
	l2 := ad(name, spec)
	return &l2
}

func named(object client.Object) string {
	return fmt.Sprintf("%T %s", object, client.ObjectKeyFromObject(object))
}

// happens draws an event of an object, and passes the event to the bed.
func (b *bed) happens(t *rapid.T, there map[string]client.Object) {
	events, object := b.store.Handler(), drawObject(t)
	key := named(object)
	before := there[key]
	switch {
	case before == nil:
		events.OnAdd(object, false)
		there[key] = object
	case rapid.IntRange(0, 2).Draw(t, "event") == 0:
		events.OnDelete(before)
		delete(there, key)
	default:
		events.OnUpdate(before, object)
		there[key] = object
	}
}

// whole returns the sum of the changes so far.
func (b *bed) whole() layer2.Snapshot {
	now := b.snapshots[0]
	wanted := map[netip.Addr]layer2.AnnouncedAddress{}
	for _, a := range now.Addresses {
		wanted[a.Address] = a
	}
	for _, c := range b.changes {
		now = c.Snapshot
		for _, a := range c.Addresses {
			wanted[a.Address] = a
		}
		for _, address := range c.Gone {
			delete(wanted, address)
		}
	}
	now.Addresses = slices.SortedFunc(maps.Values(wanted), func(x, y layer2.AnnouncedAddress) int { return x.Address.Compare(y.Address) })
	return now
}

// addressesOf returns the addresses of a snapshot.
func addressesOf(s layer2.Snapshot) (list []netip.Addr) {
	for _, a := range s.Addresses {
		list = append(list, a.Address)
	}
	return list
}

func TestAnySequenceOfChangesEndsAsANewSpeakerWouldBegin(t *testing.T) {
	policy := apiconv.DrainPolicy{Annotations: []string{"drain"}}
	rapid.Check(t, func(t *rapid.T) {
		b, there := newBed(policy), map[string]client.Object{}
		one, all, web := served()
		for _, object := range append(web, &one, &all) {
			b.store.Note(object, true)
			there[named(object)] = object
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			b.happens(t, there)
			if rapid.Bool().Draw(t, "waits") {
				continue
			}
			reported := len(b.changes)
			b.sees()
			fresh := newBed(policy)
			fresh.watcher.planner.RestoreAdmitted(addressesOf(b.whole()))
			fresh.sees(slices.Collect(maps.Values(there))...)
			if diff := cmp.Diff(fresh.snapshots[0], b.whole(), byValue); diff != "" {
				t.Fatalf("snapshot (-new +together):\n%s", diff)
			}
			b.sees()
			if got := len(b.changes); got > reported+1 {
				t.Fatalf("got %d changes of what had happened, want one at most", got-reported)
			}
		}
	})
}
