package bfd

import (
	"container/heap"
	"time"
)

// queue orders the sessions by the time at which something is due for them.
type queue struct{ list byTime }

func (q *queue) first() (at time.Time, any bool) {
	if len(q.list) == 0 {
		return time.Time{}, false
	}
	return q.list[0].due, true
}

// due removes and returns a session for which something is due; nil: there is none.
func (q *queue) due(now time.Time) *watch {
	if at, any := q.first(); !any || now.Before(at) {
		return nil
	}
	return heap.Pop(&q.list).(*watch)
}

// set records when something is due for a session. If nothing is due (any is false), it removes the
// session.
func (q *queue) set(w *watch, at time.Time, any bool, now time.Time) {
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

func (q *queue) remove(w *watch) {
	if w.place >= 0 {
		heap.Remove(&q.list, w.place)
	}
}

// byTime is a heap of sessions (container/heap), ordered by due.
type byTime []*watch

func (l byTime) Len() int           { return len(l) }
func (l byTime) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l byTime) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

func (l *byTime) Push(x any) {
	w := x.(*watch)
	w.place = len(*l)
	*l = append(*l, w)
}

func (l *byTime) Pop() any {
	last := len(*l) - 1
	w := (*l)[last]
	(*l)[last], *l = nil, (*l)[:last]
	w.place = -1
	return w
}
