package mesh

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/lbstack/lbstack/internal/lb"
)

// now returns the time as the processes of a node read it. It has the wall clock of the node, which
// the test sets while processes run, and the monotonic clock, which nothing sets. Times of
// testing/synctest have no monotonic reading, and the package time has no function that adds one.
// The layout of a Time with both: the highest bit, the seconds since 1885 in 33 bits and the
// nanoseconds in 30 bits; the second word is the monotonic reading.
func (n *node) now() time.Time {
	var t time.Time
	words := (*[2]uint64)(unsafe.Pointer(&t))
	monotonic := time.Since(n.w.start) + time.Hour
	wall := time.Now().Add(time.Duration(n.step.Load()))
	seconds := wall.Unix() - time.Date(1885, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	words[0] = 1<<63 | uint64(seconds)<<30 | uint64(wall.Nanosecond())
	words[1] = uint64(monotonic)
	return t
}

// setClock sets the wall clock of a node, for all its processes.
func (w *world) setClock(name lb.NodeName, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name].step.Store(int64(by))
	w.note("the clock of %s is %s ahead", name, by)
}

func TestClockOfANodeThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{w: &world{start: time.Now()}}
		before := n.now()
		time.Sleep(time.Second)
		n.step.Store(int64(-time.Hour))
		after := n.now()
		if got, wall := after.Sub(before), after.Round(0).Sub(before.Round(0)); got != time.Second || wall != time.Second-time.Hour {
			t.Errorf("a second has passed, and the clock was set back by an hour: %s passed, and %s by the wall clock", got, wall)
		}
	})
}

// wait waits for d. It returns false as soon as the process ends.
func (p *process) wait(d time.Duration) bool {
	select {
	case <-p.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
