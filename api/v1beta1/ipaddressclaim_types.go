package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// IPAddressClaimSpec names the Services that have an address.
//
// While Services use the address, a change of holders needs takeOver if it removes all these
// Services, or if it names a Service that does not use the address yet. The controller itself
// never adds a holder without a uid.
//
// +kubebuilder:validation:XValidation:rule="(has(self.takeOver) && self.takeOver) || !has(oldSelf.holders) || !oldSelf.holders.exists(o, has(o.uid)) || (has(self.holders) && self.holders.size() > 0 && self.holders.all(h, has(h.uid) || oldSelf.holders.exists(o, o.name == h.name && o.__namespace__ == h.__namespace__)))",messageExpression="'the address ' + oldSelf.address + ' is in use by the Service ' + oldSelf.holders[0].__namespace__ + '/' + oldSelf.holders[0].name + ', which keeps it: to take it away, set takeOver: true in the same change'"
type IPAddressClaimSpec struct {
	// address that is claimed, in canonical form. It cannot be changed. The name of the
	// claim is derived from it, so that an address has at most one claim.
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip.isCanonical(self)",message="must be an IPv4 or IPv6 address in canonical form, such as 192.168.1.240 or 2001:db8::1 (RFC 5952)"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the address of a claim cannot be changed"
	Address string `json:"address"`

	// pool that the address came from.
	Pool ObjectName `json:"pool"`

	// state is how the address is used. Leave it unset in a claim that reserves an
	// address.
	// +kubebuilder:default=Reserved
	// +optional
	State ClaimState `json:"state,omitempty"`

	// sharingKey is the value of the annotation lbstack.io/allow-shared-ip of the
	// Services that share the address. Empty: the address is not shared.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	SharingKey string `json:"sharingKey,omitempty"`

	// holders are the Services that use the address, or for which it is reserved, in
	// the order in which they were added. At most 256. To reserve the address for a
	// Service, which need not exist yet, or to give it to another Service, write
	// namespace and name.
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Holders []ClaimHolder `json:"holders,omitempty"`

	// takeOver allows a change of holders that takes the address from the Services that use it. The
	// change takes effect at once. Without takeOver such a change is refused. If none of the named
	// Services exists and is of type LoadBalancer, the controller restores the holders that use the
	// address. Afterwards, or when a named Service has got the address, the controller sets takeOver
	// to false. Default false.
	// +optional
	TakeOver bool `json:"takeOver,omitempty"`

	// others names the holders after the first, as namespace/name with commas between
	// them. The controller writes it for kubectl get, which can show only one item of a
	// list.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Others string `json:"others,omitempty"`

	// retainUntil is when an address that is retained for a deleted Service becomes free.
	// Unset: when the claim is deleted.
	// +optional
	RetainUntil *metav1.Time `json:"retainUntil,omitempty"`
}

// ClaimState is how an address is used.
// +kubebuilder:validation:Enum=Reserved;InUse;Retained
type ClaimState string

// The states of a claim.
const (
	// ClaimReserved: an administrator reserves the address, for no Service or for the
	// holders.
	ClaimReserved ClaimState = "Reserved"
	// ClaimInUse: the holders use the address.
	ClaimInUse ClaimState = "InUse"
	// ClaimRetained: the Service was deleted, and the pool keeps the address for a
	// Service of the same namespace and name.
	ClaimRetained ClaimState = "Retained"
)

// ClaimHolder is a Service that uses an address, or for which the address is reserved.
type ClaimHolder struct {
	// namespace of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the Service, set when the Service begins to use the address. A Service that
	// is deleted and created again has another uid.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// namespaceUID is the uid of the Service's namespace, if the address is retained: a
	// namespace that is created again under its name does not get the address.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +optional
	NamespaceUID types.UID `json:"namespaceUID,omitempty"`
	// ports of the Service, as number/protocol, if it shares the address. No other
	// holder can use these ports.
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:Pattern=`^[0-9]{1,5}/(TCP|UDP|SCTP)$`
	// +optional
	Ports []string `json:"ports,omitempty"`
	// trafficPolicy is set if the Service shares the address and has
	// externalTrafficPolicy: Local. It is the namespace and the selector of its pods, or
	// a hash of them. All holders must have the same value.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	TrafficPolicy string `json:"trafficPolicy,omitempty"`
}

// IPAddressClaimStatus is what the controller found about a claim.
type IPAddressClaimStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether a claim of an administrator is in effect. On a claim that the
	// controller made, Ready is present only while no pool gives the address, with status False.
	// Conflict is present, with status True, while a host outside of the cluster, or the kernel of a
	// node, uses the address.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// IPAddressClaim is one address that is in use or reserved. Its name is the address: an
// IPv4 address as it is, an IPv6 address in full with dashes for colons, such as
// 2001-0db8-0000-0000-0000-0000-0000-0001. The controller writes the claim before it
// writes the address into the status of the Service. So the API server itself ensures that no
// address is given twice. An administrator may write a claim to reserve an address.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbip,categories=lbstack
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.pool`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.holders[0].namespace`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.holders[0].name`
// +kubebuilder:printcolumn:name="Others",type=string,JSONPath=`.spec.others`
// +kubebuilder:printcolumn:name="Sharing",type=string,priority=1,JSONPath=`.spec.sharingKey`
// +kubebuilder:printcolumn:name="Until",type=string,priority=1,JSONPath=`.spec.retainUntil`
// +kubebuilder:printcolumn:name="Problem",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Conflict",type=string,JSONPath=`.status.conditions[?(@.type=="Conflict")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!isIP(self.spec.address) || (ip(self.spec.address).family() == 4 ? self.metadata.name == self.spec.address : self.metadata.name.size() == 39 && isIP(self.metadata.name.replace('-', ':')) && ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address))",message="the name of a claim is its address: an IPv4 address as it is, an IPv6 address in full with dashes for colons, such as 2001-0db8-0000-0000-0000-0000-0000-0001"
type IPAddressClaim struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the address and its holders.
	Spec IPAddressClaimSpec `json:"spec"`

	// status is what the controller found.
	// +optional
	Status IPAddressClaimStatus `json:"status,omitempty,omitzero"`
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
