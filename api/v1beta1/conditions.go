package v1beta1

// Condition types of lbstack's own kinds.
const (
	// ConditionReady is True when the spec of the object is in effect.
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
	// ConditionDegraded is True when something is wrong that waiting alone does not correct.
	ConditionDegraded = "Degraded"
	// ConditionConfigurationValid is False when fields of the spec are invalid: the operator or the API
	// server refuses them, or a condition of an object that is made from them reports the error. The
	// message lists the paths of the fields, such as spec.patches[2].target. The message of Ready
	// describes the errors.
	ConditionConfigurationValid = "ConfigurationValid"
	// ConditionKeyRotation is present, and True, while the key of the mesh is being replaced:
	// until all speakers accept the new key and the former key is removed.
	ConditionKeyRotation = "KeyRotation"
)

// ServiceAddressAllocated is the condition that the controller sets on a Service of type
// LoadBalancer: it reports whether the Service has its addresses, and if not, why.
const ServiceAddressAllocated = "lbstack.io/AddressAllocated"

// ServiceAnnounced is the condition that the controller sets on a Service of type
// LoadBalancer that has an address: it reports which nodes announce the address, or why no
// node does.
const ServiceAnnounced = "lbstack.io/Announced"

// ServiceExternalIPConflict is the condition that the controller sets on a Service of any
// type whose spec.externalIPs has an address of a pool, and on the Service of type
// LoadBalancer that has the address. It is absent while there is no conflict.
const ServiceExternalIPConflict = "lbstack.io/ExternalIPConflict"

// Reasons of a LoadBalancerStack's conditions. status.summary is the reason of Ready.
const (
	// ReasonReady: the whole spec is in effect.
	ReasonReady = "Ready"
	// ReasonNodesUnavailable: the whole spec is in effect on the nodes that are up, but some
	// nodes are down. Ready is True.
	ReasonNodesUnavailable = "NodesUnavailable"
	// ReasonPoolConflict: the whole spec is in effect, but some addresses of a pool of the
	// stack are used outside of lbstack: the pool has the condition Conflict. Ready is True,
	// since the pool gives its other addresses.
	ReasonPoolConflict = "PoolConflict"
	// ReasonServicesOfOtherClass: the whole spec is in effect, and Services whose class is
	// not spec.loadBalancerClass still have addresses. Ready is True.
	ReasonServicesOfOtherClass = "ServicesOfOtherClass"
	// ReasonUnsupportedKubernetes: the cluster runs a Kubernetes that is too old; the
	// operator changes nothing.
	ReasonUnsupportedKubernetes = "UnsupportedKubernetes"
	// ReasonCRDsOutdated: the CustomResourceDefinitions in the cluster lack fields that this version
	// of lbstack uses; the operator changes nothing.
	ReasonCRDsOutdated = "CRDsOutdated"
	// ReasonDowngradeRefused: a version of lbstack that is newer than the operator ran in the
	// cluster; the operator changes nothing.
	ReasonDowngradeRefused = "DowngradeRefused"
	// ReasonSpecInvalid: fields of the spec are invalid; the message names their paths. The
	// operator changes nothing, and the components run as before. On ConfigurationValid: fields
	// are invalid; the reason of Ready shows the consequence.
	ReasonSpecInvalid = "SpecInvalid"
	// ReasonPaused: the annotation lbstack.io/pause is set; the operator observes and changes
	// nothing. Ready is Unknown.
	ReasonPaused = "Paused"
	// ReasonUnmanaged: spec.managementState is Unmanaged; the operator observes and changes
	// nothing. Ready is Unknown.
	ReasonUnmanaged = "Unmanaged"
	// ReasonRenderFailed: the manifests could not be made from the spec.
	ReasonRenderFailed = "RenderFailed"
	// ReasonReadFailed: the operator could not read objects of the cluster; it tries again. If the
	// API server refuses it, Stalled is present.
	ReasonReadFailed = "ReadFailed"
	// ReasonApplyFailed: the API server did not accept an object, a deletion or the status.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonReportFailed: all objects were applied, and the operator could not read the events that
	// explain why a component waits, or write the OperatorCondition for OLM.
	ReasonReportFailed = "ReportFailed"
	// ReasonObjectNotOurs: an object that the stack needs exists already and
	// belongs to somebody else; the operator does not touch it.
	ReasonObjectNotOurs = "ObjectNotOurs"
	// ReasonPoolNotReady: a pool of the stack gives no addresses.
	ReasonPoolNotReady = "PoolNotReady"
	// ReasonPeerNotReady: a BGPPeer or a BFDProfile of the stack is invalid, or something
	// that it names is missing.
	ReasonPeerNotReady = "PeerNotReady"
	// ReasonAdvertisementNotReady: an L2Advertisement, a BGPAdvertisement or a Community
	// of the stack is invalid, or something that it names is missing.
	ReasonAdvertisementNotReady = "AdvertisementNotReady"
	// ReasonComponentFailing: pods of a component fail, or cannot be made.
	ReasonComponentFailing = "ComponentFailing"
	// ReasonNoSpeakerNodes: no node can run a speaker: nodeSelector and affinity of spec.speaker select
	// no node, or all selected nodes have taints that speakers do not tolerate.
	ReasonNoSpeakerNodes = "NoSpeakerNodes"
	// ReasonSpeakersNotReady: some speakers run and cannot do all of their work.
	ReasonSpeakersNotReady = "SpeakersNotReady"
	// ReasonServicesNotAnnounced: Services have addresses, but no node announces any of these
	// addresses.
	ReasonServicesNotAnnounced = "ServicesNotAnnounced"
	// ReasonAddressesWithoutPool: Services use addresses of pools that do not exist any
	// more.
	ReasonAddressesWithoutPool = "AddressesWithoutPool"
	// ReasonRolledBack: a change of the components failed on a node, and the last good revision
	// runs again. The operator does not retry the change by itself.
	ReasonRolledBack = "RolledBack"
	// ReasonHalted: a change of the components failed, and nothing is replaced any more.
	ReasonHalted = "Halted"
	// ReasonRollingBack: the components return to the last good revision, because a change
	// failed or because the spec asks for that revision again.
	ReasonRollingBack = "RollingBack"
	// ReasonRollingOut: a change of the components is on its way to the nodes.
	ReasonRollingOut = "RollingOut"
	// ReasonComponentsNotReady: a component waits for its pods.
	ReasonComponentsNotReady = "ComponentsNotReady"
	// ReasonEditReverted: somebody edited an object that the operator made, and the
	// operator restored it (events on that object only).
	ReasonEditReverted = "EditReverted"
	// ReasonDeletionReverted: somebody deleted an object that the operator made, and the operator
	// made it again (events on that object only).
	ReasonDeletionReverted = "DeletionReverted"
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
	// ReasonRemoved: spec.managementState is Removed, and nothing that the operator made is
	// left. Ready is True, Available is False.
	ReasonRemoved = "Removed"
	// ReasonAsExpected: nothing is wrong, or nothing is under way.
	ReasonAsExpected = "AsExpected"
)

// Condition types of an IPAddressPool, besides Ready: True when something is
// wrong.
const (
	// ConditionExhausted: a family of the pool has no free address.
	ConditionExhausted = "Exhausted"
	// ConditionNearlyExhausted: at most one in ten addresses of a family of the pool is free.
	ConditionNearlyExhausted = "NearlyExhausted"
	// ConditionConflict: addresses of the pool belong to something else, and the pool does
	// not give them.
	ConditionConflict = "Conflict"
	// ConditionAddressesOutsidePool: Services have addresses that the pool no
	// longer gives.
	ConditionAddressesOutsidePool = "AddressesOutsidePool"
)

// Reasons of an IPAddressPool's conditions.
const (
	// ReasonPoolReady: the pool gives addresses.
	ReasonPoolReady = "PoolReady"
	// ReasonDraining: spec.state of the pool is Draining. Services keep their addresses, and
	// the pool gives no new addresses.
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
	// ReasonFewFree: at most one in ten addresses of a family is free.
	ReasonFewFree = "FewFree"

	// ReasonNoConflict: no address of the pool is known to belong to something else.
	ReasonNoConflict = "NoConflict"
	// ReasonForeignHost: hosts outside of the cluster, or kernels of nodes, use addresses of the pool. On
	// a claim: such a host uses the address.
	ReasonForeignHost = "ForeignHost"
	// ReasonOverlap: addresses of the pool belong to an older pool, to a node or to a network
	// of the cluster, or no Service can have them (loopback, multicast and the like).
	ReasonOverlap = "Overlap"
	// ReasonSubnetAddresses: the pool lists network, broadcast or subnet-router anycast
	// addresses of the nodes' subnets, which no host can have and the pool does not give.
	// That alone is no conflict.
	ReasonSubnetAddresses = "SubnetAddresses"

	// ReasonNoneOutside: the pool still gives all addresses that Services have from it.
	ReasonNoneOutside = "NoneOutside"
	// ReasonKept: Services keep addresses that the pool no longer gives.
	ReasonKept = "Kept"
)

// ConditionEstablished is a condition of a BGPPeer, besides Ready. It is True when the session with
// the router is established on all nodes that should have one, and no session is flapping.
const ConditionEstablished = "Established"

// Reasons of a BGPPeer's conditions. DuplicatePeer, PasswordMissing, SecretInvalid, PortClosed and
// NoNextHop are also the reasons of the problems in status.bgpPeers of the SpeakerStates.
const (
	// ReasonPeerValid: the spec is valid, and all selected nodes can use it.
	ReasonPeerValid = "PeerValid"
	// ReasonInvalidPeer: a spec field is invalid. No new session is opened; an existing session
	// keeps its last valid configuration. On a SpeakerState: a BGPPeer, or an object that a BGPPeer
	// names, is invalid or missing.
	ReasonInvalidPeer = "InvalidPeer"
	// ReasonUnknownBFDProfile: the BFDProfile that the peer names does not exist. A session
	// that uses BFD already keeps its last profile. A new session runs without BFD or, with
	// strictBFD, does not begin.
	ReasonUnknownBFDProfile = "UnknownBFDProfile"
	// ReasonNoNodes: the nodeSelectors of the peer or of the advertisement select no node. On
	// Established: no node is to have a session.
	ReasonNoNodes = "NoNodes"
	// ReasonDuplicatePeer: on some nodes another BGPPeer is in effect for the same router,
	// and this BGPPeer has no session there.
	ReasonDuplicatePeer = "DuplicatePeer"
	// ReasonPasswordMissing: the Secret that the peer names does not exist. An established
	// session stays, and no new session begins.
	ReasonPasswordMissing = "PasswordMissing"
	// ReasonSecretInvalid: the Secret that the peer names is of another type or has no usable
	// password. An established session stays, and no new session begins.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonPortClosed: the peer is passive, and nodes cannot listen on port 179.
	ReasonPortClosed = "PortClosed"
	// ReasonNoNextHop: nodes have no address of a family to which the router could send packets.
	// These nodes do not announce routes of that family.
	ReasonNoNextHop = "NoNextHop"
	// ReasonAddressFamilyMissing: the router did not agree to exchange routes of a family
	// that the BGPPeer requires. Routes of that family are not announced.
	ReasonAddressFamilyMissing = "AddressFamilyMissing"

	// ReasonAllEstablished: the session is established on all nodes that should have one.
	ReasonAllEstablished = "AllEstablished"
	// ReasonNotEstablished: the session is established on some nodes, but not on all.
	ReasonNotEstablished = "NotEstablished"
	// ReasonConnecting: no node has an established session, but only for a few seconds so far.
	ReasonConnecting = "Connecting"
	// ReasonNoSession: no node has an established session.
	ReasonNoSession = "NoSession"
	// ReasonNoSpeaker: no selected node has a speaker that reports.
	ReasonNoSpeaker = "NoSpeaker"
	// ReasonFlapping: sessions are established and end again and again. Also on a
	// SpeakerState.
	ReasonFlapping = "Flapping"
	// ReasonEstablished: all sessions with the router are up (events only).
	ReasonEstablished = "Established"
	// ReasonSessionLost: sessions with the router are no longer up (events only).
	ReasonSessionLost = "SessionLost"
)

// Reasons of the Ready condition of a BGPAdvertisement and of an L2Advertisement. Both can also have
// UnknownPool, NoPool, NoNodes and InvalidSelector; a BGPAdvertisement can also have
// InvalidAdvertisement and InvalidCommunity.
const (
	// ReasonAdvertisementValid: the advertisement is in effect.
	ReasonAdvertisementValid = "AdvertisementValid"
	// ReasonUnknownInterface: the L2Advertisement names an interface on which none of its nodes can
	// announce. The L2Advertisement is in effect for the other interfaces. On a BGPPeer: nodes
	// lack the device in spec.interface or spec.vrf, and have no session.
	ReasonUnknownInterface = "UnknownInterface"
	// ReasonNoSubnet: the L2Advertisement has requireSubnet, and none of its nodes has an interface in
	// the subnet of an address of a pool. On a pool: only L2Advertisements announce its addresses, and
	// no node has an interface in their subnet. The pool still gives its addresses, and Ready is True,
	// since a router may send the traffic of these addresses to the nodes.
	ReasonNoSubnet = "NoSubnet"
	// ReasonUnknownPeer: a BGPPeer that the advertisement names does not exist; the
	// advertisement is in effect for the other peers.
	ReasonUnknownPeer = "UnknownPeer"
	// ReasonUnknownCommunity: a name in the communities of the advertisement is neither an alias nor a
	// well-known name. The last valid configuration of the advertisement stays in effect.
	ReasonUnknownCommunity = "UnknownCommunity"
	// ReasonAggregateTooWide: the prefix in which addresses of a pool would be announced
	// contains addresses that the pool does not list. These addresses are announced as
	// single routes instead.
	ReasonAggregateTooWide = "AggregateTooWide"
	// ReasonLocalPrefConflict: another advertisement of the same routes has another
	// localPref.
	ReasonLocalPrefConflict = "LocalPrefConflict"
	// ReasonAttributeIgnored: the advertisement is in effect, but none of its peers receives an
	// attribute that it sets. localPref is sent only to routers of our own autonomous system.
	// asPathPrepend takes effect only for routers of other autonomous systems. Ready is True.
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
	// ReasonDuplicateAlias: an older object defines one of the names too. The value in the older object
	// is in effect.
	ReasonDuplicateAlias = "DuplicateAlias"
	// ReasonInvalidCommunity: a value is no community. On a BGPAdvertisement: an item
	// of spec.communities is no community.
	ReasonInvalidCommunity = "InvalidCommunity"
)

// Reasons of the Ready condition of an IPAddressClaim that an administrator wrote, or
// whose address no pool gives.
const (
	// ReasonClaimReserves: the claim reserves the address, for no Service or for a Service that
	// does not use the address yet.
	ReasonClaimReserves = "Reserves"
	// ReasonClaimInUse: the holders of the claim have the address.
	ReasonClaimInUse = "InUse"
	// ReasonClaimOutsidePools: no pool gives the address. The claim reserves nothing, or
	// its holders keep the address until they release it.
	ReasonClaimOutsidePools = "OutsidePools"
	// ReasonClaimWrongPool: the address does not belong to the pool in spec.pool, but to another pool.
	ReasonClaimWrongPool = "WrongPool"
	// ReasonClaimHolderMissing: a claim with takeOver names Services that do not exist. The
	// Services that have the address keep it (events only).
	ReasonClaimHolderMissing = "HolderMissing"
	// ReasonClaimHolderRefused: a holder of the claim cannot share the address with the other
	// holders.
	ReasonClaimHolderRefused = "HolderRefused"
)

// ConditionCurrent is a condition of a SpeakerState that the controller sets. It is True while the
// speaker that reported the rest of the status runs. The controller concludes this from the
// other speakers, the Node and the kubelet. While the condition is False, the rest of the status is
// the last report of a speaker that does not run.
const ConditionCurrent = "Current"

// Reasons of a SpeakerState's condition Current, besides Stopped.
const (
	// ReasonReporting: the speaker runs.
	ReasonReporting = "Reporting"
	// ReasonSpeakerEnded: no speaker runs on the node: the kubelet reports that its container
	// has ended, or the speaker was stopped and none has started within 30 s.
	ReasonSpeakerEnded = "SpeakerEnded"
	// ReasonSpeakerMissing: the other running speakers receive nothing from the speaker of the
	// node. At least two speakers must report that. One report is enough if the kubelet of the node
	// does not answer either. If the node is not ready and its kubelet does not answer, one report is
	// enough, even if other speakers report nothing.
	ReasonSpeakerMissing = "SpeakerMissing"
	// ReasonNodeNotReady: the node is not ready, and no ready node has a speaker that could
	// report whether the speaker of this node runs. It is also a reason of an UnavailableNode.
	ReasonNodeNotReady = "NodeNotReady"
)

// ConditionPartitioned is a condition of a SpeakerState that the controller sets. It is True while the
// speaker is in a minority and exchanges no messages with a larger group of running speakers. The
// speaker then gives up the addresses that a speaker of that group may announce. While the condition is
// True, its lastTransitionTime equals status.minoritySince.
const ConditionPartitioned = "Partitioned"

// Reasons of a SpeakerState's condition Partitioned.
const (
	// ReasonLargerGroup: a larger group of speakers runs.
	ReasonLargerGroup = "LargerGroup"
	// ReasonNotPartitioned: no larger group is known to run.
	ReasonNotPartitioned = "NotPartitioned"
)

// Reasons of a SpeakerState's Ready condition.
const (
	// ReasonAnnouncing: the speaker announces the addresses that this node owns.
	ReasonAnnouncing = "Announcing"
	// ReasonStandby: the node of the speaker drains, has the label that excludes it from load
	// balancers, or has no network for pods. It takes no new address, and announces each of
	// its addresses until another node does. Status True: the speaker does what it should.
	ReasonStandby = "Standby"
	// ReasonNotSelected: no advertisement and no BGPPeer selects the node of the
	// speaker. Status True: the speaker does what it should.
	ReasonNotSelected = "NotSelected"
	// ReasonAddressRefused: a Service has an address that the pool of its claim does not
	// list, that belongs to a node, or that is no unicast address. Speakers do not begin to
	// announce such an address.
	ReasonAddressRefused = "AddressRefused"
	// ReasonNoInterface: the node has no interface to announce on. On a Service: no node that may
	// announce an address of the Service has an interface for that address.
	ReasonNoInterface = "NoInterface"
	// ReasonIsolated: the speaker announces nothing. It receives from at most half of the speakers that
	// should run. In addition, it receives from no host on the links of its addresses, or at least half
	// of the other speakers receive nothing from it.
	ReasonIsolated = "Isolated"
	// ReasonMinority: the speaker receives from at most half of the speakers that should run. It takes
	// an address only if no host on its links answers for the address, or if the address was in use and
	// the host that answers is no node. The condition is True while all nodes from which the speaker
	// receives nothing are NotReady in the API server.
	ReasonMinority = "Minority"
	// ReasonAddressConceded: another host answers for addresses that this node owns or is to own. The
	// host is, or may be, a node of the cluster from which this speaker has never received a message. The
	// speaker does not announce the addresses until no host answers for them.
	ReasonAddressConceded = "AddressConceded"
	// ReasonInterfaceFailed: an interface exists, but the speaker cannot announce on it.
	ReasonInterfaceFailed = "InterfaceFailed"
	// ReasonStopped: the speaker was shut down in the regular way, and no new speaker has
	// started on the node since.
	ReasonStopped = "Stopped"
	// ReasonDatagramsLost: datagrams between two nodes are lost; their speakers receive each
	// other's messages through other nodes.
	ReasonDatagramsLost = "DatagramsLost"
	// ReasonPeerNotAnnouncing: the speaker of another node runs again after a restart, but does not
	// announce the addresses of its node. This speaker answers for them, with the hardware address of
	// that node.
	ReasonPeerNotAnnouncing = "PeerNotAnnouncing"
	// ReasonForeignHosts: hosts outside of the cluster, or kernels of nodes, use addresses
	// that this node owns.
	ReasonForeignHosts = "ForeignHosts"
	// ReasonCheckpointFailed: the speaker works, but cannot write its checkpoint on the
	// node: a speaker that starts there while the API server is unreachable will
	// announce nothing.
	ReasonCheckpointFailed = "CheckpointFailed"
	// ReasonInvalidAdvertisement: an L2Advertisement has an invalid selector; the
	// speaker ignores that advertisement.
	ReasonInvalidAdvertisement = "InvalidAdvertisement"
	// ReasonPeersDown: some sessions with routers are not established.
	ReasonPeersDown = "PeersDown"
)

// Reasons of the Service condition lbstack.io/AddressAllocated. The same words
// are the reasons of the events on the Service.
const (
	// ReasonAllocated: the Service has its addresses.
	ReasonAllocated = "Allocated"
	// ReasonNoPool: there is no pool that the Service could use. On an advertisement: its
	// ipAddressPoolSelectors select no pool.
	ReasonNoPool = "NoPool"
	// ReasonPartlyAllocated: the Service prefers addresses of both families, but has addresses
	// of only one family.
	ReasonPartlyAllocated = "PartlyAllocated"
	// ReasonStatusOverwritten: the Service has its addresses, but another writer overwrites
	// status.loadBalancer.
	ReasonStatusOverwritten = "StatusOverwritten"
	// ReasonClaimOverwritten: the Service has its addresses, but another writer keeps deleting or
	// changing the IPAddressClaim of an address.
	ReasonClaimOverwritten = "ClaimOverwritten"
	// ReasonPoolExhausted: every pool that could serve the Service is full.
	ReasonPoolExhausted = "PoolExhausted"
	// ReasonUnknownPool: the Service names a pool that does not exist. On an advertisement: the
	// advertisement names such a pool, and is in effect for its other pools.
	ReasonUnknownPool = "UnknownPool"
	// ReasonPoolUnusable: the pool that the Service names is not Ready.
	ReasonPoolUnusable = "PoolUnusable"
	// ReasonAddressNotInPool: no pool that the Service may use has the address that it asks
	// for.
	ReasonAddressNotInPool = "AddressNotInPool"
	// ReasonAddressInUse: the address that the Service asks for is in use or reserved.
	ReasonAddressInUse = "AddressInUse"
	// ReasonInvalidRequest: the request of the Service is invalid.
	ReasonInvalidRequest = "InvalidRequest"
	// ReasonPoolDraining: the pool that could serve the Service gives no new addresses.
	ReasonPoolDraining = "PoolDraining"
	// ReasonPoolNotAllowed: spec.serviceAllocation of the pools does not allow the Service.
	ReasonPoolNotAllowed = "PoolNotAllowed"
	// ReasonQuotaExceeded: the namespace has as many addresses as the quota of the pool
	// allows.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonTooManyAddresses: the Service asks for more addresses of a family than the pool
	// gives to one Service.
	ReasonTooManyAddresses = "TooManyAddresses"
	// ReasonSharingConflict: the Service cannot share the address that it asks for with the
	// Services that have it.
	ReasonSharingConflict = "SharingConflict"
	// ReasonHandOver: the address that the Service is to get is still in the status of the
	// Service that had it before.
	ReasonHandOver = "HandOver"
	// ReasonClaimRefused: the API server refuses the IPAddressClaim of the address: because of
	// an admission policy, because the controller lacks the right, or because the claim is
	// invalid or too large.
	ReasonClaimRefused = "ClaimRefused"
	// ReasonAddressLost: an address was taken from the Service (events only).
	ReasonAddressLost = "AddressLost"
	// ReasonReleased: the Service no longer has the address, and the address is free
	// (events only).
	ReasonReleased = "Released"
)

// Reasons of the Service condition lbstack.io/Announced. The same words are the
// reasons of the events on the Service.
const (
	// ReasonAnnounced: nodes announce all addresses of the Service.
	ReasonAnnounced = "Announced"
	// ReasonNoAdvertisement: no advertisement selects the address of the Service.
	ReasonNoAdvertisement = "NoAdvertisement"
	// ReasonNoEndpoints: the Service has no serving endpoint that could receive its traffic.
	ReasonNoEndpoints = "NoEndpoints"
	// ReasonNoNode: no node may announce the address: the advertisements select no node that may
	// announce or, with externalTrafficPolicy: Local, no such node with an endpoint.
	ReasonNoNode = "NoNode"
	// ReasonNotAnnounced: nodes may announce the address, but no node does so yet.
	ReasonNotAnnounced = "NotAnnounced"
	// ReasonAddressConflict: a host outside of the cluster, or the kernel of a node, uses the
	// address.
	ReasonAddressConflict = "AddressConflict"
)

// Reasons of the Service condition lbstack.io/ExternalIPConflict. The same words are the
// reasons of the events on the Service.
const (
	// ReasonAddressOfPool: spec.externalIPs of the Service has an address of a pool.
	ReasonAddressOfPool = "AddressOfPool"
	// ReasonAddressInExternalIPs: an address that the Service has from a pool is in
	// spec.externalIPs of another Service.
	ReasonAddressInExternalIPs = "AddressInExternalIPs"
	// ReasonTooManyExternalIPs: spec.externalIPs has more items than the controller compares
	// with the pools, and none of the compared items is an address of a pool. The controller compares no
	// item at all if all Services together list too many items, and the Services of this namespace list
	// the most. The status is Unknown.
	ReasonTooManyExternalIPs = "TooManyExternalIPs"
)
