package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// lists has the objects that the API server lists.
type lists struct {
	client.Reader
	claims   []v1beta1.IPAddressClaim
	services []corev1.Service
	err      error
}

func (l *lists) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1beta1.IPAddressClaimList:
		list.Items = l.claims
	case *corev1.ServiceList:
		list.Items = l.services
	case *corev1.NamespaceList:
		list.Items = []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": "a"}}}}
	}
	return l.err
}

// adopter returns an adopter whose cluster has these pools.
func adopter(l *lists, class string, pools []ipam.Pool) *Adopter {
	return &Adopter{
		Reader: l, Allocations: allocations.New(), Class: class,
		Pools: func(context.Context, client.Reader) ([]ipam.Pool, error) { return pools, nil },
	}
}

// aged returns a Service of this age in hours, with addresses in its status. It names a
// pool that does not exist, so that it gets nothing new.
func aged(key lb.ServiceKey, age int, addresses ...string) corev1.Service {
	svc := shows(service(poolKey, "nope"), addresses...)
	svc.Namespace, svc.Name = key.Namespace, key.Name
	svc.CreationTimestamp = metav1.NewTime(start.Add(-time.Duration(age) * time.Hour))
	return *svc
}

func TestAdoption(t *testing.T) {
	type list = []ipam.Holding
	class, otherClass := "lbstack.io/lbstack", "example.com/other"
	of := func(svc corev1.Service, class *string) corev1.Service {
		svc.Spec.LoadBalancerClass = class
		return svc
	}
	shares := func(svc corev1.Service, port int32) corev1.Service {
		metav1.SetMetaDataAnnotation(&svc.ObjectMeta, sharingKey, "k")
		svc.Spec.Ports = []corev1.ServicePort{{Port: port}}
		return svc
	}
	clusterIP, going, dual := aged(web, 1, "10.0.0.1"), aged(web, 1, "10.0.0.1"), *shows(dualStack(corev1.IPFamilyPolicyPreferDualStack, poolKey, "nope"), "10.0.0.1", "2001:db8::2")
	now := metaNow()
	clusterIP.Spec.Type, going.DeletionTimestamp = corev1.ServiceTypeClusterIP, &now
	named := aged(web, 1, "", "10.0.0.3")
	named.Status.LoadBalancer.Ingress[0].Hostname = "lb.example"
	inUse := func(address string, key lb.ServiceKey) v1beta1.IPAddressClaim {
		return *taken(claim(address, address, key))
	}
	tests := []struct {
		name     string
		class    string
		claims   []v1beta1.IPAddressClaim
		services []corev1.Service
		web      list
		other    list
	}{
		{name: "an address without a claim is its Service's, with the pool that has it", services: []corev1.Service{aged(web, 1, "10.0.1.2")}, web: list{holding("10.0.1.2", "manual", web)}},
		{name: "addresses of both families", services: []corev1.Service{dual}, web: list{holding("10.0.0.1", "auto", web), holding("2001:db8::2", "six", web)}},
		{name: "of two Services with one address the older one keeps it", services: []corev1.Service{aged(other, 1, "10.0.0.1"), aged(web, 2, "10.0.0.1")}, web: list{holding("10.0.0.1", "auto", web)}},
		{name: "the order of the list does not matter", services: []corev1.Service{aged(web, 2, "10.0.0.1"), aged(other, 1, "10.0.0.1")}, web: list{holding("10.0.0.1", "auto", web)}},
		{name: "of two Services of the same age the name decides", services: []corev1.Service{aged(web, 1, "10.0.0.1"), aged(other, 1, "10.0.0.1")}, other: list{holding("10.0.0.1", "auto", other)}},
		{name: "two that share keep their address", services: []corev1.Service{shares(aged(web, 1, "10.0.0.1"), 80), shares(aged(other, 1, "10.0.0.1"), 81)}, web: list{holding("10.0.0.1", "auto", web)}, other: list{holding("10.0.0.1", "auto", other)}},
		{name: "a claim counts more than age", claims: []v1beta1.IPAddressClaim{inUse("10.0.0.1", other)}, services: []corev1.Service{aged(web, 9, "10.0.0.1")}, other: list{holding("10.0.0.1", "auto", other)}},
		{name: "a reservation counts more than a status", claims: []v1beta1.IPAddressClaim{*claim("10.0.0.1", "10.0.0.1")}, services: []corev1.Service{aged(web, 9, "10.0.0.1")}},
		{name: "the claim decides what a Service has, not its status", claims: []v1beta1.IPAddressClaim{inUse("10.0.0.2", web)}, services: []corev1.Service{aged(web, 1, "10.0.0.1")}, web: list{holding("10.0.0.2", "auto", web)}},
		{name: "what is reserved for a Service that shows it is its own", claims: []v1beta1.IPAddressClaim{*claim("10.0.0.2", "10.0.0.2", web)}, services: []corev1.Service{aged(web, 1, "10.0.0.2")}, web: list{holding("10.0.0.2", "auto", web)}},
		{name: "an invalid claim is left out", claims: []v1beta1.IPAddressClaim{*claim("10.0.0.1", "10.0.0.2", other)}, services: []corev1.Service{aged(web, 1, "10.0.0.1")}, web: list{holding("10.0.0.1", "auto", web)}},
		{name: "an address in no pool is not lbstack's", services: []corev1.Service{aged(web, 1, "192.0.2.1", "10.0.0.1")}, web: list{holding("10.0.0.1", "auto", web)}},
		{name: "a host name is no address", services: []corev1.Service{named}, web: list{holding("10.0.0.3", "auto", web)}},
		{name: "a Service that is no load balancer keeps nothing", services: []corev1.Service{clusterIP}},
		{name: "a Service that is being deleted keeps nothing", services: []corev1.Service{going}},
		{name: "a Service of another class is another one's", services: []corev1.Service{of(aged(web, 1, "10.0.0.1"), &otherClass)}},
		{name: "a Service of the own class is served", class: class, services: []corev1.Service{of(aged(web, 1, "10.0.0.1"), &class), aged(other, 2, "10.0.0.2")}, web: list{holding("10.0.0.1", "auto", web)}},
		{name: "without Services there is nothing to adopt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := adopter(&lists{claims: tt.claims, services: tt.services}, tt.class, pools3())
			if err := a.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.web, has(a.Allocations, web), byAddr); diff != "" {
				t.Errorf("held by %s (-want +got):\n%s", web, diff)
			}
			if diff := cmp.Diff(tt.other, has(a.Allocations, other), byAddr); diff != "" {
				t.Errorf("held by %s (-want +got):\n%s", other, diff)
			}
		})
	}
}

func TestWaitingServicesAreDecidedOldestFirstAfterAdoption(t *testing.T) {
	pools := pools3()[:1]
	pools[0].Selection = &ipam.Selection{NamespaceSelectors: []ipam.Matcher{wants{"team", "a"}}}
	young, old, oldest := aged(web, 1), aged(other, 2), aged(lb.ServiceKey{Namespace: "default", Name: "third"}, 3)
	has1 := aged(lb.ServiceKey{Namespace: "default", Name: "fourth"}, 0, "10.0.0.0")
	for _, svc := range []*corev1.Service{&young, &old, &oldest} {
		delete(svc.Annotations, poolKey)
	}
	a := adopter(&lists{services: []corev1.Service{young, has1, old, oldest}}, "", pools)
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"10.0.0.0": "fourth", "10.0.0.1": "third", "10.0.0.2": "other", "10.0.0.3": "web"}
	got := map[string]string{}
	for address := range want {
		holders, _ := a.Allocations.Holders(addr(address))
		for _, h := range holders {
			got[address] = h.Service.Name
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who has what (-want +got):\n%s", diff)
	}
}

func TestAddressOfAnotherServiceIsTakenUpOnlyAfterThatServiceIsDeleted(t *testing.T) {
	a := adopter(&lists{claims: []v1beta1.IPAddressClaim{*taken(claim("10.0.0.1", "10.0.0.1", other))}, services: []corev1.Service{aged(web, 1, "10.0.0.1"), aged(other, 1)}}, "", pools3())
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, yes := a.Allocations.WakePreviousService(addr("10.0.0.1"), other); !yes || got != web {
		t.Errorf("who still shows it: got %s, %v, want %s", got, yes, web)
	}
}

func TestHoldersAreReconciledOnceServicesWait(t *testing.T) {
	claims := []v1beta1.IPAddressClaim{*taken(claim("10.0.0.1", "10.0.0.1", other)), *claim("10.0.0.2", "10.0.0.2", web), *claim("10.0.0.3", "10.0.0.3")}
	want := []lb.ServiceKey{other, web}
	for _, first := range []string{"the claims are read", "there is a queue"} {
		t.Run("first "+first, func(t *testing.T) {
			a := adopter(&lists{claims: claims}, "", pools3())
			var got []lb.ServiceKey
			enqueue := func(key lb.ServiceKey) { got = append(got, key) }
			if first == "there is a queue" {
				a.SetEnqueue(enqueue)
			}
			for range 2 { // the second time there is nothing to do
				if err := a.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			a.SetEnqueue(enqueue)
			a.SetEnqueue(enqueue)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("looked at (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadTriesAgainAfterAnError(t *testing.T) {
	away := errors.New("away")
	l := &lists{err: away, services: []corev1.Service{aged(web, 1, "10.0.0.1")}}
	a := adopter(l, "", pools3())
	if err := a.Load(t.Context()); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
	if got := has(a.Allocations, web); got != nil {
		t.Errorf("held after an error: got %v, want nothing", got)
	}
	l.err = nil
	if err := a.Load(t.Context()); err != nil || len(has(a.Allocations, web)) != 1 {
		t.Errorf("then: got %v and %v, want one address", err, has(a.Allocations, web))
	}
	l.err = away
	if err := a.Load(t.Context()); err != nil {
		t.Errorf("once loaded: got %v, want nothing to be read", err)
	}
}

// deleting deletes a claim while the Services are listed, and reports the deletion to the view.
type deleting struct {
	*lists
	report func()
}

func (d *deleting) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := d.lists.List(ctx, list, opts...)
	if _, is := list.(*corev1.ServiceList); is && len(d.claims) > 0 {
		d.claims = nil
		d.report()
	}
	return err
}

func TestAClaimThatIsDeletedWhileTheClusterIsReadIsNotAdopted(t *testing.T) {
	const at = "10.0.0.1"
	c := taken(claim(at, at, web))
	l := &lists{claims: []v1beta1.IPAddressClaim{*c}}
	a := adopter(l, "", pools3())
	a.Reader = &deleting{lists: l, report: func() {
		claimHandler{allocations: a.Allocations, changed: a.NoteClaimChange}.Delete(t.Context(), event.DeleteEvent{Object: c}, &asked{})
	}}
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if holders, taken := a.Allocations.Holders(addr(at)); taken {
		t.Errorf("the address of the claim: got held by %v, want free", holders)
	}
}
