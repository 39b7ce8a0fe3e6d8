package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpeakerStateStatus is what the speaker of one node does.
type SpeakerStateStatus struct {
	// version of lbstack that the speaker runs.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Version string `json:"version,omitempty"`

	// conditions: Ready says whether the speaker announces what it should.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase of the speaker: Active; Draining while it hands its addresses over;
	// Isolated while it is silent because it lost all others at once.
	// +kubebuilder:validation:Enum=Active;Draining;Isolated
	// +optional
	Phase SpeakerPhase `json:"phase,omitempty"`

	// interfaces that the speaker announces on.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Interfaces []SpeakerInterface `json:"interfaces,omitempty"`

	// liveSpeakers is how many speakers this one sees alive, itself included.
	// +kubebuilder:default=0
	LiveSpeakers int32 `json:"liveSpeakers"`

	// addressCount is how many addresses this node owns, also those that are
	// beyond the bound of the list addresses.
	// +kubebuilder:default=0
	AddressCount int32 `json:"addressCount"`

	// addresses that this node owns on the local network, in order. At most
	// 5000 are listed.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=5000
	// +optional
	Addresses []SpeakerAddress `json:"addresses,omitempty"`

	// conflicts are addresses that this node owns and that another host, which is
	// no node of the cluster, uses as well. At most 256.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Conflicts []SpeakerConflict `json:"conflicts,omitempty"`
}

// SpeakerPhase is what a speaker is doing as a whole.
type SpeakerPhase string

// The phases of a speaker.
const (
	// SpeakerActive: it announces what its node owns.
	SpeakerActive SpeakerPhase = "Active"
	// SpeakerDraining: it hands over what its node owns, and gets nothing.
	SpeakerDraining SpeakerPhase = "Draining"
	// SpeakerIsolated: it has lost all other speakers at once and is silent.
	SpeakerIsolated SpeakerPhase = "Isolated"
)

// SpeakerInterface is a network interface of the node.
type SpeakerInterface struct {
	// name of the interface.
	Name InterfaceName `json:"name"`
	// hardwareAddress is its MAC: what the network learns for the addresses
	// that are announced here.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
}

// SpeakerAddress is an address that the node owns.
type SpeakerAddress struct {
	// address that is announced.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// interfaces that it is announced on.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []InterfaceName `json:"interfaces,omitempty"`
	// since when the node has owned it.
	Since metav1.Time `json:"since"`
	// epoch of the ownership: it grows with every change of the owner. Of two nodes
	// that list an address, the one with the higher epoch has it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
}

// SpeakerConflict is an address that a foreign host uses.
type SpeakerConflict struct {
	// address that both use.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// interface on which the other host was heard.
	Interface InterfaceName `json:"interface"`
	// hardwareAddress is the other host's MAC.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// announced says that this node announces the address all the same: it was in
	// use when the other host was first heard. Otherwise it never was announced.
	// +optional
	Announced bool `json:"announced,omitempty"`
	// since when the other host has been heard.
	Since metav1.Time `json:"since"`
}

// SpeakerState is the state of the speaker on one node; it has the node's name
// and goes with the node.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbspk,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Addresses",type=integer,JSONPath=`.status.addressCount`
// +kubebuilder:printcolumn:name="Live",type=integer,JSONPath=`.status.liveSpeakers`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Owned",type=string,priority=1,JSONPath=`.status.addresses[*].address`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SpeakerState struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status is what the speaker does.
	// +optional
	Status SpeakerStateStatus `json:"status,omitempty,omitzero"`
}

// SpeakerStateList is a list of SpeakerStates.
//
// +kubebuilder:object:root=true
type SpeakerStateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []SpeakerState `json:"items"`
}
