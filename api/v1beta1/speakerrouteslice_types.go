package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpeakerBGPRoute is a prefix that the node announces to routers.
type SpeakerBGPRoute struct {
	// prefix that is announced.
	// +kubebuilder:validation:MaxLength=49
	Prefix string `json:"prefix"`
	// peers are the names of the BGPPeers that have the prefix from this node: their sessions
	// are Established, or their routers retain the route while the speaker restarts. Sorted by
	// name; the first 16 are listed.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Peers []ObjectName `json:"peers,omitempty"`
	// since when routers have had the prefix from this node without interruption. Unset: not
	// known.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// SpeakerRouteSlice lists some of the prefixes that a node announces to routers. The prefixes are split
// into slices so that a new or withdrawn route costs only one small write, even if the node has many
// routes. A prefix can move from one slice of the node to another. Slices are deleted with the Node. A
// node has at most 512 slices, named NODE-0 to NODE-511: this limits what one speaker can store.
// Further routes are not listed, but status.routeCount of the SpeakerState counts them.
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

	// node that announces the routes.
	Node NodeName `json:"node"`

	// routes of the slice, sorted by prefix. At most 64.
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
