package main

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// respond starts what answers ARP and NDP for the engine.
func respond(ctx context.Context, log logr.Logger, engine *speaker.Engine, peers *mesh.Mesh) *layer2.Responder {
	return layer2.New(ctx, log, layer2.Options{
		ARP: layer2.ListenARP, NDP: layer2.ListenNDP, Metrics: layer2.NewMetrics(metrics.Registry),
		MayAnswer: peers.MayAnswer, Conflicts: engine.SetConflicts, Unserved: engine.SetUnserved,
		Segment: engine.SetSegment, Witnesses: links.Witnesses, Rival: engine.AddRival, Announced: engine.AddAnnounced,
		KernelOf: engine.KernelOf, ProxyBinds: links.ProxyBinds,
	})
}
