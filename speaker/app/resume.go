package app

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// resumeAfter is how long the speaker waits for the API server before it works with its
// checkpoint.
const resumeAfter = 2 * time.Second

// resume works with the checkpoint until the API server answers. That there is no other speaker
// is knowledge too: the mesh of one that does not know waits until somebody reports it.
func resume(mesh *mesh.Mesh, engine *layer2.Engine, stored checkpoint.Content) {
	if stored.Peers != nil {
		mesh.Join(stored.Peers)
		engine.SetHosts(stored.Peers)
	}
	if len(stored.Snapshot.Addresses) > 0 {
		time.AfterFunc(resumeAfter, func() { engine.SetCheckpoint(stored.Snapshot) })
	}
}

// joining has the mesh join where the other speakers are, the engine know their nodes, and the
// checkpoint hold that.
func joining(store *checkpoint.Store, mesh *mesh.Mesh, engine *layer2.Engine) func(map[lb.NodeName]netip.Addr) {
	return func(peers map[lb.NodeName]netip.Addr) {
		store.SavePeers(peers)
		mesh.Join(peers)
		engine.SetHosts(peers)
	}
}
