package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// MaxSteps is how many speakers are replaced at the same time at most.
	MaxSteps = 64
	// minReadyTime is how long a pod must be ready. The time doubles with each restart of the container, since a
	// container that ends repeatedly is ready in between.
	minReadyTime = 10 * time.Second
	// reportDelay is how long after a change of the spec the reports of speakers may still describe the
	// time before the change. Speakers report within a second, and the numbers of addresses and routes
	// at most 5 s later.
	reportDelay = 10 * time.Second
	// maxEditDelay is how long a series of edits of the spec delays steps.
	maxEditDelay = time.Minute
	// unreadyDelay is how long a speaker must have been unready before it is replaced as broken: the
	// replacement of a broken speaker proves little.
	unreadyDelay = 30 * time.Second
	// maxOutageTime is how long a Service can be unannounced before the revision fails, while all
	// replaced speakers are ready. It is longer than the 40 s that Kubernetes takes to notice a dead
	// node.
	maxOutageTime = time.Minute
	// maxLostNodes is how many nodes can go down while their speaker is replaced before the revision is
	// taken as the cause.
	maxLostNodes = 1
	// maxTries is how many further pods a step deletes because they have a former revision: the
	// DaemonSet controller can make a pod from an old template in its cache.
	maxTries = 3
)

// Plan is what the operator does, in this order. It stores Next, and decides again if Next differs from
// the state before. It gives the workloads the templates of Controller and Speaker. It deletes the pods
// in Delete.
type Plan struct {
	Next Stored
	// Controller is the revision whose template the Deployment should have: the wanted revision, or the
	// good one if its templates are available; zero: the template stays as it is.
	Controller Revision
	// Speaker is the same for the DaemonSet.
	Speaker Revision
	// Delete are the pods to delete, with their IDs as a precondition. Each pod is in a step of the stored
	// state.
	Delete   []Deletion
	Progress Progress
	// Again is the time until the next decision if nothing changes; 0: no further decision is needed.
	Again time.Duration
}

// Deletion is a pod to delete.
type Deletion struct {
	Node lb.NodeName
	Pod  string
}

// Progress is what the operator reports about a rollout.
type Progress struct {
	// Updated is how many speakers run the target and are ready.
	Updated int
	// Total is how many speakers there should be. It includes those of nodes that are down.
	Total int
	// Target is the revision that the components should have.
	Target Revision
	// Waiting are the nodes of the steps, with what each step waits for.
	Waiting []NodeNote
	// Unproven are the nodes that have the target in PhaseCanary but announce nothing. They do not prove
	// that the revision works.
	Unproven []lb.NodeName
	// Following are the nodes that can be updated and are not updated yet, in order.
	Following []lb.NodeName
	// Skipped are the nodes that cannot be updated, and why.
	Skipped []NodeNote
	// Blocked is why no step begins although Following has nodes; empty: nothing prevents it.
	Blocked string
}

// NodeNote is a sentence about a node.
type NodeNote struct {
	Node lb.NodeName
	Text string
}
