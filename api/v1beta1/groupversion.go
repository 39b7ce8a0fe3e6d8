// Package v1beta1 has the API types of lbstack: what an administrator
// writes, what the programs report, and the names of conditions, reasons
// and annotations. It has no behaviour.
//
// +kubebuilder:object:generate=true
// +groupName=lbstack.io
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every kind in this package.
	GroupVersion = schema.GroupVersion{Group: "lbstack.io", Version: "v1beta1"}

	// SchemeBuilder registers the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&LoadBalancerStack{}, &LoadBalancerStackList{},
		&IPAddressPool{}, &IPAddressPoolList{},
		&L2Advertisement{}, &L2AdvertisementList{},
		&BGPPeer{}, &BGPPeerList{},
		&BGPAdvertisement{}, &BGPAdvertisementList{},
		&BFDProfile{}, &BFDProfileList{},
		&Community{}, &CommunityList{},
		&IPAddressClaim{}, &IPAddressClaimList{},
		&SpeakerState{}, &SpeakerStateList{},
		&SpeakerRouteSlice{}, &SpeakerRouteSliceList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
