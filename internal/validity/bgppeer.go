package validity

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// BGPPeerResults returns the result for each peer, by name. The result of a peer without a problem has
// no reason. BGPPeerResults does not check Secrets and sessions, which the controller checks itself.
func BGPPeerResults(o *Objects) map[string]Result {
	profiles, results := map[string]*v1beta1.BFDProfile{}, map[string]Result{}
	for i := range o.Profiles {
		profiles[o.Profiles[i].Name] = &o.Profiles[i]
	}
	for i := range o.Peers {
		peer, err := apiconv.ParseBGPPeer(&o.Peers[i])
		if err != nil {
			results[o.Peers[i].Name] = InvalidPeerResult(err)
			continue
		}
		wrong := CheckBFDProfile(&peer, profiles)
		selected := slices.ContainsFunc(o.Nodes, func(n eligibility.Node) bool { return peer.SelectsNode(n.Labels) })
		if wrong.Reason == "" && !selected {
			wrong = NoNodesResult(len(o.Nodes))
		}
		results[o.Peers[i].Name] = wrong
	}
	return results
}

// InvalidPeerResult returns the result for a peer whose fields are invalid.
func InvalidPeerResult(err *apiconv.SpecError) Result {
	return Result{Reason: err.Reason, Message: err.Error() + ": no new session is opened, and an existing one keeps its last valid configuration: correct the field"}
}

// CheckBFDProfile returns a result with a reason if the BFDProfile that a peer names is missing or
// invalid.
func CheckBFDProfile(peer *apiconv.BGPPeer, profiles map[string]*v1beta1.BFDProfile) Result {
	if peer.BFDProfile == "" {
		return Result{}
	}
	then := "until then sessions with BFD keep their settings, and other sessions run without BFD"
	if peer.StrictBFD {
		then = "until then sessions with BFD keep their settings, and no other session is opened, as spec.strictBFD requires"
	}
	object := profiles[peer.BFDProfile]
	if object == nil {
		return Result{Reason: v1beta1.ReasonUnknownBFDProfile, Message: fmt.Sprintf(
			"the BFDProfile %q, which spec.bfdProfile names, does not exist: create it; %s", peer.BFDProfile, then)}
	}
	if _, err := apiconv.ParseBFDProfile(object); err != nil {
		return Result{Reason: err.Reason, Message: fmt.Sprintf(
			"the BFDProfile %q, which spec.bfdProfile names, is invalid (%s): correct it; %s", peer.BFDProfile, err, then)}
	}
	return Result{}
}
