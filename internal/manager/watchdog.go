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
	// passTimeout is the time after which the context of a controller's pass ends, so that the pass waits no
	// longer for the API server. The longest pass reads all Services in small pages.
	passTimeout = 10 * time.Minute
	// hangTimeout is the time after which a pass counts as hanging. Its context has ended long before.
	hangTimeout = passTimeout + 5*time.Minute
	// checkInterval is the time between two checks of the controllers.
	checkInterval = 15 * time.Second

	// longestRunningMetric is the name of the metric with the duration of a controller's longest running pass.
	longestRunningMetric = ctrlmetrics.WorkQueueSubsystem + "_" + ctrlmetrics.LongestRunningProcessorKey
)

// hangWatcher is a runnable of a manager that ends the program when a pass of a controller hangs. The leader
// election would not end such a program, since the goroutine that renews the lease still works. Instances
// that do not lead run the hangWatcher too.
type hangWatcher struct {
	metrics prometheus.Gatherer // has the metrics of the work queues
	hung    func(error)         // ends the program
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (hangWatcher) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. The collection of metrics takes locks of the controllers and can hang as
// well: it is therefore watched as a loop of its own.
func (w hangWatcher) Start(ctx context.Context) error {
	dog := &watchdog.Watchdog{}
	look := dog.AddLoop("the collection of metrics")
	var found atomic.Pointer[[]string]
	dog.AddCheck(func() []string {
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

// hangingControllers returns the controllers that have a hanging pass.
func hangingControllers(metrics prometheus.Gatherer) (list []string) {
	families, _ := metrics.Gather() // in spite of an error, the result has the metrics of other collectors
	for _, f := range families {
		if f.GetName() != longestRunningMetric {
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
