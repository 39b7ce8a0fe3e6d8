package config

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/validity"
)

// bgpAdvertisementReconciler returns the controller of BGPAdvertisements.
func bgpAdvertisementReconciler(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.BGPAdvertisement] {
	changed := predicate.GenerationChangedPredicate{}
	return &Reconciler[*v1beta1.BGPAdvertisement]{
		Client: c, Events: recorder, Kind: "BGPAdvertisement", Action: "CheckAdvertisement", Check: checkBGPAdvertisements,
		Status: func(o *v1beta1.BGPAdvertisement) StatusFields {
			return StatusFields{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
		Watches: []WatchedKind{
			{Object: &v1beta1.BGPPeer{}, Changed: changed},
			{Object: &v1beta1.Community{}, Changed: changed},
			{Object: &v1beta1.IPAddressPool{}, Changed: predicate.Or[client.Object](changed, predicate.LabelChangedPredicate{})},
			{Object: &corev1.Node{}, Changed: NodeChanged},
			{Object: &corev1.Service{}, Changed: labelsChanged},
		},
	}
}

// labelsChanged is a predicate for changes of a Service that can change which serviceSelectors select it.
var labelsChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return isLoadBalancer(e.Object) },
	DeleteFunc: func(e event.DeleteEvent) bool { return isLoadBalancer(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := isLoadBalancer(e.ObjectOld), isLoadBalancer(e.ObjectNew)
		return before != now || (now && !equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()))
	},
}

func isLoadBalancer(object client.Object) bool {
	svc, ok := object.(*corev1.Service)
	return ok && svc.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func checkBGPAdvertisements(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.BGPAdvertisement], error) {
	var ads v1beta1.BGPAdvertisementList
	if err := reader.List(ctx, &ads); err != nil {
		return nil, fmt.Errorf("listing the BGPAdvertisements: %w", err)
	}
	if len(ads.Items) == 0 {
		return nil, nil
	}
	around, err := gatherBGPObjects(ctx, reader, ads.Items)
	if err != nil {
		return nil, err
	}
	results := validity.BGPAdvertisementResults(around)
	return pairResults(ads.Items, func(o *v1beta1.BGPAdvertisement) validity.Result { return results[o.Name] }), nil
}

// gatherBGPObjects reads the objects that the advertisements refer to or select. It reads Services and Namespaces
// only if an advertisement has selectors for them.
func gatherBGPObjects(ctx context.Context, reader client.Reader, ads []v1beta1.BGPAdvertisement) (*validity.Objects, error) {
	var pools v1beta1.IPAddressPoolList
	var peers v1beta1.BGPPeerList
	var communities v1beta1.CommunityList
	var nodes corev1.NodeList
	var services corev1.ServiceList
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	lists := []client.ObjectList{&pools, &peers, &communities, &nodes}
	if slices.ContainsFunc(ads, func(ad v1beta1.BGPAdvertisement) bool {
		return len(ad.Spec.ServiceSelectors)+len(ad.Spec.NamespaceSelectors) > 0
	}) {
		lists = append(lists, &services, namespaces)
	}
	for _, list := range lists {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	o := &validity.Objects{BGPAdvertisements: ads, Pools: pools.Items, Peers: peers.Items, Communities: communities.Items}
	for i := range nodes.Items {
		o.Nodes = append(o.Nodes, apiconv.ParseNode(&nodes.Items[i], apiconv.DrainPolicy{}))
	}
	labels := map[string]map[string]string{}
	for i := range namespaces.Items {
		labels[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	seen := map[string]bool{}
	for i := range services.Items {
		svc := &services.Items[i]
		if key := fmt.Sprint(svc.Labels, labels[svc.Namespace]); isLoadBalancer(svc) && !seen[key] {
			seen[key] = true
			o.Services = append(o.Services, eligibility.Service{Labels: svc.Labels, NamespaceLabels: labels[svc.Namespace]})
		}
	}
	return o, nil
}
