// Package delta computes the difference between an actual and a desired state.
package delta

// Changes has the changes from an actual map to a desired one.
type Changes[K comparable, V any] struct {
	// Add are the entries that are missing.
	Add map[K]V
	// Change are the entries whose actual and desired values differ, with the desired values.
	Change map[K]V
	// Remove are the entries that are not desired, with the actual values.
	Remove map[K]V
}

// Compute returns the changes that turn actual into desired. It changes neither map.
func Compute[K comparable, V any](actual, desired map[K]V, equal func(x, y V) bool) Changes[K, V] {
	d := Changes[K, V]{Add: map[K]V{}, Change: map[K]V{}, Remove: map[K]V{}}
	for key, want := range desired {
		have, ok := actual[key]
		switch {
		case !ok:
			d.Add[key] = want
		case !equal(have, want):
			d.Change[key] = want
		}
	}
	for key, have := range actual {
		if _, ok := desired[key]; !ok {
			d.Remove[key] = have
		}
	}
	return d
}
