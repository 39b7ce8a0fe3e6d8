package app

import (
	"context"
	"sync"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

const (
	// handOverTimeout bounds how long other nodes get to take over the addresses of a drained node.
	handOverTimeout = 5 * time.Second
	// ackTimeout bounds how long the other speakers get to acknowledge that this one restarts.
	ackTimeout = time.Second
	// restartTimeout is how long the other speakers leave its addresses to this node: the next speaker on
	// this node should run by then.
	restartTimeout = 30 * time.Second
)

// leaveGracefully ends this speaker without interrupting traffic. A drained node hands its addresses over.
// On any other node the speaker announces to the other speakers that it restarts.
func leaveGracefully(engine *layer2.Engine, mesh *mesh.Mesh, routers *bgpParts) {
	var routersLeft sync.WaitGroup
	routersLeft.Go(routers.leave)
	defer routersLeft.Wait()
	until := time.Now().Add(handOverTimeout)
	for {
		if owned, draining := engine.CountOwned(); !draining || owned == 0 || time.Now().After(until) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	engine.Restart(ctx, restartTimeout)
	mesh.WaitAcknowledged(ctx)
}
