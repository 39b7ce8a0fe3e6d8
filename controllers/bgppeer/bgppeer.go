// Package bgppeer writes the status of BGPPeers: whether the spec is valid and in effect on the nodes, and
// the state of the sessions with the router, as speakers report it. It is the only writer of that status.
package bgppeer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/validity"
)

const (
	// connectTimeout is how long a peer may be without an established session before it counts as down. The
	// replacement of a single speaker takes less time.
	connectTimeout = 3 * time.Second
	// flapTimeout is the corresponding time for a peer whose sessions are flapping.
	flapTimeout = time.Minute
)

// Reconciler writes the status of all BGPPeers.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Namespace is the namespace of the components, where the Secrets with passwords are.
	Namespace string
	// Events records events on peers.
	Events events.EventRecorder
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	// restoreLimiter delays the writes that restore a status which another writer overwrites.
	restoreLimiter retry.RestoreLimiter[types.UID]
	// downSince has, by the name of the peer, the time since which this reconciler has found no established
	// session.
	downSince map[string]time.Time
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Reconcile reports on all peers at once.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1beta1.BGPPeerList
	if err := r.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the BGPPeers: %w", err)
	}
	if len(list.Items) == 0 {
		r.downSince = nil
		return reconcile.Result{}, nil
	}
	around, err := r.gatherState(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	var failed []error
	var again time.Duration
	down, exist := map[string]time.Time{}, map[types.UID]bool{}
	for i := range list.Items {
		object := &list.Items[i]
		f := around.factsOf(object)
		if f.countEstablished() == 0 && len(f.nodes) > 0 {
			since, known := r.downSince[object.Name]
			if !known {
				since = r.now()
			}
			down[object.Name] = since
			f.down = r.now().Sub(since)
			again = backoff.ShorterWait(again, f.untilNextReason())
		}
		exist[object.UID] = true
		wait, err := r.writeStatus(ctx, object, f)
		if err != nil {
			failed = append(failed, fmt.Errorf("writing the status of the BGPPeer %s: %w", object.Name, err))
		}
		again = backoff.ShorterWait(again, wait)
	}
	r.downSince = down
	r.restoreLimiter.Retain(func(uid types.UID) bool { return exist[uid] })
	return reconcile.Result{RequeueAfter: again}, errors.Join(failed...)
}

// clusterState has the facts that the status of every peer depends on.
type clusterState struct {
	nodes    []eligibility.Node
	speakers map[lb.NodeName]reports.Report
	silent   map[lb.NodeName]bool // speakers from which no other speaker receives anything
	left     map[lb.NodeName]bool // speakers that were stopped, and that no running speaker reports as missing
	profiles map[string]*v1beta1.BFDProfile
	// namespace is the namespace of the Secrets in the field secrets.
	namespace string
	secrets   map[string]*corev1.Secret
}

func (r *Reconciler) gatherState(ctx context.Context) (clusterState, error) {
	s := clusterState{namespace: r.Namespace, speakers: map[lb.NodeName]reports.Report{}, profiles: map[string]*v1beta1.BFDProfile{}, secrets: map[string]*corev1.Secret{}}
	var states v1beta1.SpeakerStateList
	var profiles v1beta1.BFDProfileList
	for _, list := range []client.ObjectList{&states, &profiles} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return s, fmt.Errorf("listing the SpeakerStates and the BFDProfiles: %w", err)
		}
	}
	var err error
	if s.nodes, err = config.ReadNodes(ctx, r.Client); err != nil {
		return s, err
	}
	for i := range states.Items {
		report := apiconv.SpeakerReport(&states.Items[i])
		s.speakers[report.Node] = report
	}
	s.silent, s.left = reports.SilentNodes(s.speakers), reports.NodesWithoutSpeaker(s.speakers)
	for i := range profiles.Items {
		s.profiles[profiles.Items[i].Name] = &profiles.Items[i]
	}
	var secrets corev1.SecretList
	if err := r.Client.List(ctx, &secrets, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return s, fmt.Errorf("listing the Secrets of the namespace %s: %w", r.Namespace, err)
	}
	for i := range secrets.Items {
		s.secrets[secrets.Items[i].Name] = &secrets.Items[i]
	}
	return s, nil
}

// factsOf returns the facts about a peer. A selected node counts only if its speaker has reported. If the
// speaker was stopped, the node counts only while a running speaker reports it as missing: otherwise the node
// may no longer be one that should have a speaker. A node that may not announce counts only while it has a
// session. If the peer is invalid, the nodes with a session count as selected, since sessions continue with
// the last valid configuration.
func (s clusterState) factsOf(object *v1beta1.BGPPeer) peerFacts {
	f := peerFacts{all: len(s.nodes)}
	if f.peer, f.wrong = apiconv.ParseBGPPeer(object); f.wrong == nil {
		f.profile, f.secret = validity.CheckBFDProfile(&f.peer, s.profiles), secretResult(&f.peer, s.namespace, s.secrets)
	}
	for _, n := range s.nodes {
		report, reported := s.speakers[n.Name]
		session, has := findSession(report, object.Name)
		if f.wrong != nil && !has || f.wrong == nil && !f.peer.SelectsNode(n.Labels) {
			continue
		}
		f.selected++
		if session.Problem.Reason == bgp.DuplicatePeer && !n.Down && !s.silent[n.Name] {
			f.duplicates = append(f.duplicates, peerNode{name: n.Name, session: session, reported: true})
			continue
		}
		if reported && !s.left[n.Name] && (has || n.Excluded == "") {
			f.nodes = append(f.nodes, peerNode{name: n.Name, down: n.Down, silent: s.silent[n.Name], session: session, reported: has})
		}
	}
	slices.SortFunc(f.nodes, compareNames)
	slices.SortFunc(f.duplicates, compareNames)
	return f
}

func findSession(report reports.Report, peer string) (reports.Session, bool) {
	for _, s := range report.Sessions {
		if string(s.Peer) == peer {
			return s, true
		}
	}
	return reports.Session{}, false
}

// writeStatus writes the status of a peer, and sends events about what changed. If another writer undoes the
// write again and again, writeStatus does not write, and returns how long to wait before the next attempt.
func (r *Reconciler) writeStatus(ctx context.Context, before *v1beta1.BGPPeer, f peerFacts) (wait time.Duration, err error) {
	now := before.DeepCopy()
	ready, established := config.ReadyCondition(f.readyResult(), now.Generation), f.establishedCondition(now.Generation)
	now.Status.ObservedGeneration = now.Generation
	now.Status.Nodes, now.Status.Established = int32(len(f.nodes)), f.countEstablished()
	meta.SetStatusCondition(&now.Status.Conditions, ready)
	meta.SetStatusCondition(&now.Status.Conditions, established)
	same, wanted := equality.Semantic.DeepEqual(before.Status, now.Status), fmt.Sprint(ready, established, now.Status.Nodes, now.Status.Established)
	if undone := r.restoreLimiter.Compare(now.UID, wanted, same, r.now()); same || undone.Wait > 0 {
		return undone.Wait, nil
	}
	if err := r.Client.Status().Patch(ctx, now, client.MergeFrom(before)); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.restoreLimiter.NoteWrite(now.UID, wanted)
	if config.IsWorthEvent(meta.FindStatusCondition(before.Status.Conditions, ready.Type), ready) {
		r.Events.Eventf(before, nil, config.EventType(ready), ready.Reason, "CheckPeer", "%s", bounded.Note(ready.Message))
	}
	if reason := eventReason(before.Status, now.Status); reason != "" {
		r.Events.Eventf(before, nil, config.EventType(established), reason, "Connect", "%s", bounded.Note(established.Message))
	}
	return 0, nil
}

// eventReason returns the reason of the event about the sessions; empty: there is no event. Sessions that are
// not established yet, or that a node should no longer have, cause no event. When sessions begin to flap, one
// event follows. While they flap, a session that ends causes no event.
func eventReason(before, now v1beta1.BGPPeerStatus) string {
	was, is := v1beta1.ReasonNoNodes, v1beta1.ReasonNoNodes
	if c := meta.FindStatusCondition(before.Conditions, v1beta1.ConditionEstablished); c != nil {
		was = c.Reason
	}
	if c := meta.FindStatusCondition(now.Conditions, v1beta1.ConditionEstablished); c != nil {
		is = c.Reason
	}
	switch {
	case is == v1beta1.ReasonFlapping && was != is:
		return v1beta1.ReasonFlapping
	case is == v1beta1.ReasonAllEstablished && was != is:
		return v1beta1.ReasonEstablished
	case is == v1beta1.ReasonFlapping:
		return ""
	case now.Established < before.Established && now.Nodes-now.Established > before.Nodes-before.Established:
		return v1beta1.ReasonSessionLost
	}
	return ""
}
