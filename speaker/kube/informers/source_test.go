package informers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
)

// away is a cache whose API server is away for some time.
type away struct {
	crcache.Cache
	until    time.Time
	informer *controllertest.FakeInformer
}

func (a away) GetInformer(context.Context, client.Object, ...crcache.InformerGetOption) (crcache.Informer, error) {
	if time.Now().Before(a.until) {
		return nil, errors.New("the API server is away")
	}
	return a.informer, nil
}

// source runs a source of Services, and records when it computes.
type source struct {
	informer *controllertest.FakeInformer
	began    time.Time
	takes    time.Duration // a look

	mu       sync.Mutex
	looks    []time.Duration // since the begin
	services int             // in the latest changes
}

func run(t *testing.T, absent time.Duration, rest int) *source {
	s := &source{informer: controllertest.NewFakeInformer(), began: time.Now()}
	from := NewSource(away{until: s.began.Add(absent), informer: s.informer}, "lbstack-system", logr.Discard())
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		if err := from.Run(ctx, rest, s.look, &corev1.Service{}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

func (s *source) look(n Changes) {
	s.mu.Lock()
	s.looks, s.services = append(s.looks, time.Since(s.began)), len(planned(n.Apply).Services)
	s.mu.Unlock()
	time.Sleep(s.takes)
}

// pass advances the clock of the bubble, and waits until all goroutines are idle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *source) sees(t *testing.T, looks, services int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looks) != looks || s.services != services {
		t.Errorf("got %d looks, the last one at %d Services, want %d at %d", len(s.looks), s.services, looks, services)
	}
}

func TestNothingIsComputedBeforeAllKindsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 10*time.Second, 0)
		pass(10*time.Second + watchBackOff.Last)
		s.informer.Add(service())
		pass(time.Second)
		s.sees(t, 0, 0)
		s.informer.Synced()
		pass(time.Second)
		s.sees(t, 1, 1)
	})
}

func TestFirstChangeIsComputedAtOnceAndFollowingOnesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 0, 0)
		s.informer.Synced()
		pass(time.Second)
		s.sees(t, 1, 0)
		s.informer.Add(service())
		pass(0)
		s.sees(t, 2, 1)
		for _, name := range []string{"dns", "mail"} {
			pass(minReadPause / 4)
			other := service()
			other.Name = name
			s.informer.Add(other)
			pass(0)
			s.sees(t, 2, 1)
		}
		pass(minReadPause / 2)
		s.sees(t, 3, 2) // those two
	})
}

func TestLongComputationIsFollowedByAPause(t *testing.T) {
	for _, tt := range []struct {
		name string
		rest int
		wait time.Duration // until the next look
	}{{"four times as long", 4, 350 * time.Millisecond}, {"none", 0, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := run(t, 0, tt.rest)
				s.takes = 100 * time.Millisecond
				pass(0)
				s.informer.Synced()
				// The caches are asked again after 100 ms. A change that is noted while a look sleeps
				// with the lock would stop the clock of the bubble.
				pass(250 * time.Millisecond)
				s.informer.Add(service())
				if tt.wait > 0 {
					pass(tt.wait - time.Nanosecond)
					s.sees(t, 1, 0)
				}
				pass(min(tt.wait, time.Nanosecond))
				s.sees(t, 2, 1)
				pass(time.Second) // long enough: the next one is looked at as soon as any
				s.informer.Delete(service())
				pass(0)
				s.sees(t, 3, 1)
			})
		})
	}
}
