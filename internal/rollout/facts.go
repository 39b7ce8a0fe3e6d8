package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// State is the input of a decision. All facts except Pod.Ending may be out of date. Times are those of
// the clock of the operator, except in Outage, Node.UpSince and Report.Started.
type State struct {
	Stored Stored
	// Wanted is the revision that follows from the spec and the operator's version.
	Wanted Revision
	// Generation is the generation of the spec. A new generation means that the spec was edited.
	Generation int64
	// Unapplied means that objects which speakers read may still be in the state of an earlier
	// generation.
	Unapplied bool
	// Retry is a token: a new value requests another try of a failed revision.
	Retry    string
	Settings Settings
	// GoodStored means that the templates of Stored.Good are available.
	GoodStored bool
	Controller Workload
	// Template is the template of the DaemonSet that the DaemonSet controller has observed; empty: it has
	// observed none.
	Template Hash
	// Nodes that run a speaker, or should.
	Nodes map[lb.NodeName]Node
	// Outages are the Services that have endpoints and that no node announces, although some node may.
	Outages []Outage
	// SeenSince is the time since which the operator has observed the cluster without a break.
	SeenSince time.Time
	Now       time.Time
}

// Settings are the settings of rollouts in the spec.
type Settings struct {
	MaxUnavailable MaxUnavailable
	// StepTimeout is how long a step may take.
	StepTimeout time.Duration
	// Halt means that a failure stops the rollout, and that nothing is rolled back.
	Halt bool
}

// MaxUnavailable is how many of the nodes that are up may have no working speaker at the same time, as a
// number or a percentage.
type MaxUnavailable struct{ Count, Percent int }

// countOf returns how many nodes may be unavailable at the same time if there are this many nodes: at
// least one. A percentage is rounded up, as it is for a DaemonSet.
func (m MaxUnavailable) countOf(nodes int) int {
	share := (min(max(m.Percent, 0), 100)*nodes + 99) / 100
	return min(max(1, m.Count, share), MaxSteps)
}

// Workload is the Deployment of the controller.
type Workload struct {
	// Template is the template that the Deployment controller has observed.
	Template Hash
	// Ready means that pods of this template are available, and that there are no other pods.
	Ready bool
	// Problem is why the controller is not ready, if that is known.
	Problem string
}

// Node has the facts about a node.
type Node struct {
	// Skip is why no speaker can work on the node, in a few words; empty: a speaker can.
	Skip string
	// Down means that Skip is set because the node is down. A silent speaker does not make its node
	// down.
	Down bool
	// UpSince is when the condition Ready of the node last changed.
	UpSince time.Time
	// Silent means that the other speakers receive nothing from the speaker on this node.
	Silent bool
	// Pod is the pod of the speaker; nil: there is none. If there are several, it is one that is not ending.
	Pod *Pod
	// Report is the report of the speaker; nil: the running process has not reported yet.
	Report *Report
}

// Pod is the pod of a speaker.
type Pod struct {
	// ID is the UID.
	ID       string
	Revision Hash
	// Mesh identifies the mesh of the speaker by its port: speakers of different meshes do not receive each
	// other.
	Mesh  int
	Ready bool
	// Since is when the operator first observed the present values of Ready and Restarts.
	Since time.Time
	// Restarts is how often the container has been started again.
	Restarts int
	// Ending means that the pod is being deleted. The operator sets it when it requests the deletion,
	// before the cache shows it. So a step can be dropped at any time without a second deletion.
	Ending bool
	// Unauthorized means that the ServiceAccount was created again after the pod. The API server refuses the
	// token of such a pod, so that the speaker works but cannot report.
	Unauthorized bool
	// Problem is what is wrong with the pod, if that is known.
	Problem string
}

// Report is what a speaker reports.
type Report struct {
	// Started is when the process started, in full seconds.
	Started time.Time
	// Isolated means that the speaker receives nothing from the network, and covers for no other
	// speaker.
	Isolated bool
	// Draining means that the node hands its addresses over, and gets none.
	Draining bool
	// Misses are the nodes whose speakers should run, and from which this speaker receives nothing.
	Misses []lb.NodeName
	// Sessions are the sessions that the speaker should have with routers; true: established.
	Sessions map[bgp.PeerName]bool
	// Unannounced are the nodes that have addresses and do not announce them, so that this speaker covers for
	// these nodes.
	Unannounced []lb.NodeName
	// Addresses is how many addresses the speaker announces on the local network.
	Addresses int
	// Routes is how many addresses the speaker announces to routers.
	Routes int
}

// Outage is a Service that is not announced although nodes may announce it.
type Outage struct {
	Service lb.ServiceKey
	// Since is when the outage began, in full seconds of the clock of the controller.
	Since time.Time
	// Changed is when the owner last changed the Service, as far as is known. If an outage begins within
	// maxOutageTime after that, the revision is not taken as its cause.
	Changed time.Time
}
