package manifests

import (
	"cmp"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Kind is a kind of object that the operator writes.
type Kind struct {
	schema.GroupVersionKind
	// Namespaced means that objects of the kind are in a namespace.
	Namespaced bool
}

// Kinds returns the kinds that every cluster has and that the operator writes and watches. They are in the
// order in which their objects are installed: workloads come last, after all objects that they need.
func Kinds() []Kind {
	return []Kind{
		// Policies restrict the rights of the speakers, and protect objects that the operator needs in
		// order to remove lbstack. They are therefore installed first and deleted last.
		{admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicy"), false},
		{admissionv1.SchemeGroupVersion.WithKind("ValidatingAdmissionPolicyBinding"), false},
		{corev1.SchemeGroupVersion.WithKind("Secret"), true},
		{v1beta1.GroupVersion.WithKind("IPAddressPool"), false},
		{v1beta1.GroupVersion.WithKind("L2Advertisement"), false},
		{v1beta1.GroupVersion.WithKind("BFDProfile"), false},
		{v1beta1.GroupVersion.WithKind("Community"), false},
		{v1beta1.GroupVersion.WithKind("BGPPeer"), false},
		{v1beta1.GroupVersion.WithKind("BGPAdvertisement"), false},
		{policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), true},
		// The revision of the workloads must be stored before the workloads are changed to it.
		{appsv1.SchemeGroupVersion.WithKind("ControllerRevision"), true},
		{appsv1.SchemeGroupVersion.WithKind("Deployment"), true},
		{appsv1.SchemeGroupVersion.WithKind("DaemonSet"), true},
	}
}

// ServiceMonitor returns the kind ServiceMonitor of the Prometheus operator. If the API server has the kind,
// Render returns an object of it at the end of the list. The kind is not in Kinds, since clusters without it
// cannot watch it.
func ServiceMonitor() Kind {
	return Kind{schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}, true}
}

// allKinds returns all kinds that the operator writes, in the order of their installation.
func allKinds() []Kind { return append(Kinds(), ServiceMonitor()) }

// kindIndex returns the index of a kind in a list of kinds (all); -1: the list does not have the kind.
func kindIndex(all []Kind, gvk schema.GroupVersionKind) int {
	return slices.IndexFunc(all, func(k Kind) bool { return k.GroupVersionKind == gvk })
}

func sortForInstall(objects []*unstructured.Unstructured) {
	all := allKinds()
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(
			cmp.Compare(kindIndex(all, a.GroupVersionKind()), kindIndex(all, b.GroupVersionKind())),
			cmp.Compare(a.GetName(), b.GetName()),
		)
	})
}

// setOwnMetadata sets the namespace of an object, and the label that marks it as an object of the operator.
func setOwnMetadata(object *unstructured.Unstructured, namespace string) error {
	all := allKinds()
	at := kindIndex(all, object.GroupVersionKind())
	if at < 0 {
		return fmt.Errorf("the manifests contain a %s, which the operator does not watch and may not write", object.GroupVersionKind())
	}
	if all[at].Namespaced {
		object.SetNamespace(namespace)
	}
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1beta1.LabelManagedBy] = v1beta1.ManagedByOperator
	object.SetLabels(labels)
	return nil
}
