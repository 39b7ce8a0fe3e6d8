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
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// bgpAdvertisements returns the controller of BGPAdvertisements.
func bgpAdvertisements(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.BGPAdvertisement] {
	changed := predicate.GenerationChangedPredicate{}
	return &Reconciler[*v1beta1.BGPAdvertisement]{
		Client: c, Events: recorder, Kind: "BGPAdvertisement", Name: "bgpadvertisement", Action: "CheckAdvertisement", Check: checkBGPAdvertisements,
		Status: func(o *v1beta1.BGPAdvertisement) Status {
			return Status{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
		Watches: []Watched{
			{Object: &v1beta1.BGPPeer{}, Changed: changed},
			{Object: &v1beta1.Community{}, Changed: changed},
			{Object: &v1beta1.IPAddressPool{}, Changed: predicate.Or[client.Object](changed, predicate.LabelChangedPredicate{})},
			{Object: &corev1.Node{}, Changed: NodeChanged},
			{Object: &corev1.Service{}, Changed: labelsChanged},
		},
	}
}

// labelsChanged lets a Service pass that other serviceSelectors may select now.
var labelsChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return isBalanced(e.Object) },
	DeleteFunc: func(e event.DeleteEvent) bool { return isBalanced(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := isBalanced(e.ObjectOld), isBalanced(e.ObjectNew)
		return before != now || (now && !equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()))
	},
}

func isBalanced(object client.Object) bool {
	svc, ok := object.(*corev1.Service)
	return ok && svc.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func checkBGPAdvertisements(ctx context.Context, reader client.Reader) ([]Checked[*v1beta1.BGPAdvertisement], error) {
	var ads v1beta1.BGPAdvertisementList
	var communities v1beta1.CommunityList
	if err := reader.List(ctx, &ads); err != nil {
		return nil, fmt.Errorf("listing the BGPAdvertisements: %w", err)
	}
	if len(ads.Items) == 0 {
		return nil, nil
	}
	if err := reader.List(ctx, &communities); err != nil {
		return nil, fmt.Errorf("listing the Communities: %w", err)
	}
	in := bgpInput{peers: map[bgp.PeerName]*bgp.Peer{}, listed: map[lb.PoolName][]lb.Range{}}
	aliases, _ := apiconv.ParseCommunities(communities.Items)
	wrong := map[string]*apiconv.SpecError{}
	for i := range ads.Items {
		ad, err := apiconv.ParseBGPAdvertisement(&ads.Items[i], aliases)
		if err != nil {
			wrong[ads.Items[i].Name] = err
			continue
		}
		in.ads = append(in.ads, ad)
	}
	if err := gatherBGP(ctx, reader, &in); err != nil {
		return nil, err
	}
	results := in.check()
	var checked []Checked[*v1beta1.BGPAdvertisement]
	for i := range ads.Items {
		object := &ads.Items[i]
		v := results[object.Name]
		if err := wrong[object.Name]; err != nil {
			v = Result{Reason: err.Reason, Message: err.Error() + ": correct it; until then speakers announce by its last valid values, and speakers that start announce nothing by it"}
		}
		checked = append(checked, Checked[*v1beta1.BGPAdvertisement]{Object: object, Result: v})
	}
	return checked, nil
}

// gatherBGP adds what the advertisements may be about. Services matter only to those that
// select some.
func gatherBGP(ctx context.Context, reader client.Reader, in *bgpInput) error {
	var pools v1beta1.IPAddressPoolList
	var peers v1beta1.BGPPeerList
	var nodes corev1.NodeList
	var services corev1.ServiceList
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	lists := []client.ObjectList{&pools, &peers, &nodes}
	if slices.ContainsFunc(in.ads, func(ad routes.Advertisement) bool { return ad.SelectsServices() }) {
		lists = append(lists, &services, namespaces)
	}
	for _, list := range lists {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing what BGPAdvertisements are about: %w", err)
		}
	}
	for i := range pools.Items {
		read, _ := apiconv.ParsePool(&pools.Items[i]) // of a pool that is wrong elsewhere the addresses count
		in.pools = append(in.pools, apiconv.AdvertisedPool(&pools.Items[i]))
		in.listed[lb.PoolName(pools.Items[i].Name)] = read.Listed
	}
	for i := range peers.Items {
		name := bgp.PeerName(peers.Items[i].Name)
		in.peers[name] = nil
		if peer, err := apiconv.ParseBGPPeer(&peers.Items[i]); err == nil {
			in.peers[name] = &peer.Peer
		}
	}
	for i := range nodes.Items {
		in.nodes = append(in.nodes, apiconv.ParseNode(&nodes.Items[i], apiconv.DrainPolicy{}))
	}
	labels := map[string]map[string]string{}
	for i := range namespaces.Items {
		labels[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	seen := map[string]bool{}
	for i := range services.Items {
		svc := &services.Items[i]
		if key := fmt.Sprint(svc.Labels, labels[svc.Namespace]); isBalanced(svc) && !seen[key] {
			seen[key] = true
			in.services = append(in.services, eligibility.Service{Labels: svc.Labels, NamespaceLabels: labels[svc.Namespace]})
		}
	}
	return nil
}
