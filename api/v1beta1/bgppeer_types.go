package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DynamicASN decides which autonomous systems a router may be in.
// +kubebuilder:validation:Enum=Internal;External
type DynamicASN string

// The kinds of autonomous systems.
const (
	// DynamicASNInternal accepts a router that has our ASN (iBGP).
	DynamicASNInternal DynamicASN = "Internal"
	// DynamicASNExternal accepts a router that has any other ASN (eBGP).
	DynamicASNExternal DynamicASN = "External"
)

// BGPPeerSpec is a router and the BGP session that nodes have with it.
//
// +kubebuilder:validation:XValidation:rule="has(self.peerASN) != has(self.dynamicASN)",message="set exactly one of peerASN (the ASN of the router) and dynamicASN (Internal or External, for the ASN that the router presents)"
// +kubebuilder:validation:XValidation:rule="has(self.peerAddress) != has(self.interface)",message="set exactly one of peerAddress (the IP address of the router) and interface (on which nodes find the router)"
// +kubebuilder:validation:XValidation:rule="!has(self.sourceAddress) || !has(self.interface)",message="sourceAddress cannot be set together with interface, where link-local addresses are used: remove one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.sourceAddress) || !has(self.peerAddress) || !isIP(self.sourceAddress) || !isIP(self.peerAddress) || ip(self.sourceAddress).family() == ip(self.peerAddress).family()",message="sourceAddress and peerAddress must be of the same family, both IPv4 or both IPv6"
// +kubebuilder:validation:XValidation:rule="!has(self.keepaliveTimeSeconds) || !has(self.holdTimeSeconds) || self.keepaliveTimeSeconds <= self.holdTimeSeconds",message="keepaliveTimeSeconds must not be more than holdTimeSeconds: leave it out for a third of the hold time"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !has(self.dynamicASN) || self.dynamicASN != 'Internal'",message="ebgpMultiHop is for routers in another autonomous system, and dynamicASN is Internal: remove ebgpMultiHop, which iBGP does not need"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !has(self.peerASN) || self.peerASN != (has(self.localASN) ? self.localASN : self.myASN)",message="ebgpMultiHop is for routers in another autonomous system, and peerASN is our own: remove ebgpMultiHop, which iBGP does not need"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !has(self.ttlSecurityHops) || self.ttlSecurityHops == 0",message="ebgpMultiHop and ttlSecurityHops exclude each other: ttlSecurityHops alone allows a router that many hops away"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !has(self.interface)",message="a router that is found on an interface is one hop away: remove ebgpMultiHop"
// +kubebuilder:validation:XValidation:rule="!has(self.strictBFD) || !self.strictBFD || has(self.bfdProfile)",message="strictBFD needs a BFD session to wait for: set bfdProfile"
type BGPPeerSpec struct {
	// myASN is the autonomous system number of the cluster, 1 to 4294967295.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	MyASN int64 `json:"myASN"`

	// peerASN is the autonomous system number that the router must have, 1 to
	// 4294967295. A number equal to ours means iBGP. Excludes dynamicASN; one of
	// peerASN and dynamicASN is needed.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	PeerASN int64 `json:"peerASN,omitempty"`

	// dynamicASN accepts the autonomous system number that the router presents if that number is
	// ours (Internal), or if it is any other number (External). Excludes peerASN.
	// +optional
	DynamicASN DynamicASN `json:"dynamicASN,omitempty"`

	// localASN is presented to this router in place of myASN. myASN is then not in the
	// AS_PATH. 1 to 4294967295. Unset: myASN.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	LocalASN int64 `json:"localASN,omitempty"`

	// peerAddress is the IPv4 or IPv6 address of the router, no host name. Excludes
	// interface; one of peerAddress and interface is needed.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="peerAddress must be an IPv4 or IPv6 address without zone, such as 10.0.0.1 or 2001:db8::1: host names are not resolved"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLoopback() || (ip(self).isLinkLocalUnicast() && ip(self).family() == 4)",message="peerAddress must be the address of one host; in place of an IPv6 link-local address set interface"
	// +optional
	PeerAddress string `json:"peerAddress,omitempty"`

	// interface is the interface of the nodes that leads to the router. Nodes find the
	// router by its router advertisements, and the session runs between link-local
	// addresses ("unnumbered"). Excludes peerAddress.
	// +optional
	Interface InterfaceName `json:"interface,omitempty"`

	// peerPort is the TCP port that the router listens on, 1 to 65535. Default 179.
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	PeerPort int32 `json:"peerPort,omitempty"`

	// sourceAddress is the address from which a node connects, of the family of
	// peerAddress. A node that does not have the address has no session. Excludes
	// interface. Unset: the address that the routing table of the node selects.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="sourceAddress must be an IPv4 or IPv6 address without zone, such as 10.0.0.1 or 2001:db8::1"
	// +optional
	SourceAddress string `json:"sourceAddress,omitempty"`

	// routerID is the BGP Identifier of the nodes towards this router, an IPv4 address. Only
	// one of the nodes with this identifier can have a session with the router, so set
	// nodeSelectors as well. Unset: each node uses an identifier of its own.
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip(self).family() == 4 && !ip(self).isUnspecified()",message="routerID must look like an IPv4 address, such as 10.0.0.1, and not be 0.0.0.0"
	// +optional
	RouterID string `json:"routerID,omitempty"`

	// nodeSelectors select the nodes that have a session with the router, by label:
	// one matching selector is enough. Empty: all nodes. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// holdTimeSeconds is the time without a message after which the session ends: 0
	// (never), or 3 to 65535. Default 30. The smaller value of both sides is used.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self == 0 || self >= 3",message="holdTimeSeconds must be 0 (the session never times out) or at least 3"
	// +optional
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`

	// keepaliveTimeSeconds is the time between KEEPALIVE messages of a node, 1 to 65535 and
	// not more than holdTimeSeconds. Unset: a third of the hold time that both sides
	// agreed on.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	KeepaliveTimeSeconds int32 `json:"keepaliveTimeSeconds,omitempty"`

	// connectRetrySeconds is how long to wait between attempts to connect, 1 to 65535. Default 2. After
	// three failed attempts the time doubles with each further attempt, up to 16 times this value and at
	// most 120 seconds. A value above 120 is used as it is.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	ConnectRetrySeconds int32 `json:"connectRetrySeconds,omitempty"`

	// ebgpMultiHop allows a router of another autonomous system that is not on a
	// network of the node. Default false. Excludes ttlSecurityHops and interface.
	// +optional
	EBGPMultiHop bool `json:"ebgpMultiHop,omitempty"`

	// ttlSecurityHops is the maximum number of hops over which packets of the router may arrive, 1 to
	// 254 (GTSM, RFC 5082). The router must send with a TTL of 255. Default 0: any number of hops.
	// Excludes ebgpMultiHop.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=254
	// +optional
	TTLSecurityHops int32 `json:"ttlSecurityHops,omitempty"`

	// passiveMode: the router connects, and the nodes only listen, on port 179. The
	// operator allows the speakers to listen there only if a peer in the
	// LoadBalancerStack has passiveMode. Default false.
	// +optional
	PassiveMode bool `json:"passiveMode,omitempty"`

	// passwordSecret names the Secret with the password of the TCP MD5 signatures
	// (RFC 2385) of the session. Unset: none.
	// +optional
	PasswordSecret *PasswordSecret `json:"passwordSecret,omitempty"`

	// bfdProfile names the BFDProfile with which the path to the router is watched. The
	// session ends when the path is lost. Unset: the path is not watched.
	// +optional
	BFDProfile ObjectName `json:"bfdProfile,omitempty"`

	// strictBFD: the session begins only once BFD reports the path as up. Default
	// false. Needs bfdProfile.
	// +optional
	StrictBFD bool `json:"strictBFD,omitempty"`

	// gracefulRestart asks the router to keep the routes of a node while its speaker
	// restarts (RFC 4724). Unset: the router drops the routes at once.
	// +optional
	GracefulRestart *BGPGracefulRestart `json:"gracefulRestart,omitempty"`

	// gracefulShutdownSeconds is how long routes are marked with the community GRACEFUL_SHUTDOWN before
	// they are withdrawn (RFC 8326), when their node is drained or its speaker is stopped. Meanwhile the
	// router moves traffic elsewhere. 0 to 60, default 2.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=60
	// +optional
	GracefulShutdownSeconds *int32 `json:"gracefulShutdownSeconds,omitempty"`

	// vrf is the Linux VRF device in which the session runs on the nodes. Unset: none.
	// +optional
	VRF InterfaceName `json:"vrf,omitempty"`

	// dualStackAddressFamily: routes of both families go over the session. Default
	// false: only routes of the family of peerAddress. A session on an interface always
	// carries routes of both families.
	// +optional
	DualStackAddressFamily bool `json:"dualStackAddressFamily,omitempty"`
}

// PasswordSecret names a Secret with a password.
type PasswordSecret struct {
	// name of a Secret of type kubernetes.io/basic-auth in the component namespace;
	// its entry "password" is used.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// BGPGracefulRestart configures what a router does while a speaker restarts.
type BGPGracefulRestart struct {
	// restartTimeSeconds is how long the router should keep the routes, 1 to 4095.
	// Default 120.
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4095
	// +optional
	RestartTimeSeconds int32 `json:"restartTimeSeconds,omitempty"`
}

// BGPPeerStatus is the state of the sessions with a router.
type BGPPeerStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready is True when the spec is valid and all selected nodes can use it.
	// Established is True when the session is established on all nodes that should have one,
	// and no session is flapping.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// nodes is how many nodes should have a session with the router: the selected nodes on
	// which no other BGPPeer is in effect for the same router.
	// +optional
	Nodes int32 `json:"nodes"`

	// established is how many of these nodes have an established session.
	// +optional
	Established int32 `json:"established"`
}

// BGPPeer is a router that nodes announce addresses to. The operator writes the
// BGPPeers of the LoadBalancerStack; an administrator may add others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbpeer,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Peer address",type=string,JSONPath=`.spec.peerAddress`
// +kubebuilder:printcolumn:name="ASN",type=integer,JSONPath=`.spec.peerASN`
// +kubebuilder:printcolumn:name="Established",type=integer,JSONPath=`.status.established`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Interface",type=string,priority=1,JSONPath=`.spec.interface`
// +kubebuilder:printcolumn:name="My ASN",type=integer,priority=1,JSONPath=`.spec.myASN`
// +kubebuilder:printcolumn:name="BFD",type=string,priority=1,JSONPath=`.spec.bfdProfile`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Established")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",message="the name of a BGPPeer must be a DNS label, at most 63 characters and no dots: BGPAdvertisements refer to the BGPPeer by this name"
type BGPPeer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec describes the router and the sessions with it.
	Spec BGPPeerSpec `json:"spec"`

	// status is the state of the sessions.
	// +optional
	Status BGPPeerStatus `json:"status,omitempty,omitzero"`
}

// BGPPeerList is a list of BGPPeers.
//
// +kubebuilder:object:root=true
type BGPPeerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []BGPPeer `json:"items"`
}
