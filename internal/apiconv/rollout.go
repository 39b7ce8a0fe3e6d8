package apiconv

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/rollout"
)

const (
	// defaultStepTimeout is the default of spec.speaker.rollout.stepTimeoutSeconds.
	defaultStepTimeout = 300 * time.Second
	// maxFailureBytes is the maximum length of status.rollout.failure, in bytes.
	maxFailureBytes = 1024
	// maxSkippedNodes is the maximum number of nodes in status.rollout.skipped.
	maxSkippedNodes = 64
	// maxSkippedMessageBytes is the maximum length of the message about a skipped node, in bytes.
	maxSkippedMessageBytes = 512
	// maxSessions is the maximum number of sessions of a node in status.rollout.currentNodes.
	maxSessions = 128
)

// RolloutSettings reads spec.speaker.rollout, with its defaults.
func RolloutSettings(spec v1beta1.RolloutSpec) rollout.Settings {
	s := rollout.Settings{
		MaxUnavailable: rollout.MaxUnavailable{Count: 1},
		StepTimeout:    cmp.Or(time.Duration(spec.StepTimeoutSeconds)*time.Second, defaultStepTimeout),
		Halt:           spec.OnFailure == v1beta1.RolloutHalt,
	}
	switch most := spec.MaxUnavailable; {
	case most == nil:
	case most.Type == intstr.Int:
		s.MaxUnavailable.Count = most.IntValue()
	default:
		if percent, err := strconv.Atoi(strings.TrimSuffix(most.StrVal, "%")); err == nil {
			s.MaxUnavailable = rollout.MaxUnavailable{Percent: percent}
		}
	}
	return s
}

// ParseRolloutStatus reads status.rollout of a stack. For nil it returns the zero value.
func ParseRolloutStatus(status *v1beta1.RolloutStatus) rollout.Stored {
	if status == nil {
		return rollout.Stored{}
	}
	s := rollout.Stored{
		Phase: rollout.Phase(status.Phase), Revision: parseRevision(status.Revision), Good: parseRevision(status.GoodRevision), Retry: status.Retry,
		Since: status.Since.Time, Proven: status.Proven, Unverified: status.AnnouncementsUnverified, Quiet: lb.NodeName(status.QuietNode), Lost: int(status.LostNodes),
		Failure: rollout.Failure{Node: lb.NodeName(status.FailedNode), Why: status.Failure, Unreceived: status.FailureUnreceived},
	}
	if e := status.Edits; e != nil {
		s.Edits = rollout.Edits{Generation: e.Generation, First: e.First.Time, Last: e.Last.Time}
	}
	for _, step := range status.CurrentNodes {
		t := rollout.Step{Node: lb.NodeName(step.Name), Pod: step.PodUID, Since: step.Since.Time, Tries: int(step.Tries), Broken: step.Broken, Gap: int(step.Gap),
			Addresses: int(step.Addresses), Routes: int(step.Routes), Others: int(step.OtherAddresses), Moved: step.Moved, CoveredBy: lb.NodeName(step.CoveredBy)}
		if at := step.CoveredByStartedAt; at != nil {
			t.CoveredByStarted = at.Time
		}
		for _, peer := range step.Sessions {
			t.Sessions = append(t.Sessions, bgp.PeerName(peer))
		}
		s.Steps = append(s.Steps, t)
	}
	return s
}

// RolloutStatus writes s and p into status.rollout. ParseRolloutStatus reads s from there again.
func RolloutStatus(s rollout.Stored, p rollout.Progress, message string) *v1beta1.RolloutStatus {
	status := &v1beta1.RolloutStatus{
		Phase: v1beta1.RolloutPhase(s.Phase), Revision: v1beta1.RolloutRevision(s.Revision.String()), GoodRevision: v1beta1.RolloutRevision(s.Good.String()),
		FailedRevision: v1beta1.RolloutRevision(s.FailedRevision().String()), FailedNode: v1beta1.NodeName(s.Failure.Node), Failure: bounded.Cut(s.Failure.Why, maxFailureBytes), FailureUnreceived: s.Failure.Unreceived,
		Updated: int32(p.Updated), Total: int32(p.Total), Since: metav1.NewTime(s.Since), Proven: s.Proven, AnnouncementsUnverified: s.Unverified, QuietNode: v1beta1.NodeName(s.Quiet), LostNodes: int32(s.Lost), Retry: s.Retry, Message: message,
	}
	if s.Edits != (rollout.Edits{}) {
		status.Edits = &v1beta1.RolloutEdits{Generation: s.Edits.Generation, First: metav1.NewTime(s.Edits.First), Last: metav1.NewTime(s.Edits.Last)}
	}
	for _, step := range s.Steps {
		t := v1beta1.RolloutStep{
			Name: v1beta1.NodeName(step.Node), PodUID: step.Pod, Since: metav1.NewTime(step.Since), Tries: int32(step.Tries), Broken: step.Broken, Gap: int32(step.Gap),
			Addresses: int32(step.Addresses), Routes: int32(step.Routes), OtherAddresses: int32(step.Others), Moved: step.Moved, CoveredBy: v1beta1.NodeName(step.CoveredBy),
		}
		if !step.CoveredByStarted.IsZero() {
			t.CoveredByStartedAt = &metav1.Time{Time: step.CoveredByStarted}
		}
		for _, peer := range step.Sessions[:min(len(step.Sessions), maxSessions)] {
			t.Sessions = append(t.Sessions, v1beta1.ObjectName(peer))
		}
		status.CurrentNodes = append(status.CurrentNodes, t)
	}
	skipped := slices.Clone(p.Skipped)
	slices.SortFunc(skipped, func(x, y rollout.NodeNote) int { return cmp.Compare(x.Node, y.Node) })
	for _, note := range skipped[:min(len(skipped), maxSkippedNodes)] {
		status.Skipped = append(status.Skipped, v1beta1.SkippedNode{Name: v1beta1.NodeName(note.Node), Message: bounded.Cut(note.Text, maxSkippedMessageBytes)})
	}
	return status
}

// parseRevision reads the name of a revision. For an invalid name it returns the zero value.
func parseRevision(name v1beta1.RolloutRevision) rollout.Revision {
	controller, speaker, ok := strings.Cut(string(name), "-")
	if !ok {
		return rollout.Revision{}
	}
	return rollout.Revision{Controller: rollout.Hash(controller), Speaker: rollout.Hash(speaker)}
}

// RolloutReport reads the fields of a SpeakerState on which a rollout depends.
func RolloutReport(state *v1beta1.SpeakerState) *rollout.Report {
	r := &rollout.Report{Sessions: map[bgp.PeerName]bool{}, Addresses: int(state.Status.AddressCount), Routes: int(state.Status.RouteCount), Isolated: state.Status.Phase == v1beta1.SpeakerIsolated, Draining: state.Status.Phase == v1beta1.SpeakerDraining}
	if at := state.Status.StartedAt; at != nil {
		r.Started = at.Time.Truncate(time.Second)
	}
	for _, node := range state.Status.MissingSpeakers {
		r.Misses = append(r.Misses, lb.NodeName(node))
	}
	for i := range state.Status.CoveredNodes {
		r.Unannounced = append(r.Unannounced, lb.NodeName(state.Status.CoveredNodes[i].Name))
	}
	for i := range state.Status.BGPPeers {
		r.Sessions[bgp.PeerName(state.Status.BGPPeers[i].Name)] = state.Status.BGPPeers[i].State == v1beta1.BGPEstablished
	}
	return r
}
