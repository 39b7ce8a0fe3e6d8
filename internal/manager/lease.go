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

// Timing of the leader election (decision 0041). Another instance takes the lease leaseDuration after it
// last saw a renewal, and reads the lease every second or two. Once writeDuration has passed since its
// last renewal, the leader writes nothing until it has renewed the lease again; the difference of the
// two times is for requests that are on their way. No instance ends because the API server does
// not answer, unless that lasts for as long as longestOutage.
const (
	leaseDuration = 6 * time.Second
	writeDuration = 4 * time.Second
	retryPeriod   = time.Second
	longestOutage = 24 * time.Hour
)

// lease is the lock of the leader election. The elector of controller-runtime ends a leader that
// cannot renew its lease before another instance may take it, which would end all leader-elected
// programs whenever the API server does not answer for some seconds. The elector is therefore
// configured with a duration that is longer than any outage, and the lock writes leaseDuration into the
// Lease for the other instances. Writes wait while the lease is not valid, see leaderTransport.
type lease struct {
	resourcelock.Interface
	// replaced is called when another instance has become the leader. This instance has to start
	// anew, since its state may be outdated.
	replaced func(holder string)

	began   time.Time
	led     atomic.Bool
	renewed atomic.Int64 // nanoseconds after began; 0: this instance does not have the lease
}

// newLease returns the lock of a program in a namespace.
func newLease(o Options, config *rest.Config) (*lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming the holder of the lease: %w", err)
	}
	config = rest.AddUserAgent(rest.CopyConfig(config), "leader-election")
	config.Timeout = writeDuration / 2 // so that a request that hangs is not the last before the lease is lost
	client, err := coordinationv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing to hold the lease: %w", err)
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
	if record.HolderIdentity != l.Identity() { // the lease is released
		l.renewed.Store(0)
		return write(record)
	}
	record.LeaseDurationSeconds = int(leaseDuration / time.Second)
	from := time.Since(l.began) // other instances count from a later time
	if err := write(record); err != nil {
		return err
	}
	l.led.Store(true)
	l.renewed.Store(int64(from))
	return nil
}

// isValid reports whether this instance leads now.
func (l *lease) isValid() bool {
	renewed := l.renewed.Load()
	return renewed > 0 && time.Since(l.began)-time.Duration(renewed) < writeDuration
}

// restartProcess replaces the process with a new one of the same program, in the same container.
func restartProcess(log logr.Logger, holder string) {
	log.Info("another instance leads now: starting anew", "leader", holder)
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, os.Args, os.Environ())
	}
	log.Error(err, "starting anew")
	os.Exit(1)
}

// leaderTransport is the transport to the API server of a leader-elected program: a write waits until the
// lease is valid, so that none comes from an instance that has lost it.
type leaderTransport struct {
	next  http.RoundTripper
	lease *lease
}

// WrappedRoundTripper implements net.RoundTripperWrapper of apimachinery, which looks for the
// transport below, to cancel requests and to close connections.
func (l leaderTransport) WrappedRoundTripper() http.RoundTripper { return l.next }

// leasePoll is the time between two checks of the lease by a write that waits.
const leasePoll = 50 * time.Millisecond

// unguardedPaths are the API groups whose POST requests change nothing.
var unguardedPaths = []string{"/apis/authentication.k8s.io/", "/apis/authorization.k8s.io/"}

// RoundTrip implements http.RoundTripper.
func (l leaderTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	for isWrite(request) && !l.lease.isValid() {
		if err := waitFor(request.Context(), leasePoll); err != nil {
			return nil, fmt.Errorf("waiting for the lease of the leader: %w", err)
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

// waitFor waits, and returns an error when the context ends before.
func waitFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
