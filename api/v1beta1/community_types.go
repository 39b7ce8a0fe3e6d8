package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CommunitySpec is a set of names for BGP communities.
type CommunitySpec struct {
	// communities are the names with their values, each name once. 1 to 64. If two objects define a
	// name, the value in the older object is used.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Communities []CommunityAlias `json:"communities"`
}

// CommunityAlias is a name for a BGP community.
//
// +kubebuilder:validation:XValidation:rule="!(self.name in ['graceful-shutdown', 'accept-own', 'llgr-stale', 'no-llgr', 'blackhole', 'no-export', 'no-advertise', 'no-export-subconfed', 'no-peer']) || self.value == self.name || self.value == {'graceful-shutdown': '65535:0', 'accept-own': '65535:1', 'llgr-stale': '65535:6', 'no-llgr': '65535:7', 'blackhole': '65535:666', 'no-export': '65535:65281', 'no-advertise': '65535:65282', 'no-export-subconfed': '65535:65283', 'no-peer': '65535:65284'}[self.name]",message="name is that of a well-known community, which cannot have another value: use another name, or the value of the well-known community"
type CommunityAlias struct {
	// name that BGPAdvertisements can use: letters, digits, dashes, underscores and
	// dots, at most 63.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$`
	Name string `json:"name"`

	// value of the community: "65000:100", "large:65000:1:2" or a well-known name. It
	// cannot be another alias.
	// +kubebuilder:validation:XValidation:rule="self.contains(':') || self in ['graceful-shutdown', 'accept-own', 'llgr-stale', 'no-llgr', 'blackhole', 'no-export', 'no-advertise', 'no-export-subconfed', 'no-peer']",message="value must be a community such as 65000:100, large:65000:1:2 or no-export: an alias cannot refer to another alias"
	Value CommunityReference `json:"value"`
}

// CommunityStatus reports whether the names are valid.
type CommunityStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether all names can be used.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Community gives names to BGP communities. All BGPAdvertisements can use them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbcomm,categories=lbstack,path=communities
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="First",type=string,JSONPath=`.spec.communities[0].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Community struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec has the names.
	Spec CommunitySpec `json:"spec"`

	// status reports whether the names are valid.
	// +optional
	Status CommunityStatus `json:"status,omitempty,omitzero"`
}

// CommunityList is a list of Communities.
//
// +kubebuilder:object:root=true
type CommunityList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []Community `json:"items"`
}
