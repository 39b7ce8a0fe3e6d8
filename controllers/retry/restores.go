package retry

import (
	"maps"
	"sync"
	"time"
)

// Calm is how long after another writer has undone a write for the last time the two may
// still disagree. It undoing one write is a slip; more are a disagreement.
const Calm = time.Minute

// Restores finds out when another writer has undone what the controller wrote to an object,
// and spaces the writes that restore it. The first one is made at once: a slip is corrected
// before anybody notices. One goroutine at a time may use it for one key; it is safe for
// concurrent use by different ones. The zero value is ready to use.
//
// An object that was not looked at for Calm may be forgotten: its next restoration is the
// first one again, as it would be anyhow.
type Restores[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]*restore
	sweepAt int // number of objects at which those that are calm are forgotten
}

// restore is what is known of one object.
type restore struct {
	written string    // what was written last, or found to be as it should be
	undone  bool      // it is not there any more
	times   int       // that it was undone without calm in between
	last    time.Time // when it was undone last
	next    time.Time // when it may be restored
	by      string    // who undid it, if that is known
	looked  time.Time // when it was looked at last
}

// Undone is a write that another writer has undone.
type Undone struct {
	// Is means that there is one.
	Is bool
	// Wait is how long to leave it undone; zero: restore it.
	Wait time.Duration
}

// Look compares what the controller wants of an object with what it wrote last. wanted
// describes that in full; there says that the object is as it is wanted to be. If something
// else is wanted than was written, that is no restoring, and waits for nothing.
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

// add makes room for an object, by forgetting those that are calm each time that their number
// has doubled.
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

// Disagreement returns who undid the last write, if it was not the only one, and for how
// long that still counts if nothing more happens; zero: no disagreement.
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

// calm ends a disagreement that is over.
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

// SetBy records who undid the last write.
func (r *Restores[K]) SetBy(key K, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.keys[key]; x != nil {
		x.by = by
	}
}

// Retain forgets all objects but those that exist says exist.
func (r *Restores[K]) Retain(exists func(K) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.keys, func(key K, _ *restore) bool { return !exists(key) })
}

// Forget forgets an object that is gone.
func (r *Restores[K]) Forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}
