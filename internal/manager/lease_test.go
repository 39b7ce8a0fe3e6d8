package manager

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// server has one Lease, and can be away.
type server struct {
	mu      sync.Mutex
	away    bool
	record  *resourcelock.LeaderElectionRecord
	version int
}

func (s *server) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// handle is the access of one instance to the Lease.
type handle struct {
	*server
	name string
	read int
	cut  bool // the instance does not reach the API server
}

func (h *handle) reach(reaches bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = !reaches
}

var errAway = errors.New("connection refused")

func (h *handle) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away || h.cut {
		return nil, nil, errAway
	}
	if h.record == nil {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "test")
	}
	h.read = h.version
	raw, err := json.Marshal(h.record)
	record := *h.record
	return &record, raw, err
}

func (h *handle) Create(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	return h.put(r)
}

func (h *handle) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	return h.put(r)
}

func (h *handle) put(r resourcelock.LeaderElectionRecord) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.away || h.cut:
		return errAway
	case h.read != h.version:
		return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "test", errors.New("it has changed"))
	}
	h.version++
	h.record, h.read = &r, h.version
	return nil
}

func (h *handle) RecordEvent(string) {}
func (h *handle) Identity() string   { return h.name }
func (h *handle) Describe() string   { return "test" }

// instance is a program that takes part in the election.
type instance struct {
	*lease
	ended    atomic.Bool
	replaced atomic.Value // the name of the other
}

func campaign(t *testing.T, s *server, name string) *instance {
	t.Helper()
	i := &instance{}
	ctx, stop := context.WithCancel(t.Context())
	i.lease = &lease{Interface: &handle{server: s, name: name}, began: time.Now(), replaced: func(holder string) {
		i.replaced.Store(holder)
		stop() // the process goes
	}}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: i.lease, LeaseDuration: 2 * longestOutage, RenewDeadline: longestOutage, RetryPeriod: retryPeriod, ReleaseOnCancel: true, Name: name,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() { i.ended.Store(true) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { elector.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return i
}

// writers returns how many instances may write, during some time, at most and at least.
func writers(d time.Duration, instances ...*instance) (most, least int) {
	least = len(instances)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		n := 0
		for _, i := range instances {
			if i.isValid() {
				n++
			}
		}
		most, least = max(most, n), min(least, n)
	}
	return most, least
}

func TestLease_OutageEndsNoInstance(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, time.Minute, time.Hour} {
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				a, b := campaign(t, s, "a"), campaign(t, s, "b")
				if most, _ := writers(10*time.Second, a, b); most != 1 {
					t.Fatalf("%d may write, want 1", most)
				}
				s.set(true)
				if most, least := writers(away, a, b); most > 1 || least > 0 && away >= writeDuration {
					t.Errorf("while the API server is away %d to %d may write", least, most)
				}
				s.set(false)
				if most, _ := writers(4*time.Second, a, b); most != 1 {
					t.Errorf("when it is back up to %d may write, want 1", most)
				}
				if most, least := writers(20*time.Second, a, b); most != 1 || least != 1 {
					t.Errorf("4 s later %d to %d may write, want 1", least, most)
				}
				for _, i := range []*instance{a, b} {
					if i.ended.Load() && i.replaced.Load() == nil {
						t.Errorf("%s has ended", i.Identity())
					}
				}
			})
		})
	}
}

// poll is how long an instance that does not lead waits at most until it looks at the lease again: client-go
// adds up to 1.2 times the period. It looks once to see the last renewal, and once to take over.
const poll = retryPeriod + 12*retryPeriod/10

func TestLease_AnotherInstanceTakesOver(t *testing.T) {
	tests := []struct {
		name   string
		end    func(a *instance)
		within time.Duration
	}{
		{name: "the leader cannot reach the API server", end: func(a *instance) { a.Interface.(*handle).reach(false) }, within: leaseDuration + 2*poll},
		{name: "the leader ends", end: func(a *instance) { a.lease.replaced("a person") }, within: 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				a := campaign(t, s, "a")
				writers(2*time.Second, a)
				b := campaign(t, s, "b")
				if most, least := writers(20*time.Second, a, b); most != 1 || least != 1 || !a.isValid() {
					t.Fatalf("%d to %d may write, want a alone", least, most)
				}
				tt.end(a)
				if most, _ := writers(tt.within, a, b); most != 1 || !b.isValid() {
					t.Errorf("up to %d may write, b %t after %s, want b alone", most, b.isValid(), tt.within)
				}
			})
		})
	}
}

func TestLease_LeaderThatWasReplacedBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		a := campaign(t, s, "a")
		writers(2*time.Second, a)
		own := a.Interface.(*handle)
		own.reach(false)
		b := campaign(t, s, "b")
		writers(20*time.Second, a, b)
		if a.isValid() || !b.isValid() || a.replaced.Load() != nil {
			t.Fatalf("a %t, b %t, want b to lead", a.isValid(), b.isValid())
		}
		own.reach(true)
		if most, _ := writers(4*time.Second, a, b); most != 1 || a.replaced.Load() != "b" {
			t.Errorf("up to %d may write, and a knows of %q, want it to know of b", most, a.replaced.Load())
		}
	})
}

func TestLeading_WritesWaitForTheLease(t *testing.T) {
	tests := []struct {
		method, path string
		waits        bool
	}{
		{method: http.MethodGet, path: "/api/v1/services"},
		{method: http.MethodPost, path: "/apis/authentication.k8s.io/v1/tokenreviews"},
		{method: http.MethodPost, path: "/apis/authorization.k8s.io/v1/subjectaccessreviews"},
		{method: http.MethodPost, path: "/apis/events.k8s.io/v1/namespaces/x/events", waits: true},
		{method: http.MethodPatch, path: "/api/v1/namespaces/x/services/y/status", waits: true},
		{method: http.MethodPut, path: "/x", waits: true},
		{method: http.MethodDelete, path: "/x", waits: true},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lease{Interface: &handle{server: &server{}, name: "a"}, began: time.Now()}
				time.Sleep(time.Second)
				way := leaderTransport{next: answering(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: http.StatusOK}, nil }), lease: l}
				send := func(ctx context.Context) (time.Duration, error) {
					request, err := http.NewRequestWithContext(ctx, tt.method, "https://api"+tt.path, nil)
					if err != nil {
						t.Fatal(err)
					}
					from := time.Now()
					_, err = way.RoundTrip(request)
					return time.Since(from), err
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if took, err := send(ctx); (err != nil) != tt.waits || took > 0 != tt.waits {
					t.Errorf("without the lease: %v after %s, want it to wait: %t", err, took, tt.waits)
				}
				if err := l.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
					t.Fatal(err)
				}
				if took, err := send(t.Context()); err != nil || took > 0 {
					t.Errorf("with the lease: %v after %s", err, took)
				}
				time.Sleep(writeDuration)
				if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); err != nil {
					t.Fatal(err)
				}
				if l.isValid() {
					t.Error("a lease that was given up is valid")
				}
			})
		})
	}
}

func TestNewLease_LeavesTheConfigAsItIs(t *testing.T) {
	config := &rest.Config{Host: "https://127.0.0.1:1", UserAgent: "test"}
	want := rest.CopyConfig(config)
	if _, err := newLease(Options{Name: "test", Namespace: "x", Log: logr.Discard()}, config); err != nil {
		t.Fatal(err)
	}
	if config.Timeout != want.Timeout || config.UserAgent != want.UserAgent {
		t.Errorf("got the timeout %s and the user agent %q, want none and %q", config.Timeout, config.UserAgent, want.UserAgent)
	}
}

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }
