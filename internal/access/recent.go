package access

import "time"

// recent is a bounded map whose entries expire. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	most    int
	lasts   time.Duration
	entries map[K]entry[V]
}

type entry[V any] struct {
	value V
	until time.Time
}

func newRecent[K comparable, V any](most int, lasts time.Duration) recent[K, V] {
	return recent[K, V]{most: most, lasts: lasts, entries: map[K]entry[V]{}}
}

func (r recent[K, V]) get(key K, now time.Time) (V, bool) {
	e, ok := r.entries[key]
	return e.value, ok && now.Before(e.until)
}

// put stores a value. If the map is full, the entry that expires first is removed.
func (r recent[K, V]) put(key K, value V, now time.Time) {
	if _, there := r.entries[key]; !there && len(r.entries) >= r.most {
		var first K
		var at time.Time
		for k, e := range r.entries {
			if at.IsZero() || e.until.Before(at) {
				first, at = k, e.until
			}
		}
		delete(r.entries, first)
	}
	r.entries[key] = entry[V]{value, now.Add(r.lasts)}
}
