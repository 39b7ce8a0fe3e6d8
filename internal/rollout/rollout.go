// Package rollout decides how a change of the pod templates reaches the controller and then
// the speakers, node by node, and how it is rolled back if it fails. It uses neither Kubernetes nor
// a clock: the operator calls Decide in each pass, stores the state that it returns, and acts on
// its plan.
package rollout

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// Hash identifies a pod template.
type Hash string

// Revision is a pair of pod templates. A change of one of them does not affect the other component.
// The zero value is none.
type Revision struct{ Controller, Speaker Hash }

// String returns the hashes with a hyphen between them, and nothing for none.
func (r Revision) String() string {
	if r == (Revision{}) {
		return ""
	}
	return string(r.Controller) + "-" + string(r.Speaker)
}

// Phase is where a rollout is.
type Phase string

// The phases.
const (
	// PhaseInstalling: no revision was good yet, so that nothing can be rolled back.
	PhaseInstalling Phase = "Installing"
	// PhaseController: the controller is replaced; no speaker is.
	PhaseController Phase = "Controller"
	// PhaseCanary: the speaker of one node is replaced.
	PhaseCanary Phase = "Canary"
	// PhaseSpeakers: the other speakers are replaced, or those of nodes that came back after the
	// rollout.
	PhaseSpeakers Phase = "Speakers"
	// PhaseComplete: the wanted revision runs on all nodes that are up, and is the good one.
	PhaseComplete Phase = "Complete"
	// PhaseRollingBack: controller and speakers go back to the good revision, because the wanted one
	// failed or because the good one is wanted again.
	PhaseRollingBack Phase = "RollingBack"
	// PhaseRolledBack: the wanted revision failed, and the good one runs.
	PhaseRolledBack Phase = "RolledBack"
	// PhaseHalted: the wanted revision failed, and nothing is replaced any more.
	PhaseHalted Phase = "Halted"
)

// Stored is what the operator stores between two passes, in the status of the stack.
type Stored struct {
	Phase Phase
	// Revision is the one that was wanted last, also if it failed.
	Revision Revision
	// Good is the last revision of which a rollout was completed; zero: there is none.
	Good Revision
	// Retry is the token for another try that was followed last.
	Retry string
	// Since is when the rollout or the rollback began; in full seconds, as all stored times.
	Since time.Time
	// Proven means that a working speaker was replaced in this rollout, and that the new one works.
	Proven bool
	// Unverified means that, since Good became the good revision, one of its speakers received no
	// announcements of another: missing announcements are then no evidence against a revision.
	Unverified bool
	// Quiet is the node of the canary whose speaker announced something before it was replaced, and
	// announces nothing since, so that another canary is tried; empty: there was none.
	Quiet lb.NodeName
	// Lost is how many nodes went down while their speaker was replaced.
	Lost int
	// Failure is why the revision failed.
	Failure Failure
	// Edits are the last edits of the spec.
	Edits Edits
	// Steps that are under way, by node, MaxSteps at most. Those that are late stay listed until
	// they pass.
	Steps []Step
}

// Failure is why a revision failed.
type Failure struct {
	// Node on which it failed; empty: not on a node.
	Node lb.NodeName
	// Why, in a sentence.
	Why string
	// Unreceived: other speakers received no announcements of it.
	Unreceived bool
}

// Edits are the last changes of the spec. For a while after an edit, the reports of speakers are about what
// they announced before it.
type Edits struct {
	// Generation of the spec that was seen last.
	Generation int64
	// Last is when that generation was first seen, or when a rollout last had objects to apply that were not
	// applied before. First is the same time of the first edit in a series, in which less than 2*reportDelay
	// passes between edits.
	First, Last time.Time
}

// Step is the replacement of the speaker of a node.
type Step struct {
	Node lb.NodeName
	// Pod that is to be deleted; empty: none is, since somebody else replaced it.
	Pod string
	// Since is when the step was decided.
	Since time.Time
	// Tries is how many further pods were deleted, since they had a former revision as well.
	Tries int
	// Broken: the speaker did not work before either, so that the step shows nothing about the
	// revision.
	Broken bool
	// Sessions are the routers with which the node had an established session before.
	Sessions []bgp.PeerName
	// Gap is how many other speakers missed this one, or were missed by it, before.
	Gap int
	// Addresses and Routes are how many addresses the speaker announced before on the local network and
	// to routers, and Others how many the speakers of all other nodes did on the local network.
	Addresses, Routes, Others int
	// Moved: other speakers may have taken its addresses before the new one ran.
	Moved bool
	// CoveredBy is the node whose speaker reported that the one of this node does not announce its
	// addresses, and has not withdrawn that. CoveredByStarted is when its process started; zero: it
	// may have stopped covering for another reason, so that the end of its report shows nothing.
	CoveredBy        lb.NodeName
	CoveredByStarted time.Time
}

// Failed returns the revision that failed, or none.
func (s Stored) Failed() Revision {
	switch s.Phase {
	case PhaseRollingBack, PhaseRolledBack, PhaseHalted:
		if s.Revision != s.Good {
			return s.Revision
		}
	}
	return Revision{}
}

// Equal reports whether two are the same.
func (s Stored) Equal(o Stored) bool {
	return s.Phase == o.Phase && s.Edits.Equal(o.Edits) && s.Revision == o.Revision && s.Good == o.Good && s.Retry == o.Retry && s.Since.Equal(o.Since) &&
		s.Proven == o.Proven && s.Quiet == o.Quiet && s.Unverified == o.Unverified && s.Lost == o.Lost && s.Failure == o.Failure && slices.EqualFunc(s.Steps, o.Steps, Step.Equal)
}

// Equal reports whether two are the same.
func (e Edits) Equal(o Edits) bool {
	return e.Generation == o.Generation && e.First.Equal(o.First) && e.Last.Equal(o.Last)
}

// Equal reports whether two are the same.
func (s Step) Equal(o Step) bool {
	return s.Node == o.Node && s.Pod == o.Pod && s.Since.Equal(o.Since) && s.Tries == o.Tries && s.Broken == o.Broken &&
		slices.Equal(s.Sessions, o.Sessions) && s.Gap == o.Gap && s.Addresses == o.Addresses && s.Routes == o.Routes && s.Others == o.Others && s.Moved == o.Moved &&
		s.CoveredBy == o.CoveredBy && s.CoveredByStarted.Equal(o.CoveredByStarted)
}

// targetRevision is the revision that the components are to have.
func (s Stored) targetRevision() Revision {
	if s.Phase == PhaseRollingBack || s.Phase == PhaseRolledBack {
		return s.Good
	}
	return s.Revision
}

// canFail reports whether a revision is rolled out that is not known to be good: only such a
// rollout can fail.
func (s Stored) canFail() bool {
	return s.Revision != s.Good && (s.Phase == PhaseController || s.Phase == PhaseCanary || s.Phase == PhaseSpeakers)
}
