package retry

import (
	"maps"
	"sync"
	"time"
)

// CalmPeriod is how long a disagreement of two writers lasts after one of them undid a write of the other
// for the last time. One undone write is an accident; two within CalmPeriod are a disagreement.
const CalmPeriod = time.Minute

// RestoreLimiter finds out when another writer has undone what the controller wrote to an object,
// and delays the writes that restore it. The first restoration is made at once: an accident is
// corrected before anybody notices. It is safe for concurrent use, if only one goroutine at a time
// uses a key. The zero value is ready to use.
//
// RestoreLimiter may forget an object for which Compare was not called within CalmPeriod. If
// another writer undoes its write after that, the restoring write counts as a new write. Neither a
// new write nor a first restoration waits.
type RestoreLimiter[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]*restoreState
	sweepAt int // number of objects at which addObject drops those for which Compare was not called within CalmPeriod
}

// restoreState is what is known of one object.
type restoreState struct {
	written string    // what was written last, or found written
	undone  bool      // the write was undone, and is not restored yet
	times   int       // how often it was undone without CalmPeriod in between
	last    time.Time // when it was undone last
	next    time.Time // when it may be restored
	by      string    // the other writer, if it is known
	looked  time.Time // when Compare was called last
}

// UndoneWrite is a write that another writer has undone.
type UndoneWrite struct {
	// Is reports whether a write was undone.
	Is bool
	// Wait is how long to wait before it is restored; zero: restore it now.
	Wait time.Duration
}

// Compare compares the wanted state of an object with the state that the controller wrote last. wanted
// is a full description of the state; there is whether the object has it. If wanted is not what was
// written last, no write was undone: the next write is a new one, and does not wait.
func (r *RestoreLimiter[K]) Compare(key K, wanted string, there bool, now time.Time) UndoneWrite {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.keys[key]
	if x == nil {
		x = r.addObject(key, now)
	}
	x.looked = now
	if there {
		x.written, x.undone = wanted, false
		return UndoneWrite{}
	}
	if x.written != wanted {
		return UndoneWrite{}
	}
	if !x.undone {
		x.expire(now)
		x.times, x.last, x.undone = x.times+1, now, true
		x.next = now.Add(backoffPolicy.Wait(x.times - 1))
	}
	return UndoneWrite{Is: true, Wait: max(0, x.next.Sub(now))}
}

// minSweepSize is the number of objects below which add drops none.
const minSweepSize = 256

// addObject adds an object. Each time the number of objects has doubled, it drops those for which Compare was
// not called within CalmPeriod.
func (r *RestoreLimiter[K]) addObject(key K, now time.Time) *restoreState {
	if r.keys == nil {
		r.keys = map[K]*restoreState{}
	}
	if len(r.keys) >= max(r.sweepAt, minSweepSize) {
		maps.DeleteFunc(r.keys, func(_ K, x *restoreState) bool { return now.Sub(x.looked) >= CalmPeriod })
		r.sweepAt = 2 * len(r.keys)
	}
	x := &restoreState{}
	r.keys[key] = x
	return x
}

// Disagreement returns the writer that undid writes repeatedly, and how long the disagreement still
// lasts if nothing more happens; zero: there is no disagreement.
func (r *RestoreLimiter[K]) Disagreement(key K, now time.Time) (by string, calm time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.keys[key]
	if x == nil {
		return "", 0
	}
	if x.expire(now); x.times < 2 {
		return "", 0
	}
	return x.by, CalmPeriod - now.Sub(x.last)
}

// expire ends a disagreement after CalmPeriod.
func (x *restoreState) expire(now time.Time) {
	if now.Sub(x.last) >= CalmPeriod {
		x.times, x.by = 0, ""
	}
}

// NoteWrite records that the controller wrote the wanted state of the object.
func (r *RestoreLimiter[K]) NoteWrite(key K, wanted string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.written, x.undone = wanted, false
	}
}

// SetBy records which writer undid the last write.
func (r *RestoreLimiter[K]) SetBy(key K, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.by = by
	}
}

// Retain forgets all objects but those for which exists returns true.
func (r *RestoreLimiter[K]) Retain(exists func(K) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.keys, func(key K, _ *restoreState) bool { return !exists(key) })
}

// Forget forgets an object that was deleted.
func (r *RestoreLimiter[K]) Forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}
