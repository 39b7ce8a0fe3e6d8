// Package retry delays what controllers repeat: Limiter delays reconciles that failed, RestoreLimiter delays
// writes that another writer has undone. Both use the same exponential back-off with jitter.
package retry

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/internal/backoff"
)

// backoffPolicy is the back-off of all retries. Its field Last is the longest delay. It limits how long work
// still waits after an obstacle, such as an outage of the API server, has ended. A thousand objects that
// always fail cost a hundred attempts a second.
var backoffPolicy = backoff.Exponential{First: 50 * time.Millisecond, Last: 10 * time.Second}

// Limiter counts the failures of each request since its last success. It is the rate limiter of a controller's
// queue. Reconcilers also call it to try again without reporting an error, for example after a conflict. The
// zero value is ready to use. It is safe for concurrent use.
type Limiter struct {
	mu       sync.Mutex
	failures map[reconcile.Request]int
}

var _ workqueue.TypedRateLimiter[reconcile.Request] = (*Limiter)(nil)

// When implements workqueue.TypedRateLimiter. It counts a failure, and returns how long to wait.
func (l *Limiter) When(r reconcile.Request) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == nil {
		l.failures = map[reconcile.Request]int{}
	}
	l.failures[r]++
	return backoffPolicy.Wait(l.failures[r])
}

// Forget implements workqueue.TypedRateLimiter. It is called when the request has succeeded.
func (l *Limiter) Forget(r reconcile.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, r)
}

// NumRequeues implements workqueue.TypedRateLimiter.
func (l *Limiter) NumRequeues(r reconcile.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures[r]
}
