package informers

import (
	"context"
	"net/netip"
	"reflect"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/lb"
)

// Reader has the changes that one consumer of a store has not read yet. Only one goroutine at a time may use
// it.
type Reader struct {
	store   *Store
	kinds   map[reflect.Type]bool // the kinds whose changes are read; nil: all kinds
	wake    chan struct{}         // holds one token when there are changes
	pending Changes
}

// NewReader adds a reader of the given kinds to a store. If no kinds are given, the reader reads all kinds.
// The first read covers all objects.
func (s *Store) NewReader(kinds ...client.Object) *Reader {
	r := &Reader{store: s, wake: make(chan struct{}, 1), pending: s.emptyChanges()}
	for _, kind := range kinds {
		if r.kinds == nil {
			r.kinds = map[reflect.Type]bool{}
		}
		r.kinds[reflect.TypeOf(kind)] = true
	}
	r.pending.First = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, r)
	return r
}

func (s *Store) emptyChanges() Changes {
	return Changes{store: s, services: map[lb.ServiceKey]bool{}, claims: map[netip.Addr]bool{}, kinds: map[reflect.Type]bool{}}
}

// noteChange records a change for the next read. The caller holds the lock of the store.
func (r *Reader) noteChange(at time.Time, note func(*Changes)) {
	if !r.pending.First {
		note(&r.pending)
	}
	if r.pending.Since.IsZero() {
		r.pending.Since = at
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Read calls a function with the changes since the last call, and returns how long the function took.
// Meanwhile the store is locked: it does not change, and no other reader reads it.
func (r *Reader) Read(read func(Changes)) time.Duration {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	select {
	case <-r.wake: // the change that it signals is about to be read
	default:
	}
	changes := r.pending
	r.pending = r.store.emptyChanges()
	began := time.Now()
	read(changes)
	return time.Since(began)
}

// readInLoop reads once, and then after each change, until the context ends. It pauses between two reads. A
// change that arrives after the pause is read at once, without a sleep: on a busy machine, even a sleep of
// two milliseconds can delay the goroutine for much longer.
func (r *Reader) readInLoop(ctx context.Context, rest int, read func(Changes)) {
	for {
		took := r.Read(read)
		next := time.Now().Add(max(minReadPause, time.Duration(rest)*took))
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		wait := time.Until(next)
		if wait <= 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
