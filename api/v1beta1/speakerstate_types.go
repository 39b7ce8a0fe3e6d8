package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpeakerStateStatus is what the speaker of one node does.
type SpeakerStateStatus struct {
	// version of lbstack that the speaker runs.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Version string `json:"version,omitempty"`

	// startedAt is when the speaker started, in full seconds of the clock of its node. A report
	// with an earlier time than the container has is of the process before.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// conditions: Ready reports whether the speaker announces what it should, as the speaker
	// reported it last. The controller writes the others: Current reports whether that speaker
	// still runs, Partitioned whether it is cut from a larger group of speakers.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase of the speaker: Active; Draining while it hands its addresses over;
	// Isolated while it is silent because it receives from too few others and from no
	// host on the links of its addresses, or because half of the others or more receive nothing from it;
	// Stopped when it was shut down in the regular way, and no other has started on the node since.
	// +kubebuilder:validation:Enum=Active;Draining;Isolated;Stopped
	// +optional
	Phase SpeakerPhase `json:"phase,omitempty"`

	// interfaces that the speaker announces on.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Interfaces []SpeakerInterface `json:"interfaces,omitempty"`

	// meshKeys are the IDs of the keys of the mesh that the speaker accepts, the newest first:
	// 8 hexadecimal digits of a hash of each. At most 8.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=8
	// +optional
	MeshKeys []string `json:"meshKeys,omitempty"`

	// liveSpeakers is how many speakers this one sees alive, itself included.
	// +kubebuilder:default=0
	LiveSpeakers int32 `json:"liveSpeakers"`

	// missingSpeakers are the nodes whose speakers should run and of which nothing arrives at
	// this one, in order. At most 256 are listed. The state of a speaker that all others miss
	// is from before it died; see the condition Current.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	MissingSpeakers []NodeName `json:"missingSpeakers,omitempty"`

	// coveredNodes are nodes, in order, whose speakers run again after a restart, have addresses, and
	// have not announced them on the network within 5 s: this speaker answers for these addresses, with
	// the hardware addresses of the nodes, so that traffic still goes there. At most 64 are listed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	CoveredNodes []CoveredNode `json:"coveredNodes,omitempty"`

	// minoritySince is when the speaker came to receive from at most half of the speakers that
	// should be there, in full seconds. Unset: it receives from more.
	// +optional
	MinoritySince *metav1.Time `json:"minoritySince,omitempty"`

	// addressCount is how many addresses this node owns, also those that are
	// beyond the bound of the list addresses.
	// +kubebuilder:default=0
	AddressCount int32 `json:"addressCount"`

	// addresses that this node owns on the local network, in order. At most
	// 5000 are listed.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=5000
	// +optional
	Addresses []SpeakerAddress `json:"addresses,omitempty"`

	// refusedAddresses is how many addresses Services hold that the speaker does not
	// announce because their pool does not list them, or because they are an address of a
	// node or no unicast address. The condition Ready names the first of them.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RefusedAddresses int32 `json:"refusedAddresses,omitempty"`

	// conflicts are addresses that this node owns and that another host uses as well: one
	// that is no node of the cluster, or a node whose kernel has the address. At most 256.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Conflicts []SpeakerConflict `json:"conflicts,omitempty"`

	// bgpPeers are the sessions that this node should have with routers. At most 128.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +optional
	BGPPeers []SpeakerBGPPeer `json:"bgpPeers,omitempty"`

	// routeCount is how many prefixes this node announces to routers. They are listed in the
	// SpeakerRouteSlices of the node.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RouteCount int32 `json:"routeCount,omitempty"`
}

// SpeakerPhase is the state of a speaker as a whole.
type SpeakerPhase string

// The phases of a speaker.
const (
	// SpeakerActive: it announces what its node owns.
	SpeakerActive SpeakerPhase = "Active"
	// SpeakerDraining: it hands over what its node owns, and gets nothing.
	SpeakerDraining SpeakerPhase = "Draining"
	// SpeakerIsolated: it receives from too few others and from no host on the links of its addresses, or others
	// receive nothing from it: it is silent.
	SpeakerIsolated SpeakerPhase = "Isolated"
	// SpeakerStopped: it was shut down in the regular way.
	SpeakerStopped SpeakerPhase = "Stopped"
)

// NodeName is the name of a node: a DNS subdomain.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
type NodeName string

// SpeakerInterface is a network interface of the node.
type SpeakerInterface struct {
	// name of the interface.
	Name InterfaceName `json:"name"`
	// hardwareAddress is its MAC: what the network learns for the addresses
	// that are announced here.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// families of the addresses that can be announced on the interface: IPv4 if it has an
	// IPv4 address, IPv6 if it has a link-local address.
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=IPv4;IPv6
	// +optional
	Families []string `json:"families,omitempty"`
	// subnets of the interface's own addresses, as CIDRs in canonical form, ordered.
	// At most 32 are listed.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=49
	// +optional
	Subnets []string `json:"subnets,omitempty"`
	// addresses of the interface itself, ordered, without link-local ones. Pools do not give
	// them. At most 32 are listed; none of a dummy interface is.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=45
	// +optional
	Addresses []string `json:"addresses,omitempty"`
}

// SpeakerAddress is an address that the node owns.
type SpeakerAddress struct {
	// address that is announced.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// interfaces that it is announced on.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []InterfaceName `json:"interfaces,omitempty"`
	// since when the node has owned it.
	Since metav1.Time `json:"since"`
	// epoch of the ownership: it grows with every change of the owner. Of two nodes
	// that list an address, the one with the higher epoch has it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
}

// CoveredNode is a node that does not announce addresses that it has.
type CoveredNode struct {
	// name of the node.
	Name NodeName `json:"name"`
	// addressCount is how many addresses this speaker answers for on behalf of the node.
	// +kubebuilder:validation:Minimum=1
	AddressCount int32 `json:"addressCount"`
	// address is the first of them in order.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// since when the node has had to announce them: since its speaker has run again.
	Since metav1.Time `json:"since"`
}

// SpeakerConflict is an address that another host uses.
type SpeakerConflict struct {
	// address that both use.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// interface on which messages of the other host arrived.
	Interface InterfaceName `json:"interface"`
	// hardwareAddress is the other host's MAC.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// hostNode is the node whose kernel has the address, by itself or because of its service
	// proxy. Unset: the host is no node of the cluster.
	// +optional
	HostNode NodeName `json:"hostNode,omitempty"`
	// announced means that this node announces the address all the same: it was in
	// use when the first message of the other host arrived. Otherwise it never was announced.
	// +optional
	Announced bool `json:"announced,omitempty"`
	// since when messages of the other host have arrived.
	Since metav1.Time `json:"since"`
}

// BGPState is the state of a BGP session (RFC 4271 section 8.2.2).
// +kubebuilder:validation:Enum=Idle;Connect;Active;OpenSent;OpenConfirm;Established
type BGPState string

// The states of a BGP session.
const (
	// BGPIdle: nothing is tried, yet or for now.
	BGPIdle BGPState = "Idle"
	// BGPConnect: the node connects to the router.
	BGPConnect BGPState = "Connect"
	// BGPActive: the node waits, for the next attempt or for the router to connect.
	BGPActive BGPState = "Active"
	// BGPOpenSent: the connection is open, and the OPEN message of the router has not arrived.
	BGPOpenSent BGPState = "OpenSent"
	// BGPOpenConfirm: both OPEN messages were accepted; the first KEEPALIVE has not arrived.
	BGPOpenConfirm BGPState = "OpenConfirm"
	// BGPEstablished: routes go over the session.
	BGPEstablished BGPState = "Established"
)

// BFDState is the state of a BFD session (RFC 5880 section 6.2).
// +kubebuilder:validation:Enum=AdminDown;Down;Init;Up
type BFDState string

// The states of a BFD session.
const (
	// BFDAdminDown: it is switched off.
	BFDAdminDown BFDState = "AdminDown"
	// BFDDown: nothing is received from the router.
	BFDDown BFDState = "Down"
	// BFDInit: packets of the router arrive, and it has not received from the node yet.
	BFDInit BFDState = "Init"
	// BFDUp: packets arrive in both directions.
	BFDUp BFDState = "Up"
)

// SpeakerBGPPeer is a session of the node with a router.
type SpeakerBGPPeer struct {
	// name of the BGPPeer.
	Name ObjectName `json:"name"`
	// address of the router. Unset while it has not been found on its interface.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Address string `json:"address,omitempty"`
	// state of the session: Idle, Connect, Active, OpenSent, OpenConfirm, or
	// Established, in which routes go over it.
	State BGPState `json:"state"`
	// since when the session has been in this state: Established, or any of the others.
	Since metav1.Time `json:"since"`
	// lastError is why the session ended last, or why it does not begin.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	LastError string `json:"lastError,omitempty"`
	// retrySeconds is the time between attempts to connect, less up to a quarter: it grows
	// while they fail (connectRetrySeconds of the BGPPeer). Unset: no attempt has failed
	// since the session was stable, or the router is to connect.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RetrySeconds int32 `json:"retrySeconds,omitempty"`
	// problem is why the node has no session with the router, or sends it fewer routes than
	// it should, as far as that is the cluster's or the node's doing. Unset: nothing.
	// +optional
	Problem *SpeakerBGPProblem `json:"problem,omitempty"`
	// flaps is how often an established session has ended, other than by a change of the
	// BGPPeer, since it last stayed established for 10 minutes. From 3 on the session is
	// flapping.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Flaps int32 `json:"flaps,omitempty"`
	// families of the routes that go over the session: those that both sides agreed on and
	// that the node has a next hop for. Unset: the session is not established, or carries
	// no routes.
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=IPv4;IPv6
	// +optional
	Families []string `json:"families,omitempty"`
	// prefixes is how many prefixes were announced to the router.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Prefixes int32 `json:"prefixes,omitempty"`
	// peerASN is the autonomous system number that the router presented.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	PeerASN int64 `json:"peerASN,omitempty"`
	// peerRouterID is the BGP Identifier that the router presented.
	// +kubebuilder:validation:MaxLength=15
	// +optional
	PeerRouterID string `json:"peerRouterID,omitempty"`
	// localAddress is the address of the node in the session.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LocalAddress string `json:"localAddress,omitempty"`
	// holdTimeSeconds is the hold time that both sides agreed on; 0: the session never
	// times out. Unset: there is no agreement yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`
	// keepaliveTimeSeconds is the time between KEEPALIVE messages of the node; 0: it sends
	// none. Unset: there is no agreement yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	KeepaliveTimeSeconds *int32 `json:"keepaliveTimeSeconds,omitempty"`
	// capabilities that the router presented, in words. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=128
	// +optional
	Capabilities []string `json:"capabilities,omitempty"`
	// bfd is the state of the path to the router. Unset: it is not watched.
	// +optional
	BFD *SpeakerBFD `json:"bfd,omitempty"`
}

// SpeakerBGPProblem is what is wrong with a BGPPeer on a node.
type SpeakerBGPProblem struct {
	// reason is DuplicatePeer, PasswordMissing, SecretInvalid, UnknownInterface, PortClosed,
	// NoNextHop or AddressFamilyMissing; the BGPPeer has it as the reason of its condition Ready.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// message is a sentence about it: what is wrong, what follows, what to do.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// SpeakerBFD is a BFD session of the node with a router.
type SpeakerBFD struct {
	// state of the session: AdminDown, Down, Init or Up.
	State BFDState `json:"state"`
	// since when it has been in this state.
	Since metav1.Time `json:"since"`
	// diagnostic is why it went down last, in words.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Diagnostic string `json:"diagnostic,omitempty"`
	// transmitIntervalMilliseconds is how often the node sends.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TransmitIntervalMilliseconds int32 `json:"transmitIntervalMilliseconds,omitempty"`
	// receiveIntervalMilliseconds is how often the router sends.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ReceiveIntervalMilliseconds int32 `json:"receiveIntervalMilliseconds,omitempty"`
	// detectionTimeMilliseconds is how long nothing may arrive from the router until
	// the path is taken for lost.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DetectionTimeMilliseconds int32 `json:"detectionTimeMilliseconds,omitempty"`
	// flaps is how often the session has gone down since the speaker started.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Flaps int32 `json:"flaps,omitempty"`
}

// SpeakerState is the state of the speaker on one node; it has the node's name
// and goes with the node.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbspk,categories=lbstack
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.conditions[?(@.type=="Current")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Addresses",type=integer,JSONPath=`.status.addressCount`
// +kubebuilder:printcolumn:name="Live",type=integer,JSONPath=`.status.liveSpeakers`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Routes",type=integer,priority=1,JSONPath=`.status.routeCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SpeakerState struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status is what the speaker does.
	// +optional
	Status SpeakerStateStatus `json:"status,omitempty,omitzero"`
}

// SpeakerStateList is a list of SpeakerStates.
//
// +kubebuilder:object:root=true
type SpeakerStateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []SpeakerState `json:"items"`
}
