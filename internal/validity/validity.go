// Package validity decides whether the objects that configure lbstack are in effect, and what their
// condition Ready is. Package internal/apiconv decides whether the fields of one object are valid. This
// package adds the checks that depend on other API objects. It does not check whether speakers announce
// what the objects configure. It is pure: it reads and writes nothing. The controller writes the results
// into the conditions, and the kubectl plugin shows which results a change would have.
package validity

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// Result is whether an object is in effect.
type Result struct {
	// Ready reports whether the condition Ready is True.
	Ready bool
	// Reason and Message are the reason and the message of the condition.
	Reason, Message string
}

// Objects are the objects on which results depend. A list may be empty if none of the results that the
// caller needs depends on its kind. This package does not change the objects, so callers may pass
// objects of a cache.
type Objects struct {
	Pools             []v1beta1.IPAddressPool
	L2Advertisements  []v1beta1.L2Advertisement
	BGPAdvertisements []v1beta1.BGPAdvertisement
	Communities       []v1beta1.Community
	Peers             []v1beta1.BGPPeer
	Profiles          []v1beta1.BFDProfile
	States            []v1beta1.SpeakerState
	Nodes             []eligibility.Node
	// Services have the labels of Services and of their namespaces. If several Services have the same
	// labels in both, one of them is enough.
	Services []eligibility.Service
}
