package bgppeer

import (
	"cmp"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/scope"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

const (
	// maxNamed is how many nodes a message names; the others it counts.
	maxNamed = 5
	// maxError bounds what is cited of an error.
	maxError = 200
)

// facts are what is known of a peer.
type facts struct {
	// wrong is what is wrong with its spec; nil: nothing.
	wrong *apiconv.SpecError
	peer  apiconv.BGPPeer
	// profile is what is wrong with the BFDProfile that it names.
	profile validity.Verdict
	// all is how many nodes there are, and selected how many of them it is for.
	all, selected int
	// nodes should have a session: those that it is for and whose speaker reports,
	// ordered by name.
	nodes []node
}

// node is one that should have a session.
type node struct {
	name lb.NodeName
	// down and unheard: what its speaker reports is from before.
	down, unheard bool
	// session as its speaker reports it; told says that it does.
	session reports.Session
	told    bool
}

func (n node) established() bool { return n.told && n.session.Established && !n.down && !n.unheard }

// why says why the node has no session that is up.
func (n node) why() string {
	switch {
	case n.down:
		return "the node is not ready"
	case n.unheard:
		return "the speaker on it is not heard by the others: look at its pod"
	case !n.told:
		return "the speaker has no such session, see its SpeakerState"
	}
	return bounded.Cut(n.session.Why(), maxError)
}

// silent are the nodes whose speakers know no session with the peer.
func (f facts) silent() (names []lb.NodeName) {
	for _, n := range f.nodes {
		if !n.told && !n.down {
			names = append(names, n.name)
		}
	}
	return names
}

// ready says whether the peer means something, and nodes have what they need; late
// says that silent nodes have had the time to begin a session.
func (f facts) ready(late bool) validity.Verdict {
	silent := f.silent()
	switch {
	case f.wrong != nil:
		return validity.Verdict{Reason: f.wrong.Reason, Message: f.wrong.Error() + ": until that is mended a session that there is stays as it was, and there is no new one"}
	case f.profile.Reason != "":
		return f.profile
	case f.selected == 0:
		return scope.NoNodes(f.all)
	case late && len(silent) > 0 && f.peer.PasswordSecret != "":
		return validity.Verdict{Reason: v1beta1.ReasonPasswordMissing, Message: fmt.Sprintf(
			"%s no session, for which the password is needed: look whether the Secret %q, which spec.passwordSecret names, exists in the component namespace, is of type kubernetes.io/basic-auth and has an entry \"password\"; the SpeakerStates of these nodes say more",
			have(silent), f.peer.PasswordSecret)}
	}
	return validity.Verdict{Ready: true, Reason: v1beta1.ReasonPeerValid, Message: "the peer is in effect"}
}

func have(nodes []lb.NodeName) string {
	if len(nodes) == 1 {
		return advertise.Named("the node", nodes) + " has"
	}
	return advertise.Named("the nodes", nodes) + " have"
}

// up is how many of the nodes have a session that is up.
func (f facts) up() (n int32) {
	for _, node := range f.nodes {
		if node.established() {
			n++
		}
	}
	return n
}

// established says whether all sessions are up.
func (f facts) established(generation int64) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonNoSession, ObservedGeneration: generation}
	up := f.up()
	switch {
	case f.selected == 0:
		c.Message = "no node should have a session: see the condition Ready"
		return c
	case len(f.nodes) == 0:
		c.Message = fmt.Sprintf("the peer is for %d nodes, and none of them has a speaker that reports: look at the speaker's pods", f.selected)
		return c
	case int(up) == len(f.nodes):
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAllEstablished
	case up > 0:
		c.Reason = v1beta1.ReasonNotEstablished
	}
	word := "nodes"
	if len(f.nodes) == 1 {
		word = "node"
	}
	parts := []string{fmt.Sprintf("%d of %d %s", up, len(f.nodes), word)}
	more := 0
	for _, n := range f.nodes {
		switch {
		case n.established():
		case len(parts) > maxNamed:
			more++
		default:
			parts = append(parts, fmt.Sprintf("%s: %s", n.name, n.why()))
		}
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	c.Message = bounded.Message(strings.Join(parts, "; "))
	return c
}

// profile says what is wrong with the BFDProfile that a peer names.
func profile(peer *apiconv.BGPPeer, profiles map[string]*v1beta1.BFDProfile) validity.Verdict {
	if peer.BFDProfile == "" {
		return validity.Verdict{}
	}
	then := "until then sessions that have BFD keep it as it was, and others run without"
	if peer.StrictBFD {
		then = "until then sessions that have BFD keep it as it was, and there is no other session, as spec.strictBFD asks"
	}
	object := profiles[peer.BFDProfile]
	if object == nil {
		return validity.Verdict{Reason: v1beta1.ReasonUnknownBFDProfile, Message: fmt.Sprintf(
			"the BFDProfile %q, which spec.bfdProfile names, does not exist: create it; %s", peer.BFDProfile, then)}
	}
	if _, err := apiconv.ParseBFDProfile(object); err != nil {
		return validity.Verdict{Reason: err.Reason, Message: fmt.Sprintf(
			"the BFDProfile %q, which spec.bfdProfile names, cannot be used (%s): mend it; %s", peer.BFDProfile, err, then)}
	}
	return validity.Verdict{}
}

// byName orders nodes.
func byName(x, y node) int { return cmp.Compare(x.name, y.name) }
