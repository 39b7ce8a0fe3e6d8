package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

func TestPageThroughTheAddress(t *testing.T) {
	installed(t)
	address := served(t)
	if address != "192.168.1.240" {
		t.Errorf("address: got %s, want the first of the pool, 192.168.1.240", address)
	}
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	t.Logf("%s announces %s with the MAC %s", owner.Node, address, owner.MAC)
	eventually.Succeed(t, within, "exactly the owner's SpeakerState has the address", func(ctx context.Context) error {
		var states v1beta1.SpeakerStateList
		if err := bed.Client.List(ctx, &states); err != nil {
			return err
		}
		for _, s := range states.Items {
			reports := len(s.Status.Addresses) == 1 && s.Status.Addresses[0].Address == address
			if reports != (s.Name == owner.Node) {
				return fmt.Errorf("the state of %s lists %v", s.Name, s.Status.Addresses)
			}
		}
		return nil
	})
}

func TestKilledControllerAndOperatorLoseNothing(t *testing.T) {
	installed(t)
	address := served(t)
	names := []string{"during-1", "during-2", "during-3", "during-4"}
	t.Cleanup(func() {
		for _, name := range names {
			withdraw(t, name)
		}
	})
	for i, name := range names {
		balancer(t, name)
		if i == 1 {
			crash(t, componentNamespace, "controller")
			crash(t, componentNamespace, "operator")
		}
	}
	seen := map[string]string{address: scenario.SampleService}
	for _, name := range names {
		got, err := bed.Address(background(t), name)
		must(t, err)
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s both have %s", other, name, got)
		}
		seen[got] = name
	}
	if now, err := bed.Address(background(t), scenario.SampleService); err != nil || now != address {
		t.Errorf("the address that was there before: got %s, %v, want %s", now, err, address)
	}
	must(t, bed.StackReady(background(t)))
	_, err := bed.Page(background(t), address)
	must(t, err)
}

func TestDeletedServiceFreesItsAddress(t *testing.T) {
	installed(t)
	address := served(t)
	withdraw(t, scenario.SampleService)
	must(t, bed.Apply(background(t), "service.yaml"))
	again, err := bed.Address(background(t), scenario.SampleService)
	must(t, err)
	if again != address {
		t.Errorf("the next Service has %s, want %s, which is the lowest that is free", again, address)
	}
}

func TestDeletedStackRemovesItsOwnObjectsOnly(t *testing.T) {
	installed(t)
	address := served(t)
	own := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "administrators"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.99.0.0/24"}}}
	must(t, bed.Client.Create(context.Background(), own))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), own))) })

	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	must(t, bed.Client.Delete(context.Background(), stack))
	gone(t, stack)
	for _, kind := range [][3]string{
		{"apps", "v1", "Deployment"}, {"apps", "v1", "DaemonSet"}, {"", "v1", "Secret"}, {"policy", "v1", "PodDisruptionBudget"},
		{"admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"}, {"admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"},
		{"lbstack.io", "v1beta1", "IPAddressPool"}, {"lbstack.io", "v1beta1", "L2Advertisement"},
		{"lbstack.io", "v1beta1", "BGPPeer"}, {"lbstack.io", "v1beta1", "BGPAdvertisement"},
		{"lbstack.io", "v1beta1", "BFDProfile"}, {"lbstack.io", "v1beta1", "Community"},
	} {
		left, err := managed(background(t), kind[0], kind[1], kind[2])
		must(t, err)
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	// spec.removal.addresses is Keep by default.
	var claims v1beta1.IPAddressClaimList
	must(t, bed.Client.List(background(t), &claims))
	if len(claims.Items) != 1 || claims.Items[0].Spec.Address != address {
		t.Errorf("got the claims %+v, want the one of %s, for the next installation", claims.Items, address)
	}
	for _, list := range []client.ObjectList{&v1beta1.SpeakerStateList{}, &v1beta1.SpeakerRouteSliceList{}} {
		must(t, bed.Client.List(background(t), list))
		if n := lengthOf(list); n > 0 {
			t.Errorf("left behind: %d of %T", n, list)
		}
	}
	svc := &corev1.Service{}
	must(t, bed.Client.Get(background(t), client.ObjectKey{Namespace: "default", Name: scenario.SampleService}, svc))
	if len(svc.Status.LoadBalancer.Ingress)+len(svc.Status.Conditions) > 0 {
		t.Errorf("the Service shows an address that nobody serves: %+v", svc.Status)
	}
	if err := bed.Client.Get(background(t), client.ObjectKeyFromObject(own), own); apierrors.IsNotFound(err) {
		t.Error("the administrator's own pool was taken down too")
	}
	installed(t) // and it comes back
}

func lengthOf(list client.ObjectList) int {
	switch list := list.(type) {
	case *v1beta1.SpeakerStateList:
		return len(list.Items)
	case *v1beta1.SpeakerRouteSliceList:
		return len(list.Items)
	}
	return 0
}
