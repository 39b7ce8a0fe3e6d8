package retry

import (
	"maps"
	"sync"
	"time"
)

// CalmPeriod is the time without an undone write after which a disagreement of two writers ends. One undone
// write counts as an accident, two undone writes within CalmPeriod count as a disagreement.
const CalmPeriod = time.Minute

// RestoreLimiter detects that another writer has undone a write of the controller, and delays the writes that
// restore the object. The first restoration does not wait, so that an accident is corrected at once. It is
// safe for concurrent use if only one goroutine at a time uses a key. The zero value is ready to use.
//
// RestoreLimiter may forget an object for which Compare was not called within CalmPeriod. If a write of that
// object is undone later, the restoration counts as a new write, which does not wait either.
type RestoreLimiter[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]*restoreState
	sweepAt int // the number of objects at which addObject drops the unused ones again
}

// restoreState is the state of the RestoreLimiter for one object.
type restoreState struct {
	written string    // the last state that the controller wrote, or that Compare found in the object
	undone  bool      // another writer undid the last write, and no restoration has followed yet
	times   int       // how often writes were undone, without a CalmPeriod in between
	last    time.Time // when Compare last found that a write was undone
	next    time.Time // when the object may be restored
	by      string    // the other writer; empty: its name is not known
	looked  time.Time // when Compare was called last
}

// UndoneWrite is the result of Compare: whether another writer has undone a write.
type UndoneWrite struct {
	// Is means that a write was undone.
	Is bool
	// Wait is how long to wait before the object is restored; zero: restore it now.
	Wait time.Duration
}

// Compare finds out whether the last write of an object was undone. The parameter wanted describes the wanted
// state in full, and the parameter there means that the object has that state. If wanted differs from the
// state that was written last, no write was undone: the next write is a new one, and does not wait.
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

// minSweepSize is the number of objects below which addObject drops none.
const minSweepSize = 256

// addObject adds an object. Each time the number of objects has doubled, it drops the unused ones: the objects
// for which Compare was not called within CalmPeriod.
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

// Disagreement returns the writer that undid writes repeatedly. calm is the time until the disagreement ends if
// no further write is undone; zero: there is no disagreement.
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

// expire ends the disagreement if CalmPeriod has passed since the last undone write.
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

// SetOverwriter records which writer undid the last write.
func (r *RestoreLimiter[K]) SetOverwriter(key K, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.by = by
	}
}

// Retain forgets all objects for which exists returns false.
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
