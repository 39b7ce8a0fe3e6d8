package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddressRange is a set of addresses of one family: a CIDR
// ("192.168.1.0/28", "2001:db8::/120"), a first and a last address
// ("192.168.1.240-192.168.1.250"), or one address ("192.168.1.7").
//
// That the first address is not after the last one cannot be said in CEL; the
// pool's Ready condition tells it.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=95
// +kubebuilder:validation:XValidation:rule="isCIDR(self) || isIP(self) || (self.split('-').size() == 2 && isIP(self.split('-')[0].trim()) && isIP(self.split('-')[1].trim()))",message="must be a CIDR such as 192.168.1.0/28, a range such as 192.168.1.240-192.168.1.250, or an address"
// +kubebuilder:validation:XValidation:rule="isCIDR(self) || isIP(self) || self.split('-').size() != 2 || !isIP(self.split('-')[0].trim()) || !isIP(self.split('-')[1].trim()) || ip(self.split('-')[0].trim()).family() == ip(self.split('-')[1].trim()).family()",message="the first and the last address of a range must be of the same family, both IPv4 or both IPv6"
type AddressRange string

// IPAddressPoolSpec is a set of addresses that Services can get.
type IPAddressPoolSpec struct {
	// addresses of the pool: CIDRs, ranges and single addresses, IPv4 and IPv6
	// mixed. All addresses of a CIDR count, the first and the last one too.
	// 1 to 128 items; no address may be in two pools.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Addresses []AddressRange `json:"addresses"`

	// autoAssign says whether a Service that names no pool can get an address
	// from this one. Default true.
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`
}

// AddressUsage counts the addresses of one family in a pool. The totals are
// decimal numbers in strings: an IPv6 pool has more addresses than an integer
// of JSON can tell exactly.
type AddressUsage struct {
	// total is how many addresses the pool has.
	// +kubebuilder:validation:MaxLength=40
	Total string `json:"total"`
	// used is how many of them are claimed.
	Used int64 `json:"used"`
	// free is how many of them can still be given.
	// +kubebuilder:validation:MaxLength=40
	Free string `json:"free"`
}

// IPAddressPoolStatus is what the controller found about a pool.
type IPAddressPoolStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready says whether the pool's addresses are given out.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ipv4 counts the IPv4 addresses, if the pool has any.
	// +optional
	IPv4 *AddressUsage `json:"ipv4,omitempty"`

	// ipv6 counts the IPv6 addresses, if the pool has any.
	// +optional
	IPv6 *AddressUsage `json:"ipv6,omitempty"`
}

// IPAddressPool is a set of addresses that Services of type LoadBalancer can
// get. The operator writes those of the LoadBalancerStack; an administrator may
// add others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbpool,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Auto",type=boolean,JSONPath=`.spec.autoAssign`
// +kubebuilder:printcolumn:name="Used4",type=integer,JSONPath=`.status.ipv4.used`
// +kubebuilder:printcolumn:name="Free4",type=string,JSONPath=`.status.ipv4.free`
// +kubebuilder:printcolumn:name="Used6",type=integer,JSONPath=`.status.ipv6.used`
// +kubebuilder:printcolumn:name="Free6",type=string,JSONPath=`.status.ipv6.free`
// +kubebuilder:printcolumn:name="Addresses",type=string,priority=1,JSONPath=`.spec.addresses`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IPAddressPool struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the addresses and who may have them.
	Spec IPAddressPoolSpec `json:"spec"`

	// status is what the controller found.
	// +optional
	Status IPAddressPoolStatus `json:"status,omitempty,omitzero"`
}

// IPAddressPoolList is a list of IPAddressPools.
//
// +kubebuilder:object:root=true
type IPAddressPoolList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []IPAddressPool `json:"items"`
}
