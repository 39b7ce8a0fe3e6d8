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
	// writeInterval is the shortest time between two writes of the state: changes of owners come in
	// groups.
	writeInterval = 500 * time.Millisecond
	// entriesWithoutPause is how many addresses a state can list before the time between two writes becomes
	// longer than writeInterval.
	entriesWithoutPause = 100
	// pausePerEntry is how much longer the time between two writes becomes with each further address. The cost
	// of a write grows with the length of the state: 333 addresses take the API server 20 ms of a processor.
	pausePerEntry = time.Millisecond
	// longestPause bounds the time between two writes, pausePerSlice not counted.
	longestPause = 10 * time.Second
	// pausePerSlice is how much longer the time between two writes becomes with each SpeakerRouteSlice that was
	// written: often many routes change, again and again.
	pausePerSlice = 50 * time.Millisecond
	// gatherDelay is how long a first change waits for further changes, so that all are written at once. One
	// change of the cluster can make all speakers write. Because of the delay, these writes do not slow down the
	// announcements on the network that the same change requires.
	gatherDelay = 200 * time.Millisecond
	// countsInterval is the shortest time between two writes if only the counts of routes differ.
	countsInterval = 5 * time.Second
	// checkInterval is how often the state is compared with the API server although nothing changed
	// here.
	checkInterval = time.Minute
	// readInterval is how often a speaker in a minority reads the condition that the controller sets
	// for it, apart from readIntervalPerSpeaker.
	readInterval = time.Second
	// readIntervalPerSpeaker is added to readInterval for each speaker that should be there. If a
	// large cluster is cut into halves, all its speakers together therefore read at most 100 times a
	// second.
	readIntervalPerSpeaker = 10 * time.Millisecond
)

// writeBackOff is the back-off after failed writes. It applies where it is longer than the pause between
// two writes.
var writeBackOff = backoff.Exponential{First: writeInterval, Last: 5 * time.Second}

// StateWriter writes the SpeakerState and the SpeakerRouteSlices of this node. It is the only writer of
// them, except for the conditions Current and Partitioned, which the controller sets. The engine never
// waits for it.
type StateWriter struct {
	// Reader reads Nodes, from the cache.
	Reader client.Reader
	// Client reads and writes the API server.
	Client client.Client
	// Self is this node.
	Self lb.NodeName
	Log  logr.Logger
	// Routing returns the state of the sessions with routers; nil: no such state is reported.
	Routing func() RoutingState
	// Checkpoint returns the error of the last write of the checkpoint. If Checkpoint or the error is nil, no
	// problem is reported. Call Nudge when the result changes.
	Checkpoint func() error
	// MeshKeys returns the IDs of the mesh keys that the speaker accepts, the newest first. Call Nudge
	// when the result changes. May be nil.
	MeshKeys func() []string
	// Partitioned is called each time a speaker in a minority has read its state. The argument since is the
	// start of the minority that, as the controller reports, is cut off from a larger group; zero: the
	// controller does not report that. May be nil.
	Partitioned func(since time.Time)

	started         metav1.Time           // when the speaker started
	predecessorRead bool                  // the last report of the previous speaker on this node was read
	left            bool                  // the speaker ends: Leave was called
	inMinority      bool                  // the speaker is in a minority, and reads the state often
	entries         int                   // number of addresses that the state listed last
	stored          *v1beta1.SpeakerState // the state as it was read or written last; nil: it has to be read again
	written         time.Time             // when this writer wrote the state last
	// lastRead is when a speaker in a minority read the state last.
	lastRead    time.Time
	countsTimer *time.Timer // fires when changed counts are to be written
	routes      routeSliceWriter

	mu     sync.Mutex
	latest *layer2.Report
	wake   chan struct{}
}

// NewStateWriter returns a writer for a node.
func NewStateWriter(reader client.Reader, c client.Client, self lb.NodeName, log logr.Logger) *StateWriter {
	return &StateWriter{Reader: reader, Client: c, Self: self, Log: log, started: truncateToSecond(time.Now()), wake: make(chan struct{}, 1), routes: routeSliceWriter{client: c, self: self}}
}

// SetReport sets the latest report of the engine, which Start writes soon. It does not block.
func (w *StateWriter) SetReport(r layer2.Report) {
	w.mu.Lock()
	w.latest = &r
	w.mu.Unlock()
	signal(w.wake)
}

// Nudge makes Start write the state soon. Call it when the result of Routing, Checkpoint or MeshKeys has
// changed.
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
			w.invalidate()
		case <-w.minorityReads():
		}
		if !sleepUnlessDone(ctx, gatherDelay) {
			return nil
		}
		if err := w.writeAll(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error(err, "writing this node's SpeakerState failed; trying again")
			signal(w.wake)
			failures++
		} else {
			failures = 0
		}
		if !sleepUnlessDone(ctx, max(w.pauseLength(), writeBackOff.Wait(failures))-gatherDelay) {
			return nil
		}
	}
}

// minorityReads returns a channel that fires when the speaker should read its state again; nil: the
// speaker is in no minority.
func (w *StateWriter) minorityReads() <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil || w.latest.MinoritySince.IsZero() {
		return nil
	}
	return time.After(minorityReadInterval(w.latest))
}

// minorityReadInterval returns the time between two reads of a speaker in a minority.
func minorityReadInterval(r *layer2.Report) time.Duration {
	return readInterval + time.Duration(r.Live+len(r.Missing))*readIntervalPerSpeaker
}

// sleepUnlessDone waits for the given time, and returns false if the context ends earlier.
func sleepUnlessDone(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// pauseLength returns the time to wait between two writes.
func (w *StateWriter) pauseLength() time.Duration {
	entries := max(0, w.entries-entriesWithoutPause)
	if w.inMinority {
		entries = 0 // the speaker must read its condition soon: until then two nodes may answer for an address
	}
	return min(longestPause, writeInterval+time.Duration(entries)*pausePerEntry) + time.Duration(w.routes.written)*pausePerSlice
}

// Leave writes the last state of a speaker that ends, since the next speaker may start late, or never. The
// parameter routing is the state from before the sessions ended. Call Leave after Start has returned.
func (w *StateWriter) Leave(ctx context.Context, routing RoutingState) error {
	left, stays := routing.stateAfterStop(time.Now())
	w.Routing = func() RoutingState { return left }
	w.routes.reported.noteChanges(routing.Changes)
	w.routes.reported.retainPeers(stays)
	w.left = true
	return w.writeAll(ctx)
}

// invalidate makes the next write first read the state from the API server, and compare it with the desired
// state.
func (w *StateWriter) invalidate() {
	w.stored = nil
	w.routes.invalidate()
}

func (w *StateWriter) writeAll(ctx context.Context) error {
	w.mu.Lock()
	latest := w.latest
	w.mu.Unlock()
	if latest == nil {
		return nil
	}
	if err := w.readPredecessor(ctx); err != nil {
		return err
	}
	var routing RoutingState
	if w.Routing != nil {
		routing = w.Routing()
	}
	if !w.left {
		w.routes.reported.noteChanges(routing.Changes)
	}
	// The state is written first: routes count only while the state reports that their sessions are up.
	state, err := w.writeIfChanged(ctx, *latest, routing)
	if apierrors.IsConflict(err) { // the controller has set its condition meanwhile
		state, err = w.writeIfChanged(ctx, *latest, routing)
	}
	if state == nil {
		return err
	}
	owner := state.OwnerReferences
	if !w.hasNodeOwner(owner) {
		var failed error
		if owner, failed = w.nodeOwner(ctx); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return errors.Join(err, w.routes.writeSlices(ctx, owner))
}

// hasNodeOwner reports whether the only owner in a list is the Node of this speaker. A SpeakerState that was
// restored from a backup, for example, may have other owners.
func (w *StateWriter) hasNodeOwner(list []metav1.OwnerReference) bool {
	return len(list) == 1 && list[0].APIVersion == "v1" && list[0].Kind == "Node" && list[0].Name == string(w.Self)
}

// nodeOwner returns the Node as the owner of the objects that this speaker writes, so that they are
// deleted with the Node.
func (w *StateWriter) nodeOwner(ctx context.Context) ([]metav1.OwnerReference, error) {
	node := &corev1.Node{}
	if err := w.Reader.Get(ctx, client.ObjectKey{Name: string(w.Self)}, node); err != nil {
		return nil, fmt.Errorf("reading the Node %s: %w", w.Self, err)
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}, nil
}

// writeIfChanged writes the state if it has changed. It returns the state as it was read; nil: reading
// failed.
func (w *StateWriter) writeIfChanged(ctx context.Context, latest layer2.Report, routing RoutingState) (*v1beta1.SpeakerState, error) {
	w.inMinority = !latest.MinoritySince.IsZero()
	if w.inMinority && time.Since(w.lastRead) >= minorityReadInterval(&latest) {
		w.stored = nil
	}
	fresh := w.stored == nil
	state, err := w.readState(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the SpeakerState %s: %w", w.Self, err)
	}
	if fresh && w.Partitioned != nil && w.inMinority {
		w.lastRead = time.Now()
		w.Partitioned(partitionedSince(state))
	}
	next := desiredStatus(state, latest, routing, w.checkpointProblem())
	next.StartedAt = &w.started
	return state, w.writeState(ctx, state, next)
}

// partitionedSince returns the start of the minority that, as the controller reports, is cut off from a
// larger group; zero: the controller does not report that. The controller sets the transition time of the
// condition to this start (status.minoritySince).
func partitionedSince(state *v1beta1.SpeakerState) time.Time {
	c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionPartitioned)
	if c == nil || c.Status != metav1.ConditionTrue {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

func (w *StateWriter) checkpointProblem() error {
	if w.Checkpoint == nil {
		return nil
	}
	return w.Checkpoint()
}

// writeState writes the state if it differs from the state on the API server.
func (w *StateWriter) writeState(ctx context.Context, state *v1beta1.SpeakerState, want v1beta1.SpeakerStateStatus) error {
	want.RouteCount = int32(w.routes.reported.countPrefixes())
	if w.MeshKeys != nil {
		want.MeshKeys = w.MeshKeys()
	}
	w.entries = len(want.Addresses)
	if w.left {
		setStopped(&want)
	}
	if equality.Semantic.DeepEqual(state.Status, want) {
		return nil
	}
	if left := countsInterval - time.Since(w.written); left > 0 && !w.left && equality.Semantic.DeepEqual(withoutCounts(&state.Status), withoutCounts(&want)) {
		w.nudgeAfter(left)
		return nil
	}
	next := state.DeepCopy()
	next.Status = want
	if err := w.Client.Status().Update(ctx, next); err != nil {
		w.invalidate() // the API server may have another version than w.stored
		return fmt.Errorf("updating the status of the SpeakerState %s: %w", w.Self, err)
	}
	w.stored, w.written = next, time.Now()
	return nil
}

// nudgeAfter makes Start write the state after the given time.
func (w *StateWriter) nudgeAfter(after time.Duration) {
	if w.countsTimer != nil {
		w.countsTimer.Stop()
	}
	w.countsTimer = time.AfterFunc(after, w.Nudge)
}

// withoutCounts returns a status without the numbers of routes.
func withoutCounts(s *v1beta1.SpeakerStateStatus) *v1beta1.SpeakerStateStatus {
	s = s.DeepCopy()
	s.RouteCount = 0
	for i := range s.BGPPeers {
		s.BGPPeers[i].Prefixes = 0
	}
	return s
}

// readState returns the state as the API server has it, and creates it if it does not exist.
func (w *StateWriter) readState(ctx context.Context) (*v1beta1.SpeakerState, error) {
	if w.stored != nil {
		return w.stored, nil
	}
	state := &v1beta1.SpeakerState{}
	err := w.Client.Get(ctx, client.ObjectKey{Name: string(w.Self)}, state)
	if apierrors.IsNotFound(err) {
		state, err = w.createState(ctx)
	}
	if err != nil {
		return nil, err
	}
	w.stored = state
	return state, nil
}

func (w *StateWriter) createState(ctx context.Context) (*v1beta1.SpeakerState, error) {
	owner, err := w.nodeOwner(ctx)
	if err != nil {
		return nil, err
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: string(w.Self), OwnerReferences: owner}}
	if err := w.Client.Create(ctx, state); err != nil {
		return nil, fmt.Errorf("the object does not exist, and creating it failed: %w", err)
	}
	return state, nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
