package retry

import (
	"maps"
	"sync"
	"time"
)

// Calm is how long a disagreement of two writers lasts after one of them undid a write of the other
// for the last time. One undone write is an accident; two within Calm are a disagreement.
const Calm = time.Minute

// Restores finds out when another writer has undone what the controller wrote to an object,
// and spaces the writes that restore it. The first restoration is made at once: an accident is
// corrected before anybody notices. It is safe for concurrent use, if only one goroutine at a time
// uses a key. The zero value is ready to use.
//
// Restores may forget an object for which Look was not called within Calm. If another writer undoes
// its write after that, the restoring write counts as a new write. Neither a new write nor a first
// restoration waits.
type Restores[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]*restore
	sweepAt int // number of objects at which add drops those for which Look was not called within Calm
}

// restore is what is known of one object.
type restore struct {
	written string    // what was written last, or found written
	undone  bool      // the write was undone, and is not restored yet
	times   int       // how often it was undone without Calm in between
	last    time.Time // when it was undone last
	next    time.Time // when it may be restored
	by      string    // the other writer, if it is known
	looked  time.Time // when Look was called last
}

// Undone is a write that another writer has undone.
type Undone struct {
	// Is reports whether a write was undone.
	Is bool
	// Wait is how long to wait before it is restored; zero: restore it now.
	Wait time.Duration
}

// Look compares the wanted state of an object with the state that the controller wrote last. wanted
// is a full description of the state; there is whether the object has it. If wanted is not what was
// written last, no write was undone: the next write is a new one, and does not wait.
func (r *Restores[K]) Look(key K, wanted string, there bool, now time.Time) Undone {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.keys[key]
	if x == nil {
		x = r.add(key, now)
	}
	x.looked = now
	if there {
		x.written, x.undone = wanted, false
		return Undone{}
	}
	if x.written != wanted {
		return Undone{}
	}
	if !x.undone {
		x.expire(now)
		x.times, x.last, x.undone = x.times+1, now, true
		x.next = now.Add(policy.After(x.times - 1))
	}
	return Undone{Is: true, Wait: max(0, x.next.Sub(now))}
}

// leastSweep is the number of objects below which add drops none.
const leastSweep = 256

// add adds an object. Each time the number of objects has doubled, it drops those for which Look was
// not called within Calm.
func (r *Restores[K]) add(key K, now time.Time) *restore {
	if r.keys == nil {
		r.keys = map[K]*restore{}
	}
	if len(r.keys) >= max(r.sweepAt, leastSweep) {
		maps.DeleteFunc(r.keys, func(_ K, x *restore) bool { return now.Sub(x.looked) >= Calm })
		r.sweepAt = 2 * len(r.keys)
	}
	x := &restore{}
	r.keys[key] = x
	return x
}

// Disagreement returns the writer that undid writes repeatedly, and how long the disagreement still
// lasts if nothing more happens; zero: there is no disagreement.
func (r *Restores[K]) Disagreement(key K, now time.Time) (by string, calm time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.keys[key]
	if x == nil {
		return "", 0
	}
	if x.expire(now); x.times < 2 {
		return "", 0
	}
	return x.by, Calm - now.Sub(x.last)
}

// expire ends a disagreement after Calm.
func (x *restore) expire(now time.Time) {
	if now.Sub(x.last) >= Calm {
		x.times, x.by = 0, ""
	}
}

// Wrote records that the controller wrote the wanted state of the object.
func (r *Restores[K]) Wrote(key K, wanted string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.written, x.undone = wanted, false
	}
}

// SetBy records which writer undid the last write.
func (r *Restores[K]) SetBy(key K, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.by = by
	}
}

// Retain forgets all objects but those for which exists returns true.
func (r *Restores[K]) Retain(exists func(K) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.keys, func(key K, _ *restore) bool { return !exists(key) })
}

// Forget forgets an object that was deleted.
func (r *Restores[K]) Forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}
