package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CommunityReference is a BGP community: two numbers of 16 bits ("65000:100"), a
// large community of three numbers of 32 bits ("large:65000:1:2"), a well-known
// name (graceful-shutdown, accept-own, llgr-stale, no-llgr, blackhole, no-export,
// no-advertise, no-export-subconfed, no-peer), or an alias of a Community object.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(large:[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}|[0-9]{1,5}:[0-9]{1,5}|[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)$`
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9]{1,5}:[0-9]{1,5}$') || self.split(':').all(n, int(n) <= 65535)",message="both numbers of a community must be at most 65535: write larger ones as large:a:b:c"
// +kubebuilder:validation:XValidation:rule="!self.matches('^large:[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$') || self.split(':').all(n, n == 'large' || int(n) <= 4294967295)",message="the three numbers of a large community must be at most 4294967295"
type CommunityReference string

// BGPAdvertisementSpec selects which addresses are announced to which routers, from
// which nodes, and with which attributes. An empty spec stands for all pools, all
// Services, all nodes and all peers.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))",message="serviceSelectors need aggregationLength 32 and aggregationLengthV6 128: a wider prefix also holds addresses of other Services"
// +kubebuilder:validation:XValidation:rule="!has(self.namespaceSelectors) || self.namespaceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))",message="namespaceSelectors need aggregationLength 32 and aggregationLengthV6 128: a wider prefix also holds addresses of other Services"
type BGPAdvertisementSpec struct {
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

	// nodeSelectors select the nodes that announce, by label: one matching selector is
	// enough. Empty: all nodes. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// serviceSelectors select the Services whose addresses are announced, by label: one matching
	// selector is enough. Empty: all Services. If several Services share an address, the first holder
	// in its IPAddressClaim decides. At most 32. Only with aggregationLength 32 and
	// aggregationLengthV6 128.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`

	// namespaceSelectors select the namespaces of the Services whose addresses are announced, by label:
	// one matching selector is enough. Empty: all namespaces. With serviceSelectors a Service must match
	// both. If several Services share an address, the first holder in its IPAddressClaim decides: it has
	// had the address longest. Labels of namespaces are a boundary between tenants. Labels of Services
	// are no such boundary, since tenants write them. At most 32. Only with aggregationLength 32 and
	// aggregationLengthV6 128.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NamespaceSelectors []metav1.LabelSelector `json:"namespaceSelectors,omitempty"`

	// peers are the names of the BGPPeers that addresses are announced to. Empty: all.
	// At most 128.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Peers []ObjectName `json:"peers,omitempty"`

	// aggregationLength is the length of the prefixes that IPv4 addresses are announced as, 1 to 32.
	// Default 32: single addresses. If the prefix of an address would contain addresses that the pool does
	// not list, the address is announced as a single route.
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	// +optional
	AggregationLength int32 `json:"aggregationLength,omitempty"`

	// aggregationLengthV6 is the length of the prefixes that IPv6 addresses are announced as, 1 to 128.
	// Default 128: single addresses. If the prefix of an address would contain addresses that the pool does
	// not list, the address is announced as a single route.
	// +kubebuilder:default=128
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	// +optional
	AggregationLengthV6 int32 `json:"aggregationLengthV6,omitempty"`

	// localPref is the LOCAL_PREF of the routes, 0 to 4294967295: routers of our own autonomous system
	// prefer the route with the highest value. Routers of other autonomous systems do not receive it.
	// Unset: 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	LocalPref *int64 `json:"localPref,omitempty"`

	// med is the MULTI_EXIT_DISC of the routes, 0 to 4294967295: of several routes into one autonomous
	// system, routers prefer the route with the lowest value. Unset: the routes have no MULTI_EXIT_DISC.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	MED *int64 `json:"med,omitempty"`

	// asPathPrepend is how many additional times our ASN is in the AS_PATH for routers of other
	// autonomous systems, 0 (default) to 10. Routers prefer routes with a shorter AS_PATH.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	// +optional
	ASPathPrepend int32 `json:"asPathPrepend,omitempty"`

	// communities of the routes. At most 32.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Communities []CommunityReference `json:"communities,omitempty"`
}

// BGPAdvertisementStatus reports whether an advertisement is in effect.
type BGPAdvertisementStatus struct {
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

// BGPAdvertisement announces the addresses of pools to routers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbbgp,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.ipAddressPools`
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.spec.peers`
// +kubebuilder:printcolumn:name="Communities",type=string,priority=1,JSONPath=`.spec.communities`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPAdvertisement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec selects the addresses, the routers, and the attributes of the routes.
	// +kubebuilder:default={}
	// +optional
	Spec BGPAdvertisementSpec `json:"spec,omitempty,omitzero"`

	// status reports whether the spec is in effect.
	// +optional
	Status BGPAdvertisementStatus `json:"status,omitempty,omitzero"`
}

// BGPAdvertisementList is a list of BGPAdvertisements.
//
// +kubebuilder:object:root=true
type BGPAdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []BGPAdvertisement `json:"items"`
}
