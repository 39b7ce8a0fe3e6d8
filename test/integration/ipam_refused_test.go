package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// noClaims has an admission policy refuse the IPAddressClaims of an address, and returns what
// ends it.
func (b *bed) noClaims(address, message string) (end func()) {
	b.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "no-claims"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{v1beta1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"ipaddressclaims"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: fmt.Sprintf("object.spec.address != %q", address), Message: message}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "no-claims"},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}
	create(b.T, b.Client, policy)
	create(b.T, b.Client, binding)
	eventually.Succeed(b.T, slowly, "the policy is in force", func(ctx context.Context) error {
		probe := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: address}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "pool"}}
		if err := b.Create(ctx, probe, client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("creating a claim: got %v, want it to be refused", err)
		}
		return nil
	})
	return func() {
		if err := b.Delete(context.Background(), binding); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClaimRefusedByAPolicy_ServiceReportsItAndStaysUnchanged(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	const message = "claims of this address are not welcome"
	end := b.noClaims("10.9.0.2", message)
	b.controller()
	refusedWithMessage := func(name, address string) {
		t.Helper()
		svc := b.refused(name, v1beta1.ReasonClaimRefused)
		m := allocated(svc).Message
		for _, want := range []string{"IPAddressClaim 10.9.0.2", message, "admission policy"} {
			if !strings.Contains(m, want) {
				t.Errorf("message of %s: got %q, want it to contain %q", name, m, want)
			}
		}
		if got := ingress(svc); got != address {
			t.Errorf("addresses of %s: got %q, want %q", name, got, address)
		}
	}
	moves := b.service("moves")
	b.has("moves", "10.9.0.1")
	b.service("new") // is to have 10.9.0.2
	refusedWithMessage("new", "")
	b.remove("new")
	b.service("next", asking("10.9.0.2")) // what the deleted Service was to have is free
	refusedWithMessage("next", "")
	b.remove("next")
	b.edit(moves, asking("10.9.0.2"))
	refusedWithMessage("moves", "10.9.0.1")
	b.keeps("moves", "10.9.0.1")
	end()
	b.has("moves", "10.9.0.2")
}

// The claim that reserves an address for a Service is written when the Service shows it.
func TestClaimRefusedWhenAReservedAddressIsTakenUp_ServiceHasItAndReportsIt(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.reservedFor("10.9.0.2", "web")
	end := b.noClaims("10.9.0.2", "claims of this address are not welcome")
	b.controller()
	b.service("web")
	svc := b.refused("web", v1beta1.ReasonClaimRefused)
	if got := ingress(svc); got != "10.9.0.2" {
		t.Errorf("addresses: got %q, want the one that is reserved for the Service", got)
	}
	b.claimIs("10.9.0.2", v1beta1.ClaimReserved, "web")
	end()
	b.claimIs("10.9.0.2", v1beta1.ClaimInUse, "web")
	b.has("web", "10.9.0.2")
}
