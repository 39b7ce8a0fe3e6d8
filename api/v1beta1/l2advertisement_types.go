package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InterfaceName is the name of a network interface of a node.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=15
// +kubebuilder:validation:Pattern=`^[^/\s]+$`
type InterfaceName string

// L2AdvertisementSpec selects which addresses are announced on the local network, from
// which nodes and interfaces. An empty spec stands for all pools, all Services, all
// nodes and all interfaces.
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

	// nodeSelectors select the nodes that may announce, by label: one matching
	// selector is enough. Empty: all nodes. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// serviceSelectors select the Services whose addresses are announced, by label: one matching
	// selector is enough. Empty: all Services. If several Services share an address, the first holder
	// in its IPAddressClaim decides. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`

	// namespaceSelectors select the namespaces of the Services whose addresses are announced, by label:
	// one matching selector is enough. Empty: all namespaces. With serviceSelectors a Service must match
	// both. If several Services share an address, the first holder in its IPAddressClaim decides: it has
	// had the address longest. Labels of namespaces are a boundary between tenants. Labels of Services
	// are no such boundary, since tenants write them. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NamespaceSelectors []metav1.LabelSelector `json:"namespaceSelectors,omitempty"`

	// preferredNodeSelectors rank the nodes that may announce. The weights of all items that match a
	// node are added up, and the nodes with the highest sum are preferred. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	PreferredNodeSelectors []PreferredNodeSelector `json:"preferredNodeSelectors,omitempty"`

	// requireSubnet: an address is announced only on interfaces in its subnet, and only from nodes with
	// such an interface. Default false: the same rule applies while any node that may announce the
	// address has such an interface. If no node has such an interface, the address is announced on all
	// interfaces, for networks in which a router sends the traffic of the address to the nodes.
	// +optional
	RequireSubnet bool `json:"requireSubnet,omitempty"`

	// interfaces are the node interfaces on which addresses are announced. Empty: every
	// Ethernet interface that is up and does not lead to the node's own pods.
	// requireSubnet can restrict them further. A node that has none of the interfaces
	// announces nothing. At most 32.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []InterfaceName `json:"interfaces,omitempty"`
}

// PreferredNodeSelector gives a weight to the nodes that it selects.
type PreferredNodeSelector struct {
	// weight of the preference, 1 to 100.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// preference selects nodes by label.
	Preference metav1.LabelSelector `json:"preference"`
}

// L2AdvertisementStatus reports whether an advertisement is in effect.
type L2AdvertisementStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether the advertisement is in effect.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// L2Advertisement announces the addresses of pools on the local network.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbl2,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.ipAddressPools`
// +kubebuilder:printcolumn:name="Interfaces",type=string,JSONPath=`.spec.interfaces`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type L2Advertisement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec selects the addresses, the nodes and the interfaces.
	// +optional
	Spec L2AdvertisementSpec `json:"spec,omitempty,omitzero"`

	// status reports whether the spec is in effect.
	// +optional
	Status L2AdvertisementStatus `json:"status,omitempty,omitzero"`
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
