package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// MaxSteps bounds how many speakers are replaced at a time.
	MaxSteps = 64
	// hold is how long a pod must be ready, and twice as long after each restart of its
	// container: one that ends again and again is ready in between.
	hold = 10 * time.Second
	// reported is how long after a change of the spec what speakers report to announce is of before:
	// they follow within a second, and report counts 5 s later at most.
	reported = 10 * time.Second
	// maxEdits is how long edits of the spec that follow each other keep a step from beginning.
	maxEdits = time.Minute
	// blip is how long a speaker must not be ready before it is replaced as one that does not
	// work: such a step shows little.
	blip = 30 * time.Second
	// maxOutage is how long a Service may not be announced when all speakers that were
	// replaced are ready: longer than the 40 s that Kubernetes takes to notice a dead node.
	maxOutage = time.Minute
	// maxLost is how many nodes may go down while their speaker is replaced: with more it is the
	// revision that takes them down.
	maxLost = 1
	// maxTries is how many pods of a step are deleted because they have a former revision as well:
	// the DaemonSet controller can make one from a template that it had in its cache.
	maxTries = 3
)

// Plan is what the operator does, in this order: it stores Next; if that is another than before,
// it decides anew; it gives the workloads their templates; it deletes the pods.
type Plan struct {
	Next Stored
	// Controller and Speaker are the revisions whose templates Deployment and DaemonSet are to
	// have; zero: what they have stays. They are the wanted revision, or the good one if its
	// templates can be had.
	Controller, Speaker Revision
	// Delete are the pods to delete, with their IDs as a precondition. Each is in a step of
	// the stored state.
	Delete   []Deletion
	Progress Progress
	// Again is after how long to decide anew without any change; 0: never.
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
	// Unproven are the nodes that have the target while it is tried on one after the other, and announce
	// nothing, which would show that it works.
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
