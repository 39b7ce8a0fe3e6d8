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
	// has all addresses of a CIDR, including the first and the last address. 1 to 128 items. An
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
	// from this pool. Default true.
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// avoidBuggyIPs holds back IPv4 addresses whose last octet is 0 or 255, which some old
	// devices mistake for network or broadcast addresses. Default false.
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`

	// state decides whether the pool gives addresses. Active (default): the pool gives addresses.
	// Draining: Services keep their addresses, and the pool gives no new addresses.
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

	// maxAddressesPerService is how many addresses of one family a Service can request if this pool
	// has at least one of these addresses: 1 (default) to 32. A Service that requests no particular
	// addresses gets at most one of each family. Lowering the number takes no address away.
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
	// PoolDraining leaves addresses with their Services and gives no new addresses.
	PoolDraining PoolState = "Draining"
)

// SharingScope decides which Services may share an address.
// +kubebuilder:validation:Enum=Namespace;Cluster
type SharingScope string

// The scopes.
const (
	// SharingInNamespace lets Services of one namespace share.
	SharingInNamespace SharingScope = "Namespace"
	// SharingInCluster lets Services of any namespaces share. A user who knows the key of another
	// Service can then use free ports of the address of that Service.
	SharingInCluster SharingScope = "Cluster"
)

// OutsidePoolPolicy decides what happens to an address of a Service when the pool no longer gives the
// address.
// +kubebuilder:validation:Enum=Keep;Evict
type OutsidePoolPolicy string

// The policies.
const (
	// KeepOutsidePool leaves the address with its Service.
	KeepOutsidePool OutsidePoolPolicy = "Keep"
	// EvictOutsidePool takes the address from the Service.
	EvictOutsidePool OutsidePoolPolicy = "Evict"
)

// ServiceAllocation selects the Services that a pool is for, by namespace and by label. Without
// namespaces and namespaceSelectors, Services of all namespaces match. Without serviceSelectors,
// Services with any labels match.
type ServiceAllocation struct {
	// priority among the pools that are for a Service: pools with 1 are tried first, pools with 0
	// (default) last. Pools of the same priority are tried in the order of their names. For a Service
	// that can use both families, pools that have both families come first.
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

	// serviceSelectors select Services by label: one matching selector is enough. At
	// most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`
}

// PoolQuota limits how many addresses of a pool a namespace can have.
type PoolQuota struct {
	// maxAddressesPerNamespace is how many addresses of the pool all Services of a namespace together
	// can have. An address that several Services share counts once. 0 (default): no limit. Lowering
	// the limit takes no address away.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxAddressesPerNamespace int32 `json:"maxAddressesPerNamespace,omitempty"`
}

// PoolReclaim decides what happens to an address when its Service is deleted.
type PoolReclaim struct {
	// policy decides what happens to the address. Release (default): the address is free at once.
	// Retain: the address is kept for a Service of the same namespace and name. Retain needs
	// quota.maxAddressesPerNamespace, and retained addresses count in that quota.
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

// AddressUsage counts the addresses of one family in a pool. total and free are
// decimal numbers in strings: an IPv6 pool has more addresses than an integer
// of JSON can express exactly.
type AddressUsage struct {
	// total is how many addresses the pool can give, including addresses in use.
	// +kubebuilder:validation:MaxLength=40
	Total string `json:"total"`
	// used is how many of these addresses have an IPAddressClaim. The claim can be that of a Service,
	// or of an administrator who reserves the address.
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

	// claims is how many IPAddressClaims the pool has, including claims of addresses that the pool no
	// longer gives.
	// +optional
	Claims int64 `json:"claims"`

	// outside is how many addresses of Services the pool no longer gives. Unset: none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Outside int64 `json:"outside,omitempty"`

	// impact lists the Services with addresses that the pool no longer gives. The Services would lose
	// these addresses if outsidePoolPolicy were Evict. At most 64 are listed; the condition
	// AddressesOutsidePool has their number.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Impact []PoolImpact `json:"impact,omitempty"`

	// foreign are addresses of the pool that are used outside of lbstack: by hosts outside of the
	// cluster, or by kernels of nodes. The pool does not give such an address until 10 minutes after
	// the address was last reported, unless reportedOnly is set. An address that a Service has stays
	// with the Service. At most 256 are listed; the pool does not give further such addresses while
	// they are reported.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Foreign []ForeignAddress `json:"foreign,omitempty"`

	// foreignLosses are the times within the last hour at which the pool stopped giving an address
	// because a host outside of the cluster uses the address, oldest first. Within an hour a pool loses
	// at most 8 addresses in this way, and at most half of the addresses that it lists.
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
	// announced means that a Service has the address, and that speakers keep announcing it: the address
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

	// spec has the addresses, and selects the Services that can get them.
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
