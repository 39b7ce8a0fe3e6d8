// Package validity decides whether the objects that configure lbstack are in effect: their conditions Ready, as far
// as these follow from objects of the API and not from what happens on nodes. Whether the fields of one object are
// valid is decided in internal/apiconv; this package adds what depends on other objects. It is pure: objects in,
// results out. The controller writes the results, and the kubectl plugin plans with them.
package validity

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// Result is whether an object is in effect.
type Result struct {
	// Ready reports whether the condition Ready is True.
	Ready bool
	// Reason and Message are those of the condition.
	Reason, Message string
}

// Objects are the objects that results depend on. A list may be empty if the wanted results do not depend
// on its kind. This package does not change the objects, so that callers may pass those of a cache.
type Objects struct {
	Pools             []v1beta1.IPAddressPool
	L2Advertisements  []v1beta1.L2Advertisement
	BGPAdvertisements []v1beta1.BGPAdvertisement
	Communities       []v1beta1.Community
	Peers             []v1beta1.BGPPeer
	Profiles          []v1beta1.BFDProfile
	States            []v1beta1.SpeakerState
	Nodes             []eligibility.Node
	// Services are labels of Services and of their namespaces, each pair at least once.
	Services []eligibility.Service
}
