package integration

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestRemovedStackDeletesItsOwnObjectsOnly(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.installed()
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)

	served, other := b.servedService("served", "192.168.1.240", true), b.servedService("other", "203.0.113.9", false)
	listing := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "listing"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	create(t, b.Client, listing)
	meta.SetStatusCondition(&listing.Status.Conditions, metav1.Condition{Type: v1beta1.ServiceExternalIPConflict, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAddressOfPool})
	if err := b.Status().Update(t.Context(), listing); err != nil {
		t.Fatal(err)
	}
	reservation, foreign := claimOf("192.168.1.250", nil), pool("by-hand")
	foreign.Spec.Addresses = []v1beta1.AddressRange{"10.77.0.1"}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	routes := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "node-1-0"}, Node: "node-1"}
	for _, object := range []client.Object{reservation, foreign, state, routes} {
		create(t, b.Client, object)
	}

	b.removeStack()
	gone := append(components(), pool("first-pool"), pool("second-pool"), advertisement("example"), state, routes)
	for _, object := range gone {
		if err := b.Get(context.Background(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s after the removal: got %v, want it gone", name(object), err)
		}
	}
	for _, object := range append(permissions(), reservation, foreign, claimOf("192.168.1.240", served)) {
		if err := b.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil || !object.GetDeletionTimestamp().IsZero() {
			t.Errorf("%s, which the removal leaves: got %v, want it there", name(object), err)
		}
	}
	b.hasCRDs()
	b.refresh(served)
	if ingress(served) != "" || allocated(served) != nil || served.Annotations[v1beta1.AnnotationAllocatedFromPool] != "" {
		t.Errorf("a Service that nobody serves any more: got %q, %s, %v; want neither address nor condition nor annotation", ingress(served), allocatedText(served), served.Annotations)
	}
	if b.refresh(listing); len(listing.Status.Conditions) > 0 {
		t.Errorf("a ClusterIP Service: got conditions %v, want none", listing.Status.Conditions)
	}
	before := other.DeepCopy()
	b.refresh(other)
	if diff := cmp.Diff(before, other); diff != "" {
		t.Errorf("a Service of somebody else (-before +after):\n%s", diff)
	}
}

// servedService is a Service with an address; ours: whether lbstack's
// controller gave it.
func (b *operatorBed) servedService(name, address string, ours bool) *corev1.Service {
	b.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if ours {
		svc.Annotations = map[string]string{v1beta1.AnnotationAllocatedFromPool: "first-pool"}
	}
	create(b.T, b.Client, svc)
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	if ours {
		meta.SetStatusCondition(&svc.Status.Conditions, metav1.Condition{Type: v1beta1.ServiceAddressAllocated, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAllocated})
		claim := claimOf(address, svc)
		claim.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}
		create(b.T, b.Client, claim)
	}
	if err := b.Status().Update(context.Background(), svc); err != nil {
		b.Fatal(err)
	}
	return svc
}

func (b *operatorBed) refresh(object client.Object) {
	b.Helper()
	if err := b.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
		b.Fatal(err)
	}
}

func (b *operatorBed) hasCRDs() {
	b.Helper()
	for _, plural := range []string{"loadbalancerstacks", "ipaddresspools", "l2advertisements", "bgppeers", "bgpadvertisements", "bfdprofiles", "communities", "ipaddressclaims", "speakerstates", "speakerrouteslices"} {
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		if err := b.Get(context.Background(), nameOnly(plural+".lbstack.io"), crd); err != nil {
			b.Errorf("CRD %s after the removal: %v", plural, err)
		}
	}
}

func TestKilledOperatorGoesOnWhereItWas(t *testing.T) {
	b := newOperatorBed(t)
	operator := b.operator()
	b.stack(aSpec())
	// As soon as there is a trace of it: in the middle of the installation.
	b.exists(meshKeySecret())
	crash(operator)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.IPAddressPools = s.IPAddressPools[:1] })

	operator = b.operator()
	b.installed()
	b.isGone(pool("second-pool"))
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)

	// In the middle of the removal: a pod does not end.
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "slow", Finalizers: []string{"lbstack.io/test"},
			Labels: map[string]string{"app.kubernetes.io/name": "lbstack", v1beta1.LabelComponent: "speaker"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "speaker", Image: operatorImage}}},
	}
	create(t, b.Client, pod)
	remove(t, b.Client, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}})
	b.isGone(speakerDaemonSet())
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionFalse, v1beta1.ReasonRemoving)
	eventually.Stays(t, time.Second, "what is left waits for the pod", func(ctx context.Context) error {
		return b.Get(ctx, nameOnly("first-pool"), pool("first-pool"))
	})
	crash(operator)
	before := pod.DeepCopy()
	pod.Finalizers = nil
	if err := b.Patch(context.Background(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	remove(t, b.Client, pod)
	b.operator()
	b.removeStack()
	b.isGone(pool("first-pool"))
}
