// Package bgppeer says of each BGPPeer whether it means something, and how the sessions
// with the router are. It is the only writer of its status.
package bgppeer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/scope"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// patience is how long a speaker may take to begin a session before that is a fault.
const patience = 10 * time.Second

// Reconciler writes the status of all BGPPeers.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events tells what changed, on the peer.
	Events events.EventRecorder
	// Now is the clock, if it is not the real one.
	Now func() time.Time

	// silent says since when speakers have known no session with a peer.
	silent map[string]time.Time
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Reconcile looks at all peers together.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1beta1.BGPPeerList
	if err := r.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the BGPPeers: %w", err)
	}
	if len(list.Items) == 0 {
		r.silent = nil
		return reconcile.Result{}, nil
	}
	around, err := r.gather(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	var failed []error
	var again time.Duration
	silent := map[string]time.Time{}
	for i := range list.Items {
		object := &list.Items[i]
		f := around.of(object)
		late := false
		if len(f.silent()) > 0 {
			since, known := r.silent[object.Name]
			if !known {
				since = r.now()
			}
			silent[object.Name] = since
			if left := patience - r.now().Sub(since); left > 0 {
				again = max(again, left)
			} else {
				late = true
			}
		}
		if err := r.report(ctx, object, f, late); err != nil {
			failed = append(failed, fmt.Errorf("writing the status of the BGPPeer %s: %w", object.Name, err))
		}
	}
	r.silent = silent
	return reconcile.Result{RequeueAfter: again}, errors.Join(failed...)
}

// surroundings are what decides about all peers.
type surroundings struct {
	nodes    []advertise.Node
	speakers map[lb.NodeName]reports.Report
	silent   map[lb.NodeName]bool // speakers that nobody hears
	left     map[lb.NodeName]bool // speakers that were stopped, and nobody misses
	profiles map[string]*v1beta1.BFDProfile
}

func (r *Reconciler) gather(ctx context.Context) (surroundings, error) {
	s := surroundings{speakers: map[lb.NodeName]reports.Report{}, profiles: map[string]*v1beta1.BFDProfile{}}
	var states v1beta1.SpeakerStateList
	var profiles v1beta1.BFDProfileList
	for _, list := range []client.ObjectList{&states, &profiles} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return s, fmt.Errorf("listing what BGPPeers depend on: %w", err)
		}
	}
	var err error
	if s.nodes, err = scope.Nodes(ctx, r.Client); err != nil {
		return s, err
	}
	for i := range states.Items {
		report := apiconv.SpeakerReport(&states.Items[i])
		s.speakers[report.Node] = report
	}
	s.silent, s.left = reports.Silent(s.speakers), reports.Left(s.speakers)
	for i := range profiles.Items {
		s.profiles[profiles.Items[i].Name] = &profiles.Items[i]
	}
	return s, nil
}

// of returns what is known of a peer. A node without a report, or whose speaker was stopped
// and is missed by nobody, does not count: none may be meant to run there. Neither does one
// that may not announce, if it has no session. Of a peer that means nothing only those nodes
// are known that have a session, which stayed as it was.
func (s surroundings) of(object *v1beta1.BGPPeer) facts {
	f := facts{all: len(s.nodes)}
	if f.peer, f.wrong = apiconv.ParseBGPPeer(object); f.wrong == nil {
		f.profile = profile(&f.peer, s.profiles)
	}
	for _, n := range s.nodes {
		report, reports := s.speakers[n.Name]
		session, told := sessionWith(report, object.Name)
		if f.wrong != nil && !told || f.wrong == nil && !f.peer.OnNode(n.Labels) {
			continue
		}
		f.selected++
		if reports && !s.left[n.Name] && (told || n.Excluded == "") {
			f.nodes = append(f.nodes, node{name: n.Name, down: n.Down, unheard: s.silent[n.Name], session: session, told: told})
		}
	}
	slices.SortFunc(f.nodes, byName)
	return f
}

func sessionWith(report reports.Report, peer string) (reports.Session, bool) {
	for _, s := range report.Sessions {
		if string(s.Peer) == peer {
			return s, true
		}
	}
	return reports.Session{}, false
}

// report brings the status to what it should be, and tells what changed.
func (r *Reconciler) report(ctx context.Context, before *v1beta1.BGPPeer, f facts, late bool) error {
	now := before.DeepCopy()
	ready, established := validity.Ready(f.ready(late), now.Generation), f.established(now.Generation)
	now.Status.ObservedGeneration = now.Generation
	now.Status.Nodes, now.Status.Established = int32(len(f.nodes)), f.up()
	meta.SetStatusCondition(&now.Status.Conditions, ready)
	meta.SetStatusCondition(&now.Status.Conditions, established)
	if equality.Semantic.DeepEqual(before.Status, now.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, now, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	if validity.WorthAnEvent(meta.FindStatusCondition(before.Status.Conditions, ready.Type), ready) {
		r.Events.Eventf(before, nil, validity.EventType(ready), ready.Reason, "CheckPeer", "%s", bounded.Note(ready.Message))
	}
	if reason := news(before.Status, now.Status); reason != "" {
		r.Events.Eventf(before, nil, validity.EventType(established), reason, "Connect", "%s", bounded.Note(established.Message))
	}
	return nil
}

// news returns the reason of the event that tells of the sessions; empty: there is
// none to tell. That they are not up yet, or not wanted any more, is none.
func news(before, now v1beta1.BGPPeerStatus) string {
	was := meta.IsStatusConditionTrue(before.Conditions, v1beta1.ConditionEstablished)
	switch is := meta.IsStatusConditionTrue(now.Conditions, v1beta1.ConditionEstablished); {
	case is && !was:
		return v1beta1.ReasonEstablished
	case now.Established < before.Established && now.Nodes-now.Established > before.Nodes-before.Established:
		return v1beta1.ReasonSessionLost
	}
	return ""
}
