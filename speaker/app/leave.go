package app

import (
	"context"
	"sync"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

const (
	// handOverWithin bounds how long others get to take over what a drained node owns.
	handOverWithin = 5 * time.Second
	// ackTimeout bounds how long others get to answer for one that restarts.
	ackTimeout = time.Second
	// back is in which time the next speaker should be there on this node: the others
	// keep its addresses for it for so long.
	back = 30 * time.Second
)

// leave ends this speaker without a moment in which nobody answers: a drained node
// hands over what it owns, any other sends that it will be back.
func leave(engine *layer2.Engine, mesh *mesh.Mesh, routers *router) {
	var parted sync.WaitGroup
	parted.Go(routers.leave)
	defer parted.Wait()
	until := time.Now().Add(handOverWithin)
	for {
		if owned, draining := engine.Owning(); !draining || owned == 0 || time.Now().After(until) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	engine.Restart(ctx, back)
	mesh.Acknowledged(ctx)
}
