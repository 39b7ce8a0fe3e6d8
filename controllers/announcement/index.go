package announcement

// sourceIndex has reported items by key and source, for example by address and node. The struct that
// contains it guards it with a lock.
type sourceIndex[K, S comparable, T any] map[K]map[S]T

// replace replaces the items of a source (from): before are the former items of the source, and now are the
// present ones. It adds the keys of all items that differ to changed.
func (x sourceIndex[K, S, T]) replace(from S, before, now []T, changed map[K]bool, same func(x, y T) bool, keyOf func(T) K) {
	gone := make(map[K]bool, len(before))
	for _, item := range before {
		gone[keyOf(item)] = true
	}
	for _, item := range now {
		key := keyOf(item)
		delete(gone, key)
		if old, had := x[key][from]; had && same(old, item) {
			continue
		}
		changed[key] = true
		if x[key] == nil {
			x[key] = map[S]T{}
		}
		x[key][from] = item
	}
	for key := range gone {
		changed[key] = true
		if delete(x[key], from); len(x[key]) == 0 {
			delete(x, key)
		}
	}
}
