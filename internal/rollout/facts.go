package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// State is what a decision depends on. Facts may be late, with one exception: see Pod.Ending.
// Times are of the clock of the operator, except those of Outage, Node.UpSince and Report.Started.
type State struct {
	Stored Stored
	// Wanted is the revision that the spec and the operator's version give.
	Wanted Revision
	// Generation of the spec: a new one is an edit.
	Generation int64
	// Unapplied means that some objects of this generation, which speakers read, may not be applied yet.
	Unapplied bool
	// Retry is the token that, when it changes, requests another try of a revision that failed.
	Retry    string
	Settings Settings
	// GoodStored means that the templates of Stored.Good are available.
	GoodStored bool
	Controller Workload
	// Template is that of the DaemonSet, if the DaemonSet controller has observed it; empty: it
	// has not, or there is no DaemonSet.
	Template Hash
	// Nodes that run a speaker, or should.
	Nodes map[lb.NodeName]Node
	// Outages are the Services that have endpoints, that nodes may announce, and that no node does.
	Outages []Outage
	// SeenSince is since when the operator has seen the cluster without a break.
	SeenSince time.Time
	Now       time.Time
}

// Settings are those of the spec.
type Settings struct {
	MaxUnavailable MaxUnavailable
	// StepTimeout is how long a step may take.
	StepTimeout time.Duration
	// Halt: a failure ends the rollout where it is, and nothing is rolled back.
	Halt bool
}

// MaxUnavailable bounds how many nodes that are up are without a working speaker at a time: a
// number or a share.
type MaxUnavailable struct{ Count, Percent int }

// countOf returns how many nodes of a number may be unavailable: at least one; a share is rounded up,
// as that of a DaemonSet.
func (m MaxUnavailable) countOf(nodes int) int {
	share := (min(max(m.Percent, 0), 100)*nodes + 99) / 100
	return min(max(1, m.Count, share), MaxSteps)
}

// Workload is the Deployment of the controller.
type Workload struct {
	// Template is the one that the Deployment controller has observed.
	Template Hash
	// Ready means that pods of this template are available, and no others are left.
	Ready bool
	// Problem is why it is not ready, if that is known.
	Problem string
}

// Node is what is known of a node.
type Node struct {
	// Skip is why no speaker can work on the node, in a few words; empty: one can.
	Skip string
	// Down means that Skip is set because the node is down. A node with a silent speaker is not down.
	Down bool
	// UpSince is when its condition Ready last changed.
	UpSince time.Time
	// Silent means that the other speakers receive nothing from the one on this node.
	Silent bool
	// Pod of the speaker; nil: there is none. Of several, the one that is not ending.
	Pod *Pod
	// Report of the speaker; nil: the running process has not reported yet.
	Report *Report
}

// Pod is the pod of a speaker.
type Pod struct {
	// ID is the UID.
	ID       string
	Revision Hash
	// Mesh identifies the mesh that the speaker takes part in, by its port: speakers with
	// different ones do not receive each other.
	Mesh  int
	Ready bool
	// Since is since when the operator has observed the present values of Ready and Restarts.
	Since time.Time
	// Restarts is how often its container has been started again.
	Restarts int
	// Ending means that it is being deleted. The operator sets it as soon as it has requested the
	// deletion, before its cache has that: therefore steps can be dropped at any time.
	Ending bool
	// Unauthorized means that its ServiceAccount was created again after the pod: the API server refuses its
	// token, so that the speaker works on and cannot report.
	Unauthorized bool
	// Problem is what is wrong with it, if that is known.
	Problem string
}

// Report is what a speaker reports.
type Report struct {
	// Started is when the process started, in full seconds.
	Started time.Time
	// Isolated: it receives nothing from the network, and covers for no other.
	Isolated bool
	// Draining: its node hands its addresses over, and gets none.
	Draining bool
	// Misses are the nodes whose speakers it misses.
	Misses []lb.NodeName
	// Sessions are those that it should have with routers; true: established.
	Sessions map[bgp.PeerName]bool
	// Unannounced are the nodes that do not announce addresses which they have, so that this speaker
	// covers for them.
	Unannounced []lb.NodeName
	// Addresses and Routes are how many it announces on the local network and to routers.
	Addresses, Routes int
}

// Outage is a Service that is not announced although nodes may.
type Outage struct {
	Service lb.ServiceKey
	// Since when, in full seconds of the clock of the controller.
	Since time.Time
	// Changed is when its owner last changed it, as far as is known. An outage that begins within
	// maxOutage after that does not count against a revision.
	Changed time.Time
}
