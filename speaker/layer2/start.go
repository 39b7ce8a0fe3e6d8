package layer2

import (
	"reflect"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

const (
	// startTimeout is how long a starting speaker waits for the other speakers that should run: otherwise the
	// first speaker of a starting cluster would take every address. A speaker that leaves a minority goes on
	// asking the segment for the same time.
	startTimeout = 2 * time.Second
	// minStartWait is the least time that a starting speaker waits, even if another speaker that started at the
	// same time has stopped waiting. In this time, greetings (the first messages between two speakers) that were
	// lost are sent again.
	minStartWait = 500 * time.Millisecond
)

// start publishes that this speaker is starting, before the first decision about the addresses that it owns.
// A speaker that was isolated starts anew: other nodes have taken its addresses by now. If it became isolated
// before its first start was over, it only goes on waiting for the other speakers, and then resumes the
// claims of the checkpoint.
func (e *Engine) start(now time.Time, in inbox) {
	if links := wireLinks(in.usableLinks()); e.sent.state == nil || e.sent.state.Phase == ownership.Starting && !reflect.DeepEqual(e.sent.state.Links, links) {
		e.sent.state = &wire.State{Phase: ownership.Starting, Links: links}
		e.Mesh.Publish(*e.sent.state)
	}
	isolated := e.phase(now, in) == ownership.Isolated
	if e.wasIsolated && !isolated && e.waited {
		e.Resume.Claims, e.running, e.begun = nil, false, now
	}
	e.wasIsolated = isolated
}

// startWaitEnd returns until when a speaker that has just started waits. Until then it decides nothing, since
// it does not know what other nodes own. A speaker waits only once: after isolation it asks the segment about
// each address for a while instead (see updateMinority). When one of several speakers that started together
// stops waiting, the others stop too, after minStartWait at the earliest. Otherwise the first one would take
// all addresses, since the addresses of waiting nodes have no owner.
func (e *Engine) startWaitEnd(now time.Time, in inbox) (until time.Time) {
	if e.waited || isMeshComplete(*in.view, in.want.Down) {
		return time.Time{}
	}
	if e.hasPeerStarted(*in.view) {
		return e.begun.Add(minStartWait)
	}
	return e.begun.Add(startTimeout)
}

// hasPeerStarted records which speakers are starting or isolated, and reports whether a recorded speaker runs
// now. The speaker of a drained node counts too: it takes no address, but it has stopped waiting.
func (e *Engine) hasPeerStarted(v mesh.View) (have bool) {
	for i := range v.Peers {
		switch p := &v.Peers[i]; p.State.Phase {
		case ownership.Starting, ownership.Isolated:
			e.together[p.Node] = true
		case ownership.Active, ownership.Draining:
			have = have || e.together[p.Node]
		}
	}
	return have
}

// isMeshComplete reports whether all speakers that should be there are alive. Speakers on nodes that the API
// server reports as NotReady do not count, nor do speakers that answer for no address
// (mesh.MissingPeer.Silent).
func isMeshComplete(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.MissingPeer) bool { return !down[m.Node] && !m.Silent })
}
