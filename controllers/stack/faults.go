package stack

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/keyring"
)

// findings has the results of a pass: what it found in the cluster, and what it did.
type findings struct {
	generation int64
	// version is the version of lbstack that the operator installs.
	version string
	// removing is what the removal of lbstack waits for; nil: lbstack is not being removed.
	removing *string

	// restraint is why the operator only observes; nil: it also writes.
	restraint *observeReason
	// absent is a sentence about wanted objects that do not exist. It is set only if the operator only
	// observes.
	absent string
	// removed means that the removal of lbstack is complete.
	removed bool
	// handled is the value of the annotation that requested a pass over all objects, see reconcileRequest;
	// empty: this is no such pass.
	handled string
	// invalid has a sentence for each invalid field of the spec. If there is one, nothing was written.
	invalid []string
	// spec is the spec of the stack.
	spec v1beta1.LoadBalancerStackSpec
	// fields are the paths of the invalid fields in spec.
	fields []string

	// unfit is why this version cannot work in the cluster; nil: it can. If it is set, nothing was done.
	unfit *unfitReason
	// renderFailed is why the spec could not be turned into objects.
	renderFailed string
	// failures are the requests that failed.
	failures []fault
	// ended means that the last failure in failures ended the pass before it applied anything.
	ended bool
	// foreign are the wanted objects that exist already and belong to somebody else.
	foreign []v1beta1.ObjectReference
	// restore is the time until the operator applies an object again that another writer keeps changing;
	// zero: there is no such object.
	restore time.Duration
	// leftBehind is the time until the next SpeakerState of a vacated node must be deleted, see
	// vacatedStates; zero: there is none.
	leftBehind time.Duration
	// monitored means that the stack should have a ServiceMonitor, provided that the API server has this
	// kind.
	monitored bool
	// pools has a sentence for each pool of the stack that is not in effect.
	pools []string
	// conflicts has a sentence for each pool that does not give some of its addresses. The stack is Ready
	// nevertheless.
	conflicts []string
	// peers has a sentence for each BGPPeer and BFDProfile of the stack that is invalid in whole or in part.
	peers []string
	// advertisements has a sentence for each L2Advertisement, BGPAdvertisement and Community of the stack
	// that is invalid in whole or in part.
	advertisements []string
	// peersDown has a sentence for each peer without an established session.
	peersDown []string
	// flapping has a sentence for each peer whose sessions end repeatedly.
	flapping []string
	// noSpeaker has a sentence for each peer on whose nodes no speaker reports.
	noSpeaker []string

	// rollout is what was decided about the templates of the components; nil: there was no decision.
	rollout *rolloutFinding
	// leave are the kinds of the workloads that stay as they are, since their templates are not known.
	leave []string
	// unapplied means that an object of lbstack's API was not written. Speakers read such objects.
	unapplied bool
	// unstored means that the templates of the workloads could not be stored.
	unstored   bool
	components []componentState
	// noNodes is why no node can run a speaker; empty: at least one node can.
	noNodes string
	// nodes lists first the nodes that are down, and then the nodes that cannot run a speaker.
	nodes []v1beta1.UnavailableNode
	// speakers has a sentence for each group of running speakers that cannot do all of their work.
	speakers []string
	services serviceCounts
	// keys is what was decided about the keys of the mesh; without keys there was no decision.
	keys keyring.RotationPlan
	// orphans is a sentence about addresses in use whose pools do not exist.
	orphans   string
	inventory []v1beta1.ObjectReference
}

// endedEarly reports whether the pass ended before it read the state of the components.
func (f *findings) endedEarly() bool {
	return f.unfit != nil || f.renderFailed != "" || f.ended
}

// writesNothing reports whether the pass writes nothing but the status.
func (f *findings) writesNothing() bool { return f.restraint != nil || len(f.invalid) > 0 }

// faultResolver is who can end a fault.
type faultResolver int

const (
	// endsByRetry: the operator tries again, or the cluster does.
	endsByRetry faultResolver = iota
	// endsByPerson: nothing changes before a person acts.
	endsByPerson
	// endsOutside: the network or a node must change, and may do so by itself.
	endsOutside
)

// fault is a problem that the conditions of the stack report.
type fault struct {
	reason, message string
	stance          faultResolver
}

// addFailure records a failed request with a reason. It returns the error if another attempt may succeed. It
// returns nil if isFinal reports that the API server refuses the request until a person acts.
func (f *findings) addFailure(reason string, err error) error {
	switch {
	case err == nil:
		return nil
	case isFinal(err):
		f.failures = append(f.failures, fault{reason, fmt.Sprintf("%v: %s", err, requestRemedy(err)), endsByPerson})
		return nil
	}
	f.failures = append(f.failures, fault{reason, err.Error(), endsByRetry})
	return err
}

// hasRefusal reports whether the API server refuses a request until a person acts.
func (f *findings) hasRefusal() bool {
	return slices.ContainsFunc(f.failures, func(x fault) bool { return x.stance == endsByPerson })
}

// faultsOf returns the problems, the most severe reason first.
func faultsOf(f findings) []fault {
	var faults []fault
	add := func(reason string, by faultResolver, messages ...string) {
		for _, message := range messages {
			if message != "" {
				faults = append(faults, fault{reason, message, by})
			}
		}
	}
	if f.unfit != nil {
		add(f.unfit.reason, endsByPerson, f.unfit.message)
	}
	add(v1beta1.ReasonSpecInvalid, endsByPerson, f.invalid...)
	add(v1beta1.ReasonRenderFailed, endsByPerson, f.renderFailed)
	failures := func(by faultResolver, reports bool) {
		for _, failure := range f.failures {
			if failure.stance == by && (failure.reason == v1beta1.ReasonReportFailed) == reports {
				faults = append(faults, failure)
			}
		}
	}
	failures(endsByPerson, false)
	failures(endsByRetry, false)
	for _, ref := range f.foreign {
		add(v1beta1.ReasonObjectNotOurs, endsByPerson, foreignSentence(ref))
	}
	add(v1beta1.ReasonPoolNotReady, endsByPerson, f.pools...)
	add(v1beta1.ReasonPeerNotReady, endsByPerson, f.peers...)
	add(v1beta1.ReasonAdvertisementNotReady, endsByPerson, f.advertisements...)
	add(v1beta1.ReasonNoSpeakerNodes, endsByPerson, f.noNodes)
	if f.rollout != nil {
		stance := endsByPerson
		if f.rollout.reason == v1beta1.ReasonRollingBack {
			stance = endsByRetry
		}
		add(f.rollout.reason, stance, f.rollout.failureMessage(f.components))
	}
	add(v1beta1.ReasonComponentFailing, endsByRetry, componentFaultMessages(f.components)...)
	add(v1beta1.ReasonPeersDown, endsOutside, f.peersDown...)
	if allSettled(f.components) { // otherwise speakers may still be starting
		add(v1beta1.ReasonPeersDown, endsOutside, f.noSpeaker...)
	}
	add(v1beta1.ReasonFlapping, endsOutside, f.flapping...)
	add(v1beta1.ReasonSpeakersNotReady, endsOutside, f.speakers...)
	add(v1beta1.ReasonServicesNotAnnounced, endsOutside, f.services.noneAnnouncedSentence())
	add(v1beta1.ReasonAddressesWithoutPool, endsByPerson, f.orphans)
	failures(endsByPerson, true)
	failures(endsByRetry, true)
	return faults
}

func foreignSentence(ref v1beta1.ObjectReference) string {
	advice := "delete the object"
	if ref.Group == v1beta1.GroupVersion.Group {
		advice += ", use another name in the LoadBalancerStack"
	}
	return fmt.Sprintf("the %s exists already: lbstack did not make it, and does not change it: %s, or set the label %s=%s on the object so that lbstack manages it",
		describeObject(ref), advice, v1beta1.LabelManagedBy, v1beta1.ManagedByOperator)
}

// unavailableSentence returns a sentence about the nodes that are down; empty: no node is down.
func unavailableSentence(nodes []v1beta1.UnavailableNode) string {
	var down []string
	for _, n := range nodes {
		if isDown(n) {
			down = append(down, fmt.Sprintf("%s (%s)", n.Name, n.Reason))
		}
	}
	if len(down) == 0 {
		return ""
	}
	return fmt.Sprintf("no address is announced from %s: the other nodes announce the addresses, and only the other nodes receive changes: "+
		"repair each of these nodes, or delete its Node object", listNames(down))
}

// maxListedNames is how many names a sentence lists.
const maxListedNames = 5

// listNames joins names as part of a sentence: the first maxListedNames of them, and the number of the others.
func listNames(names []string) string { return bounded.Names(names, maxListedNames) }

// speakersOn names the speakers on nodes.
func speakersOn(nodes []string) string {
	if len(nodes) == 1 {
		return "the speaker on " + nodes[0]
	}
	return "the speakers on " + listNames(nodes)
}

func joinWords(words []string, by string) string {
	if len(words) <= maxListedNames {
		return strings.Join(words, by)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(words[:maxListedNames], by), by, len(words)-maxListedNames)
}

// serviceCounts counts the Services of type LoadBalancer that have an address.
type serviceCounts struct {
	// addressed is how many Services have an address.
	addressed int
	// announced is how many Services are announced with all their addresses.
	announced int
	// idle is how many Services are not announced because they have no endpoint.
	idle int
	// why names the other Services that are not announced, with the reasons.
	why []string
	// otherClass names the Services that keep their addresses although they do not have the class in the
	// field class.
	otherClass []string
	class      string // spec.loadBalancerClass of the stack
	// again is the time until all Services count; zero: all count already. A Service that is not announced
	// counts only after announceDelay.
	again time.Duration
}

// otherClassSentence returns a sentence about the Services in otherClass; empty: there is none.
func (s serviceCounts) otherClassSentence() string {
	if len(s.otherClass) == 0 {
		return ""
	}
	class, how := "is not set", "without spec.loadBalancerClass"
	if s.class != "" {
		class = fmt.Sprintf("is %q", s.class)
		how = fmt.Sprintf("with the class %q", s.class)
	}
	return fmt.Sprintf("spec.loadBalancerClass %s, and %d Services of another class keep their addresses: %s: create these Services again %s, since the class of a Service is immutable",
		class, len(s.otherClass), bounded.Cut(listNames(s.otherClass), maxMessageBytes/4), how)
}

// summary returns a sentence with the number of Services that are announced.
func (s serviceCounts) summary() string {
	switch {
	case s.addressed == 0:
		return "the controller and the speakers run; no Service has an address"
	case s.announced == s.addressed:
		return fmt.Sprintf("all %d Services with an address are announced", s.addressed)
	}
	text := fmt.Sprintf("%d of %d Services with an address are announced", s.announced, s.addressed)
	if s.idle > 0 {
		text += fmt.Sprintf("; %d have no endpoint", s.idle)
	}
	if len(s.why) > 0 {
		text += "; not announced: " + bounded.Cut(listNames(s.why), maxMessageBytes/2)
	}
	return text
}

// unannouncedSentence returns a sentence with the number of Services that are not announced. It is empty if
// all are announced, or if noneAnnouncedSentence reports them.
func (s serviceCounts) unannouncedSentence() string {
	if s.announced == s.addressed || s.noneAnnouncedSentence() != "" {
		return ""
	}
	text := fmt.Sprintf("%d of %d Services with an address are not announced", s.addressed-s.announced, s.addressed)
	if s.idle > 0 {
		text += fmt.Sprintf(", %d of them without an endpoint", s.idle)
	}
	return text + ": the condition Available has the details"
}

// noneAnnouncedSentence returns a sentence if no Service is announced although some should be.
func (s serviceCounts) noneAnnouncedSentence() string {
	if s.announced > 0 || s.addressed == s.idle {
		return ""
	}
	return fmt.Sprintf("none of the %d Services with an address is announced: the condition Available and the conditions of the Services have the reasons", s.addressed)
}
