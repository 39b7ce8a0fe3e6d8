package main

import (
	"time"

	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/keep"
	"github.com/lbstack/lbstack/speaker/membership"
)

// keptAfter is how long the cluster is waited for before what the node kept is used.
const keptAfter = 2 * time.Second

// useKept works with what the node kept until the cluster is heard.
func useKept(mesh *membership.Mesh, engine *speaker.Engine, kept keep.Content) {
	if len(kept.Peers) > 0 {
		mesh.Join(kept.Peers)
	}
	if len(kept.Snapshot.Addresses) > 0 {
		time.AfterFunc(keptAfter, func() { engine.SetKept(kept.Snapshot) })
	}
}
