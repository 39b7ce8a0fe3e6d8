package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpeakerBGPRoute is a prefix that the node announces to routers.
type SpeakerBGPRoute struct {
	// prefix that is announced.
	// +kubebuilder:validation:MaxLength=49
	Prefix string `json:"prefix"`
	// peers are the names of the BGPPeers that have received the prefix: sessions that are
	// Established, or whose routers retain the route until the speaker is back. At most 16 are
	// listed, the first in the order of their names.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Peers []ObjectName `json:"peers,omitempty"`
	// since when a router has had the prefix from this node, without a break. Unset: not known.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// SpeakerRouteSlice lists some of the prefixes that a node announces to routers, so that a
// route which comes or goes costs one small write, however many others there are. Which of
// the slices of a node lists a prefix can change. They are deleted with the Node. A node has at most 512,
// named NODE-0 to NODE-511, so that what one speaker can store is bounded: routes beyond are
// counted in its SpeakerState only.
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

	// routes of the slice, in order. At most 64 are listed.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
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
