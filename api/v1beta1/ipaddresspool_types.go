package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddressRange is a set of addresses of one family: a CIDR
// ("192.168.1.0/28", "2001:db8::/120"), a first and a last address
// ("192.168.1.240-192.168.1.250"), or one address ("192.168.1.7").
//
// A first address that is after the last one cannot be refused by CEL; the condition
// Ready of the pool reports it.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=95
// +kubebuilder:validation:XValidation:rule="isCIDR(self) || isIP(self) || (self.split('-').size() == 2 && isIP(self.split('-')[0].trim()) && isIP(self.split('-')[1].trim()))",message="must be a CIDR such as 192.168.1.0/28, a range such as 192.168.1.240-192.168.1.250, or an address"
// +kubebuilder:validation:XValidation:rule="isCIDR(self) || isIP(self) || self.split('-').size() != 2 || !isIP(self.split('-')[0].trim()) || !isIP(self.split('-')[1].trim()) || ip(self.split('-')[0].trim()).family() == ip(self.split('-')[1].trim()).family()",message="the first and the last address of a range must be of the same family, both IPv4 or both IPv6"
type AddressRange string

// IPAddressPoolSpec is a set of addresses, and which Services can get them.
//
// +kubebuilder:validation:XValidation:rule="!has(self.reclaim) || !has(self.reclaim.policy) || self.reclaim.policy != 'Retain' || (has(self.quota) && has(self.quota.maxAddressesPerNamespace) && self.quota.maxAddressesPerNamespace > 0)",message="reclaim.policy Retain needs quota.maxAddressesPerNamespace: each Service that is deleted leaves an address retained, and without a quota one namespace can use the pool up"
type IPAddressPoolSpec struct {
	// addresses of the pool: CIDRs, ranges and single addresses, IPv4 and IPv6 mixed. The pool
	// has all addresses of a CIDR, the first and the last one included. 1 to 128 items. An
	// address that two pools list belongs to the older pool.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Addresses []AddressRange `json:"addresses"`

	// excludeAddresses are the addresses in spec.addresses that the pool does not give: CIDRs,
	// ranges and single addresses. At most 128.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	ExcludeAddresses []AddressRange `json:"excludeAddresses,omitempty"`

	// autoAssign decides whether a Service that names no pool can get an address
	// from this one. Default true.
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// avoidBuggyIPs holds back IPv4 addresses whose last octet is 0 or 255, which some old
	// devices mistake for network or broadcast addresses. Default false.
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`

	// state decides whether the pool gives addresses: Active (default), or Draining: Services
	// keep their addresses, and the pool gives no new ones.
	// +kubebuilder:default=Active
	// +optional
	State PoolState `json:"state,omitempty"`

	// serviceAllocation selects the Services that the pool is for, and sets its place in the
	// order of the pools. Unset: the pool is for all Services, and is tried after the pools
	// that have serviceAllocation.
	// +optional
	ServiceAllocation *ServiceAllocation `json:"serviceAllocation,omitempty"`

	// sharingScope decides which Services with the same value of the annotation
	// lbstack.io/allow-shared-ip may share an address of the pool: Services of one namespace
	// (Namespace, the default), or of any namespaces (Cluster).
	// +kubebuilder:default=Namespace
	// +optional
	SharingScope SharingScope `json:"sharingScope,omitempty"`

	// quota limits how many addresses of the pool a namespace can have.
	// +optional
	Quota *PoolQuota `json:"quota,omitempty"`

	// maxAddressesPerService is how many addresses of one family a Service can request if this
	// pool has one of them: 1 (default) to 32. A Service that requests no particular addresses
	// gets at most one of each family. Lowering the number takes no address away.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	// +optional
	MaxAddressesPerService int32 `json:"maxAddressesPerService,omitempty"`

	// reclaim decides what happens to an address when its Service is deleted, or is not
	// served by lbstack any more. An address that a Service exchanges for another one is
	// free at once. A shared address stays with the other Services.
	// +optional
	Reclaim *PoolReclaim `json:"reclaim,omitempty"`

	// outsidePoolPolicy decides what happens to the address of a Service when the pool no longer
	// gives that address to the Service. Keep (default): the Service keeps the address until it
	// does not need it any more; status.impact lists the Services that Evict would affect. Evict:
	// the Service gets another address at once, or none.
	// +kubebuilder:default=Keep
	// +optional
	OutsidePoolPolicy OutsidePoolPolicy `json:"outsidePoolPolicy,omitempty"`
}

// PoolState decides whether a pool gives addresses.
// +kubebuilder:validation:Enum=Active;Draining
type PoolState string

// The states of a pool.
const (
	// PoolActive gives addresses.
	PoolActive PoolState = "Active"
	// PoolDraining leaves addresses with their Services and gives no new ones.
	PoolDraining PoolState = "Draining"
)

// SharingScope decides which Services may share an address.
// +kubebuilder:validation:Enum=Namespace;Cluster
type SharingScope string

// The scopes.
const (
	// SharingInNamespace lets Services of one namespace share.
	SharingInNamespace SharingScope = "Namespace"
	// SharingInCluster lets Services of any namespaces share: whoever knows the
	// key of another Service can use free ports of its address.
	SharingInCluster SharingScope = "Cluster"
)

// OutsidePoolPolicy decides what happens to the addresses of Services that a pool no longer
// gives.
// +kubebuilder:validation:Enum=Keep;Evict
type OutsidePoolPolicy string

// The policies.
const (
	// KeepOutsidePool leaves the address with its Service.
	KeepOutsidePool OutsidePoolPolicy = "Keep"
	// EvictOutsidePool takes the address from the Service.
	EvictOutsidePool OutsidePoolPolicy = "Evict"
)

// ServiceAllocation selects the Services that a pool is for: they are in one of the namespaces
// (if none is named or selected: in any), and one of the serviceSelectors matches their labels
// (without serviceSelectors: any labels).
type ServiceAllocation struct {
	// priority among the pools that are for a Service: pools with 1 are tried first, pools with
	// 0 (default) last. Pools of one priority are tried in the order of their names; for a
	// Service that can use both families, pools that have both come first.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Priority int32 `json:"priority,omitempty"`

	// namespaces of the Services, by name. At most 128.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Namespaces []ObjectName `json:"namespaces,omitempty"`

	// namespaceSelectors select namespaces of the Services by label, in addition
	// to namespaces. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NamespaceSelectors []metav1.LabelSelector `json:"namespaceSelectors,omitempty"`

	// serviceSelectors select Services by label; one that matches is enough. At
	// most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`
}

// PoolQuota limits how many addresses of a pool a namespace can have.
type PoolQuota struct {
	// maxAddressesPerNamespace is how many addresses the Services of a namespace can have from
	// the pool together; an address that several of them share counts once. 0 (default): no
	// limit. Lowering the limit takes no address away.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxAddressesPerNamespace int32 `json:"maxAddressesPerNamespace,omitempty"`
}

// PoolReclaim decides what happens to an address when its Service is deleted.
type PoolReclaim struct {
	// policy is Release (default): the address is free at once; or Retain: the address is kept
	// for a Service of the same namespace and name. Retain needs
	// quota.maxAddressesPerNamespace, in which retained addresses count.
	// +kubebuilder:default=Release
	// +optional
	Policy ReclaimPolicy `json:"policy,omitempty"`

	// retainSeconds is how long Retain keeps the address, at most a year. 0 (default): until
	// the Service is created again, its namespace is deleted, or an administrator deletes the
	// IPAddressClaim.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	RetainSeconds int32 `json:"retainSeconds,omitempty"`
}

// ReclaimPolicy decides what happens to an address when its Service is deleted.
// +kubebuilder:validation:Enum=Release;Retain
type ReclaimPolicy string

// The policies.
const (
	// ReclaimRelease makes the address free at once.
	ReclaimRelease ReclaimPolicy = "Release"
	// ReclaimRetain keeps the address for a Service of the same namespace and name.
	ReclaimRetain ReclaimPolicy = "Retain"
)

// AddressUsage counts the addresses of one family in a pool. The totals are
// decimal numbers in strings: an IPv6 pool has more addresses than an integer
// of JSON can express exactly.
type AddressUsage struct {
	// total is how many addresses the pool can give, those that are in use included.
	// +kubebuilder:validation:MaxLength=40
	Total string `json:"total"`
	// used is how many of them have an IPAddressClaim, of a Service or of an administrator who
	// reserves them.
	Used int64 `json:"used"`
	// free is total minus used. A pool that is Draining gives none of the free addresses.
	// +kubebuilder:validation:MaxLength=40
	Free string `json:"free"`
}

// IPAddressPoolStatus is what the controller found about a pool.
type IPAddressPoolStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether the pool gives addresses. The others are True when
	// something is wrong: Exhausted (no address of a family is free), NearlyExhausted (at
	// most one in ten is free), Conflict (the pool does not give addresses that something
	// else has), AddressesOutsidePool (Services have addresses that the pool no longer
	// gives).
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

	// claims is how many IPAddressClaims the pool has, those of addresses that it no longer
	// gives included.
	// +optional
	Claims int64 `json:"claims"`

	// outside is how many addresses of Services the pool no longer gives. Unset: none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Outside int64 `json:"outside,omitempty"`

	// impact lists the Services with addresses that the pool no longer gives: they would lose
	// these if outsidePoolPolicy were Evict. At most 64 are listed; the condition
	// AddressesOutsidePool has their number.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Impact []PoolImpact `json:"impact,omitempty"`

	// foreign are addresses of the pool that are used outside of lbstack: by hosts outside of the
	// cluster, or by kernels of nodes. The pool does not give them until 10 minutes after they
	// were last reported, unless reportedOnly is set. An address that a Service has stays with the
	// Service. At most 256 are listed; the pool does not give the others while they are reported.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Foreign []ForeignAddress `json:"foreign,omitempty"`

	// foreignLosses are the times within the last hour at which the pool stopped giving an
	// address because a host outside of the cluster uses it, oldest first. Within an hour these
	// are at most 8 addresses, and at most half of those that the pool lists.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +optional
	ForeignLosses []metav1.Time `json:"foreignLosses,omitempty"`
}

// ForeignAddress is an address that a host outside of the cluster, or the kernel of a node,
// uses.
type ForeignAddress struct {
	// address that the host uses.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// hardwareAddress is the MAC of the host.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// hostNode is the node whose kernel has the address. Unset: the host is no node of the
	// cluster.
	// +optional
	HostNode NodeName `json:"hostNode,omitempty"`
	// node whose speaker received messages of the host.
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// interface of the node on which the messages arrived.
	Interface InterfaceName `json:"interface"`
	// announced means that a Service has the address, and that speakers keep announcing it: it
	// was in use before the first message of the other host arrived.
	// +optional
	Announced bool `json:"announced,omitempty"`
	// reportedOnly means that the pool gives the address although the host uses it, because
	// the pool has reached the limit that foreignLosses describes.
	// +optional
	ReportedOnly bool `json:"reportedOnly,omitempty"`
	// since when messages of the host have arrived.
	Since metav1.Time `json:"since"`
	// until when the pool does not give the address. Unset while a speaker reports the host.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// PoolImpact is a Service that has an address which its pool no longer gives.
type PoolImpact struct {
	// namespace of the Service.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// address that the Service has.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// why the pool no longer gives the address.
	// +kubebuilder:validation:MaxLength=1024
	Why string `json:"why"`
}

// IPAddressPool is a set of addresses that Services of type LoadBalancer can get. The operator
// writes the pools of the LoadBalancerStack; an administrator may add others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbpool,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Auto",type=boolean,JSONPath=`.spec.autoAssign`
// +kubebuilder:printcolumn:name="Used",type=integer,JSONPath=`.status.claims`
// +kubebuilder:printcolumn:name="Free4",type=string,JSONPath=`.status.ipv4.free`
// +kubebuilder:printcolumn:name="Free6",type=string,JSONPath=`.status.ipv6.free`
// +kubebuilder:printcolumn:name="Outside",type=integer,JSONPath=`.status.outside`
// +kubebuilder:printcolumn:name="Conflict",type=string,JSONPath=`.status.conditions[?(@.type=="Conflict")].status`
// +kubebuilder:printcolumn:name="State",type=string,priority=1,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Addresses",type=string,priority=1,JSONPath=`.spec.addresses`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IPAddressPool struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the addresses, and which Services can get them.
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
