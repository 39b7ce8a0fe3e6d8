package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// IPAddressClaimSpec says who has an address.
//
// A change that takes the address from the Services that use it, or names one that would
// have to wait for it, needs takeOver. The controller's own changes never name a new
// holder without a uid.
//
// +kubebuilder:validation:XValidation:rule="(has(self.takeOver) && self.takeOver) || !has(oldSelf.holders) || !oldSelf.holders.exists(o, has(o.uid)) || (has(self.holders) && self.holders.size() > 0 && self.holders.all(h, has(h.uid) || oldSelf.holders.exists(o, o.name == h.name && o.__namespace__ == h.__namespace__)))",messageExpression="'the address ' + oldSelf.address + ' is in use by the Service ' + oldSelf.holders[0].__namespace__ + '/' + oldSelf.holders[0].name + ', which keeps it: to take it away, set takeOver: true in the same change'"
type IPAddressClaimSpec struct {
	// address that is claimed, in canonical form. It cannot be changed: the
	// claim's name is derived from it, so that an address is claimed once.
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip.isCanonical(self)",message="must be an IPv4 or IPv6 address in canonical form, such as 192.168.1.240 or 2001:db8::1 (RFC 5952)"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the address of a claim cannot be changed"
	Address string `json:"address"`

	// pool that the address came from.
	Pool ObjectName `json:"pool"`

	// state is how the address is used. Whoever writes a claim to reserve an
	// address leaves it unset.
	// +kubebuilder:default=Reserved
	// +optional
	State ClaimState `json:"state,omitempty"`

	// sharingKey is what the Services that share the address have in common: their
	// annotation lbstack.io/allow-shared-ip. Empty: one Service has it for itself.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	SharingKey string `json:"sharingKey,omitempty"`

	// holders are the Services that use the address, or that it is reserved for, in the
	// order in which they came. At most 256. To reserve an address for a Service,
	// which need not exist yet, or to hand it to another one, write namespace and
	// name.
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Holders []ClaimHolder `json:"holders,omitempty"`

	// takeOver means that a change of holders takes the address from the Services that use
	// it, at once. Such a change is refused otherwise. If no Service that is named exists and
	// is of type LoadBalancer, the controller gives the claim back to those that use the
	// address. It sets takeOver to false then, and when a Service has taken the address up.
	// Default false.
	// +optional
	TakeOver bool `json:"takeOver,omitempty"`

	// others names the holders after the first, as namespace/name with commas between
	// them, for kubectl get, which shows but one of a list. The controller writes it.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Others string `json:"others,omitempty"`

	// retainUntil is when an address is free that is kept for a Service which has
	// gone. Unset: when the claim is deleted.
	// +optional
	RetainUntil *metav1.Time `json:"retainUntil,omitempty"`
}

// ClaimState is how an address is used.
// +kubebuilder:validation:Enum=Reserved;InUse;Retained
type ClaimState string

// The states of a claim.
const (
	// ClaimReserved: an administrator reserves the address, for nobody or for the
	// Services that are named.
	ClaimReserved ClaimState = "Reserved"
	// ClaimInUse: Services have the address.
	ClaimInUse ClaimState = "InUse"
	// ClaimRetained: its Service has gone, and the pool keeps the address for one
	// of the same name.
	ClaimRetained ClaimState = "Retained"
)

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
	// uid of the Service, once it has taken the address up: one that is deleted and
	// created again is another one.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// namespaceUID is the uid of the namespace in which the Service was, if the address is
	// retained for it: a namespace that is created again under that name inherits nothing.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +optional
	NamespaceUID types.UID `json:"namespaceUID,omitempty"`
	// ports that the Service uses, as number/protocol, if it shares the address: no
	// other holder can use them.
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:Pattern=`^[0-9]{1,5}/(TCP|UDP|SCTP)$`
	// +optional
	Ports []string `json:"ports,omitempty"`
	// trafficPolicy is set if the Service shares the address and has
	// externalTrafficPolicy: Local. It is then the namespace and the selector of its
	// pods, or stands for them: all holders must have the same.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	TrafficPolicy string `json:"trafficPolicy,omitempty"`
}

// IPAddressClaimStatus is what the controller found about a claim that it did not
// make itself.
type IPAddressClaimStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether the claim of an administrator does what it is
	// for; a claim that the controller made has it, with status False, only while no pool
	// gives the address. Conflict is set, with status True, while a foreign host uses the
	// address.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// IPAddressClaim is one address in use. It is written before the address
// is in the status of the Service, and its name is derived from the address, so
// that the API server itself makes sure that no address is given twice:
// an IPv4 address as it is, an IPv6 address in full with dashes for colons, such
// as 2001-0db8-0000-0000-0000-0000-0000-0001. An administrator may write one to
// reserve an address.
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

	// spec is the address and who has it.
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
