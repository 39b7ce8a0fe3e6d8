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
)

// ServiceAddressAllocated is the condition that the controller sets on a
// Service of type LoadBalancer: does it have its address, and if not, why.
const ServiceAddressAllocated = "lbstack.io/AddressAllocated"

// Reasons of a LoadBalancerStack's conditions, in the order in which they are
// preferred for status.summary.
const (
	// ReasonReady: everything is as the spec asks.
	ReasonReady = "Ready"
	// ReasonRenderFailed: the manifests could not be made from the spec.
	ReasonRenderFailed = "RenderFailed"
	// ReasonApplyFailed: the API server did not take an object.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonObjectNotOurs: an object that the stack needs exists already and
	// belongs to somebody else; the operator does not touch it.
	ReasonObjectNotOurs = "ObjectNotOurs"
	// ReasonPoolNotReady: a pool of the stack is not given out.
	ReasonPoolNotReady = "PoolNotReady"
	// ReasonComponentFailing: pods of a component fail.
	ReasonComponentFailing = "ComponentFailing"
	// ReasonComponentsNotReady: a component waits for its pods.
	ReasonComponentsNotReady = "ComponentsNotReady"
	// ReasonRemoving: the stack is being taken down.
	ReasonRemoving = "Removing"
	// ReasonAsExpected: nothing is wrong, or nothing is under way.
	ReasonAsExpected = "AsExpected"
)

// Reasons of an IPAddressPool's Ready condition.
const (
	// ReasonPoolReady: the pool's addresses are given out.
	ReasonPoolReady = "PoolReady"
	// ReasonInvalidAddresses: an item of spec.addresses means nothing.
	ReasonInvalidAddresses = "InvalidAddresses"
	// ReasonOverlap: addresses of the pool are also in an older pool, which
	// keeps them; this pool gives nothing until that is mended.
	ReasonOverlap = "Overlap"
)

// Reasons of a SpeakerState's Ready condition.
const (
	// ReasonAnnouncing: the speaker announces what this node owns.
	ReasonAnnouncing = "Announcing"
	// ReasonNoInterface: the node has no interface to announce on.
	ReasonNoInterface = "NoInterface"
	// ReasonInvalidAdvertisement: an L2Advertisement has a selector that means
	// nothing; the speaker goes on without that advertisement.
	ReasonInvalidAdvertisement = "InvalidAdvertisement"
)

// Reasons of the Service condition lbstack.io/AddressAllocated. The same words
// are the reasons of the events on the Service.
const (
	// ReasonAllocated: the Service has its address.
	ReasonAllocated = "Allocated"
	// ReasonNoPool: there is no pool that a Service like this could use.
	ReasonNoPool = "NoPool"
	// ReasonPoolExhausted: every pool that could serve the Service is full.
	ReasonPoolExhausted = "PoolExhausted"
	// ReasonUnknownPool: the Service names a pool that does not exist.
	ReasonUnknownPool = "UnknownPool"
	// ReasonPoolUnusable: the pool that the Service names is not Ready.
	ReasonPoolUnusable = "PoolUnusable"
	// ReasonAddressNotInPool: the address that the Service asks for is in no
	// pool that it may use.
	ReasonAddressNotInPool = "AddressNotInPool"
	// ReasonAddressInUse: the address that the Service asks for is taken.
	ReasonAddressInUse = "AddressInUse"
	// ReasonInvalidRequest: what the Service asks for means nothing.
	ReasonInvalidRequest = "InvalidRequest"
	// ReasonUnsupported: the Service asks for something that this version
	// cannot give.
	ReasonUnsupported = "Unsupported"
	// ReasonReleased: the Service has let its address go (events only).
	ReasonReleased = "Released"
)
