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
	// startTimeout is how long a speaker that starts waits for the speakers that should be there: the first
	// of many would take every address otherwise. For as long one that comes out of a minority goes on
	// asking the segment.
	startTimeout = 2 * time.Second
	// startTogether is how long it waits at least when another one that started with it does not
	// wait any more: greetings that were lost are sent again meanwhile.
	startTogether = 500 * time.Millisecond
)

// start publishes that this speaker is starting, before it knows what it owns. A speaker that was
// isolated starts anew: others have taken its addresses by now. One that was isolated while it waited
// for others at its start goes on waiting, and resumes the claims of the checkpoint then.
func (e *Engine) start(now time.Time, in inbox) {
	if links := wireLinks(in.able()); e.sent.state == nil || e.sent.state.Phase == ownership.Starting && !reflect.DeepEqual(e.sent.state.Links, links) {
		e.sent.state = &wire.State{Phase: ownership.Starting, Links: links}
		e.Mesh.Publish(*e.sent.state)
	}
	isolated := e.phase(now, in) == ownership.Isolated
	if e.wasIsolated && !isolated && e.waited {
		e.Resume.Claims, e.running, e.begun = nil, false, now
	}
	e.wasIsolated = isolated
}

// waitsForOthers returns until when this speaker, which has just started, decides nothing since it does not know what
// others have. One that has waited once does not wait again: when it leaves isolation it asks the segment about each
// address for a while (see weigh). Of speakers that start together none waits longer than the first one, but for
// startTogether: what they had has no owner meanwhile, and those that do not wait any more would take it all.
func (e *Engine) waitsForOthers(now time.Time, in inbox) (until time.Time) {
	if e.waited || allThere(*in.view, in.want.Down) {
		return time.Time{}
	}
	if e.othersHaveStarted(*in.view) {
		return e.begun.Add(startTogether)
	}
	return e.begun.Add(startTimeout)
}

// othersHaveStarted records which speakers are starting, or come out of isolation, and reports whether one of these runs
// now. One whose node is drained takes no address itself, but has waited as well.
func (e *Engine) othersHaveStarted(v mesh.View) (have bool) {
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

// allThere reports whether all speakers that should be there are alive. Not counted are those on nodes that the API
// server reports as NotReady, and those that are silent.
func allThere(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.Missing) bool { return !down[m.Node] && !m.Silent })
}
