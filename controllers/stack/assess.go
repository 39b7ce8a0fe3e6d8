package stack

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// maxMessage bounds what goes into a condition's message.
const maxMessage = 2048

// component is the state of a workload.
type component struct {
	v1beta1.ComponentStatus
	// available is how many of its pods serve.
	available int32
	// settled says whether all pods that should be there are up to date and
	// ready.
	settled bool
	// unknown says that it could not be written, so that nobody knows how it is.
	unknown bool
	// failing says what is wrong with its pods, if anything.
	failing string
}

// findings are what a pass found and did.
type findings struct {
	generation int64
	// version that the components are told to run.
	version string
	// removing says what the removal waits for; nil when nothing is removed.
	removing *string

	renderFailed string
	applyFailed  []string
	foreign      []v1beta1.ObjectReference
	// pools has a sentence for each pool of the stack that is not given out.
	pools []string
	// peers and advertisements have one for each of the stack that means nothing, or not
	// all that it says. That a session is down is nothing of that.
	peers, advertisements []string

	components []component
	inventory  []v1beta1.ObjectReference
}

// fault is something that is wrong.
type fault struct {
	reason, message string
	// needsPerson says whether only a person can mend it.
	needsPerson bool
}

// assess turns findings into the status; previous gives the times of
// conditions that stay, and the version that last ran.
func assess(previous v1beta1.LoadBalancerStackStatus, f findings) v1beta1.LoadBalancerStackStatus {
	next := *previous.DeepCopy()
	next.ObservedGeneration = f.generation
	next.Inventory = f.inventory
	says := sayings{list: &next.Conditions, generation: f.generation}
	if f.removing != nil {
		says.removing(*f.removing)
		next.Summary = v1beta1.ReasonRemoving
		return next
	}
	if f.renderFailed == "" {
		next.Components = nil
		for _, c := range f.components {
			next.Components = append(next.Components, c.ComponentStatus)
		}
	}
	faults := faultsOf(f)
	waiting := waitingFor(f.components)
	serving, lacking := isServing(f.components)
	says.degraded(faults)
	says.progressing(waiting)
	says.available(serving, lacking, f)
	next.Summary = says.ready(faults, waiting, serving, lacking)
	says.kstatus(faults, waiting)
	if allSettled(f.components) && f.renderFailed == "" {
		next.Version = f.version
	}
	return next
}

// sayings writes conditions.
type sayings struct {
	list       *[]metav1.Condition
	generation int64
}

func (s sayings) set(kind string, is bool, reason, message string) {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(s.list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: bounded.Cut(message, maxMessage), ObservedGeneration: s.generation,
	})
}

// setOrRemove is for conditions that are present only while they are true.
func (s sayings) setOrRemove(kind string, is bool, reason, message string) {
	if is {
		s.set(kind, true, reason, message)
		return
	}
	meta.RemoveStatusCondition(s.list, kind)
}

func (s sayings) removing(waiting string) {
	for _, kind := range []string{v1beta1.ConditionReady, v1beta1.ConditionAvailable, v1beta1.ConditionDegraded} {
		s.set(kind, false, v1beta1.ReasonRemoving, waiting)
	}
	for _, kind := range []string{v1beta1.ConditionProgressing, v1beta1.ConditionReconciling} {
		s.set(kind, true, v1beta1.ReasonRemoving, waiting)
	}
	meta.RemoveStatusCondition(s.list, v1beta1.ConditionStalled)
}

func (s sayings) degraded(faults []fault) {
	if len(faults) > 0 {
		s.set(v1beta1.ConditionDegraded, true, faults[0].reason, sentences(faults))
		return
	}
	s.set(v1beta1.ConditionDegraded, false, v1beta1.ReasonAsExpected, "nothing is wrong")
}

func (s sayings) progressing(waiting string) {
	if waiting != "" {
		s.set(v1beta1.ConditionProgressing, true, v1beta1.ReasonComponentsNotReady, waiting)
		return
	}
	s.set(v1beta1.ConditionProgressing, false, v1beta1.ReasonAsExpected, "nothing is under way")
}

func (s sayings) available(serving bool, lacking string, f findings) {
	unseen := f.renderFailed != "" || slices.ContainsFunc(f.components, func(c component) bool { return c.unknown })
	switch {
	case serving:
		s.set(v1beta1.ConditionAvailable, true, v1beta1.ReasonAsExpected, "Services are served")
	case lacking == "" && unseen && meta.FindStatusCondition(*s.list, v1beta1.ConditionAvailable) != nil:
		// Nobody looked at the components, which go on as they are.
	default:
		s.set(v1beta1.ConditionAvailable, false, v1beta1.ReasonComponentsNotReady, firstOf(lacking, "nothing is installed yet"))
	}
}

// ready returns the reason too, which is the summary.
func (s sayings) ready(faults []fault, waiting string, serving bool, lacking string) string {
	switch {
	case len(faults) > 0:
		s.set(v1beta1.ConditionReady, false, faults[0].reason, sentences(faults))
		return faults[0].reason
	case waiting != "" || !serving:
		s.set(v1beta1.ConditionReady, false, v1beta1.ReasonComponentsNotReady, firstOf(waiting, lacking, "nothing is installed yet"))
		return v1beta1.ReasonComponentsNotReady
	}
	s.set(v1beta1.ConditionReady, true, v1beta1.ReasonReady, "everything is as the spec asks")
	return v1beta1.ReasonReady
}

// kstatus sets Reconciling, while the operator works on it, and Stalled, while
// it waits for a person.
func (s sayings) kstatus(faults []fault, waiting string) {
	var mine, persons []fault
	for _, f := range faults {
		if f.needsPerson {
			persons = append(persons, f)
		} else {
			mine = append(mine, f)
		}
	}
	s.setOrRemove(v1beta1.ConditionReconciling, waiting != "" || len(mine) > 0, reasonOf(mine), firstOf(waiting, sentences(mine)))
	s.setOrRemove(v1beta1.ConditionStalled, len(persons) > 0, reasonOf(persons), sentences(persons))
}

func reasonOf(faults []fault) string {
	if len(faults) > 0 {
		return faults[0].reason
	}
	return v1beta1.ReasonComponentsNotReady
}

// faultsOf lists what is wrong, in the order of the reasons' weight.
func faultsOf(f findings) []fault {
	var faults []fault
	if f.renderFailed != "" {
		faults = append(faults, fault{v1beta1.ReasonRenderFailed, f.renderFailed, true})
	}
	for _, message := range f.applyFailed {
		faults = append(faults, fault{v1beta1.ReasonApplyFailed, message, false})
	}
	for _, ref := range f.foreign {
		faults = append(faults, fault{v1beta1.ReasonObjectNotOurs, notOurs(ref), true})
	}
	for _, message := range f.pools {
		faults = append(faults, fault{v1beta1.ReasonPoolNotReady, message, true})
	}
	for _, message := range f.peers {
		faults = append(faults, fault{v1beta1.ReasonPeerNotReady, message, true})
	}
	for _, message := range f.advertisements {
		faults = append(faults, fault{v1beta1.ReasonAdvertisementNotReady, message, true})
	}
	for _, c := range f.components {
		if c.failing != "" {
			faults = append(faults, fault{v1beta1.ReasonComponentFailing, fmt.Sprintf("the %s fails: %s", c.Name, c.failing), false})
		}
	}
	return faults
}

func notOurs(ref v1beta1.ObjectReference) string {
	advice := "delete or rename it"
	if ref.Group == v1beta1.GroupVersion.Group {
		advice += ", or use another name in the LoadBalancerStack"
	}
	return fmt.Sprintf("the %s exists already and was not made by lbstack, which does not touch it: %s, or hand it over with the label %s=%s",
		describe(ref), advice, v1beta1.LabelManagedBy, v1beta1.ManagedByOperator)
}

// waitingFor says which workloads are not where they should be.
func waitingFor(components []component) string {
	var words []string
	for _, c := range components {
		if !c.settled && !c.unknown {
			words = append(words, fmt.Sprintf("the %s: %s", c.Name, c.Message))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "waiting for " + strings.Join(words, "; ")
}

// isServing says whether every component has a pod that serves and, if one is
// known to have none, which.
func isServing(components []component) (serving bool, lacking string) {
	serving = len(components) > 0
	for _, c := range components {
		switch {
		case c.unknown:
			serving = false
		case c.available == 0:
			return false, fmt.Sprintf("no pod of the %s is ready", c.Name)
		}
	}
	return serving, ""
}

func allSettled(components []component) bool {
	for _, c := range components {
		if !c.settled {
			return false
		}
	}
	return len(components) > 0
}

func sentences(faults []fault) string {
	words := make([]string, 0, len(faults))
	for _, f := range faults {
		words = append(words, f.message)
	}
	return strings.Join(words, "; ")
}

func firstOf(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}
