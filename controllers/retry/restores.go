package retry

import (
	"maps"
	"sync"
	"time"
)

// Calm is for how long two writers count as disagreeing after one undid a write of the other for the
// last time. A write that is undone once is an accident, twice without Calm in between a disagreement.
const Calm = time.Minute

// Restores finds out when another writer has undone what the controller wrote to an object,
// and spaces the writes that restore it. The first restoration is made at once: an accident is
// corrected before anybody notices. It is safe for concurrent use, but for one key by one goroutine
// at a time. The zero value is ready to use.
//
// An object that Look was not called for within Calm may be forgotten: if its write is undone after
// that, the write that restores it counts as an ordinary one, which waits as little.
type Restores[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]*restore
	sweepAt int // number of objects at which those are forgotten that Look was not called for within Calm
}

// restore is what is known of one object.
type restore struct {
	written string    // what was written last, or found to be as it should be
	undone  bool      // the write was undone, and is not restored yet
	times   int       // how often it was undone without Calm in between
	last    time.Time // when it was undone last
	next    time.Time // when it may be restored
	by      string    // the writer that undid it, if that is known
	looked  time.Time // when Look was called last
}

// Undone is a write that another writer has undone.
type Undone struct {
	// Is reports whether there is one.
	Is bool
	// Wait is how long to leave it undone; zero: restore it.
	Wait time.Duration
}

// Look compares what the controller wants of an object with what it wrote last. wanted describes in
// full how the object should be; there reports whether it is so. If wanted is not what was written
// last, nothing was undone: the write is a new one, and does not wait.
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
		x.calm(now)
		x.times, x.last, x.undone = x.times+1, now, true
		x.next = now.Add(policy.After(x.times - 1))
	}
	return Undone{Is: true, Wait: max(0, x.next.Sub(now))}
}

// leastSweep is the number of objects below which none is forgotten for its age.
const leastSweep = 256

// add adds an object. Each time that their number has doubled, it forgets those that Look was not
// called for within Calm.
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

// Disagreement returns the writer that undid writes more than once, and for how long that still
// counts if nothing more happens; zero: there is no disagreement.
func (r *Restores[K]) Disagreement(key K, now time.Time) (by string, calm time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.keys[key]
	if x == nil {
		return "", 0
	}
	if x.calm(now); x.times < 2 {
		return "", 0
	}
	return x.by, Calm - now.Sub(x.last)
}

// calm ends a disagreement after Calm.
func (x *restore) calm(now time.Time) {
	if now.Sub(x.last) >= Calm {
		x.times, x.by = 0, ""
	}
}

// Wrote records that the object was written as it is wanted to be.
func (r *Restores[K]) Wrote(key K, wanted string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.written, x.undone = wanted, false
	}
}

// SetBy records the writer that undid the last write.
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
