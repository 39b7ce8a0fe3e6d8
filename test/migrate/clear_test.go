package migrate

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
	"github.com/lbstack/lbstack/test/metallb"
	"github.com/lbstack/lbstack/test/scenario"
)

// cleared removes what a failed test before has left: the stack with its Services and claims, and workloads of MetalLB that a switch has changed. An apply
// of MetalLB's manifest does not remove the fields of a switch, so that speakers would never start.
func cleared(ctx context.Context, t *testing.T, bed *scenario.Scenario) {
	t.Helper()
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	err := bed.Client.Delete(ctx, stack)
	must(t, client.IgnoreNotFound(err))
	if err == nil { // Services may have addresses of that test, or none
		must(t, bed.Client.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace(metav1.NamespaceDefault), client.HasLabels{label}))
	}
	must(t, shortly(ctx, func(ctx context.Context) error {
		switch err := bed.Client.Get(ctx, client.ObjectKeyFromObject(stack), stack); {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("the stack of a test before is still there: %+v", stack.Status.Conditions)
	}))
	must(t, bed.Client.DeleteAllOf(ctx, &v1beta1.IPAddressClaim{}))
	for _, workload := range []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: metallb.Namespace, Name: metallb.Controller}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: metallb.Namespace, Name: metallb.Speaker}},
	} {
		err := bed.Client.Get(ctx, client.ObjectKeyFromObject(workload), workload)
		must(t, client.IgnoreNotFound(err))
		if _, changed := workload.GetAnnotations()[cutover.AnnotationBefore]; changed && err == nil {
			must(t, client.IgnoreNotFound(bed.Client.Delete(ctx, workload, client.PropagationPolicy(metav1.DeletePropagationBackground))))
		}
	}
}
