package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers"
	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestCrashAtEveryWrite plays each story once without a crash, and then twice for
// each write of the story: the controller dies before the write, and after the write but before
// the controller has the answer. Another controller goes on. The end and every step must be
// those of the model. Two Services that do not share must never show the same address.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			writes := relate(t, s, -1, false)
			t.Logf("%d writes", writes)
			for at := range writes {
				for _, done := range []bool{false, true} {
					if t.Failed() {
						return
					}
					relate(t, s, at, done)
				}
			}
		})
	}
}

// relate plays a story with a crash at a write, before or after the write is done; at -1
// without a crash. It returns the number of writes.
func relate(t *testing.T, s story, at int, done bool) (writes int) {
	t.Helper()
	t.Run(fmt.Sprintf("crash at %d, done %v", at, done), func(t *testing.T) {
		b := newBed(t)
		b.pool("pool", "10.9.0.1-10.9.0.9", "2001:db8::1-2001:db8::9")
		watch := b.neverTwice()
		defer watch()
		p := b.process(at, done)
		for i, step := range s.steps {
			step.do(b)
			eventually.Succeed(t, within, fmt.Sprintf("step %d is as in the model", i+1), func(ctx context.Context) error {
				if p.faults.crashed() {
					writes += p.stop()
					p = b.process(-1, false)
				}
				return b.compare(ctx, step)
			})
		}
		writes += p.stop()
	})
	return writes
}

// compare compares the cluster with the model after a step.
func (b *bed) compare(ctx context.Context, want step) error {
	var services corev1.ServiceList
	if err := b.List(ctx, &services, client.InNamespace(b.namespace)); err != nil {
		return err
	}
	shown := map[string]string{}
	for i := range services.Items {
		shown[services.Items[i].Name] = ingress(&services.Items[i])
	}
	var list v1beta1.IPAddressClaimList
	if err := b.List(ctx, &list); err != nil {
		return err
	}
	claimed := map[string]string{}
	for _, c := range list.Items {
		words := []string{string(c.Spec.State)}
		for _, h := range c.Spec.Holders {
			words = append(words, h.Name)
		}
		slices.Sort(words[1:])
		claimed[c.Spec.Address] = strings.Join(words, " ")
	}
	if diff := cmp.Diff(choose(want.services, shown), shown); diff != "" {
		return fmt.Errorf("Services (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(chooseKeys(want.claims, claimed), claimed); diff != "" {
		return fmt.Errorf("claims (-want +got):\n%s", diff)
	}
	return nil
}

// choose replaces an alternative of the model, one|other, by the value that the cluster has.
func choose(want, got map[string]string) map[string]string {
	settled := map[string]string{}
	for name, value := range want {
		settled[name] = value
		if options := strings.Split(value, "|"); slices.Contains(options, got[name]) {
			settled[name] = got[name]
		}
	}
	return settled
}

func chooseKeys(want, got map[string]string) map[string]string {
	settled := map[string]string{}
	for key, value := range want {
		for option := range strings.SplitSeq(key, "|") {
			if _, ok := got[option]; ok {
				key = option
			}
		}
		settled[key] = value
	}
	return settled
}

// neverTwice watches the Services until the returned function is called, and fails
// the test if a Service begins to show an address that another Service shows and does not share. Two Services that
// stop sharing show the address until the controller, which may be down, has read the change.
func (b *bed) neverTwice() (stop func()) {
	b.Helper()
	now, watched := b.watchServices()
	var group sync.WaitGroup
	group.Go(func() {
		shows := map[string]*corev1.Service{}
		for i := range now {
			shows[now[i].Name] = &now[i]
		}
		for e := range watched.ResultChan() {
			svc, ok := e.Object.(*corev1.Service)
			if !ok {
				continue
			}
			before := shows[svc.Name]
			delete(shows, svc.Name)
			if e.Type == watch.Deleted {
				continue
			}
			for _, other := range shows {
				both := inBoth(svc, other)
				if both != "" && other.Annotations[v1beta1.AnnotationAllowSharedIP] == "" && (before == nil || inBoth(before, other) != both) {
					b.Errorf("%s is shown by %s and %s at one time", both, svc.Name, other.Name)
				}
			}
			shows[svc.Name] = svc
		}
	})
	return func() { watched.Stop(); group.Wait() }
}

func inBoth(x, y *corev1.Service) string {
	for _, a := range x.Status.LoadBalancer.Ingress {
		for _, c := range y.Status.LoadBalancer.Ingress {
			if a.IP == c.IP {
				return a.IP
			}
		}
	}
	return ""
}

var errCrashed = errors.New("the test has let this controller die")

// faults has a controller die at one of its writes.
type faults struct {
	mu     sync.Mutex
	writes int
	at     int // -1: never
	done   bool
	dead   bool
}

func (f *faults) crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// write does a write, unless the controller is dead or dies before the write. A controller
// that is about to die does its writes one after the other, so that the test knows which
// writes are done.
func (f *faults) write(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errCrashed
	}
	f.writes++
	if f.writes-1 != f.at {
		return do()
	}
	f.dead = true
	if f.done {
		_ = do() // the controller does not get the result
	}
	return errCrashed
}

// faulty is a client with faults in its writes.
type faulty struct {
	client.Client
	faults *faults
}

func (c faulty) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	return c.faults.write(func() error { return c.Client.Create(ctx, o, options...) })
}

func (c faulty) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	return c.faults.write(func() error { return c.Client.Update(ctx, o, options...) })
}

func (c faulty) Delete(ctx context.Context, o client.Object, options ...client.DeleteOption) error {
	return c.faults.write(func() error { return c.Client.Delete(ctx, o, options...) })
}

func (c faulty) Status() client.SubResourceWriter {
	return faultyStatus{c.Client.Status(), c.faults}
}

type faultyStatus struct {
	client.SubResourceWriter
	faults *faults
}

// Patch never fails for the status of pools and claims, and for the condition Announced
// of Services: nothing depends on these writes.
func (c faultyStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if _, ok := o.(*corev1.Service); !ok || patch.Type() == types.StrategicMergePatchType {
		return c.SubResourceWriter.Patch(ctx, o, patch, options...)
	}
	return c.faults.write(func() error { return c.SubResourceWriter.Patch(ctx, o, patch, options...) })
}

// controllerInProcess is the controller with its real cache and queues, in this
// process, so that its writes can be made to fail.
type controllerInProcess struct {
	faults *faults
	cancel context.CancelFunc
	ended  chan struct{}
}

func (b *bed) process(at int, done bool) *controllerInProcess {
	b.Helper()
	cfg, err := server.Config()
	if err != nil {
		b.Fatal(err)
	}
	p := &controllerInProcess{faults: &faults{at: at, done: done}, ended: make(chan struct{})}
	skip := true
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: apiserver.Scheme(), Cache: controllers.CacheOptions(systemNamespace), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		NewClient: func(cfg *rest.Config, options client.Options) (client.Client, error) {
			c, err := client.New(cfg, options)
			return faulty{c, p.faults}, err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := controllers.Setup(mgr, "", systemNamespace, prometheus.NewRegistry()); err != nil {
		b.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(p.ended)
		if err := mgr.Start(ctx); err != nil {
			b.Errorf("the controller ended: %v", err)
		}
	}()
	b.Cleanup(func() { p.stop() })
	return p
}

// stop ends the controller, fails its later writes, and returns
// the number of writes before.
func (p *controllerInProcess) stop() int {
	p.faults.mu.Lock()
	p.faults.dead = true
	writes := p.faults.writes
	p.faults.mu.Unlock()
	p.cancel()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
	}
	return writes
}
