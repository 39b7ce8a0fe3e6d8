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
	// patience is how long a speaker that starts waits for those that should be
	// there: the first of many would take everything otherwise.
	patience = 2 * time.Second
	// startTogether is how long it does so at least, when another one that started with it waits no
	// more: greetings that were lost are sent again meanwhile.
	startTogether = 500 * time.Millisecond
)

// start says that this speaker is here, before it knows what it owns. One that was
// cut off starts anew: what it had is somebody else's by now. One that is cut off before it has
// run takes up what the checkpoint has, unless another node claims that.
func (e *Engine) start(now time.Time, in inbox) {
	if links := told(in.able()); e.said.state == nil || e.said.state.Phase == ownership.Starting && !reflect.DeepEqual(e.said.state.Links, links) {
		e.said.state = &wire.State{Phase: ownership.Starting, Links: links}
		e.Mesh.Publish(*e.said.state)
	}
	isolated := e.phase(now, in) == ownership.Isolated
	if e.lonely && !isolated {
		if e.ran {
			e.Resume.Claims = nil
		}
		e.running, e.begun, e.together = false, now, map[lb.NodeName]bool{}
	}
	e.lonely = isolated
}

// waitsForOthers returns until when this speaker, which has just started, does nothing yet since it does not
// know what others have. One that has waited once, was isolated and is in a minority asks the segment about everything.
// Of those that start together none waits for longer than the first of them: what they had is nobody's
// meanwhile, and those that do not wait any more would take everything.
func (e *Engine) waitsForOthers(now time.Time, in inbox) (until time.Time) {
	if e.running || e.waited && e.isMinority() || e.allThere(*in.view, in.want.Down) {
		return time.Time{}
	}
	if e.othersHaveStarted(*in.view) {
		return e.begun.Add(startTogether)
	}
	return e.begun.Add(patience)
}

// othersHaveStarted notes which speakers start, and returns whether one of those has done so.
func (e *Engine) othersHaveStarted(v mesh.View) (have bool) {
	for i := range v.Peers {
		switch p := &v.Peers[i]; {
		case p.State.Phase == ownership.Starting:
			e.together[p.Node] = true
		case p.State.Phase == ownership.Active && e.together[p.Node]:
			have = true
		}
	}
	return have
}

// allThere returns whether all speakers are alive that should be there, but for those on nodes that
// the API server calls NotReady, those that are silent, and, after this one was isolated, those that were
// missing before. What one of these may have meanwhile is asked the segment about: see weigh.
func (e *Engine) allThere(v mesh.View, down map[lb.NodeName]bool) bool {
	return !slices.ContainsFunc(v.Missing, func(m mesh.Missing) bool {
		return !down[m.Node] && !m.Silent && (e.received == nil || e.received[m.Node])
	})
}
