package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// slowly is how long a test waits for changes that the controller reconciles every half
// minute.
const slowly = time.Minute

// poolWith creates a pool. The edits change its spec first.
func (b *bed) poolWith(name string, addresses string, edits ...func(*v1beta1.IPAddressPoolSpec)) *v1beta1.IPAddressPool {
	b.Helper()
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, item := range strings.Fields(addresses) {
		pool.Spec.Addresses = append(pool.Spec.Addresses, v1beta1.AddressRange(item))
	}
	for _, edit := range edits {
		edit(&pool.Spec)
	}
	create(b.T, b.Client, pool)
	return pool
}

// editPool changes the spec of a pool.
func (b *bed) editPool(name string, change func(*v1beta1.IPAddressPoolSpec)) {
	b.Helper()
	pool := &v1beta1.IPAddressPool{}
	if err := b.Get(context.Background(), client.ObjectKey{Name: name}, pool); err != nil {
		b.Fatal(err)
	}
	next := pool.DeepCopy()
	change(&next.Spec)
	if err := b.Patch(context.Background(), next, client.MergeFrom(pool)); err != nil {
		b.Fatalf("changing the pool %s: %v", name, err)
	}
}

// poolCounts waits for the counts of a pool, written as total/used/free.
func (b *bed) poolCounts(name, v4, v6 string) {
	b.Helper()
	text := func(u *v1beta1.AddressUsage) string {
		if u == nil {
			return ""
		}
		return fmt.Sprintf("%s/%d/%s", u.Total, u.Used, u.Free)
	}
	eventually.Succeed(b.T, within, fmt.Sprintf("the pool %s counts %s and %s", name, v4, v6), func(ctx context.Context) error {
		pool := &v1beta1.IPAddressPool{}
		if err := b.Get(ctx, client.ObjectKey{Name: name}, pool); err != nil {
			return err
		}
		if got4, got6 := text(pool.Status.IPv4), text(pool.Status.IPv6); got4 != v4 || got6 != v6 {
			return fmt.Errorf("IPv4 %s, IPv6 %s", got4, got6)
		}
		return nil
	})
}

// impact waits until a pool reports that exactly these Services have an
// address that the pool no longer gives, each as name=address.
func (b *bed) impact(name string, want ...string) *v1beta1.IPAddressPool {
	b.Helper()
	pool := &v1beta1.IPAddressPool{}
	eventually.Succeed(b.T, slowly, fmt.Sprintf("the pool %s lists %v", name, want), func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKey{Name: name}, pool); err != nil {
			return err
		}
		var got []string
		for _, i := range pool.Status.Impact {
			if i.Namespace != b.namespace || i.Why == "" {
				return fmt.Errorf("impact %+v", i)
			}
			got = append(got, i.Name+"="+i.Address)
		}
		c := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionAddressesOutsidePool)
		if !slices.Equal(got, want) || c == nil || (c.Status == metav1.ConditionTrue) != (len(want) > 0) {
			return fmt.Errorf("it lists %v, condition %+v", got, c)
		}
		return nil
	})
	return pool
}

// share waits until these Services share one address, and returns the address. The
// names are in the order in which the Services got the address.
func (b *bed) share(address string, names ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%v share %s", names, address), func(ctx context.Context) error {
		for _, name := range names {
			svc, err := b.get(ctx, name)
			if err != nil {
				return err
			}
			if c := allocated(svc); ingress(svc) != address || c == nil || c.Status != metav1.ConditionTrue {
				return fmt.Errorf("%s has %q, condition %s", name, ingress(svc), allocatedText(svc))
			}
		}
		return b.holders(ctx, address, names...)
	})
}

// holders compares the holders in the claim of an address with the names.
func (b *bed) holders(ctx context.Context, address string, names ...string) error {
	claim, err := b.claim(ctx, address)
	if err != nil {
		return err
	}
	var got []string
	for _, h := range claim.Spec.Holders {
		got = append(got, h.Name)
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		return fmt.Errorf("the claim of %s names %v", address, got)
	}
	var others []string // the column of kubectl get with the holders after the first
	for _, h := range claim.Spec.Holders[min(1, len(claim.Spec.Holders)):] {
		others = append(others, h.Namespace+"/"+h.Name)
	}
	if want := strings.Join(others, ","); claim.Spec.Others != want {
		return fmt.Errorf("the claim of %s shows the others as %q, want %q", address, claim.Spec.Others, want)
	}
	return nil
}

// claimIs waits until the claim of an address is in a state, with these holders.
func (b *bed) claimIs(address string, state v1beta1.ClaimState, names ...string) *v1beta1.IPAddressClaim {
	b.Helper()
	var claim *v1beta1.IPAddressClaim
	eventually.Succeed(b.T, within, fmt.Sprintf("the claim of %s is %s and names %v", address, state, names), func(ctx context.Context) (err error) {
		if claim, err = b.claim(ctx, address); err != nil {
			return err
		}
		if claim.Spec.State != state {
			return fmt.Errorf("it is %s, of %+v", claim.Spec.State, claim.Spec.Holders)
		}
		return b.holders(ctx, address, names...)
	})
	return claim
}

// claimCondition waits for the reason of the Ready condition of an administrator's claim.
func (b *bed) claimCondition(address string, status metav1.ConditionStatus, reason string) {
	b.Helper()
	eventually.Succeed(b.T, slowly, fmt.Sprintf("the claim of %s has the reason %s", address, reason), func(ctx context.Context) error {
		claim, err := b.claim(ctx, address)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(claim.Status.Conditions, v1beta1.ConditionReady)
		if c == nil || c.Status != status || c.Reason != reason || c.Message == "" || c.ObservedGeneration != claim.Generation {
			return fmt.Errorf("condition %+v, generation %d", c, claim.Generation)
		}
		return nil
	})
}

// shows waits until a Service shows these addresses, as one string, for a reason.
func (b *bed) shows(name, addresses, reason string) *corev1.Service {
	b.Helper()
	var svc *corev1.Service
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has %q: %s", name, addresses, reason), func(ctx context.Context) (err error) {
		if svc, err = b.get(ctx, name); err != nil {
			return err
		}
		if c := allocated(svc); ingress(svc) != addresses || c == nil || c.Reason != reason {
			return fmt.Errorf("status has %q, condition %s", ingress(svc), allocatedText(svc))
		}
		return nil
	})
	return svc
}

// keeps checks for some time that a Service still has an address.
func (b *bed) keeps(name, address string) {
	b.Helper()
	eventually.Stays(b.T, 1500*time.Millisecond, fmt.Sprintf("the Service %s keeps %s", name, address), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		if got := ingress(svc); got != address {
			return fmt.Errorf("it has %q, condition %s", got, allocatedText(svc))
		}
		return b.claimed(ctx, address, svc)
	})
}

// elsewhere returns a bed with another namespace of the same test.
func (b *bed) elsewhere(labels map[string]string) *bed {
	b.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	create(b.T, b.Client, namespace)
	other := *b
	other.namespace = namespace.Name
	return &other
}

// relabel replaces a label of the namespace.
func (b *bed) relabel(key, value string) {
	b.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value)
	if err := b.Patch(context.Background(), namespace, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		b.Fatal(err)
	}
}

// remove deletes a Service.
func (b *bed) remove(name string) {
	b.Helper()
	remove(b.T, b.Client, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name}})
}

func labelled(key, value string) func(*corev1.Service) {
	return func(svc *corev1.Service) { metav1.SetMetaDataLabel(&svc.ObjectMeta, key, value) }
}

// on sets the ports, such as 80/TCP.
func on(ports ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.Ports = nil
		for _, p := range ports {
			number, protocol, _ := strings.Cut(p, "/")
			n, _ := strconv.Atoi(number)
			svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{
				Name: strings.ToLower(protocol) + number, Port: int32(n), TargetPort: intstr.FromInt32(int32(n)), Protocol: corev1.Protocol(protocol),
			})
		}
	}
}

func sharing(key string) func(*corev1.Service) {
	return annotated(v1beta1.AnnotationAllowSharedIP, key)
}

// several lets a Service ask for several addresses of a family.
func several(spec *v1beta1.IPAddressPoolSpec) { spec.MaxAddressesPerService = 3 }

func asking(addresses string) func(*corev1.Service) {
	return annotated(v1beta1.AnnotationLoadBalancerIPs, addresses)
}

func from(pool string) func(*corev1.Service) { return annotated(v1beta1.AnnotationAddressPool, pool) }

// local sets externalTrafficPolicy: Local, and a selector of pods with app=NAME.
func local(app string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		svc.Spec.Selector = map[string]string{"app": app}
	}
}

// stacked sets the families in this order.
func stacked(policy corev1.IPFamilyPolicy, families ...corev1.IPFamily) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy, svc.Spec.IPFamilies = &policy, families }
}

// matching is a selector of one label.
func matching(key, value string) []metav1.LabelSelector {
	return []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}
}

func allocation(a v1beta1.ServiceAllocation) func(*v1beta1.IPAddressPoolSpec) {
	return func(spec *v1beta1.IPAddressPoolSpec) { spec.ServiceAllocation = &a }
}
