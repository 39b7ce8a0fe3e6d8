package app

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// startResponder starts the responder, which answers ARP and NDP for the engine.
func startResponder(ctx context.Context, log logr.Logger, engine *layer2.Engine, peers *mesh.Mesh) *responder.Responder {
	return responder.New(ctx, log, responder.Options{
		ARP: responder.ListenARP, NDP: responder.ListenNDP, Metrics: responder.NewMetrics(metrics.Registry),
		MayAnswer: peers.MayAnswer, Conflicts: engine.SetConflicts, Unserved: engine.SetUnserved,
		Segment: engine.SetSegment, Witnesses: links.Witnesses, Rival: engine.AddRival, Announced: engine.AddAnnounced,
		AnswerSource: engine.AnswerSource, ProxyBinds: links.ProxyBinds,
	})
}
