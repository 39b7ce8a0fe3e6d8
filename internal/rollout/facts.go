package rollout

import (
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// State is what a decision depends on. Facts may be late, with one exception: see Pod.Ending.
// All times are of the clock of the operator, but for Outage.
type State struct {
	Stored Stored
	// Wanted is the revision that the spec and the operator's version give.
	Wanted Revision
	// Generation of the spec: another one is an edit.
	Generation int64
	// Unapplied says that not all objects that speakers follow are known to be as this generation has them.
	Unapplied bool
	// Retry is the token that asks for another try of a revision that failed, when it changes.
	Retry    string
	Settings Settings
	// GoodStored says that the templates of Stored.Good can be had.
	GoodStored bool
	Controller Workload
	// Template is the one that the DaemonSet has, as its controller has observed; empty: there
	// is none, or it has not observed the last change.
	Template Hash
	// Nodes that run a speaker, or should.
	Nodes map[lb.NodeName]Node
	// Outages are the Services that nodes may announce, have endpoints, and are not announced.
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
	// Halt: a failure ends the rollout where it is, and nothing is taken back.
	Halt bool
}

// MaxUnavailable bounds how many nodes that are up are without a working speaker at a time: a
// number or a share.
type MaxUnavailable struct{ Count, Percent int }

// of returns how many nodes of a number may be unavailable: at least one; a share is rounded up,
// as that of a DaemonSet.
func (m MaxUnavailable) of(nodes int) int {
	share := (min(max(m.Percent, 0), 100)*nodes + 99) / 100
	return min(max(1, m.Count, share), MaxSteps)
}

// Workload is the Deployment of the controller.
type Workload struct {
	// Template is the one that its controller has observed.
	Template Hash
	// Ready says that pods of this template, and no others, serve.
	Ready bool
	// Problem says why not, if it is known.
	Problem string
}

// Node is what is known of a node.
type Node struct {
	// Skip is why no speaker can work on the node, in a few words; empty: one can.
	Skip string
	// Down says that Skip is that the node is down. A node whose speaker alone is silent is not.
	Down bool
	// UpSince is since when it is up.
	UpSince time.Time
	// Silent says that the other speakers miss the one of this node.
	Silent bool
	// Pod of the speaker; nil: there is none. Of several, the one that does not end.
	Pod *Pod
	// Report of the speaker; nil: the process that runs has not reported yet.
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
	// Since is since when the operator has seen Ready as it is.
	Since time.Time
	// Restarts is how often its container has been started again.
	Restarts int
	// Ending says that it is being deleted. The operator sets it also for a pod whose deletion it
	// has requested and which its cache has not got to know: steps can be dropped at any time
	// because of that.
	Ending bool
	// Problem says what is wrong with it, if it is known.
	Problem string
}

// Report is what a speaker reports.
type Report struct {
	// Started is when the process started, in full seconds.
	Started time.Time
	// Isolated: it receives nothing from the network, and answers for nobody.
	Isolated bool
	// Draining: its node hands its addresses over, and gets none.
	Draining bool
	// Misses are the nodes whose speakers it misses.
	Misses []lb.NodeName
	// Sessions are those that it should have with routers; true: established.
	Sessions map[bgp.PeerName]bool
	// Unannounced are the nodes that do not announce addresses which they have, so that this speaker
	// answers for them.
	Unannounced []lb.NodeName
	// Addresses and Routes are how many it announces on the local network and to routers.
	Addresses, Routes int
}

// Outage is a Service that is not announced although nodes may.
type Outage struct {
	Service lb.ServiceKey
	// Since when, in full seconds of the clock of the controller.
	Since time.Time
	// Changed is when its owner has changed it last, as far as is known. What begins within
	// maxOutage after a change of its owner is not held against a revision.
	Changed time.Time
}
