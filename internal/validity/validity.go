// Package validity decides whether the objects that configure lbstack are in effect: what their conditions
// Ready say, as far as objects alone decide it and not what happens on nodes. What makes the fields of one object
// valid is in internal/apiconv; this package adds what depends on others. Pure: objects in, results out. The
// controller writes them, and the kubectl plugin plans with them.
package validity

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// Result is whether an object is in effect.
type Result struct {
	// Ready, and why.
	Ready bool
	// Reason and Message of the condition.
	Reason, Message string
}

// Objects are what validity depends on. Lists of kinds that a question does not depend on may be empty. They are not
// changed, so that they may be those of a cache.
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
