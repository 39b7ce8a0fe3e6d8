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

	// startedAt is when the process of the speaker started, in full seconds of the clock of its
	// node. If it is earlier than the start of the container, the former process wrote this
	// status.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// conditions: Ready is the last report of the speaker, and shows whether it announces what it
	// should. The controller writes the other conditions. Current reports whether that speaker still
	// runs. Partitioned reports whether the network separates the speaker from a larger group of
	// speakers.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// phase of the speaker. Active: it announces the addresses of its node. Draining: it hands its
	// addresses over. Isolated: it announces nothing, because it receives from at most half of the
	// speakers that should run and, in addition, receives from no host on the links of its addresses, or
	// at least half of the other speakers receive nothing from it. Stopped: it was shut down in the
	// regular way, and no new speaker has started on the node since.
	// +kubebuilder:validation:Enum=Active;Draining;Isolated;Stopped
	// +optional
	Phase SpeakerPhase `json:"phase,omitempty"`

	// interfaces on which the speaker announces.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Interfaces []SpeakerInterface `json:"interfaces,omitempty"`

	// meshKeys are the IDs of the keys that the speaker accepts in messages of other speakers,
	// the newest first. An ID is 8 hexadecimal digits of a hash of the key. At most 8.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=8
	// +optional
	MeshKeys []string `json:"meshKeys,omitempty"`

	// liveSpeakers is how many speakers are alive according to this speaker, including itself.
	// +kubebuilder:default=0
	LiveSpeakers int32 `json:"liveSpeakers"`

	// missingSpeakers are the nodes whose speakers should run, and from which this speaker
	// receives nothing, sorted. At most 256 are listed. If all other speakers list a node,
	// the SpeakerState of that node is from before its speaker died; see the condition
	// Current.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	MissingSpeakers []NodeName `json:"missingSpeakers,omitempty"`

	// coveredNodes are nodes whose speakers run again after a restart but did not announce the addresses
	// of their nodes on the network within 5 s. This speaker answers for these addresses, with the
	// hardware addresses of the nodes, so that traffic still reaches the nodes. Sorted; at most 64 are
	// listed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	CoveredNodes []CoveredNode `json:"coveredNodes,omitempty"`

	// minoritySince is since when the speaker has received from at most half of the speakers
	// that should run, in full seconds. Unset: it receives from more than half.
	// +optional
	MinoritySince *metav1.Time `json:"minoritySince,omitempty"`

	// addressCount is how many addresses this node owns, including addresses for which the list
	// addresses has no room.
	// +kubebuilder:default=0
	AddressCount int32 `json:"addressCount"`

	// addresses that this node owns on the local network, sorted. At most 5000 are listed.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=5000
	// +optional
	Addresses []SpeakerAddress `json:"addresses,omitempty"`

	// refusedAddresses is how many addresses of Services the speaker does not announce
	// because their pool does not list them, because they belong to a node, or because
	// they are no unicast addresses. The condition Ready names the first of these addresses.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RefusedAddresses int32 `json:"refusedAddresses,omitempty"`

	// conflicts are addresses that this node owns and that another host uses as well: a
	// host outside of the cluster, or a node whose kernel has the address. At most 256.
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
	// SpeakerActive: the speaker announces the addresses that its node owns.
	SpeakerActive SpeakerPhase = "Active"
	// SpeakerDraining: the speaker hands over the addresses of its node, and gets no new
	// addresses.
	SpeakerDraining SpeakerPhase = "Draining"
	// SpeakerIsolated: the speaker announces nothing. It receives from at most half of the speakers that
	// should run. In addition, it receives from no host on the links of its addresses, or at least half
	// of the other speakers receive nothing from it.
	SpeakerIsolated SpeakerPhase = "Isolated"
	// SpeakerStopped: the speaker was shut down in the regular way.
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
	// hardwareAddress is the MAC of the interface. Hosts on the network learn it for the
	// addresses that are announced on the interface.
	// +kubebuilder:validation:MaxLength=64
	HardwareAddress string `json:"hardwareAddress"`
	// families of the addresses that can be announced on the interface: IPv4 if it has an
	// IPv4 address, IPv6 if it has a link-local address.
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=IPv4;IPv6
	// +optional
	Families []string `json:"families,omitempty"`
	// mtu is the length of the longest packet that the interface sends, in bytes. Speakers before this field do not report it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MTU int32 `json:"mtu,omitempty"`
	// subnets of the interface's own addresses, as CIDRs in canonical form, sorted. At most 32
	// are listed.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=49
	// +optional
	Subnets []string `json:"subnets,omitempty"`
	// addresses of the interface itself, sorted, without link-local addresses and addresses
	// of dummy interfaces. Pools do not give them. At most 32 are listed.
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
	// interfaces on which the address is announced.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []InterfaceName `json:"interfaces,omitempty"`
	// since when the node has owned the address.
	Since metav1.Time `json:"since"`
	// epoch of the ownership. It grows with every change of the owner. If two nodes list the same
	// address, the node with the higher epoch owns it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
}

// CoveredNode is a node whose speaker runs but does not announce the addresses of the node.
type CoveredNode struct {
	// name of the node.
	Name NodeName `json:"name"`
	// addressCount is how many addresses this speaker answers for on behalf of the node.
	// +kubebuilder:validation:Minimum=1
	AddressCount int32 `json:"addressCount"`
	// address is the lowest of these addresses.
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address"`
	// since when the node should have announced these addresses: since its speaker runs again.
	Since metav1.Time `json:"since"`
}

// SpeakerConflict is an address of this node that another host uses as well.
type SpeakerConflict struct {
	// address that the node and the other host use.
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
	// announced means that this node announces the address nevertheless, because it announced
	// the address before the first message of the other host arrived. Otherwise the node does
	// not announce it.
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
	// BGPIdle: the node does not try to connect now.
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
	// BFDAdminDown: the session is switched off.
	BFDAdminDown BFDState = "AdminDown"
	// BFDDown: the node receives nothing from the router.
	BFDDown BFDState = "Down"
	// BFDInit: packets of the router arrive, but the router has not received packets of
	// the node yet.
	BFDInit BFDState = "Init"
	// BFDUp: packets arrive in both directions.
	BFDUp BFDState = "Up"
)

// SpeakerBGPPeer is a session of the node with a router.
type SpeakerBGPPeer struct {
	// name of the BGPPeer.
	Name ObjectName `json:"name"`
	// address of the router. Unset while the router has not been found on spec.interface of
	// the BGPPeer.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Address string `json:"address,omitempty"`
	// state of the session: Idle, Connect, Active, OpenSent, OpenConfirm, or Established. Only
	// an established session carries routes.
	State BGPState `json:"state"`
	// since when the session has been established or, if it is not, since when it has not been
	// established.
	Since metav1.Time `json:"since"`
	// lastError is why the session last ended, or why it does not begin.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	LastError string `json:"lastError,omitempty"`
	// retrySeconds is the longest time to the next attempt to connect; the node chooses a
	// random time that is up to a quarter shorter. It grows while attempts fail (see
	// connectRetrySeconds of the BGPPeer). Unset: no attempt has failed since the session
	// was last stable, or the router is to connect.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RetrySeconds int32 `json:"retrySeconds,omitempty"`
	// problem is a cause in the cluster or on the node. Because of it the node has no session with the
	// router, or sends fewer routes than it should. Unset: there is no such cause.
	// +optional
	Problem *SpeakerBGPProblem `json:"problem,omitempty"`
	// flaps is how often an established session has ended since the session last stayed
	// established for 10 minutes. Ends because of a change of the BGPPeer do not count.
	// With 3 or more the session is flapping.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Flaps int32 `json:"flaps,omitempty"`
	// families of the routes that go over the session: both sides agreed on the family,
	// and the node has a next hop for it. Unset: the session is not established, or
	// carries no routes.
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=IPv4;IPv6
	// +optional
	Families []string `json:"families,omitempty"`
	// prefixes is how many prefixes the node announces to the router.
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
	// holdTimeSeconds is the hold time that both sides agreed on; 0: the session never times
	// out. Unset: the sides have not agreed yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`
	// keepaliveTimeSeconds is the time between KEEPALIVE messages of the node; 0: it sends
	// none. Unset: the sides have not agreed yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	KeepaliveTimeSeconds *int32 `json:"keepaliveTimeSeconds,omitempty"`
	// capabilities that the router presented, by name. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=128
	// +optional
	Capabilities []string `json:"capabilities,omitempty"`
	// bfd is the state of the BFD session with the router. Unset: the path to the router is
	// not watched.
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
	// message describes the problem: what is wrong, the consequence, and what to do.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// SpeakerBFD is a BFD session of the node with a router.
type SpeakerBFD struct {
	// state of the session: AdminDown, Down, Init or Up.
	State BFDState `json:"state"`
	// since when the BFD session has been in this state.
	Since metav1.Time `json:"since"`
	// diagnostic is why the BFD session last went down.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Diagnostic string `json:"diagnostic,omitempty"`
	// transmitIntervalMilliseconds is the time between packets of the node.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TransmitIntervalMilliseconds int32 `json:"transmitIntervalMilliseconds,omitempty"`
	// receiveIntervalMilliseconds is the time between packets of the router.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ReceiveIntervalMilliseconds int32 `json:"receiveIntervalMilliseconds,omitempty"`
	// detectionTimeMilliseconds is the time without packets of the router after which the path
	// counts as lost.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DetectionTimeMilliseconds int32 `json:"detectionTimeMilliseconds,omitempty"`
	// flaps is how often the session has gone down since the speaker started.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Flaps int32 `json:"flaps,omitempty"`
}

// SpeakerState is the state of the speaker on one node. It has the name of the node and is
// deleted with the Node.
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
