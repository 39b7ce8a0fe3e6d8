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

// IPAddressPoolSpec is a set of addresses that Services can get, and who may
// have them.
//
// +kubebuilder:validation:XValidation:rule="!has(self.reclaim) || !has(self.reclaim.policy) || self.reclaim.policy != 'Retain' || (has(self.quota) && has(self.quota.maxAddressesPerNamespace) && self.quota.maxAddressesPerNamespace > 0)",message="reclaim.policy Retain needs quota.maxAddressesPerNamespace: each Service that is deleted leaves an address retained, and without a quota one namespace can use the pool up"
type IPAddressPoolSpec struct {
	// addresses of the pool: CIDRs, ranges and single addresses, IPv4 and IPv6
	// mixed. All addresses of a CIDR count, the first and the last one too.
	// 1 to 128 items. An address that is in two pools belongs to the older one.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Addresses []AddressRange `json:"addresses"`

	// excludeAddresses are addresses that are not given although they are in
	// addresses: CIDRs, ranges and single addresses. At most 128.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	ExcludeAddresses []AddressRange `json:"excludeAddresses,omitempty"`

	// autoAssign decides whether a Service that names no pool can get an address
	// from this one. Default true.
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// avoidBuggyIPs holds back IPv4 addresses whose last octet is 0 or 255, which
	// some old devices take for those of a network or for broadcast. Default
	// false.
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`

	// state decides whether the pool gives addresses: Active (default), or Draining,
	// which keeps what is given and gives nothing new.
	// +kubebuilder:default=Active
	// +optional
	State PoolState `json:"state,omitempty"`

	// serviceAllocation says which Services the pool is for, and in which order it
	// is tried. Unset: for all, after the pools that have it set.
	// +optional
	ServiceAllocation *ServiceAllocation `json:"serviceAllocation,omitempty"`

	// sharingScope says which Services may share an address of the pool, given
	// that they ask for it with the annotation lbstack.io/allow-shared-ip: those of
	// one namespace (Namespace, the default), or of any (Cluster).
	// +kubebuilder:default=Namespace
	// +optional
	SharingScope SharingScope `json:"sharingScope,omitempty"`

	// quota bounds what a namespace can have from the pool.
	// +optional
	Quota *PoolQuota `json:"quota,omitempty"`

	// maxAddressesPerService is how many addresses of one family a Service can request if one of
	// them is of this pool: 1 (default) to 32. A Service that requests no particular addresses
	// gets one of each family. Lowering the number takes no address away.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	// +optional
	MaxAddressesPerService int32 `json:"maxAddressesPerService,omitempty"`

	// reclaim decides what becomes of an address when its Service is deleted, or is not
	// served by lbstack any more. An address that a Service gives up for another one is free
	// at once; one that other Services share stays with them.
	// +optional
	Reclaim *PoolReclaim `json:"reclaim,omitempty"`

	// outsidePoolPolicy decides what becomes of an address that a Service holds when the pool no
	// longer gives it to this Service. Keep (default): the Service keeps it until it does not need
	// it any more; status.impact lists the Services that Evict would affect. Evict: the Service
	// gets another address at once, or none.
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
	// PoolDraining keeps what is given and gives nothing new.
	PoolDraining PoolState = "Draining"
)

// SharingScope says which Services may share an address.
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

// OutsidePoolPolicy says what becomes of addresses that a pool no longer gives.
// +kubebuilder:validation:Enum=Keep;Evict
type OutsidePoolPolicy string

// The policies.
const (
	// KeepOutsidePool leaves such an address with its Service.
	KeepOutsidePool OutsidePoolPolicy = "Keep"
	// EvictOutsidePool takes it away.
	EvictOutsidePool OutsidePoolPolicy = "Evict"
)

// ServiceAllocation says which Services a pool is for: those in one of the
// namespaces (none named or selected: in any), with labels that one of the
// serviceSelectors matches (none: any labels).
type ServiceAllocation struct {
	// priority among the pools that are for a Service: 1 is tried first, 0
	// (default) last. Of one priority, pools with addresses of both families are tried first for
	// a Service that can use both; otherwise they are tried by name.
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

// PoolQuota bounds what a namespace can have from a pool.
type PoolQuota struct {
	// maxAddressesPerNamespace is how many addresses the Services of a namespace
	// can have from the pool together; an address that several of them share
	// counts once. 0 (default): no bound. Lowering the bound takes no address away.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxAddressesPerNamespace int32 `json:"maxAddressesPerNamespace,omitempty"`
}

// PoolReclaim says what becomes of an address when its Service goes.
type PoolReclaim struct {
	// policy is Release (default): the address is free at once; or Retain: it is
	// kept for a Service of the same namespace and name. Retain needs
	// quota.maxAddressesPerNamespace, in which retained addresses count.
	// +kubebuilder:default=Release
	// +optional
	Policy ReclaimPolicy `json:"policy,omitempty"`

	// retainSeconds is for how long it is kept with Retain, at most a year. 0 (default): until
	// the Service exists again, its namespace is deleted, or an administrator deletes the
	// IPAddressClaim.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	RetainSeconds int32 `json:"retainSeconds,omitempty"`
}

// ReclaimPolicy says what becomes of an address when its Service goes.
// +kubebuilder:validation:Enum=Release;Retain
type ReclaimPolicy string

// The policies.
const (
	// ReclaimRelease makes the address free at once.
	ReclaimRelease ReclaimPolicy = "Release"
	// ReclaimRetain keeps it for a Service of the same name.
	ReclaimRetain ReclaimPolicy = "Retain"
)

// AddressUsage counts the addresses of one family in a pool. The totals are
// decimal numbers in strings: an IPv6 pool has more addresses than an integer
// of JSON can express exactly.
type AddressUsage struct {
	// total is how many addresses the pool gives, free or not.
	// +kubebuilder:validation:MaxLength=40
	Total string `json:"total"`
	// used is how many of them are claimed, be it by a Service or to reserve them.
	Used int64 `json:"used"`
	// free is total less used. A pool that is Draining gives none of them.
	// +kubebuilder:validation:MaxLength=40
	Free string `json:"free"`
}

// IPAddressPoolStatus is what the controller found about a pool.
type IPAddressPoolStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready reports whether the pool's addresses are given out. The others are
	// True when something is wrong: Exhausted (no address of a family is free),
	// NearlyExhausted (one in ten or fewer are), Conflict (addresses are held back
	// because something else has them), AddressesOutsidePool (Services have
	// addresses that the pool no longer gives).
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

	// claims is how many addresses of the pool are claimed, also those that it no
	// longer gives.
	// +optional
	Claims int64 `json:"claims"`

	// outside is how many addresses Services have that the pool no longer gives. Unset:
	// none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Outside int64 `json:"outside,omitempty"`

	// impact lists which Services have addresses that the pool no longer gives, and
	// would lose them if outsidePoolPolicy were Evict. The first 64; the condition
	// AddressesOutsidePool has their number.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Impact []PoolImpact `json:"impact,omitempty"`

	// foreign are addresses of the pool that are used outside of lbstack: by hosts which are no
	// nodes of the cluster, or by kernels of nodes. The pool does not give them until 10 minutes
	// after they were last reported, unless reportedOnly is set; one that a Service has stays with
	// it. The first 256; others are not given as long as they are reported.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Foreign []ForeignAddress `json:"foreign,omitempty"`

	// foreignLosses are the times of the last hour at which the pool lost an address to a foreign
	// host, oldest first. Within an hour it loses at most 8, and at most half of those that it
	// lists.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +optional
	ForeignLosses []metav1.Time `json:"foreignLosses,omitempty"`
}

// ForeignAddress is an address that a host uses which is no node of the cluster, or the kernel
// of a node.
type ForeignAddress struct {
	// address that it uses.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// hardwareAddress is its MAC.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// hostNode is the node whose kernel has the address. Unset: the host is no node of the
	// cluster.
	// +optional
	HostNode NodeName `json:"hostNode,omitempty"`
	// node whose speaker received messages of it.
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// interface of the node on which messages of it arrived.
	Interface InterfaceName `json:"interface"`
	// announced means that a Service has the address, which is announced all the same:
	// it was in use when the first message of the other host arrived.
	// +optional
	Announced bool `json:"announced,omitempty"`
	// reportedOnly means that the pool gives the address all the same: within an hour a pool
	// loses at most 8 addresses to foreign hosts, and at most half of those that it lists.
	// +optional
	ReportedOnly bool `json:"reportedOnly,omitempty"`
	// since when messages of it have arrived.
	Since metav1.Time `json:"since"`
	// until when the address is held back. Unset while a speaker reports it.
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
	// address that it has.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// why the pool no longer gives it.
	// +kubebuilder:validation:MaxLength=1024
	Why string `json:"why"`
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
