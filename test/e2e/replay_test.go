package e2e

import (
	"context"
	"testing"
	"time"
)

// A hostile host of the segment has recorded what a node sent, and sends it again after the node
// has died. Other nodes take the addresses over as soon as without the attack.
func TestRecordedDatagramsDoNotDelayTakeover(t *testing.T) {
	installed(t)
	address := served(t)
	owner, err := bed.Settled(background(t), address)
	must(t, err)
	recording, err := bed.Record(background(t), owner.MAC, except(bed.Cluster.Nodes(), owner.Node)...)
	must(t, err)
	w := watching(t, address)
	t.Cleanup(func() {
		must(t, bed.Cluster.Start(background(t), owner.Node))
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	ctx, stop := context.WithCancel(background(t))
	replayed := make(chan error, 1)
	go func() {
		sent, err := bed.Replay(ctx, recording)
		t.Logf("sent %d recorded datagrams", sent)
		replayed <- err
	}()
	t.Cleanup(func() {
		stop()
		must(t, <-replayed)
	})
	killed := time.Now()
	must(t, bed.Cluster.Kill(owner.Node))
	takenOver(t, w, address, killed, owner.MAC, failover)
}
