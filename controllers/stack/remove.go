package stack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/paged"
)

const (
	// removeInterval is the time until the next pass of a removal that waits.
	removeInterval = time.Second
	// lostPodTimeout is how long a pod that does not end delays the removal after the grace period of the pod
	// has ended.
	lostPodTimeout = time.Minute
)

// remove deletes everything that the operator made: first the workloads, then what lbstack wrote to Services,
// then the other objects. CRDs stay, and with them the objects of administrators. If the stack itself is not
// being deleted, its status reports at the end that nothing is left.
func (r *Reconciler) remove(ctx context.Context, stack *v1beta1.LoadBalancerStack) (reconcile.Result, error) {
	f := findings{generation: stack.Generation, removed: true}
	r.observed = rolloutObservations{} // the next installation counts as a first one
	// If another writer has removed the finalizer, the inventory shows whether objects are left.
	if controllerutil.ContainsFinalizer(stack, v1beta1.StackFinalizer) || len(stack.Status.Inventory) > 0 {
		waiting, err := r.takeDown(ctx, stack)
		if apierrors.IsConflict(err) {
			return reconcile.Result{}, err // the next pass reads what another writer wrote
		}
		if waiting != "" || err != nil {
			f = findings{generation: stack.Generation, removing: &waiting, inventory: stack.Status.Inventory}
			if err != nil {
				err = f.addFailure(v1beta1.ReasonRemoving, fmt.Errorf("the removal failed and is tried again: %w", err))
			}
			if err := errors.Join(err, r.writeReport(ctx, stack, &f)); err != nil {
				return reconcile.Result{}, err // tried again with backoff
			}
			if f.hasRefusal() {
				return reconcile.Result{RequeueAfter: foreignRetryInterval}, nil
			}
			return reconcile.Result{RequeueAfter: removeInterval}, nil
		}
		r.applied, r.finalizers = applyRecords{}, retry.RestoreLimiter[types.UID]{}
	}
	if !stack.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	if err := r.writeReport(ctx, stack, &f); err != nil || !f.hasRefusal() {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: foreignRetryInterval}, nil
}

// takeDown runs the steps of the removal, and returns what it waits for; empty: nothing is left.
func (r *Reconciler) takeDown(ctx context.Context, stack *v1beta1.LoadBalancerStack) (waiting string, err error) {
	for _, step := range []func(context.Context, *v1beta1.LoadBalancerStack) (string, error){
		r.stopWorkloads, r.releaseServices, r.deleteInventory, r.removeFinalizer,
	} {
		if waiting, err = step(ctx, stack); err != nil || waiting != "" {
			return waiting, err
		}
	}
	return "", nil
}

// removeFinalizer ends the removal. It waits for nothing.
func (r *Reconciler) removeFinalizer(ctx context.Context, stack *v1beta1.LoadBalancerStack) (string, error) {
	without := stack.DeepCopy()
	controllerutil.RemoveFinalizer(without, v1beta1.StackFinalizer)
	if err := r.Client.Patch(ctx, without, optimisticPatch(stack)); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("removing the finalizer from the LoadBalancerStack %s: %w", stack.Name, err)
	}
	without.DeepCopyInto(stack)
	return "", nil
}

// stopWorkloads deletes the workloads and waits until their pods have ended:
// as long as the pods run, they write what the next step removes.
func (r *Reconciler) stopWorkloads(ctx context.Context, stack *v1beta1.LoadBalancerStack) (string, error) {
	for _, ref := range slices.Backward(stack.Status.Inventory) {
		if ref.Kind != "Deployment" && ref.Kind != "DaemonSet" {
			continue
		}
		if gone, err := r.deleteLabelled(ctx, ref); err != nil {
			return "", err
		} else if !gone {
			return "waiting until the " + describeObject(ref) + " is gone", nil
		}
	}
	pods, err := r.componentPods(ctx)
	if err != nil {
		return "", err
	}
	var nodes corev1.NodeList
	if err := r.Client.List(ctx, &nodes); err != nil {
		return "", fmt.Errorf("listing the nodes on which pods are ending: %w", err)
	}
	return runningPodsMessage(pods, reportingNodes(nodes.Items), time.Now()), nil
}

// reportingNodes returns the nodes whose kubelets report, according to their condition Ready.
func reportingNodes(nodes []corev1.Node) map[string]bool {
	list := map[string]bool{}
	for i := range nodes {
		ready := readyCondition(&nodes[i])
		list[nodes[i].Name] = ready != nil && ready.Status != corev1.ConditionUnknown
	}
	return list
}

// runningPodsMessage returns a sentence with the pods of the components that have not ended; empty: all have ended.
// A deleted pod does not count if the kubelet of its node does not report, or if its grace period ended long
// ago: the API server is not informed when such a pod ends.
func runningPodsMessage(pods []corev1.Pod, reporting map[string]bool, now time.Time) string {
	var names []string
	for i := range pods {
		pod := &pods[i]
		if c := pod.Labels[v1beta1.LabelComponent]; c != "controller" && c != "speaker" {
			continue
		}
		if pod.DeletionTimestamp != nil && (now.Sub(pod.DeletionTimestamp.Time) > lostPodTimeout || pod.Spec.NodeName != "" && !reporting[pod.Spec.NodeName]) {
			continue
		}
		names = append(names, pod.Name)
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "waiting until these pods have ended: " + strings.Join(names, ", ")
}

// releaseServices removes addresses and conditions from the Services, and deletes what the speakers reported.
// If the spec requests it, it also deletes the claims that the controller made. Claims of administrators, and
// claims without a holder, always stay: they reserve addresses. With the policy AddressesHandOver the
// addresses stay in the status, since another load balancer takes them over. If they were missing for a
// moment, kube-proxy would drop their traffic, and the other load balancer might give other addresses.
func (r *Reconciler) releaseServices(ctx context.Context, stack *v1beta1.LoadBalancerStack) (string, error) {
	var claims v1beta1.IPAddressClaimList
	if err := r.Reader.List(ctx, &claims); err != nil {
		return "", fmt.Errorf("listing the IPAddressClaims: %w", err)
	}
	services, err := paged.LoadBalancers(ctx, r.Reader)
	if err != nil {
		return "", fmt.Errorf("removing addresses of lbstack from Services: %w", err)
	}
	policy, held := stack.Spec.Removal.Addresses, addressesByService(claims.Items)
	if policy == v1beta1.AddressesHandOver {
		held = nil
	}
	for i := range services {
		svc := &services[i]
		next := withoutOwnData(svc, held[client.ObjectKeyFromObject(svc)], stack.Spec.Removal.Addresses)
		if equality.Semantic.DeepEqual(svc, next) {
			continue
		}
		if err := r.Client.Status().Patch(ctx, next, optimisticPatch(svc)); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("removing what lbstack wrote to the Service %s/%s: %w", svc.Namespace, svc.Name, err)
		}
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		if policy != v1beta1.AddressesRelease && policy != v1beta1.AddressesHandOver || claim.Labels[v1beta1.LabelManagedBy] != v1beta1.ManagedByController || len(claim.Spec.Holders) == 0 {
			continue
		}
		if err := r.Client.Delete(ctx, claim, preconditionsOf(&claim.ObjectMeta)); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("deleting the IPAddressClaim %s: %w", claim.Name, err)
		}
	}
	if err := r.removeConflictConditions(ctx); err != nil {
		return "", err
	}
	return "", r.deleteReports(ctx)
}

// removeConflictConditions removes the condition about externalIPs from Services of all types: without lbstack
// the addresses are in no conflict.
func (r *Reconciler) removeConflictConditions(ctx context.Context) error {
	services, err := paged.ServicesWithCondition(ctx, r.Reader, v1beta1.ServiceExternalIPConflict)
	if err != nil {
		return fmt.Errorf("removing the condition %s from Services: %w", v1beta1.ServiceExternalIPConflict, err)
	}
	for i := range services {
		next := services[i].DeepCopy()
		meta.RemoveStatusCondition(&next.Status.Conditions, v1beta1.ServiceExternalIPConflict)
		if err := r.Client.Status().Patch(ctx, next, optimisticPatch(&services[i])); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing the condition %s from the Service %s/%s: %w", v1beta1.ServiceExternalIPConflict, next.Namespace, next.Name, err)
		}
	}
	return nil
}

// deleteReports deletes what the speakers reported. It reads only the metadata: a node can have hundreds of
// slices.
func (r *Reconciler) deleteReports(ctx context.Context) error {
	for _, kind := range []string{"SpeakerRouteSlice", "SpeakerState"} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1beta1.GroupVersion.WithKind(kind + "List"))
		if err := r.Reader.List(ctx, list); err != nil {
			return fmt.Errorf("listing the %ss: %w", kind, err)
		}
		for i := range list.Items {
			object := &list.Items[i]
			object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind(kind)) // items of a list have no kind
			if err := r.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting the %s %s: %w", kind, object.GetName(), err)
			}
		}
	}
	return nil
}

// addressesByService returns the addresses that are claimed for each Service.
func addressesByService(claims []v1beta1.IPAddressClaim) map[types.NamespacedName]map[string]bool {
	held := map[types.NamespacedName]map[string]bool{}
	for i := range claims {
		for _, holder := range claims[i].Spec.Holders {
			key := types.NamespacedName{Namespace: holder.Namespace, Name: holder.Name}
			if held[key] == nil {
				held[key] = map[string]bool{}
			}
			held[key][claims[i].Spec.Address] = true
		}
	}
	return held
}

// withoutOwnData returns the Service without what lbstack wrote to it, see apiconv.WithoutOwnData. The
// parameter held has the addresses that are claimed for the Service. With the policy AddressesKeep, an
// annotation of the Service records these addresses, since the claims are deleted when their CRD is deleted.
func withoutOwnData(svc *corev1.Service, held map[string]bool, policy v1beta1.AddressRemoval) *corev1.Service {
	own := func(a netip.Addr) bool { return held[a.String()] }
	next := apiconv.WithoutOwnData(svc, own)
	if policy == v1beta1.AddressesKeep || policy == "" {
		apiconv.SetKeptAddresses(next, slices.DeleteFunc(apiconv.StatusAddresses(svc), func(a netip.Addr) bool { return !own(a) }))
	} else {
		delete(next.Annotations, v1beta1.AnnotationKeptAddresses)
	}
	return next
}

// deleteInventory deletes the objects in the inventory, the last one first, and waits until each is gone.
func (r *Reconciler) deleteInventory(ctx context.Context, stack *v1beta1.LoadBalancerStack) (string, error) {
	for _, ref := range slices.Backward(stack.Status.Inventory) {
		gone, err := r.deleteLabelled(ctx, ref)
		if err != nil {
			return "", err
		}
		if !gone {
			return "waiting until the " + describeObject(ref) + " is gone", nil
		}
	}
	return "", nil
}
