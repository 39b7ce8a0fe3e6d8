package retry

// Len returns the number of objects that are not forgotten.
func (r *RestoreLimiter[K]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.keys)
}
