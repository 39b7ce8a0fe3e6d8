package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// MaxSteps bounds how many speakers are replaced at a time.
	MaxSteps = 64
	// minReady is how long a pod must be ready, and twice as long after each restart of its
	// container: a container that ends again and again is ready in between.
	minReady = 10 * time.Second
	// reportDelay is how long after a change of the spec the reports of speakers may still be about
	// what they announced before: they follow within a second, and report counts at most 5 s later.
	reportDelay = 10 * time.Second
	// maxEdits is how long a series of edits of the spec delays steps.
	maxEdits = time.Minute
	// unreadyDelay is how long a speaker must have been unready before it is replaced as one that does
	// not work: such a step shows little.
	unreadyDelay = 30 * time.Second
	// maxOutage is how long a Service may not be announced when all speakers that were
	// replaced are ready: longer than the 40 s that Kubernetes takes to notice a dead node.
	maxOutage = time.Minute
	// maxLostNodes is how many nodes may go down while their speaker is replaced: if more do, the
	// revision counts as the cause.
	maxLostNodes = 1
	// maxTries is how many pods of a step are deleted because they have a former revision as well:
	// the DaemonSet controller can make one from a template that it had in its cache.
	maxTries = 3
)

// Plan is what the operator does, in this order: it stores Next; if Next differs from the state
// before, it decides again; it gives the workloads their templates; it deletes the pods.
type Plan struct {
	Next Stored
	// Controller and Speaker are the revisions whose templates Deployment and DaemonSet are to
	// have; zero: their templates stay. They are the wanted revision, or the good one if its
	// templates are available.
	Controller, Speaker Revision
	// Delete are the pods to delete, with their IDs as a precondition. Each is in a step of
	// the stored state.
	Delete   []Deletion
	Progress Progress
	// Again is how long until the next decision if nothing changes; 0: none is needed.
	Again time.Duration
}

// Deletion is a pod to delete.
type Deletion struct {
	Node lb.NodeName
	Pod  string
}

// Progress is what is reported of a rollout.
type Progress struct {
	// Updated speakers run the target and are ready, of Total that there should be, those of
	// nodes that are down included.
	Updated, Total int
	// Target is the revision that the components are to have.
	Target Revision
	// Waiting are the nodes of the steps, with what each waits for.
	Waiting []Note
	// Unproven are the nodes that have the target in PhaseCanary and announce nothing, so that they
	// do not show that it works.
	Unproven []lb.NodeName
	// Following are the nodes that come next: those that are not updated and can be.
	Following []lb.NodeName
	// Skipped are the nodes that are not updated, and why they cannot be.
	Skipped []Note
	// Blocked is why no step begins although nodes follow; empty: nothing blocks it.
	Blocked string
}

// Note is a sentence about a node.
type Note struct {
	Node lb.NodeName
	Text string
}
