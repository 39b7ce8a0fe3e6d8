// Package rollout decides how a change of the pod templates reaches the controller and then the
// speakers, node by node, and how it is rolled back if it fails. It uses neither Kubernetes nor a clock:
// the operator calls Decide in each pass, stores the state that it returns, and acts on its plan.
//
// A step replaces the speaker of one node. A step passes its gate once the new speaker works at least as
// well as the former one. The target is the revision that the components should have: the wanted
// revision or, in a rollback, the good one.
package rollout

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// Hash identifies a pod template.
type Hash string

// Revision is a pair of pod templates. A change of one template does not affect the other component. The zero
// value is no revision.
type Revision struct{ Controller, Speaker Hash }

// String returns the two hashes with a hyphen between them. It is empty for the zero value.
func (r Revision) String() string {
	if r == (Revision{}) {
		return ""
	}
	return string(r.Controller) + "-" + string(r.Speaker)
}

// Phase is a phase of a rollout.
type Phase string

// The phases.
const (
	// PhaseInstalling: there is no good revision yet, so that nothing can be rolled back.
	PhaseInstalling Phase = "Installing"
	// PhaseController: the controller is replaced, and no speaker.
	PhaseController Phase = "Controller"
	// PhaseCanary: the speaker of one node is replaced.
	PhaseCanary Phase = "Canary"
	// PhaseSpeakers: the other speakers are replaced. After a rollout, these are the speakers of nodes
	// that were down before.
	PhaseSpeakers Phase = "Speakers"
	// PhaseComplete: the wanted revision runs on all nodes that are up, and is the good revision.
	PhaseComplete Phase = "Complete"
	// PhaseRollingBack: controller and speakers go back to the good revision, because the wanted revision
	// failed or because the good revision is wanted again.
	PhaseRollingBack Phase = "RollingBack"
	// PhaseRolledBack: the wanted revision failed, and the good revision runs.
	PhaseRolledBack Phase = "RolledBack"
	// PhaseHalted: the wanted revision failed, and nothing is replaced any more.
	PhaseHalted Phase = "Halted"
)

// Stored is what the operator stores between two passes, in the status of the stack.
type Stored struct {
	Phase Phase
	// Revision is the revision that was wanted last, even if it failed.
	Revision Revision
	// Good is the revision of the last completed rollout; zero: no rollout was completed.
	Good Revision
	// Retry is the value of State.Retry because of which a revision was last tried again.
	Retry string
	// Since is when the rollout or the rollback began. It is in full seconds, like all stored times.
	Since time.Time
	// Proven means that a working speaker was replaced in this rollout, and that the new speaker works.
	Proven bool
	// Unverified means that a speaker of Good received no announcements of another speaker of Good,
	// after Good became the good revision. Missing announcements are then no evidence against a
	// revision.
	Unverified bool
	// Quiet is the node of a canary whose speaker announced something before it was replaced, and has
	// announced nothing since then; empty: there was no such canary. Because of it another canary is
	// tried.
	Quiet lb.NodeName
	// Lost is how many nodes went down while their speaker was replaced.
	Lost int
	// Failure is why the revision failed.
	Failure Failure
	// Edits are the last edits of the spec.
	Edits Edits
	// Steps are the steps under way, by node. There are at most MaxSteps. A late step stays listed until it
	// passes.
	Steps []Step
}

// Failure is why a revision failed.
type Failure struct {
	// Node is the node on which the revision failed; empty: it did not fail on a node.
	Node lb.NodeName
	// Why is a sentence.
	Why string
	// Unreceived means that other speakers received no announcements from the new speaker.
	Unreceived bool
}

// Edits are the last changes of the spec. For a while after an edit, speakers still report what they
// announced before it.
type Edits struct {
	// Generation is the last generation of the spec that was observed.
	Generation int64
	// Last is when that generation was first observed, or when objects of that generation were last
	// observed not to be applied yet during a rollout.
	Last time.Time
	// First is the value that Last had after the first edit of a series. In a series, less than
	// 2*reportDelay passes between two edits.
	First time.Time
}

// Step is the replacement of the speaker of a node.
type Step struct {
	Node lb.NodeName
	// Pod is the ID of the pod to delete; empty: there is none, since the pod was replaced without a
	// step.
	Pod string
	// Since is when the step was decided.
	Since time.Time
	// Tries is how many further pods were deleted, since they had a former revision as well.
	Tries int
	// Broken means that the speaker did not work before the step either, so that the step shows nothing about
	// the revision.
	Broken bool
	// Sessions are the routers with which the node had an established session before the step.
	Sessions []bgp.PeerName
	// Gap is the result of countGap before the step.
	Gap int
	// Addresses is how many addresses the speaker announced on the local network before the step.
	Addresses int
	// Routes is how many addresses the speaker announced to routers before the step.
	Routes int
	// Others is how many addresses the speakers of all other nodes announced on the local network before the step.
	Others int
	// Moved means that other speakers may have taken the addresses before the new speaker ran.
	Moved bool
	// CoveredBy is the node whose speaker has reported that the speaker of this step does not announce
	// its addresses, and has not withdrawn that report.
	CoveredBy lb.NodeName
	// CoveredByStarted is when the process of that speaker started; zero: the speaker may have stopped covering
	// for another reason, so that the end of its report shows nothing.
	CoveredByStarted time.Time
}

// FailedRevision returns the revision that failed; zero: no revision failed.
func (s Stored) FailedRevision() Revision {
	switch s.Phase {
	case PhaseRollingBack, PhaseRolledBack, PhaseHalted:
		if s.Revision != s.Good {
			return s.Revision
		}
	}
	return Revision{}
}

// Equal reports whether two states are the same.
func (s Stored) Equal(o Stored) bool {
	return s.Phase == o.Phase && s.Edits.Equal(o.Edits) && s.Revision == o.Revision && s.Good == o.Good && s.Retry == o.Retry && s.Since.Equal(o.Since) &&
		s.Proven == o.Proven && s.Quiet == o.Quiet && s.Unverified == o.Unverified && s.Lost == o.Lost && s.Failure == o.Failure && slices.EqualFunc(s.Steps, o.Steps, Step.Equal)
}

// Equal reports whether two Edits are the same.
func (e Edits) Equal(o Edits) bool {
	return e.Generation == o.Generation && e.First.Equal(o.First) && e.Last.Equal(o.Last)
}

// Equal reports whether two steps are the same.
func (s Step) Equal(o Step) bool {
	return s.Node == o.Node && s.Pod == o.Pod && s.Since.Equal(o.Since) && s.Tries == o.Tries && s.Broken == o.Broken &&
		slices.Equal(s.Sessions, o.Sessions) && s.Gap == o.Gap && s.Addresses == o.Addresses && s.Routes == o.Routes && s.Others == o.Others && s.Moved == o.Moved &&
		s.CoveredBy == o.CoveredBy && s.CoveredByStarted.Equal(o.CoveredByStarted)
}

// targetRevision returns the revision that the components should have.
func (s Stored) targetRevision() Revision {
	if s.Phase == PhaseRollingBack || s.Phase == PhaseRolledBack {
		return s.Good
	}
	return s.Revision
}

// canFail reports whether a revision is rolled out that is not known to be good. Only such a rollout can
// fail.
func (s Stored) canFail() bool {
	return s.Revision != s.Good && (s.Phase == PhaseController || s.Phase == PhaseCanary || s.Phase == PhaseSpeakers)
}
