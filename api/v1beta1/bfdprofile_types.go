package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BFDProfileSpec configures how closely the path to a router is watched with
// Bidirectional Forwarding Detection (RFC 5880). An empty spec stands for the
// defaults: the loss of a path is detected within 0.9 s.
type BFDProfileSpec struct {
	// receiveIntervalMilliseconds is the shortest interval at which a node can receive packets, 10 to
	// 60000. Default 300.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=60000
	// +optional
	ReceiveIntervalMilliseconds int32 `json:"receiveIntervalMilliseconds,omitempty"`

	// transmitIntervalMilliseconds is the shortest interval at which a node sends packets, 10 to
	// 60000. Default 300. A longer receive interval of the router takes precedence.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=60000
	// +optional
	TransmitIntervalMilliseconds int32 `json:"transmitIntervalMilliseconds,omitempty"`

	// detectMultiplier is after how many missing packets of a node the router counts the path as
	// lost, 2 to 255. Default 3.
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	// +optional
	DetectMultiplier int32 `json:"detectMultiplier,omitempty"`

	// passiveMode: a node sends nothing before it has received a packet of the router. Default
	// false.
	// +optional
	PassiveMode bool `json:"passiveMode,omitempty"`

	// minimumTTL is the lowest TTL with which packets may arrive from a router that
	// is not on a network of the node, 1 to 254. Default 254. Packets of a router on
	// a network of the node must have the TTL 255.
	// +kubebuilder:default=254
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=254
	// +optional
	MinimumTTL int32 `json:"minimumTTL,omitempty"`
}

// BFDProfileStatus reports whether a profile is valid.
type BFDProfileStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether the profile can be used.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BFDProfile configures how closely the paths to routers are watched. BGPPeers refer to it by name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbbfd,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Receive",type=integer,JSONPath=`.spec.receiveIntervalMilliseconds`
// +kubebuilder:printcolumn:name="Transmit",type=integer,JSONPath=`.spec.transmitIntervalMilliseconds`
// +kubebuilder:printcolumn:name="Multiplier",type=integer,JSONPath=`.spec.detectMultiplier`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",message="the name of a BFDProfile must be a DNS label, at most 63 characters and no dots: BGPPeers refer to the BFDProfile by this name"
type BFDProfile struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec configures how closely paths are watched.
	// +kubebuilder:default={}
	// +optional
	Spec BFDProfileSpec `json:"spec,omitempty,omitzero"`

	// status reports whether the spec is valid.
	// +optional
	Status BFDProfileStatus `json:"status,omitempty,omitzero"`
}

// BFDProfileList is a list of BFDProfiles.
//
// +kubebuilder:object:root=true
type BFDProfileList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []BFDProfile `json:"items"`
}
