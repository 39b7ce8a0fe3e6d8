package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestRights_ControllerUsesAllThatItHas has the controller serve Services and report about every
// kind with the token of its ServiceAccount.
func TestRights_ControllerUsesAllThatItHas(t *testing.T) {
	installed, b := newOperatorBed(t), newBed(t)
	exact := installed.rightsOf("controller")
	installed.withoutLease("lbstack-controller")
	env := []string{"KUBECONFIG=" + installed.tokenOf("lbstack-controller", ""), "POD_NAMESPACE=" + systemNamespace}
	metrics := loopback(t, metricsPort)
	arguments := []string{"--metrics-bind-address=" + metrics, "--health-probe-bind-address=0"}
	b.machine("rights", nil)
	b.poolWith("pool", "10.9.0.1", retaining(0))
	b.poolWith("once", "10.9.1.1", func(spec *v1beta1.IPAddressPoolSpec) { spec.AutoAssign = new(false) })
	b.poolWith("two", "10.9.2.1-10.9.2.2", several, func(spec *v1beta1.IPAddressPoolSpec) { spec.AutoAssign = new(false) })
	b.advertise("rights")
	b.advertiseToRouters("rights")
	tor := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "rights"}, Type: corev1.SecretTypeBasicAuth, StringData: map[string]string{"password": "secret"}}
	for _, object := range []client.Object{
		passwordsSecret(), tor,
		&v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "rights"}},
		&v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "rights"}, Spec: v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "rights", Value: "65000:1"}}}},
	} {
		create(t, b.Client, object)
	}
	b.peer("rights", func(p *v1beta1.BGPPeerSpec) { p.PasswordSecret = &v1beta1.PasswordSecret{Name: tor.Name} })
	controller := start(t, "controller", env, arguments...)

	b.service("web", sharing("rights"), on("80/TCP"))
	b.has("web", "10.9.0.1")
	b.service("shares", sharing("rights"), on("81/TCP"))
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web", "shares")
	b.service("leaves", annotated(v1beta1.AnnotationAddressPool, "once"))
	b.has("leaves", "10.9.1.1")
	create(t, b.Client, claimOf("10.9.3.1", nil))
	b.claimCondition("10.9.3.1", metav1.ConditionFalse, v1beta1.ReasonClaimOutsidePools)
	// The events about two addresses that are announced at once have one reason: the second one
	// makes a series of the first, with a patch.
	b.service("both", asking("10.9.2.1,10.9.2.2"))
	b.shows("both", "10.9.2.1,10.9.2.2", v1beta1.ReasonAllocated)
	b.endpoints("both", "rights")
	b.endpoints("web", "rights")
	b.speaker("rights").owns(1, "10.9.0.1", "10.9.2.1", "10.9.2.2")
	b.announced("both", v1beta1.ReasonAnnounced)
	if _, err := fetch(t.Context(), "https://"+metrics+"/metrics", metricsReader(b, "prometheus")); err != nil {
		t.Errorf("scraping the controller: %v", err)
	}
	eventually.Succeed(t, within, "the password is copied", func(ctx context.Context) error {
		secret := passwordsSecret()
		if err := b.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}
		if len(secret.Data) != 1 {
			return fmt.Errorf("the copy has %d passwords, want one", len(secret.Data))
		}
		return nil
	})
	patches := right{group: "events.k8s.io", resource: "events", verb: "patch"}
	eventually.Succeed(t, within, "an event has a series", func(context.Context) error {
		if !slices.ContainsFunc(installed.requests("controller"), patches.uses) {
			return errors.New("no event was patched")
		}
		return nil
	})
	crash(controller)
	start(t, "controller", append(env, "KUBE_FEATURE_WatchListClient=false"), arguments...) // lists, as an API server wants that streams no lists
	b.remove("shares")
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web")
	b.remove("web")
	b.claimIs("10.9.0.1", v1beta1.ClaimRetained, "web")
	b.remove("leaves")
	eventually.Succeed(t, within, "the address of a Service that is gone has no claim", func(ctx context.Context) error {
		if claim, err := b.claim(ctx, "10.9.1.1"); err == nil {
			return fmt.Errorf("the claim is %+v", claim.Spec)
		}
		return nil
	})
	exact()
}
