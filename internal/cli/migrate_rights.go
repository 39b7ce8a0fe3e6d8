package cli

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
)

// checkRights checks that the user has the rights for a switch to lbstack or a rollback to MetalLB. In dry
// runs, it patches MetalLB's workloads and the objects in patched, and deletes the objects in deleted. If a
// right were found missing only in the middle of a switch, both load balancers could be left announcing. The
// dry run of cluster.dryRunStack checks the right to apply the stack.
func (m *migrateRun) checkRights(ctx context.Context, c *cutover.Cluster, patched, deleted []client.Object) error {
	patched = append([]client.Object{
		&appsv1.Deployment{ObjectMeta: nameOf(&c.Controllers[0])},
		&appsv1.DaemonSet{ObjectMeta: nameOf(&c.Speakers[0])},
	}, patched...)
	var failed []error
	for _, object := range patched {
		failed = append(failed, m.api.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte("{}")), client.DryRunAll))
	}
	for _, object := range deleted {
		failed = append(failed, m.api.Delete(ctx, object, client.DryRunAll))
	}
	for _, err := range failed {
		if apierrors.IsForbidden(err) { // the API server checks rights first: other errors, such as NotFound, do not matter
			return missingRight(err)
		}
	}
	return nil
}

// nameOf returns the metadata of an object with only its namespace and name.
func nameOf(object client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// checkSwitchRights is checkRights for a switch.
func (m *migrateRun) checkSwitchRights(ctx context.Context, c *cutover.Cluster) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.Speakers[0].Namespace, Name: "lbstack-migrate"}}
	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "lbstack-migrate"}}
	return m.checkRights(ctx, c, []client.Object{claim}, []client.Object{pod})
}

// checkRollbackRights is checkRights for a rollback.
func (m *migrateRun) checkRollbackRights(ctx context.Context, c *cutover.Cluster) error {
	stack := func() client.Object {
		return &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	}
	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "lbstack-migrate"}}
	deleted := []client.Object{stack()}
	if c.ShowsIPv6() { // restartLate reads logs of MetalLB's speakers and deletes pods
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.Speakers[0].Namespace, Name: "lbstack-migrate"}}
		if _, err := m.podLog(ctx, pod.Namespace, pod.Name, speakerLog(pod)); apierrors.IsForbidden(err) {
			return missingRight(err)
		}
		deleted = append(deleted, pod)
	}
	return m.checkRights(ctx, c, []client.Object{stack(), claim}, deleted)
}
