package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpeakerBGPRoute is a prefix that the node announces to routers.
type SpeakerBGPRoute struct {
	// prefix that is announced.
	// +kubebuilder:validation:MaxLength=49
	Prefix string `json:"prefix"`
	// peers are the names of the BGPPeers that have been told: sessions that are
	// Established, or whose routers keep the route until the speaker is back. At most 128.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Peers []ObjectName `json:"peers,omitempty"`
	// since when a router has had the prefix from this node, without a break. Unset: not known.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// SpeakerRouteSlice lists some of the prefixes that a node announces to routers, so that a
// route which comes or goes costs one small write, however many others there are. Which of
// the slices of a node lists a prefix can change. They go with the node.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=lbrts
// +kubebuilder:selectablefield:JSONPath=`.node`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.node`
// +kubebuilder:printcolumn:name="First",type=string,JSONPath=`.routes[0].prefix`
// +kubebuilder:printcolumn:name="Last",type=string,JSONPath=`.routes[-1:].prefix`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SpeakerRouteSlice struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// node that announces.
	Node NodeName `json:"node"`

	// routes of the slice, in order. At most 512 are listed.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	// +optional
	Routes []SpeakerBGPRoute `json:"routes,omitempty"`
}

// SpeakerRouteSliceList is a list of SpeakerRouteSlices.
//
// +kubebuilder:object:root=true
type SpeakerRouteSliceList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []SpeakerRouteSlice `json:"items"`
}
