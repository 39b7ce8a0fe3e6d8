package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// Changes are planned and made on the API server: in each round one of every pool, whose Services ask for that pool alone, so
// that the changes of a round do not depend on each other. The allocations of the controller are compared with more, in
// controllers/allocations.
const (
	planPools    = 20
	planRounds   = 25 // 500 changes
	planServices = 4  // of each pool
)

// plannedChanges are what a test reads of a plan.
type plannedChanges struct {
	Problems []struct{ Kind, Name, Reason string }
	Services []struct {
		Service string
		After   []string
	}
	Announcements []struct {
		Services []string
		What     string
	}
}

// plannedPool is what is to become of a pool.
type plannedPool struct {
	reason   string            // of its condition Ready; empty: it is in effect
	services map[string]string // the addresses of its Services
	anyhow   bool              // no matter which of them has which
}

// TestPlugin_PlanAgreesWithTheController changes pools at random, has them come and go: the plan of each change is what the controller
// makes of it, the reason of a pool that is not in effect included. Of Services of a pool that lose addresses at once, or that wait, it is not known
// which gets which of the free ones: then the addresses are compared, and not who has which.
func TestPlugin_PlanAgreesWithTheController(t *testing.T) {
	b := newBed(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	want := map[string]plannedPool{}
	for i := range planPools {
		pool := somePool(chance, i)
		pool.Addresses, pool.State = []v1beta1.AddressRange{v1beta1.AddressRange(planAddresses(i, 1, 6))}, ""
		stack.Spec.IPAddressPools = append(stack.Spec.IPAddressPools, pool)
		b.poolWith(string(pool.Name), "", func(spec *v1beta1.IPAddressPoolSpec) { *spec = pool.IPAddressPoolSpec })
		want[string(pool.Name)] = plannedPool{}
		for j := range planServices {
			b.service(fmt.Sprintf("%s-%d", pool.Name, j), annotated(v1beta1.AnnotationAddressPool, string(pool.Name)))
		}
	}
	create(t, b.Client, stack)
	controller := b.controller()
	b.planned(want)
	for range planRounds {
		before, next := b.ingresses(), stack.DeepCopy()
		next.Spec.IPAddressPools = nil
		for i := range planPools {
			if chance.IntN(8) > 0 {
				next.Spec.IPAddressPools = append(next.Spec.IPAddressPools, somePool(chance, i))
			}
		}
		plan := b.plan(next)
		for i := range planPools {
			want[planPool(i)] = plan.of(planPool(i), b.namespace, before)
		}
		b.setPools(next.Spec.IPAddressPools)
		if err := b.Update(t.Context(), next); err != nil { // in place of the operator
			t.Fatal(err)
		}
		stack = next
		b.planned(want)
	}
	crash(controller)
}

// planPool is the name of a pool of the test.
func planPool(i int) string { return fmt.Sprintf("plan-%d", i) }

// setPools makes the pools of the test those of a list.
func (b *bed) setPools(list []v1beta1.StackIPAddressPool) {
	b.Helper()
	for i := range planPools {
		pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: planPool(i)}}
		at := slices.IndexFunc(list, func(p v1beta1.StackIPAddressPool) bool { return string(p.Name) == pool.Name })
		err := b.Get(b.Context(), client.ObjectKeyFromObject(pool), pool)
		switch exists := err == nil; {
		case client.IgnoreNotFound(err) != nil:
			b.Fatal(err)
		case at >= 0 && exists:
			b.editPool(pool.Name, func(spec *v1beta1.IPAddressPoolSpec) { *spec = list[at].IPAddressPoolSpec })
		case at >= 0:
			pool.Spec = list[at].IPAddressPoolSpec
			create(b.T, b.Client, pool)
		case exists:
			if err := b.Delete(b.Context(), pool); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// planAddresses is a range of addresses of a pool of the test.
func planAddresses(pool, first, last int) string {
	return fmt.Sprintf("10.9.%d.%d-10.9.%d.%d", 100+pool, first, 100+pool, last)
}

// somePool is a pool of up to six addresses, or an invalid one.
func somePool(chance *rand.Rand, i int) v1beta1.StackIPAddressPool {
	pool := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(planPool(i))}
	first := 1 + chance.IntN(5)
	last := first + chance.IntN(6)
	if chance.IntN(8) == 0 {
		last = first - 1
	}
	pool.Addresses = []v1beta1.AddressRange{v1beta1.AddressRange(planAddresses(i, first, last))}
	if chance.IntN(2) == 0 {
		pool.OutsidePoolPolicy = v1beta1.EvictOutsidePool
	}
	if chance.IntN(5) == 0 {
		pool.State = v1beta1.PoolDraining
	}
	if chance.IntN(4) == 0 {
		excluded := 1 + chance.IntN(10)
		pool.ExcludeAddresses = []v1beta1.AddressRange{v1beta1.AddressRange(planAddresses(i, excluded, excluded+chance.IntN(2)))}
	}
	if chance.IntN(6) == 0 {
		pool.Quota = &v1beta1.PoolQuota{MaxAddressesPerNamespace: 1 + chance.Int32N(planServices)}
	}
	if chance.IntN(6) == 0 {
		pool.ServiceAllocation = &v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{"another-namespace"}}
	}
	return pool
}

// plan returns the plugin's plan of a changed stack.
func (b *bed) plan(stack *v1beta1.LoadBalancerStack) (plan plannedChanges) {
	b.Helper()
	file := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: stack.Name}, Spec: stack.Spec}
	file.APIVersion, file.Kind = v1beta1.GroupVersion.String(), "LoadBalancerStack"
	text, err := yaml.Marshal(file)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "stack.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	out, errOut, code := b.plugin("", "plan -o json -f "+path)
	if err := json.Unmarshal([]byte(out), &plan); err != nil || code != 0 {
		b.Fatalf("exit code %d, and printed\n%s%s: %v", code, out, errOut, err)
	}
	return plan
}

// of returns the plan of a pool and of its Services, which have these addresses before.
func (p *plannedChanges) of(pool, namespace string, before map[string]string) plannedPool {
	want := plannedPool{services: map[string]string{}}
	for name, addresses := range before {
		if strings.HasPrefix(name, pool+"-") {
			want.services[name] = addresses
			want.anyhow = want.anyhow || addresses == ""
		}
	}
	changes := 0
	for _, change := range p.Services {
		name := strings.TrimPrefix(change.Service, namespace+"/")
		if _, is := want.services[name]; is {
			want.services[name] = strings.Join(change.After, ",")
			changes++
		}
	}
	want.anyhow = want.anyhow || changes > 1
	for _, problem := range p.Problems {
		if problem.Kind == "IPAddressPool" && problem.Name == pool {
			want.reason = problem.Reason
		}
	}
	return want
}

// ingresses are what Services show, by name.
func (b *bed) ingresses() map[string]string {
	b.Helper()
	var list corev1.ServiceList
	if err := b.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
		b.Fatal(err)
	}
	all := map[string]string{}
	for i := range list.Items {
		all[list.Items[i].Name] = ingress(&list.Items[i])
	}
	return all
}

// planned waits until the controller has looked at all pools as they are, and they and their Services are as is wanted.
func (b *bed) planned(want map[string]plannedPool) {
	b.Helper()
	eventually.Succeed(b.T, within, "pools and Services are as planned", func(ctx context.Context) error {
		var services corev1.ServiceList
		var pools v1beta1.IPAddressPoolList
		if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
			return err
		}
		if err := b.List(ctx, &pools); err != nil {
			return err
		}
		got := map[string]string{}
		for i := range services.Items {
			if allocated(&services.Items[i]) == nil {
				return fmt.Errorf("the controller has not looked at %s yet", services.Items[i].Name)
			}
			got[services.Items[i].Name] = ingress(&services.Items[i])
		}
		exist := map[string]*v1beta1.IPAddressPool{}
		for i := range pools.Items {
			exist[pools.Items[i].Name] = &pools.Items[i]
		}
		for name, pool := range want {
			if err := errors.Join(pool.conditionDiffers(exist[name]), pool.servicesDiffer(name, got)); err != nil {
				return fmt.Errorf("the pool %s: %w", name, err)
			}
		}
		return nil
	})
}

// conditionDiffers returns how the condition Ready of a pool differs from the plan; nil: not at all. A pool that was
// deleted has none.
func (p plannedPool) conditionDiffers(pool *v1beta1.IPAddressPool) error {
	if pool == nil {
		return nil
	}
	ready := meta.FindStatusCondition(pool.Status.Conditions, v1beta1.ConditionReady)
	if pool.Status.ObservedGeneration != pool.Generation || ready == nil {
		return errors.New("the controller has not looked at it yet")
	}
	if good := ready.Reason == v1beta1.ReasonPoolReady || ready.Reason == v1beta1.ReasonDraining; good != (p.reason == "") || !good && ready.Reason != p.reason {
		return fmt.Errorf("its reason is %s, and the plan has %q", ready.Reason, p.reason)
	}
	return nil
}

// servicesDiffer returns how the addresses of the Services of a pool differ from the plan; nil: not at all.
func (p plannedPool) servicesDiffer(pool string, all map[string]string) error {
	got := map[string]string{}
	for name, addresses := range all {
		if strings.HasPrefix(name, pool+"-") {
			got[name] = addresses
		}
	}
	x, y := slices.Sorted(maps.Values(got)), slices.Sorted(maps.Values(p.services))
	if p.services == nil || maps.Equal(got, p.services) || p.anyhow && slices.Equal(x, y) {
		return nil
	}
	return fmt.Errorf("its Services have %v, and the plan has %v", got, p.services)
}
