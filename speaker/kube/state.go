package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// writeInterval bounds how often the state is written: moves come in
	// groups, and the API server has more to do. A write costs as much as the state is
	// long, so that one that lists more than freeEntries addresses waits perEntry longer for
	// each, up to longestPause: however many there are, all writes together cost the API server about the
	// same (a write of 333 addresses takes it 20 ms of a processor).
	writeInterval = 500 * time.Millisecond
	// gathering is how long changes are gathered before they are written after a quiet time: the
	// network is informed first, and what all speakers of a cluster report of one change, which
	// goes on for some milliseconds, costs one write each and does not compete with it.
	gathering   = 200 * time.Millisecond
	freeEntries = 100
	perEntry    = 2 * time.Millisecond
	// longestPause is how long many addresses make it wait at most.
	longestPause = 10 * time.Second
	// perWrite is how much longer it waits for each SpeakerRouteSlice that was written:
	// routes that come in great number change many, again and again.
	perWrite = 50 * time.Millisecond
	// countsAfter is how old a state may be of which only the counts of routes are others now.
	countsAfter = 5 * time.Second
	// checkInterval is how often the state is compared with what stands in
	// the cluster although nothing was reported.
	checkInterval = time.Minute
	// readInterval is how often a speaker in a minority reads what the controller reports of
	// it, and readPerSpeaker how much longer for each speaker that should be there: the
	// speakers of a large cluster that is cut into halves read no more often, all together.
	readInterval   = time.Second
	readPerSpeaker = 10 * time.Millisecond
)

// writeAgain is how long a failing write waits for the next attempt, if that is longer than
// the pause between two writes.
var writeAgain = backoff.Exponential{First: writeInterval, Last: 5 * time.Second}

// StateWriter writes this node's SpeakerState and SpeakerRouteSlices; it is the only writer
// of them, but for the conditions Current and Partitioned, which are the controller's. The engine never waits
// for it.
type StateWriter struct {
	// Reader reads Nodes, from the cache.
	Reader client.Reader
	// Client reads and writes the API server.
	Client client.Client
	// Self is this node.
	Self lb.NodeName
	Log  logr.Logger
	// Routing returns the state of sessions with routers; nil: nothing.
	Routing func() Routing
	// Checkpoint is why the node's checkpoint cannot be written; nil, or a nil error: it
	// can. Call Nudge when the answer changes.
	Checkpoint func() error
	// MeshKeys are the IDs of the keys of the mesh that the speaker accepts, the newest first.
	// Call Nudge when the answer changes. May be nil.
	MeshKeys func() []string
	// Partitioned takes, each time that the state was read while the speaker is in a minority,
	// since when that minority lasts which the controller reports to be cut from a larger
	// group; zero: it reports of none. May be nil.
	Partitioned func(since time.Time)

	started metav1.Time           // when the speaker started
	met     bool                  // what the speaker before this one reported was read
	left    bool                  // the speaker ends
	entries int                   // that the state listed last
	there   *v1beta1.SpeakerState // as the API server has it, as it was read or written last; nil: nobody has looked
	written time.Time             // when that was, if by this one
	// lastRead is when a speaker in a minority read the state last.
	lastRead    time.Time
	countsTimer *time.Timer // counts are to be written
	routes      routeSlices

	mu     sync.Mutex
	latest *layer2.Report
	wake   chan struct{}
}

// NewStateWriter returns a writer for a node.
func NewStateWriter(reader client.Reader, c client.Client, self lb.NodeName, log logr.Logger) *StateWriter {
	return &StateWriter{Reader: reader, Client: c, Self: self, Log: log, started: second(time.Now()), wake: make(chan struct{}, 1), routes: routeSlices{client: c, self: self}}
}

// Report takes what is to be written, soon.
func (w *StateWriter) Report(r layer2.Report) {
	w.mu.Lock()
	w.latest = &r
	w.mu.Unlock()
	signal(w.wake)
}

// Nudge has the state written soon: what Routing returns has changed.
func (w *StateWriter) Nudge() { signal(w.wake) }

// Start writes until the context ends. It implements manager.Runnable.
func (w *StateWriter) Start(ctx context.Context) error {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-check.C:
			w.look()
		case <-w.minorityReads():
		}
		if !passes(ctx, gathering) {
			return nil
		}
		if err := w.write(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error(err, "writing this node's SpeakerState; trying again")
			signal(w.wake)
			failures++
		} else {
			failures = 0
		}
		if !passes(ctx, max(w.pause(), writeAgain.After(failures))-gathering) {
			return nil
		}
	}
}

// minorityReads fires when a speaker in a minority reads its state again; nil: it is in none.
func (w *StateWriter) minorityReads() <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil || w.latest.MinoritySince.IsZero() {
		return nil
	}
	return time.After(readPause(w.latest))
}

// readPause is the time from one read of a speaker in a minority to the next.
func readPause(r *layer2.Report) time.Duration {
	return readInterval + time.Duration(r.Live+len(r.Missing))*readPerSpeaker
}

// passes reports whether the context goes on for so long.
func passes(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// pause is how long to wait from one write to the next.
func (w *StateWriter) pause() time.Duration {
	return min(longestPause, writeInterval+time.Duration(max(0, w.entries-freeEntries))*perEntry) + time.Duration(w.routes.written)*perWrite
}

// Leave writes the last state of a speaker that ends, given what it did with routers: the
// next one may not come soon, or at all. Call it after Start has returned.
func (w *StateWriter) Leave(ctx context.Context, routing Routing) error {
	left, stays := routing.parted(time.Now())
	w.Routing = func() Routing { return left }
	w.routes.reported.note(routing.Changes)
	w.routes.reported.retain(stays)
	w.left = true
	return w.write(ctx)
}

// look has what is written next compared with what the API server has.
func (w *StateWriter) look() {
	w.there = nil
	w.routes.look()
}

func (w *StateWriter) write(ctx context.Context) error {
	w.mu.Lock()
	latest := w.latest
	w.mu.Unlock()
	if latest == nil {
		return nil
	}
	if err := w.meet(ctx); err != nil {
		return err
	}
	var routing Routing
	if w.Routing != nil {
		routing = w.Routing()
	}
	if !w.left {
		w.routes.reported.note(routing.Changes)
	}
	// The state goes first: what routers have counts only while it reports that sessions are up.
	state, err := w.reconcile(ctx, *latest, routing)
	if apierrors.IsConflict(err) { // the controller has set its condition meanwhile
		state, err = w.reconcile(ctx, *latest, routing)
	}
	if state == nil {
		return err
	}
	owner := state.OwnerReferences
	if !w.isOwner(owner) {
		var failed error
		if owner, failed = w.owner(ctx); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return errors.Join(err, w.routes.write(ctx, owner))
}

// isOwner reports whether these are the owners of what this speaker writes: the state of
// another writer, such as a restored one, may have others.
func (w *StateWriter) isOwner(list []metav1.OwnerReference) bool {
	return len(list) == 1 && list[0].APIVersion == "v1" && list[0].Kind == "Node" && list[0].Name == string(w.Self)
}

// owner returns the Node as the owner of what this speaker writes: they go together.
func (w *StateWriter) owner(ctx context.Context) ([]metav1.OwnerReference, error) {
	node := &corev1.Node{}
	if err := w.Reader.Get(ctx, client.ObjectKey{Name: string(w.Self)}, node); err != nil {
		return nil, fmt.Errorf("reading the Node %s: %w", w.Self, err)
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}, nil
}

// reconcile brings the state to what it should be, and returns it as it was read, nil if it was not.
func (w *StateWriter) reconcile(ctx context.Context, latest layer2.Report, routing Routing) (*v1beta1.SpeakerState, error) {
	inMinority := !latest.MinoritySince.IsZero()
	if inMinority && time.Since(w.lastRead) >= readPause(&latest) {
		w.there = nil
	}
	fresh := w.there == nil
	state, err := w.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the SpeakerState %s: %w", w.Self, err)
	}
	if fresh && w.Partitioned != nil && inMinority {
		w.lastRead = time.Now()
		w.Partitioned(partitionedSince(state))
	}
	next := status(state, latest, routing, w.checkpoint())
	next.StartedAt = &w.started
	return state, w.writeState(ctx, state, next)
}

// partitionedSince returns since when the minority lasts that the controller reports to be cut
// from a larger group; zero: it reports of none.
func partitionedSince(state *v1beta1.SpeakerState) time.Time {
	c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionPartitioned)
	if c == nil || c.Status != metav1.ConditionTrue {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

func (w *StateWriter) checkpoint() error {
	if w.Checkpoint == nil {
		return nil
	}
	return w.Checkpoint()
}

// writeState writes the state, if it is to be another one.
func (w *StateWriter) writeState(ctx context.Context, state *v1beta1.SpeakerState, want v1beta1.SpeakerStateStatus) error {
	want.RouteCount = int32(w.routes.reported.count())
	if w.MeshKeys != nil {
		want.MeshKeys = w.MeshKeys()
	}
	w.entries = len(want.Addresses)
	if w.left {
		stop(&want)
	}
	if equality.Semantic.DeepEqual(state.Status, want) {
		return nil
	}
	if left := countsAfter - time.Since(w.written); left > 0 && !w.left && equality.Semantic.DeepEqual(countless(&state.Status), countless(&want)) {
		w.nudgeAfter(left)
		return nil
	}
	next := state.DeepCopy()
	next.Status = want
	if err := w.Client.Status().Update(ctx, next); err != nil {
		w.look() // what is there is another than was thought
		return fmt.Errorf("updating the status of the SpeakerState %s: %w", w.Self, err)
	}
	w.there, w.written = next, time.Now()
	return nil
}

// nudgeAfter writes again after a time.
func (w *StateWriter) nudgeAfter(after time.Duration) {
	if w.countsTimer != nil {
		w.countsTimer.Stop()
	}
	w.countsTimer = time.AfterFunc(after, w.Nudge)
}

// countless is a status without how many routes there are, which are listed elsewhere.
func countless(s *v1beta1.SpeakerStateStatus) *v1beta1.SpeakerStateStatus {
	s = s.DeepCopy()
	s.RouteCount = 0
	for i := range s.BGPPeers {
		s.BGPPeers[i].Prefixes = 0
	}
	return s
}

// read returns the state as the API server has it.
func (w *StateWriter) read(ctx context.Context) (*v1beta1.SpeakerState, error) {
	if w.there != nil {
		return w.there, nil
	}
	state := &v1beta1.SpeakerState{}
	err := w.Client.Get(ctx, client.ObjectKey{Name: string(w.Self)}, state)
	if apierrors.IsNotFound(err) {
		state, err = w.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	w.there = state
	return state, nil
}

func (w *StateWriter) create(ctx context.Context) (*v1beta1.SpeakerState, error) {
	owner, err := w.owner(ctx)
	if err != nil {
		return nil, err
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: string(w.Self), OwnerReferences: owner}}
	if err := w.Client.Create(ctx, state); err != nil {
		return nil, fmt.Errorf("creating it: %w", err)
	}
	return state, nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
