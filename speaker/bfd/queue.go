package bfd

import (
	"container/heap"
	"time"
)

// queue orders the sessions by the time at which something is due for them.
type queue struct{ list sessionHeap }

func (q *queue) firstTime() (at time.Time, any bool) {
	if len(q.list) == 0 {
		return time.Time{}, false
	}
	return q.list[0].due, true
}

// takeDue removes and returns a session for which something is due; nil: there is none.
func (q *queue) takeDue(now time.Time) *watchedSession {
	if at, any := q.firstTime(); !any || now.Before(at) {
		return nil
	}
	return heap.Pop(&q.list).(*watchedSession)
}

// set records when something is due for a session (at). If any is false, nothing is due, and set
// removes the session.
func (q *queue) set(w *watchedSession, at time.Time, any bool, now time.Time) {
	if !at.Equal(w.due) {
		w.due, w.queued = at, now
	}
	switch {
	case !any:
		q.remove(w)
	case w.place < 0:
		heap.Push(&q.list, w)
	default:
		heap.Fix(&q.list, w.place)
	}
}

func (q *queue) remove(w *watchedSession) {
	if w.place >= 0 {
		heap.Remove(&q.list, w.place)
	}
}

// sessionHeap is a heap of sessions (container/heap), ordered by due.
type sessionHeap []*watchedSession

func (l sessionHeap) Len() int           { return len(l) }
func (l sessionHeap) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l sessionHeap) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

func (l *sessionHeap) Push(x any) {
	w := x.(*watchedSession)
	w.place = len(*l)
	*l = append(*l, w)
}

func (l *sessionHeap) Pop() any {
	last := len(*l) - 1
	w := (*l)[last]
	(*l)[last], *l = nil, (*l)[:last]
	w.place = -1
	return w
}
