package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	corebgp "github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/speaker/bfd"
	"github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/kube"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/kube/routing"
)

// leaveTimeout bounds how long an ending speaker waits for its routers to send traffic to other nodes
// instead. A BGPPeer can require up to a minute (spec.gracefulShutdownSeconds). The termination grace period
// of the pod is some seconds longer than the timeout.
const leaveTimeout = 62 * time.Second

// lastStateTimeout bounds the write of the last SpeakerState when the speaker ends.
const lastStateTimeout = 2 * time.Second

// bgpParts are the parts of the speaker that run the BGP sessions and report their state.
type bgpParts struct {
	sessions *bgp.Manager
	paths    *bfd.Engine
	state    *kube.StateWriter
}

// startRouting starts the BGP sessions and BFD, and adds their state to the SpeakerState. The sessions and
// BFD end with the context.
func startRouting(ctx context.Context, mgr manager.Manager, objects *informers.Source, o kube.Options, state *kube.StateWriter, log logr.Logger) (*bgpParts, error) {
	r := &bgpParts{state: state}
	var refused atomic.Pointer[kube.RefusedAddresses]
	var problems atomic.Pointer[routing.Problems]
	r.paths = bfd.New(ctx, bfd.Options{
		Log: log.WithName("bfd"), Metrics: bfd.NewMetrics(metrics.Registry),
		Changed: func(key bfd.Key, status bfd.Status) { r.sessions.StorePathStatus(key, status) },
		Passes:  o.Watchdog.AddLoop("BFD"),
	})
	r.sessions = bgp.New(ctx, bgp.Options{
		Log: log.WithName("bgp"), RouterID: corebgp.RouterIDOf(string(o.Node), o.Address), Metrics: bgp.NewMetrics(metrics.Registry), Changed: state.Nudge,
		Discover: bgp.Discover(log.WithName("bgp")), Watch: bgp.WatchAddresses(log.WithName("bgp")), Paths: r.paths, Watchdog: o.Watchdog,
	})
	state.Routing = func() kube.RoutingState {
		sum := kube.RoutingState{Sessions: r.sessions.Statuses(), Changes: r.sessions.RouteChanges(), Path: r.sessions.PathStatus}
		if p := problems.Load(); p != nil {
			sum.Problems, sum.Peers = p.Sentences, p.Peers
		}
		if r := refused.Load(); r != nil {
			sum.Refused = *r
		}
		return sum
	}
	return r, mgr.Add(&routing.ConfigWatcher{
		Objects: objects, Self: o.Node, Namespace: o.Namespace, Sessions: r.sessions,
		Before: o.Before, Outside: o.Outside, Refused: func(count int, first []eligibility.Refusal) {
			refused.Store(&kube.RefusedAddresses{Count: count, First: first})
			state.Nudge()
		},
		Source: bgp.SourceFor,
		Problems: func(p routing.Problems) {
			problems.Store(&p)
			state.Nudge()
		},
		Passes: o.Watchdog.AddLoop("the watcher of cluster objects for BGP"),
	})
}

// leave ends the sessions and then BFD, and writes the last SpeakerState. A session with graceful restart
// (RFC 4724) ends without a NOTIFICATION message, so that its router retains the routes, unless this node is
// drained. From all other routers the routes are withdrawn first.
func (r *bgpParts) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	last := r.state.Routing()
	r.sessions.Leave(ctx)
	r.paths.Stop(ctx)
	ctx, cancel = context.WithTimeout(context.Background(), lastStateTimeout)
	defer cancel()
	if err := r.state.Leave(ctx, last); err != nil {
		r.state.Log.Info("the last SpeakerState of this speaker was not written; the next speaker on this node writes a new one", "error", err.Error())
	}
}
