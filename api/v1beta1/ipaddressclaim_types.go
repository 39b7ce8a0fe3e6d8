package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// IPAddressClaimSpec says who has an address.
type IPAddressClaimSpec struct {
	// address that is claimed, in canonical form. It cannot be changed: the
	// claim's name is derived from it, so that an address is claimed once.
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip.isCanonical(self)",message="must be an IPv4 or IPv6 address in canonical form, such as 192.168.1.240 or 2001:db8::1 (RFC 5952)"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the address of a claim cannot be changed"
	Address string `json:"address"`

	// pool that the address came from.
	Pool ObjectName `json:"pool"`

	// holders are the Services that use the address. At most 256.
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Holders []ClaimHolder `json:"holders,omitempty"`
}

// ClaimHolder is a Service that uses an address.
type ClaimHolder struct {
	// namespace of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the Service: one that is deleted and created again is another
	// one.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// IPAddressClaim is one address in use. It is written before the address
// stands in the Service's status, and its name is derived from the address, so
// that the cluster's storage itself makes sure that no address is given twice:
// an IPv4 address as it is, an IPv6 address in full with dashes for colons, such
// as 2001-0db8-0000-0000-0000-0000-0000-0001. A claim without a holder reserves
// its address.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=lbip,categories=lbstack
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.pool`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.holders[0].namespace`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.holders[0].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!isIP(self.spec.address) || (ip(self.spec.address).family() == 4 ? self.metadata.name == self.spec.address : self.metadata.name.size() == 39 && isIP(self.metadata.name.replace('-', ':')) && ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address))",message="the name of a claim is its address: an IPv4 address as it is, an IPv6 address in full with dashes for colons, such as 2001-0db8-0000-0000-0000-0000-0000-0001"
type IPAddressClaim struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the address and who has it.
	Spec IPAddressClaimSpec `json:"spec"`
}

// IPAddressClaimList is a list of IPAddressClaims.
//
// +kubebuilder:object:root=true
type IPAddressClaimList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []IPAddressClaim `json:"items"`
}
