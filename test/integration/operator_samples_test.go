package integration

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestStack_Samples applies each stack of config/samples to an operator that runs, together with the
// Secrets that its comment has the user create: the stack is valid and becomes Ready, and each item
// of its lists has its object.
func TestStack_Samples(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	for _, name := range []string{"rack-1", "rack-2"} {
		create(t, b.Client, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}, Type: corev1.SecretTypeBasicAuth,
			StringData: map[string]string{corev1.BasicAuthPasswordKey: "long-and-random"},
		})
	}
	files, err := filepath.Glob(filepath.Join(server.Repo, "config", "samples", "lbstack_v1beta1_loadbalancerstack*.yaml"))
	if err != nil || len(files) < 7 {
		t.Fatalf("finding the stacks of config/samples: %q, %v; want seven at least", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			b := &operatorBed{T: t, Client: b.Client, kubeconfig: b.kubeconfig}
			if out, err := server.Kubectl(t.Context(), "apply", "--server-side", "--validate=strict", "-f", file); err != nil {
				t.Fatalf("applying the sample: %v: %s", err, out)
			}
			t.Cleanup(b.removeStack)
			b.installed()
			b.run()
			stack := b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
			b.hasCondition(v1beta1.ConditionConfigurationValid, metav1.ConditionTrue, v1beta1.ReasonAsExpected)
			made := madeFor(stack.Spec)
			if len(made) < 2 {
				t.Errorf("the sample has the objects %v, want a pool and an advertisement at least", made)
			}
			for _, object := range made {
				b.exists(object)
			}
		})
	}
}

// madeFor lists the objects of the items of a spec.
func madeFor(spec v1beta1.LoadBalancerStackSpec) (objects []client.Object) {
	named := func(name v1beta1.ObjectName) metav1.ObjectMeta { return metav1.ObjectMeta{Name: string(name)} }
	for _, item := range spec.IPAddressPools {
		objects = append(objects, &v1beta1.IPAddressPool{ObjectMeta: named(item.Name)})
	}
	for _, item := range spec.L2Advertisements {
		objects = append(objects, &v1beta1.L2Advertisement{ObjectMeta: named(item.Name)})
	}
	for _, item := range spec.BGPPeers {
		objects = append(objects, &v1beta1.BGPPeer{ObjectMeta: named(item.Name)})
	}
	for _, item := range spec.BGPAdvertisements {
		objects = append(objects, &v1beta1.BGPAdvertisement{ObjectMeta: named(item.Name)})
	}
	for _, item := range spec.BFDProfiles {
		objects = append(objects, &v1beta1.BFDProfile{ObjectMeta: named(item.Name)})
	}
	for _, item := range spec.Communities {
		objects = append(objects, &v1beta1.Community{ObjectMeta: named(item.Name)})
	}
	return objects
}
