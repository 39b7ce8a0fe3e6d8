package manager

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The queue is that of controller-runtime's controllers, and so are its metrics.
func TestWatching(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lasts    time.Duration
		want     string
		from, to time.Duration
	}{
		{name: "pass that waits for the API server until its context ends", lasts: passTimeout + time.Minute},
		{name: "pass that does not end", lasts: 24 * time.Hour, want: "the controller service hangs:", from: hangTimeout + time.Minute, to: hangTimeout + 2*time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
				defer cancel()
				queue := priorityqueue.New[string]("service")
				go func() {
					queue.Add("x")
					item, _ := queue.Get()
					select {
					case <-ctx.Done():
					case <-time.After(tt.lasts):
					}
					queue.Done(item)
					<-ctx.Done()
					queue.ShutDown()
				}()
				began, got, after := time.Now(), "", time.Duration(0)
				w := hangWatcher{metrics.Registry, func(err error) { got, after = err.Error(), time.Since(began) }}
				if err := w.Start(ctx); err != nil {
					t.Error(err)
				}
				if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") || after < tt.from || after > tt.to {
					t.Errorf("got %q after %s, want %q between %s and %s", got, after, tt.want, tt.from, tt.to)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}
