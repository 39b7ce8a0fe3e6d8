package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

const (
	// writeInterval bounds how often the state is written: moves come in
	// groups, and the API server has more to do. A write costs as much as the state is
	// long, so that one that lists more than freeEntries waits perEntry longer for each:
	// however many there are, all writes together cost the same.
	writeInterval = 500 * time.Millisecond
	freeEntries   = 500
	perEntry      = time.Millisecond
	// maxWait bounds how long a failing write waits for the next attempt; the
	// wait doubles from writeInterval.
	maxWait = 5 * time.Second
	// checkInterval is how often the state is compared with what stands in
	// the cluster although nothing was reported.
	checkInterval = time.Minute
)

// StateWriter writes this node's SpeakerState; it is the only writer of it. The
// engine never waits for it.
type StateWriter struct {
	// Reader reads Nodes, from the cache.
	Reader client.Reader
	// Client reads and writes the API server.
	Client client.Client
	// Self is this node.
	Self lb.NodeName
	Log  logr.Logger
	// Routing says what is done with routers; nil: nothing.
	Routing func() Routing

	left    bool // the speaker ends
	entries int  // that the state listed last

	mu     sync.Mutex
	latest *speaker.Report
	news   chan struct{}
}

// NewStateWriter returns a writer for a node.
func NewStateWriter(reader client.Reader, c client.Client, self lb.NodeName, log logr.Logger) *StateWriter {
	return &StateWriter{Reader: reader, Client: c, Self: self, Log: log, news: make(chan struct{}, 1)}
}

// Report takes what is to be written, soon.
func (w *StateWriter) Report(r speaker.Report) {
	w.mu.Lock()
	w.latest = &r
	w.mu.Unlock()
	signal(w.news)
}

// Nudge says that Routing says something else.
func (w *StateWriter) Nudge() { signal(w.news) }

// Start writes until the context ends. It implements manager.Runnable.
func (w *StateWriter) Start(ctx context.Context) error {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	var wait time.Duration
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.news:
		case <-check.C:
		}
		if err := w.write(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error(err, "writing this node's SpeakerState; trying again")
			signal(w.news)
			wait = min(max(2*wait, writeInterval), max(maxWait, w.pause()))
		} else {
			wait = w.pause()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// pause is how long to wait from one write to the next.
func (w *StateWriter) pause() time.Duration {
	return writeInterval + time.Duration(max(0, w.entries-freeEntries))*perEntry
}

// Leave writes the last state of a speaker that ends, given what it did with routers: the
// next one may not come soon, or at all. Call it after Start has returned.
func (w *StateWriter) Leave(ctx context.Context, routing Routing) error {
	w.Routing = func() Routing { return routing.parted(time.Now()) }
	w.left = true
	return w.write(ctx)
}

func (w *StateWriter) write(ctx context.Context) error {
	w.mu.Lock()
	latest := w.latest
	w.mu.Unlock()
	if latest == nil {
		return nil
	}
	state := &v1beta1.SpeakerState{}
	err := w.Client.Get(ctx, client.ObjectKey{Name: string(w.Self)}, state)
	if apierrors.IsNotFound(err) {
		state, err = w.create(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading the SpeakerState %s: %w", w.Self, err)
	}
	next := state.DeepCopy()
	var routing Routing
	if w.Routing != nil {
		routing = w.Routing()
	}
	next.Status = status(state, *latest, routing)
	w.entries = len(next.Status.Addresses) + len(next.Status.BGPRoutes)
	if w.left {
		stop(&next.Status)
	}
	if equality.Semantic.DeepEqual(state.Status, next.Status) {
		return nil
	}
	if err := w.Client.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("updating the status of the SpeakerState %s: %w", w.Self, err)
	}
	return nil
}

// create makes the node the owner of its state: they go together.
func (w *StateWriter) create(ctx context.Context) (*v1beta1.SpeakerState, error) {
	node := &corev1.Node{}
	if err := w.Reader.Get(ctx, client.ObjectKey{Name: string(w.Self)}, node); err != nil {
		return nil, fmt.Errorf("reading the Node %s: %w", w.Self, err)
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{
		Name:            string(w.Self),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
	}}
	if err := w.Client.Create(ctx, state); err != nil {
		return nil, fmt.Errorf("creating it: %w", err)
	}
	return state, nil
}
