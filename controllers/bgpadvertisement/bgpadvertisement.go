// Package bgpadvertisement says of each BGPAdvertisement whether it is in effect. It is
// the only writer of its status.
package bgpadvertisement

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
	"github.com/lbstack/lbstack/controllers/scope"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// New returns the controller of BGPAdvertisements.
func New(c client.Client, recorder events.EventRecorder) *validity.Reconciler[*v1beta1.BGPAdvertisement] {
	changed := predicate.GenerationChangedPredicate{}
	return &validity.Reconciler[*v1beta1.BGPAdvertisement]{
		Client: c, Events: recorder, Kind: "BGPAdvertisement", Name: "bgpadvertisement", Action: "CheckAdvertisement", Judge: judge,
		Status: func(o *v1beta1.BGPAdvertisement) validity.Status {
			return validity.Status{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
		Watches: []validity.Watched{
			{Object: &v1beta1.BGPPeer{}, Changed: changed},
			{Object: &v1beta1.Community{}, Changed: changed},
			{Object: &v1beta1.IPAddressPool{}, Changed: predicate.Or[client.Object](changed, predicate.LabelChangedPredicate{})},
			{Object: &corev1.Node{}, Changed: scope.NodeChanged},
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

func judge(ctx context.Context, reader client.Reader) ([]validity.Judged[*v1beta1.BGPAdvertisement], error) {
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
	in := input{peers: map[bgp.PeerName]*bgp.Peer{}, listed: map[lb.PoolName][]lb.Range{}}
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
	if err := gather(ctx, reader, &in); err != nil {
		return nil, err
	}
	verdicts := decide(in)
	var judged []validity.Judged[*v1beta1.BGPAdvertisement]
	for i := range ads.Items {
		object := &ads.Items[i]
		v := verdicts[object.Name]
		if err := wrong[object.Name]; err != nil {
			v = validity.Verdict{Reason: err.Reason, Message: err.Error() + ": until that is mended what is announced by it stays as it was, and speakers that start announce nothing by it"}
		}
		judged = append(judged, validity.Judged[*v1beta1.BGPAdvertisement]{Object: object, Verdict: v})
	}
	return judged, nil
}

// gather adds what the advertisements may be about. Services matter only to those that
// select some.
func gather(ctx context.Context, reader client.Reader, in *input) error {
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
