package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/metallb"
)

const (
	// parallel is how many Services are made at once.
	parallel = 8
	// quiet is for how long nothing must have been written until a load balancer is done.
	quiet = 3 * time.Second
)

// waiting starts the controller while many Services wait for an address, and measures the time until all show one, and the
// load of the API server until nothing is written any more. Then it measures the idle usage of the programs.
func (b *bench) waiting(ctx context.Context, p *peer, _ string) (err error) {
	if b.services == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*gracePeriod)
	defer cancel()
	if _, err := b.calmServer(ctx); err != nil { // with the Services before, whose conditions and events are written later
		return err
	}
	replicas, err := b.stop(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.scaleAll(context.WithoutCancel(ctx), p.operators, 1)) }()
	if err := b.makeServices(ctx, p); err != nil {
		return err
	}
	if err := b.startController(ctx, p, replicas); err != nil {
		return err
	}
	return b.idle(ctx, p)
}

// startController starts the controller and measures.
func (b *bench) startController(ctx context.Context, p *peer, replicas int32) error {
	before, err := b.calmServer(ctx)
	if err != nil {
		return err
	}
	watched, err := b.Client.Watch(ctx, &corev1.ServiceList{}, client.InNamespace(metav1.NamespaceDefault))
	if err != nil {
		return fmt.Errorf("watching the Services: %w", err)
	}
	defer watched.Stop()
	if err := b.scaleAll(ctx, []client.ObjectKey{p.controller}, replicas); err != nil {
		return err
	}
	all, err := allServed(watched, b.services)
	if err != nil {
		return err
	}
	after, err := b.calmServer(ctx)
	if err != nil {
		return err
	}
	started, err := b.firstController(ctx, p)
	if err != nil {
		return err
	}
	n := float64(b.services)
	what := fmt.Sprintf("%d waiting Services: ", b.services)
	cost := after.minus(before)
	b.table.add(p, what+"start of the controller to the last address (s)", all.Sub(started).Seconds())
	b.table.add(p, what+"writes for each", float64(cost.writes)/n)
	b.table.add(p, what+"requests for each", float64(cost.requests)/n)
	b.table.add(p, what+"processor of the API server for each (ms)", 1000*cost.processor/n)
	progress(p, what+"last address after", all.Sub(started).Round(10*time.Millisecond))
	progress(p, what+"requests", cost)
	return nil
}

// firstController returns when the first process of the controller was started.
func (b *bench) firstController(ctx context.Context, p *peer) (first time.Time, err error) {
	all, err := b.usages(ctx, p)
	if err != nil {
		return first, err
	}
	for id, u := range all {
		if id.program == metallb.Controller && (first.IsZero() || u.Started.Before(first)) {
			first = u.Started
		}
	}
	if first.IsZero() {
		return first, errors.New("no controller runs")
	}
	return first, nil
}

// stop scales the controller, and the operators that would start it again, to 0. It returns the former number of replicas.
func (b *bench) stop(ctx context.Context, p *peer) (replicas int32, err error) {
	deployment := &appsv1.Deployment{}
	if err := b.Client.Get(ctx, p.controller, deployment); err != nil {
		return 0, fmt.Errorf("reading the controller: %w", err)
	}
	if err := b.scaleAll(ctx, append(p.operators, p.controller), 0); err != nil {
		return 0, err
	}
	return *deployment.Spec.Replicas, nil
}

// scaleAll sets the number of replicas of Deployments. With 0, it waits until no pod is left.
func (b *bench) scaleAll(ctx context.Context, deployments []client.ObjectKey, replicas int32) error {
	for _, key := range deployments {
		err := eventually.Poll(ctx, func(ctx context.Context) error {
			deployment := &appsv1.Deployment{}
			if err := b.Client.Get(ctx, key, deployment); err != nil {
				return err
			}
			deployment.Spec.Replicas = &replicas
			if err := b.Client.Update(ctx, deployment); err != nil || replicas > 0 {
				return err
			}
			left, err := b.pods(ctx, key, "")
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%d pods of %s are left", len(left), key)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("scaling %s: %w", key, err)
		}
	}
	return nil
}

// makeServices makes the Services, and waits until all have endpoints: Kubernetes' own controllers are done then.
func (b *bench) makeServices(ctx context.Context, p *peer) error {
	fmt.Fprintf(os.Stderr, "%s: making %d Services\n", p.name, b.services)
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range b.services {
		group.Go(func() error {
			svc := b.service(p, fmt.Sprintf("waiting-%d", i), "many")
			if err := b.Client.Create(each, svc); err != nil {
				return fmt.Errorf("making the Service %s: %w", svc.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return eventually.PollEvery(ctx, time.Second, func(ctx context.Context) error {
		var slices discoveryv1.EndpointSliceList
		if err := b.Client.List(ctx, &slices, client.InNamespace(metav1.NamespaceDefault), client.HasLabels{label}); err != nil {
			return err
		}
		if len(slices.Items) < b.services {
			return fmt.Errorf("%d of %d Services have endpoints", len(slices.Items), b.services)
		}
		return nil
	})
}

// allServed reads the watch until a number of waiting Services show an address, and returns the time.
func allServed(watched watch.Interface, services int) (time.Time, error) {
	has := map[string]bool{}
	for event := range watched.ResultChan() {
		svc, ok := event.Object.(*corev1.Service)
		if !ok {
			return time.Time{}, fmt.Errorf("watching the Services: %s %v", event.Type, event.Object)
		}
		if len(svc.Status.LoadBalancer.Ingress) > 0 && svc.Annotations["metallb.io/address-pool"] == "many" {
			has[svc.Name] = true
		}
		if len(has) == services {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("the watch ended when %d of %d Services had an address", len(has), services)
}
