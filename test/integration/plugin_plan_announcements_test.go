package integration

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

const (
	announceRounds   = 60
	announceNodes    = 3 // a plan names three nodes of an address, and counts the others
	announceServices = 8
	announceAds      = 3
)

// mayAnnounce are the nodes that may announce the address of each Service, by name.
type mayAnnounce map[string]announcers

// announcers are nodes. If they are not planned, they are those of before, and only whether there are any is compared: a
// plan names the nodes of an address if there were none before.
type announcers struct {
	nodes   []string
	planned bool
}

// TestPlugin_PlanOfAnnouncementsAgreesWithTheController changes L2Advertisements at random, has them come and go, and
// compares the plan of each change with the condition Announced that the controller writes: whether any node may announce
// an address, and which ones where no node might before. No speaker takes an address, so that the condition names the
// nodes.
func TestPlugin_PlanOfAnnouncementsAgreesWithTheController(t *testing.T) {
	b := newBed(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	for i, name := range []string{"ann-a", "ann-b"} {
		addresses := v1beta1.AddressRange(fmt.Sprintf("10.9.%d.1-10.9.%d.9", 90+i, 90+i))
		b.pool(name, addresses)
		pool := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
		pool.Addresses = []v1beta1.AddressRange{addresses}
		stack.Spec.IPAddressPools = append(stack.Spec.IPAddressPools, pool)
	}
	for i := range announceNodes {
		name := fmt.Sprintf("ann-node-%d", i)
		b.machine(name, map[string]string{"zone": string(rune('a' + i%2)), corev1.LabelHostname: name})
		b.speaker(name).write()
	}
	create(t, b.Client, stack)
	controller := b.controller()
	for i := range announceServices {
		b.endpoints(announceService(i), someNodes(chance)...)
		b.service(announceService(i), annotated(v1beta1.AnnotationAddressPool, []string{"ann-a", "ann-b"}[i%2]), labelled("even", fmt.Sprint(i%2 == 0)), func(svc *corev1.Service) {
			if chance.IntN(2) == 0 {
				svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			}
		})
	}
	is := mayAnnounce{}
	for i := range announceServices {
		is[announceService(i)] = announcers{planned: true} // without an advertisement
	}
	b.mayAnnounce(is)
	for range announceRounds {
		next := stack.DeepCopy()
		next.Spec.L2Advertisements = someAdvertisements(chance)
		plan := b.plan(next)
		for _, a := range plan.Announcements {
			is.apply(t, b.namespace, a.Services, a.What)
		}
		b.setAdvertisements(next.Spec.L2Advertisements)
		if err := b.Update(t.Context(), next); err != nil { // in place of the operator
			t.Fatal(err)
		}
		stack = next
		b.mayAnnounce(is)
	}
	crash(controller)
}

func announceService(i int) string { return fmt.Sprintf("ann-%d", i) }

// someNodes are one to all nodes.
func someNodes(chance *rand.Rand) (names []string) {
	for _, i := range chance.Perm(announceNodes)[:1+chance.IntN(announceNodes)] {
		names = append(names, fmt.Sprintf("ann-node-%d", i))
	}
	return names
}

func someAdvertisements(chance *rand.Rand) (list []v1beta1.StackL2Advertisement) {
	selector := func(key, value string) []metav1.LabelSelector {
		return []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}
	}
	for i := range announceAds {
		if chance.IntN(2) == 0 {
			continue
		}
		ad := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(fmt.Sprintf("ann-%d", i))}
		switch chance.IntN(4) {
		case 0:
			ad.NodeSelectors = selector("zone", []string{"a", "b", "none"}[chance.IntN(3)])
		case 1:
			ad.NodeSelectors = selector(corev1.LabelHostname, someNodes(chance)[0])
		}
		if chance.IntN(2) == 0 {
			ad.IPAddressPools = []v1beta1.ObjectName{[]v1beta1.ObjectName{"ann-a", "ann-b"}[chance.IntN(2)]}
		}
		if chance.IntN(3) == 0 {
			ad.ServiceSelectors = selector("even", fmt.Sprint(chance.IntN(2) == 0))
		}
		list = append(list, ad)
	}
	return list
}

// setAdvertisements makes the L2Advertisements of the test those of a list.
func (b *bed) setAdvertisements(list []v1beta1.StackL2Advertisement) {
	b.Helper()
	for i := range announceAds {
		ad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ann-%d", i)}}
		at := slices.IndexFunc(list, func(a v1beta1.StackL2Advertisement) bool { return string(a.Name) == ad.Name })
		err := b.Get(b.Context(), client.ObjectKeyFromObject(ad), ad)
		exists := err == nil
		if err = client.IgnoreNotFound(err); err == nil && at >= 0 {
			ad.Spec = list[at].L2AdvertisementSpec
		}
		switch {
		case err != nil:
		case at >= 0 && exists:
			err = b.Update(b.Context(), ad)
		case at >= 0:
			create(b.T, b.Client, ad)
		case exists:
			err = b.Delete(b.Context(), ad)
		}
		if err != nil {
			b.Fatalf("setting the L2Advertisement %s: %v", ad.Name, err)
		}
	}
}

// apply adds what a plan says about the address of Services.
func (m mayAnnounce) apply(t *testing.T, namespace string, services []string, what string) {
	t.Helper()
	for _, service := range services {
		name := strings.TrimPrefix(service, namespace+"/")
		switch {
		case strings.HasPrefix(what, "is no longer announced on the local network"):
			m[name] = announcers{planned: true}
		case strings.HasPrefix(what, "is announced on the local network"):
			m[name] = announcers{namedNodes(what), true}
		default:
			t.Fatalf("the plan has %q for %s: no node announces it, so that nothing else can change", what, name)
		}
	}
}

// namedNodes are the nodes of the test that a text names.
func namedNodes(text string) (names []string) {
	for i := range announceNodes {
		if name := fmt.Sprintf("ann-node-%d", i); strings.Contains(text, name) {
			names = append(names, name)
		}
	}
	return names
}

// mayAnnounce waits until the condition Announced of each Service says of the expected nodes that they may announce its
// address, and makes these the expected ones.
func (b *bed) mayAnnounce(want mayAnnounce) {
	b.Helper()
	eventually.Succeed(b.T, within, "nodes may announce addresses as planned", func(ctx context.Context) error {
		now := mayAnnounce{}
		for name, w := range want {
			svc, err := b.get(ctx, name)
			if err != nil {
				return err
			}
			c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
			if c == nil {
				return fmt.Errorf("%s has no condition yet", name)
			}
			var got []string
			if c.Reason == v1beta1.ReasonNotAnnounced {
				got = namedNodes(c.Message)
			}
			if same := slices.Equal(got, w.nodes); !same && w.planned || (len(got) == 0) != (len(w.nodes) == 0) {
				return fmt.Errorf("%s: its condition is %s (%s), and the plan has %v", name, c.Reason, c.Message, w)
			}
			now[name] = announcers{nodes: got}
		}
		maps.Copy(want, now)
		return nil
	})
}
