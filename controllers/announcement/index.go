package announcement

// sourceIndex has reported items by key and source, such as by address and node. The lock of its owner
// guards it.
type sourceIndex[K, S comparable, T any] map[K]map[S]T

// replace removes the former items of a source (before), adds the present ones (now), and adds the
// keys of items that differ to the set of changed keys.
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
