package announcement

// sourceIndex has the items that sources report, by key and source. For example, it has owned addresses by
// address and node. The struct that contains it guards it with a lock.
type sourceIndex[K, S comparable, T any] map[K]map[S]T

// replace replaces the items of one source, which the parameter from identifies. The parameter before has the
// former items of the source, and the parameter now has its present ones. To the map changed, replace adds
// the keys of all items that differ.
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
