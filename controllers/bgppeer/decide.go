package bgppeer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/validity"
)

const (
	// maxNamedItems is how many nodes, or reasons, a message names; for the others it gives their number.
	maxNamedItems = 5
	// maxErrorBytes is the maximum length of an error in a message, in bytes.
	maxErrorBytes = 200
)

// peerFacts are the facts about a peer that decide its status.
type peerFacts struct {
	// wrong is the error in the spec of the peer; nil: the spec is valid.
	wrong *apiconv.SpecError
	peer  apiconv.BGPPeer
	// profile is the problem with the BFDProfile that the peer names; an empty Reason: there is none.
	profile validity.Result
	// secret is the problem with the Secret that the peer names; an empty Reason: there is none.
	secret validity.Result
	// all is the number of nodes in the cluster.
	all int
	// selected is the number of nodes that the peer selects.
	selected int
	// nodes are the selected nodes that should have a session, by name; see clusterState.factsOf.
	nodes []peerNode
	// duplicates are the selected nodes without a session, since another BGPPeer for the same
	// router is in effect there.
	duplicates []peerNode
	// down is how long the peer has been without a known established session.
	down time.Duration
}

// peerNode is a node that the peer selects.
type peerNode struct {
	name lb.NodeName
	// down means that the node is not ready. The report of its speaker may then be outdated.
	down bool
	// silent means that no other speaker receives anything from the node's speaker. The report of the node's
	// speaker may then be outdated.
	silent bool
	// session is the session with this peer that the speaker reports.
	session reports.Session
	// reported means that the speaker reports a session with this peer.
	reported bool
}

func (n peerNode) isEstablished() bool {
	return n.reported && n.session.Established && !n.down && !n.silent
}

// isFlapping reports whether the session of the node ends and is established again repeatedly.
func (n peerNode) isFlapping() bool { return n.session.IsFlapping() && !n.down && !n.silent }

// sessionProblemMessage returns why the node has no established session, or that its session is flapping;
// empty: neither. If the reason of the problem is also that of the condition Ready, the message only refers
// to this condition.
func (n peerNode) sessionProblemMessage(ready string) string {
	switch {
	case n.isFlapping():
		return fmt.Sprintf("the session is flapping: it ended %d times without staying established for %d minutes; last error: %s",
			n.session.Flaps, int(bgp.StableAfter.Minutes()), bounded.Cut(n.session.WhyDown(), maxErrorBytes))
	case n.isEstablished():
		return ""
	case n.down:
		return "the node is not ready"
	case n.silent:
		return "the other speakers receive nothing from the speaker of this node: look at the speaker's pod"
	case !n.reported:
		return "the speaker does not report this session: see the SpeakerState of the node"
	case n.session.Problem.Reason != "" && !n.session.Problem.Reason.IsAboutRoutes() && string(n.session.Problem.Reason) == ready:
		return ready + ", see the condition Ready"
	}
	return bounded.Cut(n.session.WhyDown(), maxErrorBytes)
}

// untilNextAttempt returns the longest time until the node tries again to connect; 0: there is no attempt, or
// its time is not known.
func (n peerNode) untilNextAttempt() time.Duration {
	if n.down || n.silent {
		return 0
	}
	return n.session.Retry
}

// readyResult returns whether the spec is valid and in effect on all nodes.
func (f peerFacts) readyResult() validity.Result {
	switch {
	case f.wrong != nil:
		return validity.InvalidPeerResult(f.wrong)
	case f.profile.Reason != "":
		return f.profile
	case f.secret.Reason != "":
		return f.secret
	case f.selected == 0:
		return validity.NoNodesResult(f.all)
	}
	for _, reason := range problemReasons {
		if v := f.problemResult(reason); v.Reason != "" {
			return v
		}
	}
	return validity.Result{Ready: true, Reason: v1beta1.ReasonPeerValid, Message: "the peer is in effect"}
}

// problemReasons are the reasons of problems on nodes, the most severe first.
var problemReasons = []bgp.ProblemReason{bgp.DuplicatePeer, bgp.PasswordMissing, bgp.SecretInvalid, bgp.UnknownInterface, bgp.PortClosed, bgp.NoNextHop, bgp.AddressFamilyMissing}

// problemResult lists the problems with this reason that nodes report. It lists each message once, with its
// nodes.
func (f peerFacts) problemResult(reason bgp.ProblemReason) validity.Result {
	var messages []string
	nodes := map[string][]lb.NodeName{}
	for _, n := range slices.Concat(f.duplicates, f.nodes) {
		if n.session.Problem.Reason != reason || n.down || n.silent {
			continue
		}
		message := n.session.Problem.Message
		if nodes[message] == nil {
			messages = append(messages, message)
		}
		nodes[message] = append(nodes[message], n.name)
	}
	if len(messages) == 0 {
		return validity.Result{}
	}
	var parts []string
	for _, message := range messages {
		parts = append(parts, onNodesPhrase(nodes[message])+": "+message)
	}
	return validity.Result{Reason: string(reason), Message: bounded.List(parts, maxNamedItems, "; ")}
}

// onNodesPhrase returns the names of nodes after "on the node" or "on the nodes".
func onNodesPhrase(nodes []lb.NodeName) string {
	if len(nodes) == 1 {
		return eligibility.Enumerate("on the node", nodes)
	}
	return eligibility.Enumerate("on the nodes", nodes)
}

// countEstablished counts the nodes whose session is established.
func (f peerFacts) countEstablished() (n int32) {
	for _, node := range f.nodes {
		if node.isEstablished() {
			n++
		}
	}
	return n
}

// isFlapping reports whether the session of a node is flapping. After the peer has been without an
// established session for flapTimeout, isFlapping returns false.
func (f peerFacts) isFlapping() bool {
	return f.down < flapTimeout && slices.ContainsFunc(f.nodes, peerNode.isFlapping)
}

// untilNextReason returns how long until the reason of the condition Established changes if nothing
// else happens before; zero: it does not change.
func (f peerFacts) untilNextReason() time.Duration {
	switch {
	case f.isFlapping():
		return flapTimeout - f.down
	case f.down < connectTimeout:
		return connectTimeout - f.down
	}
	return 0
}

// establishedCondition returns the condition Established: whether all sessions are established.
func (f peerFacts) establishedCondition(generation int64) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, ObservedGeneration: generation}
	up := f.countEstablished()
	switch {
	case f.selected == len(f.duplicates):
		c.Reason, c.Message = v1beta1.ReasonNoNodes, "no node should have a session with the router: the condition Ready says why"
		return c
	case len(f.nodes) == 0:
		c.Reason = v1beta1.ReasonNoSpeaker
		c.Message = fmt.Sprintf("the peer selects %d nodes, but no speaker on these nodes reports: look at the speaker's pods", f.selected-len(f.duplicates))
		return c
	case f.isFlapping():
		c.Reason = v1beta1.ReasonFlapping
	case int(up) == len(f.nodes):
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAllEstablished
	case up > 0:
		c.Reason = v1beta1.ReasonNotEstablished
	case f.down < connectTimeout:
		c.Reason = v1beta1.ReasonConnecting
	default:
		c.Reason = v1beta1.ReasonNoSession
	}
	c.Message = bounded.Message(f.sessionsMessage(up))
	return c
}

// sessionsMessage counts the established sessions, and lists why other nodes have none. It lists each reason
// once, with its nodes and the longest time until one of them tries again.
func (f peerFacts) sessionsMessage(up int32) string {
	word := "nodes"
	if len(f.nodes) == 1 {
		word = "node"
	}
	parts := []string{fmt.Sprintf("the session is established on %d of %d %s", up, len(f.nodes), word)}
	var reasons []string
	nodes, retry, ready := map[string][]lb.NodeName{}, map[string]time.Duration{}, f.readyResult().Reason
	for _, n := range f.nodes {
		why := n.sessionProblemMessage(ready)
		if why == "" {
			continue
		}
		if nodes[why] == nil {
			reasons = append(reasons, why)
		}
		nodes[why], retry[why] = append(nodes[why], n.name), max(retry[why], n.untilNextAttempt())
	}
	more := 0
	for i, why := range reasons {
		if i >= maxNamedItems {
			more += len(nodes[why])
			continue
		}
		part := strings.TrimSpace(eligibility.Enumerate("", nodes[why])) + ": " + why
		if retry[why] > 0 {
			part += fmt.Sprintf(" (next attempt within %s)", retry[why])
		}
		parts = append(parts, part)
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("%d more nodes", more))
	}
	return strings.Join(parts, "; ")
}

// secretResult returns the problem with the Secret that a peer names; an empty Reason: there is none. The
// parameter secrets has the Secrets of the namespace.
func secretResult(peer *apiconv.BGPPeer, namespace string, secrets map[string]*corev1.Secret) validity.Result {
	const consequence = "an established session stays, and no new one begins"
	if peer.PasswordSecret == "" {
		return validity.Result{}
	}
	object := secrets[peer.PasswordSecret]
	if object == nil {
		return validity.Result{Reason: v1beta1.ReasonPasswordMissing, Message: fmt.Sprintf(
			"the Secret %q of spec.passwordSecret does not exist in the namespace %s: %s: create it with the type %s and an entry %q",
			peer.PasswordSecret, namespace, consequence, corev1.SecretTypeBasicAuth, corev1.BasicAuthPasswordKey)}
	}
	if _, err := apiconv.ParsePassword(object); err != nil {
		return validity.Result{Reason: v1beta1.ReasonSecretInvalid, Message: fmt.Sprintf(
			"the Secret %q of spec.passwordSecret %v: %s: create it again with the type %s and an entry %q",
			peer.PasswordSecret, err, consequence, corev1.SecretTypeBasicAuth, corev1.BasicAuthPasswordKey)}
	}
	return validity.Result{}
}

func compareNames(x, y peerNode) int { return cmp.Compare(x.name, y.name) }
