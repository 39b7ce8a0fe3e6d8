package manager

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Timing of the leader election (decision 0041).
const (
	// leaseDuration is the time without a renewal after which another instance takes the lease.
	leaseDuration = 6 * time.Second
	// writeDuration is how long after its last renewal the leader may write to the API server. Later
	// writes wait until it has renewed the lease. It is shorter than leaseDuration, so that requests
	// under way have time to end before another instance takes the lease.
	writeDuration = 4 * time.Second
	// retryPeriod is the time between two reads of the lease, with jitter.
	retryPeriod = time.Second
	// longestOutage is how long an instance waits for an API server that does not answer before it ends.
	longestOutage = 24 * time.Hour
)

// lease is the lock of the leader election. The elector of controller-runtime ends a leader that has not
// renewed its lease for a configured duration. If that were the duration of the lease, all
// leader-elected programs would end whenever the API server does not answer for some seconds. The
// elector is therefore configured with a duration that is longer than any outage. For the other
// instances the lock writes leaseDuration into the Lease. Writes of the leader wait while the lease is
// not valid, see leaderTransport.
type lease struct {
	resourcelock.Interface
	// replaced is called when another instance has become the leader. It restarts this instance, whose state
	// may be outdated.
	replaced func(holder string)

	began   time.Time
	led     atomic.Bool  // this instance has been the leader
	renewed atomic.Int64 // time of the last renewal, in nanoseconds after began; 0: this instance does not have the lease
}

// newLease returns the lock of a program in a namespace.
func newLease(o Options, config *rest.Config) (*lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the host name, which identifies this instance in the leader election: %w", err)
	}
	config = rest.AddUserAgent(rest.CopyConfig(config), "leader-election")
	config.Timeout = writeDuration / 2 // after a request that hangs, there is time for another one
	client, err := coordinationv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing the client of the leader election: %w", err)
	}
	return &lease{
		Interface: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}, Client: client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
		},
		replaced: func(holder string) { restartProcess(o.Log, holder) },
		began:    time.Now(),
	}, nil
}

// Get implements resourcelock.Interface.
func (l *lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && l.led.Load() && record.HolderIdentity != "" && record.HolderIdentity != l.Identity() {
		l.replaced(record.HolderIdentity)
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(record, func(r resourcelock.LeaderElectionRecord) error { return l.Interface.Create(ctx, r) })
}

// Update implements resourcelock.Interface.
func (l *lease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(record, func(r resourcelock.LeaderElectionRecord) error { return l.Interface.Update(ctx, r) })
}

func (l *lease) write(record resourcelock.LeaderElectionRecord, write func(resourcelock.LeaderElectionRecord) error) error {
	if record.HolderIdentity != l.Identity() { // this write releases the lease
		l.renewed.Store(0)
		return write(record)
	}
	record.LeaseDurationSeconds = int(leaseDuration / time.Second)
	from := time.Since(l.began) // other instances observe the renewal later, and count leaseDuration from then on
	if err := write(record); err != nil {
		return err
	}
	l.led.Store(true)
	l.renewed.Store(int64(from))
	return nil
}

// isValid reports whether this instance is the leader now and may write.
func (l *lease) isValid() bool {
	renewed := l.renewed.Load()
	return renewed > 0 && time.Since(l.began)-time.Duration(renewed) < writeDuration
}

// restartProcess replaces the process with a new one of the same program, in the same container.
func restartProcess(log logr.Logger, holder string) {
	log.Info("another instance is the leader now: restarting this program", "leader", holder)
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, os.Args, os.Environ())
	}
	log.Error(err, "restarting this program failed: the process ends, and Kubernetes restarts the container")
	os.Exit(1)
}

// leaderTransport is the transport to the API server of a leader-elected program. A write waits until the
// lease is valid, so that an instance which has lost the lease writes nothing.
type leaderTransport struct {
	next  http.RoundTripper
	lease *lease
}

// WrappedRoundTripper implements net.RoundTripperWrapper. The package net of apimachinery uses it to find the
// transport with the connections, in which it cancels requests and closes connections.
func (l leaderTransport) WrappedRoundTripper() http.RoundTripper { return l.next }

// leasePollInterval is how often a waiting write checks the lease.
const leasePollInterval = 50 * time.Millisecond

// unguardedPaths are the paths of API groups whose POST requests change nothing, so that they do not
// have to wait.
var unguardedPaths = []string{"/apis/authentication.k8s.io/", "/apis/authorization.k8s.io/"}

// RoundTrip implements http.RoundTripper.
func (l leaderTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	for isWrite(request) && !l.lease.isValid() {
		if err := waitFor(request.Context(), leasePollInterval); err != nil {
			return nil, fmt.Errorf("waiting until this instance is the leader and may write: %w", err)
		}
	}
	return l.next.RoundTrip(request)
}

func isWrite(request *http.Request) bool {
	for _, group := range unguardedPaths {
		if strings.HasPrefix(request.URL.Path, group) {
			return false
		}
	}
	return request.Method != http.MethodGet
}

// waitFor waits for a duration. It returns an error if the context ends before.
func waitFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
