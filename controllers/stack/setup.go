package stack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/internal/paged"
)

// ownedSelector selects the objects that the operator made.
var ownedSelector = labels.SelectorFromSet(labels.Set{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator})

// CacheOptions returns options that restrict the cache to the objects that the operator made, to all
// IPAddressPools, and to the objects that show the state of the components. The cache has namespaced objects,
// except Services, only from the operator's namespace. It has only one Secret, by name, so that the operator
// needs no right to read others.
func CacheOptions(scheme *runtime.Scheme, namespace string) (cache.Options, error) {
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{}}
	inPages := []runtime.Object{&corev1.Pod{}, &corev1.Service{}, &v1beta1.SpeakerState{}}
	for _, kind := range manifests.Kinds() {
		object, err := emptyObject(scheme, kind)
		if err != nil {
			return cache.Options{}, err
		}
		by := cache.ByObject{Label: ownedSelector}
		if kind.Namespaced {
			by.Namespaces = map[string]cache.Config{namespace: {}}
		}
		switch kind.Kind {
		case "Secret":
			by.Field = fields.OneTermEqualSelector("metadata.name", manifests.MeshKeysSecretName)
		case "IPAddressPool":
			by.Label = nil // all pools, to report addresses in use whose pools do not exist
		}
		if kind.Group != v1beta1.GroupVersion.Group {
			by.Transform = stripOwned(object)
			inPages = append(inPages, object)
		}
		options.ByObject[object] = by
	}
	maps.Copy(options.ByObject, observedKinds(namespace))
	options.NewInformer = paged.NewPersistent(paged.NewInformers(inPages...))
	return options, nil
}

// passwordsCache returns a cache that has the Secret with the passwords of BGP sessions, without the
// passwords. It is a second cache: the role of the operator allows it to list Secrets only by name, and a
// list can select only one name.
func passwordsCache(mgr ctrl.Manager, namespace string) (cache.Cache, error) {
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		NewInformer: paged.NewPersistent(paged.NewInformers(&corev1.Secret{})),
		ByObject: map[client.Object]cache.ByObject{&corev1.Secret{}: {
			Namespaces: map[string]cache.Config{namespace: {}},
			Label:      ownedSelector, Field: fields.OneTermEqualSelector("metadata.name", apiconv.PasswordsSecretName), Transform: stripOwned(&corev1.Secret{}),
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing to watch the Secret %s: %w", apiconv.PasswordsSecretName, err)
	}
	return c, mgr.Add(c)
}

// SetupWithManager adds the controller to the manager. Every kind that is rendered is watched, so that
// objects that are changed or deleted are restored.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: v1beta1.LoadBalancerStackName}}
	theStack := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	passwords, err := passwordsCache(mgr, r.Namespace)
	if err != nil {
		return err
	}
	r.passwords, r.needed = passwords, apiconv.NeededSchemas(mgr.GetScheme())
	b := ctrl.NewControllerManagedBy(mgr).
		Named("loadbalancerstack").
		For(&v1beta1.LoadBalancerStack{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: hasStackChanged}))
	for _, kind := range manifests.Kinds() {
		object, err := emptyObject(mgr.GetScheme(), kind)
		if err != nil {
			return err
		}
		b = b.Watches(object, theStack, builder.WithPredicates(predicate.Funcs{UpdateFunc: affectsPass}))
	}
	b = b.WatchesRawSource(source.Kind[client.Object](passwords, &corev1.Secret{}, theStack))
	return r.watchObserved(b, request).WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).Complete(r)
}

func emptyObject(scheme *runtime.Scheme, kind manifests.Kind) (client.Object, error) {
	object, err := scheme.New(kind.GroupVersionKind)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", kind.Kind, err)
	}
	return object.(client.Object), nil
}

// hasStackChanged reports whether an update of the stack requires a pass. An update that changes only the
// status, which the operator writes, or annotations of other programs requires none.
func hasStackChanged(e event.UpdateEvent) bool {
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
		e.ObjectOld.GetAnnotations()[v1beta1.AnnotationRetry] != e.ObjectNew.GetAnnotations()[v1beta1.AnnotationRetry] ||
		e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
		!equality.Semantic.DeepEqual(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers()) ||
		!maps.Equal(ownAnnotations(e.ObjectOld), ownAnnotations(e.ObjectNew))
}

// ownAnnotations returns the annotations of lbstack.
func ownAnnotations(stack client.Object) map[string]string {
	all := maps.Clone(stack.GetAnnotations())
	maps.DeleteFunc(all, func(key, _ string) bool { return !strings.HasPrefix(key, v1beta1.GroupVersion.Group+"/") })
	return all
}

// affectsPass reports whether an update of an object changes what a pass reads. It ignores frequent changes
// that no pass reads, such as how many addresses of a pool are used, or how many sessions a router has.
func affectsPass(e event.UpdateEvent) bool {
	before, ok1 := statusConditions(e.ObjectOld)
	now, ok2 := statusConditions(e.ObjectNew)
	if !ok1 || !ok2 {
		return true
	}
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
		!equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) ||
		slices.ContainsFunc([]string{v1beta1.ConditionReady, v1beta1.ConditionConflict}, func(kind string) bool {
			return !equality.Semantic.DeepEqual(meta.FindStatusCondition(before, kind), meta.FindStatusCondition(now, kind))
		}) || downReason(before) != downReason(now)
}

// downReason returns the reason why the router of a peer receives no addresses, see downReasons; empty: it
// receives them.
func downReason(list []metav1.Condition) string {
	c := meta.FindStatusCondition(list, v1beta1.ConditionEstablished)
	if c == nil || c.Status != metav1.ConditionFalse || !slices.Contains(downReasons, c.Reason) {
		return ""
	}
	return c.Reason
}

// statusConditions returns the conditions of an object if a pass reads nothing else of its status, and false
// otherwise.
func statusConditions(object client.Object) ([]metav1.Condition, bool) {
	switch o := object.(type) {
	case *v1beta1.IPAddressPool:
		return o.Status.Conditions, true
	case *v1beta1.BGPPeer:
		return o.Status.Conditions, true
	case *v1beta1.L2Advertisement:
		return o.Status.Conditions, true
	case *v1beta1.BGPAdvertisement:
		return o.Status.Conditions, true
	case *v1beta1.BFDProfile:
		return o.Status.Conditions, true
	case *v1beta1.Community:
		return o.Status.Conditions, true
	}
	return nil, false
}
