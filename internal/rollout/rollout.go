// Package rollout decides how a change of the pod templates reaches the controller and then
// the speakers, node by node, and how it is taken back if it fails. It knows no Kubernetes and
// no clock, and does nothing itself: the operator calls Decide in each pass, stores what it
// returns, and acts on it.
package rollout

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// Hash identifies a pod template.
type Hash string

// Revision is a pair of pod templates. A change of one of them leaves the other component alone.
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
	// Installing: no revision was good yet, so that nothing can be taken back.
	Installing Phase = "Installing"
	// Controller: the controller is replaced; no speaker is.
	Controller Phase = "Controller"
	// Canary: the speaker of one node is replaced.
	Canary Phase = "Canary"
	// Speakers: the other speakers are replaced, or those of nodes that came back after the
	// rollout.
	Speakers Phase = "Speakers"
	// Complete: the wanted revision runs on all nodes that are up, and is the good one.
	Complete Phase = "Complete"
	// RollingBack: controller and speakers go back to the good revision, because the wanted one
	// failed or because the good one is wanted again.
	RollingBack Phase = "RollingBack"
	// RolledBack: the wanted revision failed, and the good one runs.
	RolledBack Phase = "RolledBack"
	// Halted: the wanted revision failed, and nothing is replaced any more.
	Halted Phase = "Halted"
)

// Stored is what the operator stores between two passes, in the status of the stack.
type Stored struct {
	Phase Phase
	// Revision is the one that was wanted last, also if it failed.
	Revision Revision
	// Good is the last revision of which a rollout was completed; zero: there is none.
	Good Revision
	// Retry is the token that was followed last.
	Retry string
	// Since is when the rollout began, or the way back; in full seconds, as all stored times.
	Since time.Time
	// Proven says that a speaker that worked was replaced in this rollout, and passed its gate.
	Proven bool
	// Unverified says that a speaker of the good revision did not announce its addresses, as far as
	// others of it received, at any time since it is the good one: that one does not is no evidence then.
	Unverified bool
	// Quiet is the node of the canary whose speaker announced something before it was replaced, and
	// announces nothing since, so that another canary is tried; empty: there was none.
	Quiet lb.NodeName
	// Lost is how many nodes went down while their speaker was replaced.
	Lost int
	// Failure is why the revision failed.
	Failure Failure
	// Edits are the last ones of the spec.
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

// Edits are changes of the spec, as far as they were followed: what speakers report to announce is of
// before them for a while.
type Edits struct {
	// Generation of the spec that was followed last.
	Generation int64
	// Last is when that began, or when a rollout last had objects to apply that were not applied before. First
	// is when it began for the first of a series of edits with less than twice the time between them in which
	// reports can be of before.
	First, Last time.Time
}

// Step is the replacement of the speaker of a node.
type Step struct {
	Node lb.NodeName
	// Pod that is to be deleted; empty: nothing is, somebody else replaced it.
	Pod string
	// Since is when the step was decided.
	Since time.Time
	// Tries is how many further pods were deleted, since they had a former revision as well.
	Tries int
	// Broken: the speaker did not work before either, so that the step says nothing about the
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
	// addresses, and has not reported yet that it does; CoveredByStarted is when its process started,
	// zero: it may have ended to cover for the node for another reason, so that it shows nothing.
	CoveredBy        lb.NodeName
	CoveredByStarted time.Time
}

// Failed returns the revision that failed, or none.
func (s Stored) Failed() Revision {
	switch s.Phase {
	case RollingBack, RolledBack, Halted:
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

// target is the revision that the components are to have.
func (s Stored) target() Revision {
	if s.Phase == RollingBack || s.Phase == RolledBack {
		return s.Good
	}
	return s.Revision
}

// forward reports whether the way is to a revision that is not known to be good: only there
// something can fail.
func (s Stored) forward() bool {
	return s.Revision != s.Good && (s.Phase == Controller || s.Phase == Canary || s.Phase == Speakers)
}
