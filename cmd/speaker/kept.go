package main

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/keep"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// keptAfter is how long the cluster is waited for before what the node kept is used.
const keptAfter = 2 * time.Second

// useKept works with what the node kept until the cluster is heard.
func useKept(mesh *mesh.Mesh, engine *speaker.Engine, kept keep.Content) {
	if len(kept.Peers) > 0 {
		mesh.Join(kept.Peers)
		engine.SetHosts(kept.Peers)
	}
	if len(kept.Snapshot.Addresses) > 0 {
		time.AfterFunc(keptAfter, func() { engine.SetKept(kept.Snapshot) })
	}
}

// joining has the mesh join where the other speakers are, the engine know their nodes, and the
// node keep that.
func joining(store *keep.Store, mesh *mesh.Mesh, engine *speaker.Engine) func(map[lb.NodeName]netip.Addr) {
	return func(peers map[lb.NodeName]netip.Addr) {
		store.KeepPeers(peers)
		mesh.Join(peers)
		engine.SetHosts(peers)
	}
}
