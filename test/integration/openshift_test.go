package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/eventually"
)

// TestPods_OpenShift creates the pods of all three programs, with their ServiceAccounts and with
// those of others, where a policy does what OpenShift's admission does.
func TestPods_OpenShift(t *testing.T) {
	b := newOperatorBed(t)
	policy := filepath.Join("testdata", "openshift.yaml")
	if out, err := server.Kubectl(t.Context(), "apply", "-f", policy); err != nil {
		t.Fatalf("applying the policy: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := server.Kubectl(context.Background(), "delete", "-f", policy); err != nil {
			t.Errorf("deleting the policy: %v: %s", err, out)
		}
	})
	pods := programPods(t)
	admit := func(ctx context.Context, program, account string, edit func(*corev1.PodSpec)) error {
		template := pods[program]
		spec := *template.DeepCopy()
		spec.ServiceAccountName = account
		if edit != nil {
			edit(&spec)
		}
		meta := metav1.ObjectMeta{Namespace: systemNamespace, Name: "openshift", Labels: map[string]string{"admission": "openshift"}}
		return b.Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: spec}, client.DryRunAll)
	}
	eventually.Succeed(t, within, "the policy is in force", func(ctx context.Context) error {
		if err := admit(ctx, "speaker", "lbstack-controller", nil); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("got %v, want the pod to be refused", err)
		}
		return nil
	})
	for _, tt := range []struct {
		name, program, account string
		edit                   func(*corev1.PodSpec)
		allowed                bool
	}{
		{name: "operator", program: "operator", account: "lbstack-operator", allowed: true},
		{name: "controller", program: "controller", account: "lbstack-controller", allowed: true},
		{name: "speaker", program: "speaker", account: "lbstack-speaker", allowed: true},
		{name: "speaker with the account of the controller", program: "speaker", account: "lbstack-controller"},
		{name: "controller with a user of its choice", program: "controller", account: "lbstack-controller",
			edit: func(spec *corev1.PodSpec) { spec.SecurityContext.RunAsUser = new(int64(65532)) }},
	} {
		if err := admit(t.Context(), tt.program, tt.account, tt.edit); (err == nil) != tt.allowed {
			t.Errorf("%s: got %v, want it allowed: %v", tt.name, err, tt.allowed)
		}
	}
}
