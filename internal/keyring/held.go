package keyring

import (
	"slices"
	"time"
)

// RetentionTime is how long a speaker accepts the keys of a Secret that was replaced by another Secret: long
// enough for the kubelets of all nodes to update their folders.
const RetentionTime = 10 * time.Minute

// AcceptedKeys has the keys that a running speaker accepts. These are the keys of its folder and, for
// the time RetentionTime after the Secret was replaced, the former keys of the folder. A Secret counts
// as replaced when the folder has none of the former keys any more. The former keys let speakers with a
// new key reach speakers whose kubelets have not updated their folders yet. Each former key expires at
// its own time: a kubelet can be two Secrets behind. The zero value has no keys. One goroutine at a time
// may use it.
type AcceptedKeys struct {
	folder []Entry
	former []retainedKey // the newest first
}

// retainedKey is a key of a Secret that was replaced.
type retainedKey struct {
	Entry
	until time.Time
}

// Update takes the valid keys that the folder has now, in the order of Parse. It returns the accepted
// keys, the newest first, at most MaxKeys. Call it from time to time: former keys expire only in Update.
// If the folder has no valid key, the last valid keys stay accepted.
func (h *AcceptedKeys) Update(now time.Time, folder []Entry) []Entry {
	if len(folder) > 0 {
		if !h.sharesKey(folder) {
			h.retain(now.Add(RetentionTime))
		}
		h.folder = slices.Clone(folder)
	}
	h.former = slices.DeleteFunc(h.former, func(key retainedKey) bool { return !now.Before(key.until) })
	accepted := slices.Clone(h.folder)
	for _, key := range h.former {
		if len(accepted) < MaxKeys && !slices.ContainsFunc(accepted, hasSameBytes(key.Entry)) {
			accepted = append(accepted, key.Entry)
		}
	}
	return accepted
}

// retain makes the keys of the folder the newest former keys. At most MaxKeys former keys are stored.
func (h *AcceptedKeys) retain(until time.Time) {
	next := make([]retainedKey, 0, MaxKeys)
	for _, key := range h.folder {
		next = append(next, retainedKey{key, until})
	}
	for _, key := range h.former {
		if len(next) < MaxKeys && !slices.ContainsFunc(h.folder, hasSameBytes(key.Entry)) {
			next = append(next, key)
		}
	}
	h.former = next
}

func (h *AcceptedKeys) sharesKey(folder []Entry) bool {
	return slices.ContainsFunc(folder, func(key Entry) bool { return slices.ContainsFunc(h.folder, hasSameBytes(key)) })
}

// hasSameBytes returns a function that reports whether another key has the same bytes. Numbers are not
// compared: a new Secret uses the same numbers again.
func hasSameBytes(key Entry) func(Entry) bool {
	return func(other Entry) bool { return other.Bytes == key.Bytes }
}
