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

// maxMessageBytes is the maximum length of the message of a condition, in bytes.
const maxMessageBytes = 2048

// maxUnavailableNodes is the maximum number of entries in status.unavailableNodes.
const maxUnavailableNodes = 64

// buildStatus returns the status for the findings. From the previous status it takes the times of the
// conditions that stay, and the version that ran last.
func buildStatus(previous v1beta1.LoadBalancerStackStatus, f findings) v1beta1.LoadBalancerStackStatus {
	next := *previous.DeepCopy()
	next.ObservedGeneration = f.generation
	next.Inventory = f.inventory
	conds := conditionSetter{list: &next.Conditions, generation: f.generation}
	switch {
	case f.removing != nil:
		conds.setRemoving(f)
		next.Summary, next.Rollout, next.TargetVersion = v1beta1.ReasonRemoving, nil, ""
		return next
	case f.removed:
		conds.setRemoved()
		return v1beta1.LoadBalancerStackStatus{
			ObservedGeneration: f.generation, Conditions: next.Conditions, Summary: v1beta1.ReasonRemoved, LastHandledReconcile: previous.LastHandledReconcile,
		}
	}
	if !f.endedEarly() && !f.writesNothing() && f.handled != "" {
		next.LastHandledReconcile = f.handled
	}
	if !f.endedEarly() {
		next.Components = nil
		for _, c := range f.components {
			next.Components = append(next.Components, c.ComponentStatus)
		}
	}
	next.UnavailableNodes = f.nodes[:min(len(f.nodes), maxUnavailableNodes)]
	if f.endedEarly() {
		next.UnavailableNodes = previous.UnavailableNodes
	}
	faults := faultsOf(f)
	waiting := waitReasonOf(f)
	if f.restraint != nil {
		waiting = waitReason{} // the operator writes nothing
	}
	serving, lacking := isServing(f.components)
	conds.setDegraded(faults)
	conds.setProgressing(waiting)
	conds.setAvailable(serving, lacking, f)
	next.Summary = conds.setReady(faults, waiting, serving, f)
	conds.setKstatus(faults, waiting)
	if !f.endedEarly() {
		valid, reason, message := configurationCondition(f)
		conds.setBool(v1beta1.ConditionConfigurationValid, valid, reason, message)
	}
	if !f.endedEarly() && !f.writesNothing() {
		reason, message := rotationReason(f.keys)
		conds.setOrRemove(v1beta1.ConditionKeyRotation, reason != "", reason, message)
	}
	if f.rollout != nil {
		next.Rollout = f.rollout.status
		if next.TargetVersion = ""; f.rollout.moving {
			next.TargetVersion = f.rollout.version
		}
	}
	if allSettled(f.components) && !f.endedEarly() && !f.writesNothing() && !f.isMoving() {
		next.Version = f.targetVersion()
	}
	return next
}

// isMoving reports whether a rollout is under way.
func (f *findings) isMoving() bool { return f.rollout != nil && f.rollout.moving }

// targetVersion returns the version of lbstack that the components should run.
func (f *findings) targetVersion() string {
	if f.rollout != nil {
		return f.rollout.version
	}
	return f.version
}

// waitReason describes the change that is under way.
type waitReason struct {
	// reason is the reason of the conditions about it.
	reason string
	// words are a sentence; empty: nothing is under way.
	words string
}

// waitReasonOf describes the change that is under way: a rollout, or workloads that are not settled.
func waitReasonOf(f findings) waitReason {
	if !f.isMoving() {
		return waitReason{v1beta1.ReasonComponentsNotReady, unsettledReason(f.components)}
	}
	words := f.rollout.status.Message
	if len(componentFaultMessages(f.components)) > 0 {
		words = f.rollout.brief // the sentences of the faults report the problems of the pods
	}
	if f.rollout.status.Phase == v1beta1.RolloutRollingBack {
		return waitReason{v1beta1.ReasonRollingBack, words}
	}
	return waitReason{v1beta1.ReasonRollingOut, words}
}

// seeReadyMessage is the message of conditions that refer to Ready, so that each sentence is written once.
const seeReadyMessage = "the condition Ready has the details"

// conditionSetter sets conditions in a list.
type conditionSetter struct {
	list       *[]metav1.Condition
	generation int64
}

func (s conditionSetter) setBool(kind string, is bool, reason, message string) {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	s.setCondition(kind, status, reason, message)
}

func (s conditionSetter) setCondition(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(s.list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: bounded.Cut(message, maxMessageBytes), ObservedGeneration: s.generation,
	})
}

// setOrRemove sets a condition that is present only while it is true, and removes it otherwise.
func (s conditionSetter) setOrRemove(kind string, is bool, reason, message string) {
	if is {
		s.setBool(kind, true, reason, message)
		return
	}
	meta.RemoveStatusCondition(s.list, kind)
}

func (s conditionSetter) setRemoving(f findings) {
	words := []string{*f.removing}
	for _, failure := range f.failures {
		words = append(words, failure.message)
	}
	words = slices.DeleteFunc(words, func(text string) bool { return text == "" })
	s.setBool(v1beta1.ConditionReady, false, v1beta1.ReasonRemoving, strings.Join(words, "; "))
	s.setBool(v1beta1.ConditionAvailable, false, v1beta1.ReasonRemoving, seeReadyMessage)
	s.setBool(v1beta1.ConditionProgressing, true, v1beta1.ReasonRemoving, seeReadyMessage)
	s.setBool(v1beta1.ConditionDegraded, f.hasRefusal(), v1beta1.ReasonRemoving, seeReadyMessage)
	s.setOrRemove(v1beta1.ConditionReconciling, !f.hasRefusal(), v1beta1.ReasonRemoving, seeReadyMessage)
	s.setOrRemove(v1beta1.ConditionStalled, f.hasRefusal(), v1beta1.ReasonRemoving, seeReadyMessage)
	meta.RemoveStatusCondition(s.list, v1beta1.ConditionKeyRotation)
	meta.RemoveStatusCondition(s.list, v1beta1.ConditionConfigurationValid)
}

func (s conditionSetter) setRemoved() {
	s.setBool(v1beta1.ConditionReady, true, v1beta1.ReasonRemoved, "spec.managementState is Removed: the controller and the speakers do not run, and no address is given or announced: set the field to Managed to install lbstack again")
	for _, kind := range []string{v1beta1.ConditionAvailable, v1beta1.ConditionDegraded, v1beta1.ConditionProgressing} {
		s.setBool(kind, false, v1beta1.ReasonRemoved, seeReadyMessage)
	}
	for _, kind := range []string{v1beta1.ConditionReconciling, v1beta1.ConditionStalled, v1beta1.ConditionKeyRotation, v1beta1.ConditionConfigurationValid} {
		meta.RemoveStatusCondition(s.list, kind)
	}
}

func (s conditionSetter) setDegraded(faults []fault) {
	if len(faults) > 0 {
		s.setBool(v1beta1.ConditionDegraded, true, faults[0].reason, listReasons(faults)+": "+seeReadyMessage)
		return
	}
	s.setBool(v1beta1.ConditionDegraded, false, v1beta1.ReasonAsExpected, "nothing is wrong")
}

func (s conditionSetter) setProgressing(waiting waitReason) {
	if waiting.words != "" {
		s.setBool(v1beta1.ConditionProgressing, true, waiting.reason, seeReadyMessage)
		return
	}
	s.setBool(v1beta1.ConditionProgressing, false, v1beta1.ReasonAsExpected, "nothing is under way")
}

func (s conditionSetter) setAvailable(serving bool, lacking string, f findings) {
	unseen := f.endedEarly() || slices.ContainsFunc(f.components, func(c componentState) bool { return c.unknown })
	switch {
	case serving && f.services.noneAnnouncedSentence() != "":
		s.setBool(v1beta1.ConditionAvailable, false, v1beta1.ReasonServicesNotAnnounced, f.services.summary())
	case serving:
		s.setBool(v1beta1.ConditionAvailable, true, v1beta1.ReasonAsExpected, f.services.summary())
	case lacking == "" && unseen && meta.FindStatusCondition(*s.list, v1beta1.ConditionAvailable) != nil:
		// The state of the components is not known: the condition stays.
	default:
		s.setBool(v1beta1.ConditionAvailable, false, v1beta1.ReasonComponentsNotReady, firstNonEmpty(lacking, "nothing is installed yet"))
	}
}

// setReady sets the condition Ready, and returns its reason, which is also the summary. The message of Ready
// has the sentences about all findings. Some findings leave Ready at True: a node that is down, since the
// other nodes announce its addresses; addresses of a pool that are not given, since the pool gives its other
// addresses; Services of another class, which keep their addresses; and single Services that are not
// announced.
func (s conditionSetter) setReady(faults []fault, waiting waitReason, serving bool, f findings) string {
	var words []string
	if f.restraint != nil {
		words = append(words, f.restraint.message)
	}
	for _, f := range faults {
		words = append(words, f.message)
	}
	down, conflicts, recreate := unavailableSentence(f.nodes), strings.Join(f.conflicts, "; "), f.services.otherClassSentence()
	for _, more := range []string{waiting.words, f.absent, down, conflicts, recreate, f.services.unannouncedSentence()} {
		if more != "" {
			words = append(words, more)
		}
	}
	is, reason := true, v1beta1.ReasonReady
	switch {
	case f.restraint != nil:
		s.setCondition(v1beta1.ConditionReady, metav1.ConditionUnknown, f.restraint.reason, strings.Join(words, "; "))
		return f.restraint.reason
	case len(faults) > 0:
		is, reason = false, faults[0].reason
	case waiting.words != "":
		is, reason = false, waiting.reason
	case !serving:
		is, reason = false, v1beta1.ReasonComponentsNotReady
	case down != "":
		reason = v1beta1.ReasonNodesUnavailable
	case conflicts != "":
		reason = v1beta1.ReasonPoolConflict
	case recreate != "":
		reason = v1beta1.ReasonServicesOfOtherClass
	}
	s.setBool(v1beta1.ConditionReady, is, reason, firstNonEmpty(strings.Join(words, "; "), map[bool]string{
		true: "everything is as the spec asks", false: "the condition Available has the details",
	}[is]))
	return reason
}

// setKstatus sets the conditions that the kstatus library of GitOps tools reads: Reconciling while the
// operator works on the stack, and Stalled while a person has to act.
func (s conditionSetter) setKstatus(faults []fault, waiting waitReason) {
	var mine, persons []fault
	for _, f := range faults {
		switch f.stance {
		case endsByPerson:
			persons = append(persons, f)
		case endsByRetry:
			mine = append(mine, f)
		}
	}
	s.setOrRemove(v1beta1.ConditionReconciling, waiting.words != "" || len(mine) > 0, firstReason(mine, waiting.reason), seeReadyMessage)
	s.setOrRemove(v1beta1.ConditionStalled, len(persons) > 0, firstReason(persons, waiting.reason), listReasons(persons)+": "+seeReadyMessage)
}

func firstReason(faults []fault, otherwise string) string {
	if len(faults) > 0 {
		return faults[0].reason
	}
	return otherwise
}

// unsettledReason returns what the workloads that are not settled wait for; empty: all are settled.
func unsettledReason(components []componentState) string {
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

// isServing reports whether every component has an available pod. If a component is known to have no
// available pod, lacking is a sentence about the component.
func isServing(components []componentState) (serving bool, lacking string) {
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

func allSettled(components []componentState) bool {
	for _, c := range components {
		if !c.settled {
			return false
		}
	}
	return len(components) > 0
}

// listReasons names the reasons of some faults, each once.
func listReasons(faults []fault) string {
	var names []string
	for _, f := range faults {
		if !slices.Contains(names, f.reason) {
			names = append(names, f.reason)
		}
	}
	return strings.Join(names, ", ")
}

func firstNonEmpty(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}
