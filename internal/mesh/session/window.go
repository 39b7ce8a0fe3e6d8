package session

import "encoding/binary"

const (
	windowWords = 32
	// windowSize is how far a datagram may be behind the newest one of its sender. A sender
	// numbers its datagrams to all receivers in one sequence: the window has about two datagrams
	// to each of a thousand peers.
	windowSize = (windowWords - 1) * 64
)

// window records which counters of an instance were received (RFC 4303 section 3.4.3), in a ring of
// words. As the window moves, the words ahead are cleared (RFC 6479).
type window struct {
	newest uint64
	words  [windowWords]uint64
}

// reset makes newest the newest counter, and refuses every counter up to it.
func (w *window) reset(newest uint64) {
	w.newest = newest
	for i := range w.words {
		w.words[i] = ^uint64(0)
	}
	w.words[newest/64%windowWords] = 1<<(newest%64)<<1 - 1 // newest and the lower counters in its word
}

// isNew reports whether the counter is in the window or newer, and was not received.
func (w *window) isNew(counter uint64) bool {
	if counter > w.newest {
		return true
	}
	return w.newest-counter < windowSize && w.words[counter/64%windowWords]&(1<<(counter%64)) == 0
}

// markReceived records that a new counter was received.
func (w *window) markReceived(counter uint64) {
	if counter > w.newest {
		w.clearWords(w.newest/64, counter/64)
		w.newest = counter
	}
	w.words[counter/64%windowWords] |= 1 << (counter % 64)
}

// clearWords clears the words from number after+1 to number to.
func (w *window) clearWords(after, to uint64) {
	for n := range min(to-after, windowWords) {
		w.words[(to-n)%windowWords] = 0
	}
}

// recentGreetings records greetings of instances that are not confirmed, so that a recording is
// answered only once. Otherwise a recording that is sent again and again would use up the
// budget of answers, and the true greetings of a peer would get no answer. The tag of an
// authentic datagram is practically random and serves as its hash. A greeting is dropped when another
// greeting needs its place.
type recentGreetings [1 << 13]uint64

// place returns the place for the tag of a datagram, and the tag. The datagram must not be
// shorter than OverheadBytes.
func (r *recentGreetings) place(datagram []byte) (place *uint64, tag uint64) {
	end := datagram[len(datagram)-16:]
	return &r[binary.BigEndian.Uint64(end)%uint64(len(r))], binary.BigEndian.Uint64(end[8:])
}
