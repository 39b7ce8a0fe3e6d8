package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/reports"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

// predecessorReport is what the previous speaker on this node, the predecessor, reported when it was stopped:
// the routes that routers retain by graceful restart (RFC 4724). It is empty if the predecessor was killed:
// then it is unknown when it ended, and whether routers still have its routes.
type predecessorReport struct {
	ended  map[bgp.PeerName]time.Time // when the session of a peer ended
	routes map[netip.Prefix]reports.Route
}

// readPredecessor reads, once, the last report of the previous speaker on this node. It must be called before
// this speaker overwrites the report.
func (w *StateWriter) readPredecessor(ctx context.Context) error {
	if w.predecessorRead {
		return nil
	}
	state, err := w.readState(ctx)
	if err != nil {
		return fmt.Errorf("reading the SpeakerState %s: %w", w.Self, err)
	}
	if state.Status.Phase == v1beta1.SpeakerStopped {
		if w.routes.reported.before, err = w.routes.readPredecessor(ctx, state); err != nil {
			return err
		}
	}
	w.predecessorRead = true
	return nil
}

func (s *routeSliceWriter) readPredecessor(ctx context.Context, state *v1beta1.SpeakerState) (p predecessorReport, err error) {
	var list v1beta1.SpeakerRouteSliceList
	if err := s.client.List(ctx, &list, client.MatchingFields{"node": string(s.self)}); err != nil {
		return p, fmt.Errorf("listing the SpeakerRouteSlices of %s: %w", s.self, err)
	}
	p = predecessorReport{ended: map[bgp.PeerName]time.Time{}, routes: map[netip.Prefix]reports.Route{}}
	for i := range state.Status.BGPPeers {
		p.ended[bgp.PeerName(state.Status.BGPPeers[i].Name)] = state.Status.BGPPeers[i].Since.Time
	}
	for i := range list.Items {
		_, routes := apiconv.SpeakerRoutes(&list.Items[i])
		for _, r := range routes {
			p.routes[r.Prefix] = r
		}
	}
	return p, nil
}

// resumeTimes is called with the changes of each peer, and has an effect only for the first session of the
// peer. If the router has retained routes of the predecessor, resumeTimes sets the times of these routes to
// the times at which the predecessor announced them.
func (t *reportedRoutes) resumeTimes(peer bgp.PeerName, n speakerbgp.RouteChanges) {
	ended, is := t.before.ended[peer]
	if !is || !n.Whole || n.Since.IsZero() {
		return
	}
	delete(t.before.ended, peer)
	if n.Since.Sub(ended) <= n.RestartTime {
		for _, prefix := range n.Announced {
			before, listed := t.before.routes[prefix]
			if listed && slices.Contains(before.Peers, peer) && !before.Since.IsZero() && before.Since.Before(t.since[prefix]) {
				t.since[prefix] = before.Since
				t.dirty[t.place[prefix]] = true
			}
		}
	}
	if len(t.before.ended) == 0 {
		t.before = predecessorReport{}
	}
}
