package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InterfaceName is the name of a network interface of a node.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=15
// +kubebuilder:validation:Pattern=`^[^/\s]+$`
type InterfaceName string

// L2AdvertisementSpec says which addresses are announced on the local network,
// from which nodes and interfaces. Empty, it means all pools, all nodes and
// all interfaces.
type L2AdvertisementSpec struct {
	// ipAddressPools are the names of the pools whose addresses are announced.
	// Empty together with ipAddressPoolSelectors: all pools. At most 128.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	IPAddressPools []ObjectName `json:"ipAddressPools,omitempty"`

	// ipAddressPoolSelectors select pools by label, in addition to those named
	// in ipAddressPools. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	IPAddressPoolSelectors []metav1.LabelSelector `json:"ipAddressPoolSelectors,omitempty"`

	// nodeSelectors select the nodes that may announce, by label: one that
	// matches is enough. Empty: all nodes. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// interfaces are the node interfaces on which addresses are announced.
	// Empty: every Ethernet interface that is up. At most 32.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []InterfaceName `json:"interfaces,omitempty"`
}

// L2Advertisement announces the addresses of pools on the local network.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=lbl2,categories=lbstack
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.ipAddressPools`
// +kubebuilder:printcolumn:name="Interfaces",type=string,JSONPath=`.spec.interfaces`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type L2Advertisement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is which addresses are announced, and from where.
	// +optional
	Spec L2AdvertisementSpec `json:"spec,omitempty,omitzero"`
}

// L2AdvertisementList is a list of L2Advertisements.
//
// +kubebuilder:object:root=true
type L2AdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []L2Advertisement `json:"items"`
}
