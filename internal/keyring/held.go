package keyring

import (
	"slices"
	"time"
)

// Retained is how long a speaker accepts the keys of a Secret that was replaced as a whole:
// long enough for the kubelets of all nodes to bring the new one.
const Retained = 10 * time.Minute

// Held are the keys that a running speaker accepts: those of its folder and, if none of the
// keys before is among them, those before for the time Retained. So no speaker is cut off
// while a Secret that was deleted comes back with a new key. Each replacement has a time of its
// own: a kubelet can be two Secrets behind. The zero value holds none. It is for one goroutine.
type Held struct {
	folder []Entry
	former []retained // the newest first
}

// retained is a key of a Secret that was replaced.
type retained struct {
	Entry
	until time.Time
}

// Read takes the valid keys that the folder has now, the newest first as of Parse, and
// returns those that are accepted, the newest first, Max at most. It is to be called from
// time to time: only then keys expire. A folder without keys changes nothing.
func (h *Held) Read(now time.Time, folder []Entry) []Entry {
	if len(folder) > 0 {
		if !h.shares(folder) {
			h.retain(now.Add(Retained))
		}
		h.folder = slices.Clone(folder)
	}
	h.former = slices.DeleteFunc(h.former, func(key retained) bool { return !now.Before(key.until) })
	accepted := slices.Clone(h.folder)
	for _, key := range h.former {
		if len(accepted) < Max && !slices.ContainsFunc(accepted, same(key.Entry)) {
			accepted = append(accepted, key.Entry)
		}
	}
	return accepted
}

// retain puts the keys of the folder before the former ones, of which Max count at most.
func (h *Held) retain(until time.Time) {
	next := make([]retained, 0, Max)
	for _, key := range h.folder {
		next = append(next, retained{key, until})
	}
	for _, key := range h.former {
		if len(next) < Max && !slices.ContainsFunc(h.folder, same(key.Entry)) {
			next = append(next, key)
		}
	}
	h.former = next
}

func (h *Held) shares(folder []Entry) bool {
	return slices.ContainsFunc(folder, func(key Entry) bool { return slices.ContainsFunc(h.folder, same(key)) })
}

// same compares keys alone: after a Secret was replaced, numbers are used again.
func same(key Entry) func(Entry) bool {
	return func(other Entry) bool { return other.Bytes == key.Bytes }
}
