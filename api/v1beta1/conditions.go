package v1beta1

// Condition types of lbstack's own kinds.
const (
	// ConditionReady is True when the object is as its spec asks.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while the operator works
	// towards a spec (kstatus).
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when only a person can make
	// progress possible again (kstatus).
	ConditionStalled = "Stalled"
	// ConditionAvailable is True while Services are served, even if not
	// everything is as it should be.
	ConditionAvailable = "Available"
	// ConditionProgressing is True while an installation, a change or a repair
	// is under way.
	ConditionProgressing = "Progressing"
	// ConditionDegraded is True when something is wrong that does not mend
	// itself by waiting.
	ConditionDegraded = "Degraded"
	// ConditionConfigurationValid is False when fields of the spec are wrong, as far as the operator,
	// the API server or the conditions of the objects that are made from them say. Its message has
	// their paths, such as spec.patches[2].target, and Ready has what is wrong with them.
	ConditionConfigurationValid = "ConfigurationValid"
	// ConditionKeyRotation is present, and True, while the key of the mesh is being replaced:
	// until all speakers accept the new one and the former one is gone.
	ConditionKeyRotation = "KeyRotation"
)

// ServiceAddressAllocated is the condition that the controller sets on a
// Service of type LoadBalancer: does it have its address, and if not, why.
const ServiceAddressAllocated = "lbstack.io/AddressAllocated"

// ServiceAnnounced is the condition that the controller sets on a Service of
// type LoadBalancer with an address: which nodes announce it, or why none does.
const ServiceAnnounced = "lbstack.io/Announced"

// ServiceExternalIPConflict is the condition that the controller sets on a Service of any
// type whose spec.externalIPs has an address of a pool, and on the Service of type
// LoadBalancer that has the address. It is absent while there is no conflict.
const ServiceExternalIPConflict = "lbstack.io/ExternalIPConflict"

// Reasons of a LoadBalancerStack's conditions, in the order in which they are
// preferred for status.summary.
const (
	// ReasonReady: everything is as the spec asks.
	ReasonReady = "Ready"
	// ReasonNodesUnavailable: everything is as the spec asks on the nodes that are up;
	// others are down. Ready is True with it.
	ReasonNodesUnavailable = "NodesUnavailable"
	// ReasonPoolConflict: everything is as the spec asks, but some addresses of a pool of the
	// stack are in use outside of it: the pool has the condition Conflict. Ready is True with
	// it: the pool gives its other addresses.
	ReasonPoolConflict = "PoolConflict"
	// ReasonServicesOfOtherClass: everything is as the spec asks, and Services keep addresses
	// that are not of spec.loadBalancerClass. Ready is True with it.
	ReasonServicesOfOtherClass = "ServicesOfOtherClass"
	// ReasonUnsupportedKubernetes: the cluster runs a Kubernetes that is too old; the
	// operator changes nothing.
	ReasonUnsupportedKubernetes = "UnsupportedKubernetes"
	// ReasonCRDsOutdated: the CustomResourceDefinitions in the cluster lack fields that this version
	// of lbstack uses; the operator changes nothing.
	ReasonCRDsOutdated = "CRDsOutdated"
	// ReasonDowngradeRefused: a newer version of lbstack than that of the operator ran in the
	// cluster; the operator changes nothing.
	ReasonDowngradeRefused = "DowngradeRefused"
	// ReasonSpecInvalid: fields of the spec cannot be followed; the message names their paths.
	// Nothing is changed, what runs stays as it is. On ConfigurationValid: fields are wrong, and
	// the reason of Ready shows what follows.
	ReasonSpecInvalid = "SpecInvalid"
	// ReasonPaused: the annotation lbstack.io/pause is set; the operator observes and changes
	// nothing. Ready is Unknown with it.
	ReasonPaused = "Paused"
	// ReasonUnmanaged: spec.managementState is Unmanaged; the operator observes and changes
	// nothing. Ready is Unknown with it.
	ReasonUnmanaged = "Unmanaged"
	// ReasonRenderFailed: the manifests could not be made from the spec.
	ReasonRenderFailed = "RenderFailed"
	// ReasonReadFailed: the operator could not read what the cluster holds; it tries again.
	ReasonReadFailed = "ReadFailed"
	// ReasonApplyFailed: the API server did not take an object.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonObjectNotOurs: an object that the stack needs exists already and
	// belongs to somebody else; the operator does not touch it.
	ReasonObjectNotOurs = "ObjectNotOurs"
	// ReasonPoolNotReady: a pool of the stack is not given out.
	ReasonPoolNotReady = "PoolNotReady"
	// ReasonPeerNotReady: a BGPPeer or a BFDProfile of the stack is invalid, or lacks
	// something that it names.
	ReasonPeerNotReady = "PeerNotReady"
	// ReasonAdvertisementNotReady: an L2Advertisement, a BGPAdvertisement or a Community
	// of the stack is invalid, or lacks something that it names.
	ReasonAdvertisementNotReady = "AdvertisementNotReady"
	// ReasonComponentFailing: pods of a component fail, or cannot be made.
	ReasonComponentFailing = "ComponentFailing"
	// ReasonNoSpeakerNodes: no node can run a speaker: nodeSelector and affinity of spec.speaker select
	// none, or all that it selects have taints that speakers do not tolerate.
	ReasonNoSpeakerNodes = "NoSpeakerNodes"
	// ReasonSpeakersNotReady: speakers run that cannot do all of their work.
	ReasonSpeakersNotReady = "SpeakersNotReady"
	// ReasonServicesNotAnnounced: Services have addresses, and no address is announced.
	ReasonServicesNotAnnounced = "ServicesNotAnnounced"
	// ReasonAddressesWithoutPool: addresses are in use that came from pools which do not
	// exist any more.
	ReasonAddressesWithoutPool = "AddressesWithoutPool"
	// ReasonRolledBack: a change of the components failed on a node, and the last good revision
	// runs again. The change is not tried again by itself.
	ReasonRolledBack = "RolledBack"
	// ReasonHalted: a change of the components failed, and nothing is replaced any more.
	ReasonHalted = "Halted"
	// ReasonRollingBack: a change of the components failed, and they go back to the last good
	// revision; or that one is wanted again.
	ReasonRollingBack = "RollingBack"
	// ReasonRollingOut: a change of the components is on its way to the nodes.
	ReasonRollingOut = "RollingOut"
	// ReasonComponentsNotReady: a component waits for its pods.
	ReasonComponentsNotReady = "ComponentsNotReady"
	// ReasonEditReverted: an object that the operator made was edited, and put back (events
	// on that object only).
	ReasonEditReverted = "EditReverted"
	// ReasonTemplateChanged: the pod template of a workload changes, so that its pods are
	// replaced; the note names the fields (events on the stack only).
	ReasonTemplateChanged = "TemplateChanged"
	// ReasonKeyRotating: the key of the mesh is being replaced, and nothing is wrong
	// (condition KeyRotation).
	ReasonKeyRotating = "KeyRotating"
	// ReasonKeyNotAccepted: speakers have not accepted the new key of the mesh for 5 minutes;
	// the message names their nodes (condition KeyRotation).
	ReasonKeyNotAccepted = "KeyNotAccepted"
	// ReasonMeshKeyInvalid: the Secret with the keys of the mesh had entries that are no
	// keys; they were removed (events on the stack only).
	ReasonMeshKeyInvalid = "MeshKeyInvalid"
	// ReasonRemoving: the stack is being taken down.
	ReasonRemoving = "Removing"
	// ReasonRemoved: spec.managementState is Removed, and nothing is left that the operator
	// made. Ready is True with it, Available is False.
	ReasonRemoved = "Removed"
	// ReasonAsExpected: nothing is wrong, or nothing is under way.
	ReasonAsExpected = "AsExpected"
)

// Condition types of an IPAddressPool, besides Ready: True when something is
// wrong.
const (
	// ConditionExhausted: a family of the pool has no free address.
	ConditionExhausted = "Exhausted"
	// ConditionNearlyExhausted: of a family of the pool one address in ten or
	// fewer are free.
	ConditionNearlyExhausted = "NearlyExhausted"
	// ConditionConflict: addresses of the pool belong to something else, and are held
	// back.
	ConditionConflict = "Conflict"
	// ConditionAddressesOutsidePool: Services have addresses that the pool no
	// longer gives.
	ConditionAddressesOutsidePool = "AddressesOutsidePool"
)

// Reasons of an IPAddressPool's conditions.
const (
	// ReasonPoolReady: the pool's addresses are given out.
	ReasonPoolReady = "PoolReady"
	// ReasonDraining: the pool keeps what is given and gives nothing new, as its
	// state asks.
	ReasonDraining = "Draining"
	// ReasonInvalidAddresses: an item of spec.addresses or spec.excludeAddresses
	// is invalid.
	ReasonInvalidAddresses = "InvalidAddresses"
	// ReasonInvalidSelector: a selector of spec.serviceAllocation is invalid.
	ReasonInvalidSelector = "InvalidSelector"
	// ReasonNothingToGive: all addresses of the pool are excluded or belong to
	// something else.
	ReasonNothingToGive = "NothingToGive"

	// ReasonAddressesFree: there are free addresses.
	ReasonAddressesFree = "AddressesFree"
	// ReasonNoneFree: a family has no free address.
	ReasonNoneFree = "NoneFree"
	// ReasonFewFree: of a family one address in ten or fewer are free.
	ReasonFewFree = "FewFree"

	// ReasonNoConflict: no address of the pool is known to belong to something else.
	ReasonNoConflict = "NoConflict"
	// ReasonForeignHost: hosts that are no nodes of the cluster, or kernels of nodes, use
	// addresses of the pool or, on a claim, the address.
	ReasonForeignHost = "ForeignHost"
	// ReasonOverlap: addresses of the pool are also of an older pool, of a node or
	// of one of the cluster's networks, or cannot be a Service's at all.
	ReasonOverlap = "Overlap"
	// ReasonSubnetAddresses: the pool lists network, broadcast or subnet-router anycast
	// addresses of the nodes' subnets, which no host can have and the pool does not give.
	// That alone is no conflict.
	ReasonSubnetAddresses = "SubnetAddresses"

	// ReasonNoneOutside: all addresses that came from the pool are ones that it
	// gives.
	ReasonNoneOutside = "NoneOutside"
	// ReasonKept: Services have addresses that the pool no longer gives, and keep them.
	ReasonKept = "Kept"
)

// ConditionEstablished is a condition of a BGPPeer, besides Ready: True when all
// nodes that should have a session with the router have an established one, and none of
// them is flapping.
const ConditionEstablished = "Established"

// Reasons of a BGPPeer's conditions. DuplicatePeer to NoNextHop are also the reasons of the
// problems in status.bgpPeers of the SpeakerStates.
const (
	// ReasonPeerValid: the spec is valid, and all nodes can follow it.
	ReasonPeerValid = "PeerValid"
	// ReasonInvalidPeer: a spec field is invalid. No new session is opened; an existing one
	// keeps its last valid configuration. On a SpeakerState: a BGPPeer or an object that it
	// names is invalid or missing.
	ReasonInvalidPeer = "InvalidPeer"
	// ReasonUnknownBFDProfile: the BFDProfile that the peer names does not exist; a session
	// that has BFD keeps its profile, another one runs without or, with strictBFD, not at
	// all.
	ReasonUnknownBFDProfile = "UnknownBFDProfile"
	// ReasonNoNodes: the nodeSelectors of the peer or, on an advertisement, its own
	// select no node. On Established: no node should have a session.
	ReasonNoNodes = "NoNodes"
	// ReasonDuplicatePeer: on some nodes another BGPPeer is in effect for the same router,
	// and this one has no session there.
	ReasonDuplicatePeer = "DuplicatePeer"
	// ReasonPasswordMissing: the Secret that the peer names does not exist. An
	// established session stays, and none begins.
	ReasonPasswordMissing = "PasswordMissing"
	// ReasonSecretInvalid: the Secret that the peer names is of another type or has no
	// usable password. An established session stays, and none begins.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonPortClosed: the peer is passive, and nodes cannot listen on port 179.
	ReasonPortClosed = "PortClosed"
	// ReasonNoNextHop: nodes have no address of a family that the router could send packets
	// to. Routes of that family are not announced from there.
	ReasonNoNextHop = "NoNextHop"
	// ReasonAddressFamilyMissing: routers do not take routes of a family of the peer in the
	// session. Routes of that family are not announced.
	ReasonAddressFamilyMissing = "AddressFamilyMissing"

	// ReasonAllEstablished: all nodes that should have a session have an established one.
	ReasonAllEstablished = "AllEstablished"
	// ReasonNotEstablished: some nodes have an established session, and others have none.
	ReasonNotEstablished = "NotEstablished"
	// ReasonConnecting: no node has an established session, for at most a few seconds.
	ReasonConnecting = "Connecting"
	// ReasonNoSession: no node has an established session.
	ReasonNoSession = "NoSession"
	// ReasonNoSpeaker: none of the nodes that are selected has a speaker that reports.
	ReasonNoSpeaker = "NoSpeaker"
	// ReasonFlapping: sessions are established and end again and again. Also on a
	// SpeakerState.
	ReasonFlapping = "Flapping"
	// ReasonEstablished: all sessions with the router are up (events only).
	ReasonEstablished = "Established"
	// ReasonSessionLost: sessions with the router are no longer up (events only).
	ReasonSessionLost = "SessionLost"
)

// Reasons of the Ready condition of a BGPAdvertisement, besides UnknownPool, NoPool, NoNodes,
// InvalidSelector, InvalidAdvertisement and InvalidCommunity, and of an L2Advertisement,
// besides UnknownPool, NoPool, NoNodes and InvalidSelector.
const (
	// ReasonAdvertisementValid: the advertisement is in effect.
	ReasonAdvertisementValid = "AdvertisementValid"
	// ReasonUnknownInterface: no node that an L2Advertisement selects can announce on an
	// interface that it names; it is in effect for the others. On a BGPPeer: nodes have no
	// device of the name in spec.interface or spec.vrf, and no session.
	ReasonUnknownInterface = "UnknownInterface"
	// ReasonNoSubnet: an L2Advertisement requires a subnet, and no node that it selects has an
	// interface in a subnet of a pool. On a pool: an L2Advertisement announces it, no
	// BGPAdvertisement does, and no node has such an interface. The pool gives its addresses,
	// and Ready is True: a router may send their traffic to the nodes.
	ReasonNoSubnet = "NoSubnet"
	// ReasonUnknownPeer: a BGPPeer that it names does not exist; it is in effect for
	// the others.
	ReasonUnknownPeer = "UnknownPeer"
	// ReasonUnknownCommunity: a name in its communities is no alias and not well known;
	// what is announced by it stays as it was.
	ReasonUnknownCommunity = "UnknownCommunity"
	// ReasonAggregateTooWide: addresses of a pool would be announced as a prefix that
	// holds more than the pool lists. They are announced as single routes instead.
	ReasonAggregateTooWide = "AggregateTooWide"
	// ReasonLocalPrefConflict: another advertisement of the same routes has another
	// localPref.
	ReasonLocalPrefConflict = "LocalPrefConflict"
	// ReasonAttributeIgnored: the advertisement is in effect, and none of the peers gets an
	// attribute that is set: localPref is for routers of the own autonomous system,
	// asPathPrepend for those of others. Status True.
	ReasonAttributeIgnored = "AttributeIgnored"
)

// Reasons of a BFDProfile's Ready condition.
const (
	// ReasonProfileValid: the profile can be used.
	ReasonProfileValid = "ProfileValid"
	// ReasonInvalidProfile: a field of the spec is invalid.
	ReasonInvalidProfile = "InvalidProfile"
)

// Reasons of a Community's Ready condition.
const (
	// ReasonCommunityValid: all names can be used.
	ReasonCommunityValid = "CommunityValid"
	// ReasonDuplicateAlias: an older object defines one of the names; its value is in effect.
	ReasonDuplicateAlias = "DuplicateAlias"
	// ReasonInvalidCommunity: a value is no community. On a BGPAdvertisement: an item
	// of spec.communities is no community.
	ReasonInvalidCommunity = "InvalidCommunity"
)

// Reasons of the Ready condition of an IPAddressClaim that an administrator wrote, or
// whose address no pool gives.
const (
	// ReasonClaimReserves: the address is reserved, for nobody or for a Service that
	// does not use it yet.
	ReasonClaimReserves = "Reserves"
	// ReasonClaimInUse: the Services that are named have the address.
	ReasonClaimInUse = "InUse"
	// ReasonClaimOutsidePools: no pool gives the address: the claim reserves nothing, or
	// Services keep the address until they let it go.
	ReasonClaimOutsidePools = "OutsidePools"
	// ReasonClaimWrongPool: the address is of another pool than spec.pool says.
	ReasonClaimWrongPool = "WrongPool"
	// ReasonClaimHolderMissing: takeOver names Services that do not exist: those that have the
	// address keep it (events only).
	ReasonClaimHolderMissing = "HolderMissing"
	// ReasonClaimHolderRefused: a Service that is named cannot have the address
	// together with the others.
	ReasonClaimHolderRefused = "HolderRefused"
)

// ConditionCurrent is a condition of a SpeakerState that the controller sets: True while the
// speaker runs that reported the rest of the status, as far as the other speakers, the Node
// and the kubelet report. While it is False the rest of the status is from the last report.
const ConditionCurrent = "Current"

// Reasons of a SpeakerState's condition Current, besides Stopped.
const (
	// ReasonReporting: the speaker runs.
	ReasonReporting = "Reporting"
	// ReasonSpeakerEnded: no speaker runs on the node: its container does not, as the kubelet
	// reports, or the speaker was stopped and none has started within 30 s.
	ReasonSpeakerEnded = "SpeakerEnded"
	// ReasonSpeakerMissing: the other speakers that run miss the one of the node: at least two,
	// or one, and the kubelet of the node does not answer either, or reports that the speaker does
	// not. Where the node is not ready besides, others need not miss it.
	ReasonSpeakerMissing = "SpeakerMissing"
	// ReasonNodeNotReady: the node is not ready, and no other node that is ready has a speaker
	// which could report whether this one runs. It is also a reason of an UnavailableNode.
	ReasonNodeNotReady = "NodeNotReady"
)

// ConditionPartitioned is a condition of a SpeakerState that the controller sets: True while
// the speaker is in a minority, and a larger group of speakers runs with which it exchanges no
// messages. It gives up the addresses that may be announced by a speaker that it misses. While it is True, lastTransitionTime is the status.minoritySince that it is about.
const ConditionPartitioned = "Partitioned"

// Reasons of a SpeakerState's condition Partitioned.
const (
	// ReasonLargerGroup: a larger group of speakers runs.
	ReasonLargerGroup = "LargerGroup"
	// ReasonNotPartitioned: no larger group is known that runs.
	ReasonNotPartitioned = "NotPartitioned"
)

// Reasons of a SpeakerState's Ready condition.
const (
	// ReasonAnnouncing: the speaker announces what this node owns.
	ReasonAnnouncing = "Announcing"
	// ReasonStandby: the node of the speaker drains, has the label that excludes it from load
	// balancers, or has no network for pods. It takes no address, and announces what it has
	// until another node does. Status True: the speaker does what it should.
	ReasonStandby = "Standby"
	// ReasonNotSelected: no advertisement selects the node of the speaker, which has no
	// BGPPeer either. Status True: the speaker does what it should.
	ReasonNotSelected = "NotSelected"
	// ReasonAddressRefused: Services hold an address that the pool of its claim does not
	// list, or that is an address of a node or no unicast address. Speakers do not begin to
	// announce it.
	ReasonAddressRefused = "AddressRefused"
	// ReasonNoInterface: the node has no interface to announce on; of a Service: no node that
	// may announce an address of it has an interface for it.
	ReasonNoInterface = "NoInterface"
	// ReasonIsolated: the speaker receives from at most half of the speakers that should be
	// there, and from no host on the links of its addresses, or others receive nothing from it: it is silent.
	ReasonIsolated = "Isolated"
	// ReasonMinority: the speaker receives from at most half of the speakers that should be
	// there. It takes an address only when no host of its links answers for it, or one that is no
	// node does and the address was in use. The condition is
	// True while the API server calls the nodes NotReady of all that it receives nothing from.
	ReasonMinority = "Minority"
	// ReasonAddressConceded: a node whose speaker this one never received from, or a host that may be
	// such a node, answers for addresses that this node has or is to have; this one does not announce
	// them until no host answers for them.
	ReasonAddressConceded = "AddressConceded"
	// ReasonInterfaceFailed: an interface is there, and the speaker cannot announce on it.
	ReasonInterfaceFailed = "InterfaceFailed"
	// ReasonStopped: the speaker was shut down in the regular way, and no other has started on
	// the node since.
	ReasonStopped = "Stopped"
	// ReasonDatagramsLost: datagrams between two nodes are lost; their speakers receive through
	// others what each publishes.
	ReasonDatagramsLost = "DatagramsLost"
	// ReasonPeerNotAnnouncing: the speaker of another node runs again after a restart, and does not
	// announce addresses that it has; this one answers for them, with the hardware address of that node.
	ReasonPeerNotAnnouncing = "PeerNotAnnouncing"
	// ReasonForeignHosts: hosts that are no nodes, or kernels of nodes, use addresses that
	// this node owns.
	ReasonForeignHosts = "ForeignHosts"
	// ReasonCheckpointFailed: the speaker works, and cannot write its checkpoint on the
	// node: one that starts there while the API server is away announces nothing.
	ReasonCheckpointFailed = "CheckpointFailed"
	// ReasonInvalidAdvertisement: an L2Advertisement has an invalid selector; the
	// speaker ignores that advertisement.
	ReasonInvalidAdvertisement = "InvalidAdvertisement"
	// ReasonPeersDown: sessions with routers are not up.
	ReasonPeersDown = "PeersDown"
)

// Reasons of the Service condition lbstack.io/AddressAllocated. The same words
// are the reasons of the events on the Service.
const (
	// ReasonAllocated: the Service has its address.
	ReasonAllocated = "Allocated"
	// ReasonNoPool: there is no pool that a Service like this could use. On an
	// advertisement: its ipAddressPoolSelectors select none.
	ReasonNoPool = "NoPool"
	// ReasonPartlyAllocated: the Service prefers addresses of both families and has
	// one.
	ReasonPartlyAllocated = "PartlyAllocated"
	// ReasonStatusOverwritten: the Service has its addresses, and another writer overwrites
	// status.loadBalancer.
	ReasonStatusOverwritten = "StatusOverwritten"
	// ReasonClaimOverwritten: the Service has its addresses, and another writer deletes or
	// changes the IPAddressClaim of one each time that it is restored.
	ReasonClaimOverwritten = "ClaimOverwritten"
	// ReasonPoolExhausted: every pool that could serve the Service is full.
	ReasonPoolExhausted = "PoolExhausted"
	// ReasonUnknownPool: the Service names a pool that does not exist. On an
	// advertisement: it names one; it is in effect for the others.
	ReasonUnknownPool = "UnknownPool"
	// ReasonPoolUnusable: the pool that the Service names is not Ready.
	ReasonPoolUnusable = "PoolUnusable"
	// ReasonAddressNotInPool: the address that the Service asks for is in no
	// pool that it may use.
	ReasonAddressNotInPool = "AddressNotInPool"
	// ReasonAddressInUse: the address that the Service asks for is taken.
	ReasonAddressInUse = "AddressInUse"
	// ReasonInvalidRequest: what the Service asks for is invalid.
	ReasonInvalidRequest = "InvalidRequest"
	// ReasonPoolDraining: the pool that could serve the Service gives nothing new.
	ReasonPoolDraining = "PoolDraining"
	// ReasonPoolNotAllowed: the pools are for other Services.
	ReasonPoolNotAllowed = "PoolNotAllowed"
	// ReasonQuotaExceeded: the namespace has all the addresses that it can have.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonTooManyAddresses: the Service asks for more addresses of a family than a
	// pool gives one Service.
	ReasonTooManyAddresses = "TooManyAddresses"
	// ReasonSharingConflict: the Service cannot share the address that it asks for
	// with those that have it.
	ReasonSharingConflict = "SharingConflict"
	// ReasonHandOver: the address that the Service gets is still in the status of the Service
	// that had it.
	ReasonHandOver = "HandOver"
	// ReasonClaimRefused: the API server refuses the IPAddressClaim of the address, by an
	// admission policy, by the rights of the controller, or because it is invalid or too large.
	ReasonClaimRefused = "ClaimRefused"
	// ReasonAddressLost: an address was taken from the Service (events only).
	ReasonAddressLost = "AddressLost"
	// ReasonReleased: the Service no longer has its address, which is free (events only).
	ReasonReleased = "Released"
)

// Reasons of the Service condition lbstack.io/Announced. The same words are the
// reasons of the events on the Service.
const (
	// ReasonAnnounced: nodes announce all addresses of the Service.
	ReasonAnnounced = "Announced"
	// ReasonNoAdvertisement: no advertisement selects the Service's address.
	ReasonNoAdvertisement = "NoAdvertisement"
	// ReasonNoEndpoints: the Service has no endpoint that serves, so that its traffic
	// would go nowhere.
	ReasonNoEndpoints = "NoEndpoints"
	// ReasonNoNode: the advertisements leave no node that may announce, or none with
	// an endpoint where externalTrafficPolicy is Local.
	ReasonNoNode = "NoNode"
	// ReasonNotAnnounced: nodes may announce the address and none does (yet).
	ReasonNotAnnounced = "NotAnnounced"
	// ReasonAddressConflict: a host that is no node, or the kernel of a node, uses the address.
	ReasonAddressConflict = "AddressConflict"
)

// Reasons of the Service condition lbstack.io/ExternalIPConflict. The same words are the
// reasons of the events on the Service.
const (
	// ReasonAddressOfPool: spec.externalIPs of the Service has an address of a pool.
	ReasonAddressOfPool = "AddressOfPool"
	// ReasonAddressInExternalIPs: an address that the Service has from a pool is in
	// spec.externalIPs of another one.
	ReasonAddressInExternalIPs = "AddressInExternalIPs"
	// ReasonTooManyExternalIPs: spec.externalIPs has more items than are compared with the
	// pools, and none of those is an address of a pool; or none are compared, since all Services
	// list too many, and those of the namespace the most. The status is Unknown.
	ReasonTooManyExternalIPs = "TooManyExternalIPs"
)
