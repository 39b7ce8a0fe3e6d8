package access

import "time"

// expiringMap is a bounded map whose entries expire. It is not safe for concurrent use.
type expiringMap[K comparable, V any] struct {
	most    int
	lasts   time.Duration
	entries map[K]expiringEntry[V]
}

type expiringEntry[V any] struct {
	value V
	until time.Time
}

func newExpiringMap[K comparable, V any](most int, lasts time.Duration) expiringMap[K, V] {
	return expiringMap[K, V]{most: most, lasts: lasts, entries: map[K]expiringEntry[V]{}}
}

func (r expiringMap[K, V]) get(key K, now time.Time) (V, bool) {
	e, ok := r.entries[key]
	return e.value, ok && now.Before(e.until)
}

// put stores a value. If the map is full, put removes the entry that expires first.
func (r expiringMap[K, V]) put(key K, value V, now time.Time) {
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
	r.entries[key] = expiringEntry[V]{value, now.Add(r.lasts)}
}
