package app

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// resumeDelay is how long the speaker waits for the API server before it uses its checkpoint.
const resumeDelay = 2 * time.Second

// resumeCheckpoint passes the checkpoint to the mesh and the engine, for use until the API server answers. An
// empty map of peers is passed too: it means that there is no other speaker. A nil map is not passed: the
// other speakers are unknown, and the mesh waits until the API server names them.
func resumeCheckpoint(mesh *mesh.Mesh, engine *layer2.Engine, stored checkpoint.Content) {
	if stored.Peers != nil {
		mesh.SetPeers(stored.Peers)
		engine.SetHosts(stored.Peers)
	}
	if len(stored.Snapshot.Addresses) > 0 {
		time.AfterFunc(resumeDelay, func() { engine.SetCheckpoint(stored.Snapshot) })
	}
}

// newPeersHandler returns a function that passes the addresses of the other speakers to the checkpoint, the mesh
// and the engine.
func newPeersHandler(store *checkpoint.Store, mesh *mesh.Mesh, engine *layer2.Engine) func(map[lb.NodeName]netip.Addr) {
	return func(peers map[lb.NodeName]netip.Addr) {
		store.SavePeers(peers)
		mesh.SetPeers(peers)
		engine.SetHosts(peers)
	}
}
