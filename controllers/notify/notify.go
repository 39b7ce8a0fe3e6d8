// Package notify limits the number of events that the controllers send. It drops an event that repeats an
// earlier event, and an event that exceeds the budget of its object. It does not limit conditions, which
// always have the present state.
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
	// repetitionWindow is the time after an event during which another event about the same object, with the
	// same reason and note, counts as a repetition.
	repetitionWindow = time.Minute
	// eventBurst is how many events about one object can be sent at once. eventBurst and budgetRefill are
	// the values of client-go's spam filter for core/v1 events; client-go has no such filter for events.k8s.io.
	eventBurst = 25
	// budgetRefill is the time after which one more event about the object can be sent.
	budgetRefill = 5 * time.Minute
	// maxCacheEntries is how many budgets a Recorder stores, and how many sent events. The least recently
	// used ones are dropped first.
	maxCacheEntries = 4096
)

// Recorder passes events on to another recorder. It drops repetitions, and events that exceed the budget of
// their object. Make it with New. It is safe for concurrent use.
type Recorder struct {
	next    events.EventRecorder
	mu      sync.Mutex
	budgets *lru.Cache // types.UID to *rate.Limiter
	sent    *lru.Cache // eventKey to time.Time
}

// eventKey identifies an event. A second event with the same key is a repetition.
type eventKey struct {
	object       types.UID
	reason, note string
}

// New returns a recorder that passes events on to the recorder next.
func New(next events.EventRecorder) *Recorder {
	return &Recorder{next: next, budgets: lru.New(maxCacheEntries), sent: lru.New(maxCacheEntries)}
}

// Eventf implements events.EventRecorder.
func (r *Recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	if r.admit(regarding, reason, text) {
		r.next.Eventf(regarding, related, kind, reason, action, "%s", text)
	}
}

// admit reports whether an event may be sent: it is not a repetition, and the budget of the object permits
// it. If it may be sent, admit counts it.
func (r *Recorder) admit(regarding runtime.Object, reason, note string) bool {
	object, err := meta.Accessor(regarding)
	if err != nil {
		return true // the next recorder refuses anything that is not an API object
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
