package app

import (
	"context"
	"sync"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

const (
	// handOverTimeout bounds how long a drained node waits until other nodes have taken over its addresses.
	handOverTimeout = 5 * time.Second
	// ackTimeout bounds how long this speaker waits until the other speakers have acknowledged that it restarts.
	ackTimeout = time.Second
	// restartTimeout is how long other nodes do not take the addresses of this node after its speaker has ended.
	// The next speaker on this node should run by then.
	restartTimeout = 30 * time.Second
)

// leaveGracefully ends this speaker without interrupting traffic. A drained node first hands its addresses
// over. Then the speaker publishes that it restarts: other speakers answer for the addresses that this node
// still owns, until its next speaker runs.
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
