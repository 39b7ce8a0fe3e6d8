// Package notify bounds the events of all controllers: it drops events that repeat another one,
// and events beyond an object's budget. Conditions are not bounded: they always have the present
// state.
package notify

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/lru"
)

const (
	// repetitionWindow is how long an event with the same reason and note about the same object is
	// a repetition.
	repetitionWindow = time.Minute
	// eventBurst and budgetRefill are the budget of an object: eventBurst events at once, and one more each
	// budgetRefill. The spam filter that client-go has for core/v1 events has the same budget;
	// client-go has no such filter for events.k8s.io.
	eventBurst, budgetRefill = 25, 5 * time.Minute
	// maxRemembered is the number of budgets, and of sent events, that are tracked: the least
	// recently used is dropped first.
	maxRemembered = 4096
)

// Recorder passes events on to another recorder, within bounds. Make it with New; it is
// safe for concurrent use.
type Recorder struct {
	next    events.EventRecorder
	mu      sync.Mutex
	budgets *lru.Cache // types.UID to *rate.Limiter
	sent    *lru.Cache // eventKey to time.Time
}

// eventKey identifies an event: a second event with the same key is a repetition.
type eventKey struct {
	object       types.UID
	reason, note string
}

// New returns a recorder that passes on to the next one.
func New(next events.EventRecorder) *Recorder {
	return &Recorder{next: next, budgets: lru.New(maxRemembered), sent: lru.New(maxRemembered)}
}

// Eventf implements events.EventRecorder.
func (r *Recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	if r.allows(regarding, reason, text) {
		r.next.Eventf(regarding, related, kind, reason, action, "%s", text)
	}
}

// allows reports whether an event is neither a repetition nor beyond the object's budget, and
// counts it.
func (r *Recorder) allows(regarding runtime.Object, reason, note string) bool {
	object, err := meta.Accessor(regarding)
	if err != nil {
		return true // not an object of the API, which the next recorder refuses
	}
	now, key := time.Now(), eventKey{object.GetUID(), reason, note}
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, known := r.sent.Get(key); known && now.Sub(last.(time.Time)) < repetitionWindow {
		return false
	}
	budget, known := r.budgets.Get(key.object)
	if !known {
		budget = rate.NewLimiter(rate.Every(budgetRefill), eventBurst)
		r.budgets.Add(key.object, budget)
	}
	if !budget.(*rate.Limiter).AllowN(now, 1) {
		return false
	}
	r.sent.Add(key, now)
	return true
}
