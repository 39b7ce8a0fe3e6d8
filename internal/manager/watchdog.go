package manager

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lbstack/lbstack/internal/watchdog"
)

const (
	// passTimeout bounds how long a pass of a controller may wait for the API server: its
	// context ends then. The longest one reads all Services in small pages.
	passTimeout = 10 * time.Minute
	// hangTimeout is how long a pass lasts that counts as hanging: its context has ended long before.
	hangTimeout = passTimeout + 5*time.Minute
	// checkInterval is the time between two checks of the controllers.
	checkInterval = 15 * time.Second

	longestRunning = ctrlmetrics.WorkQueueSubsystem + "_" + ctrlmetrics.LongestRunningProcessorKey
)

// hangWatcher is a runnable of a manager that ends the program when a pass of a controller
// hangs. The loss of the lease would not end it, since the goroutine that renews the lease goes
// on. Instances that do not lead run it too.
type hangWatcher struct {
	metrics prometheus.Gatherer // has the metrics of the work queues
	hung    func(error)         // ends the program
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (hangWatcher) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. Gathering metrics takes locks of the controllers: it can
// hang as well, and is watched as a loop of its own.
func (w hangWatcher) Start(ctx context.Context) error {
	dog := &watchdog.Watchdog{}
	look := dog.Loop("the collection of metrics")
	var found atomic.Pointer[[]string]
	dog.Check(func() []string {
		if list := found.Load(); list != nil {
			return *list
		}
		return nil
	})
	go func() {
		for ctx.Err() == nil {
			look.Begin()
			list := hangingControllers(w.metrics)
			found.Store(&list)
			look.End()
			select {
			case <-ctx.Done():
			case <-time.After(checkInterval):
			}
		}
	}()
	dog.Run(ctx, w.hung)
	return nil
}

// hangingControllers returns the controllers with a pass that hangs.
func hangingControllers(metrics prometheus.Gatherer) (list []string) {
	families, _ := metrics.Gather() // what a collector failed to collect is left out
	for _, f := range families {
		if f.GetName() != longestRunning {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetGauge().GetValue() <= hangTimeout.Seconds() {
				continue
			}
			for _, l := range m.GetLabel() {
				if l.GetName() == "name" {
					list = append(list, "the controller "+l.GetValue())
				}
			}
		}
	}
	return list
}
