package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/apiserver"
)

const (
	// runTimeout bounds each run.
	runTimeout = 10 * time.Minute
	// quiet is how long the controller is watched once all is done.
	quiet = 10 * time.Second
	// settle is how long it may take for counts in status to follow.
	settle = 5 * time.Second
	// parallel is how many Services are created at once.
	parallel  = 8
	namespace = "bench"
)

// bed is a cluster of an API server alone, and the controller.
type bed struct {
	client.WithWatch
	program, kubeconfig string
}

func newBed(server *apiserver.Server, program string) (*bed, error) {
	config, err := server.Config()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: apiserver.Scheme()})
	if err != nil {
		return nil, err
	}
	return &bed{WithWatch: c, program: program, kubeconfig: server.KubeconfigPath()}, nil
}

// once measures one start of the controller, and how often it writes afterwards
// though nothing has changed.
func (b *bed) once(ctx context.Context, services int) (took time.Duration, writes int, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.prepare(ctx, services); err != nil {
		return 0, 0, err
	}
	watched, err := b.Watch(ctx, &corev1.ServiceList{}, client.InNamespace(namespace))
	if err != nil {
		return 0, 0, fmt.Errorf("watching the Services: %w", err)
	}
	defer watched.Stop()
	cmd := exec.CommandContext(ctx, b.program, "--namespace="+namespace, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=error")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.kubeconfig)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("starting the controller: %w", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		err = errors.Join(err, b.clean(context.WithoutCancel(ctx)))
	}()
	if err := allServed(watched, services); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	if writes, err = b.writesAfter(ctx); err != nil {
		return 0, 0, err
	}
	return took, writes, b.distinct(ctx, services)
}

func (b *bed) prepare(ctx context.Context, services int) error {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := b.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the namespace: %w", err)
	}
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "bench"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"172.16.0.0/12"}}}
	if err := b.Create(ctx, pool); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the pool: %w", err)
	}
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range services {
		group.Go(func() error {
			svc := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("service-%d", i)},
				Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false), Ports: []corev1.ServicePort{{Port: 80}}},
			}
			if err := b.Create(ctx, svc); err != nil {
				return fmt.Errorf("creating the Service %s: %w", svc.Name, err)
			}
			if n := done.Add(1); n%1000 == 0 {
				fmt.Fprintf(os.Stderr, "%d Services created\n", n)
			}
			return nil
		})
	}
	return group.Wait()
}

// allServed reads the watch until every Service has an address.
func allServed(watched watch.Interface, services int) error {
	has := map[string]bool{}
	for event := range watched.ResultChan() {
		svc, ok := event.Object.(*corev1.Service)
		if !ok {
			return fmt.Errorf("watching the Services: %s %v", event.Type, event.Object)
		}
		if len(svc.Status.LoadBalancer.Ingress) > 0 {
			has[svc.Name] = true
		}
		if len(has) == services {
			return nil
		}
	}
	return fmt.Errorf("the watch ended when %d of %d Services had an address", len(has), services)
}

// writesAfter counts the changes of Services, claims and pools in a quiet time.
func (b *bed) writesAfter(ctx context.Context) (int, error) {
	time.Sleep(settle)
	var writes atomic.Int64
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, list := range []client.ObjectList{&corev1.ServiceList{}, &v1beta1.IPAddressClaimList{}, &v1beta1.IPAddressPoolList{}} {
		if err := b.List(ctx, list); err != nil {
			return 0, fmt.Errorf("listing %T: %w", list, err)
		}
		watched, err := b.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		if err != nil {
			return 0, fmt.Errorf("watching %T: %w", list, err)
		}
		group.Go(func() error {
			defer watched.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case _, ok := <-watched.ResultChan():
					if !ok {
						return nil
					}
					writes.Add(1)
				}
			}
		})
	}
	err := group.Wait()
	return int(writes.Load()), err
}

// distinct returns an error unless all Services have different addresses.
func (b *bed) distinct(ctx context.Context, services int) error {
	var list corev1.ServiceList
	if err := b.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing the Services: %w", err)
	}
	owner := map[string]string{}
	for i := range list.Items {
		for _, in := range list.Items[i].Status.LoadBalancer.Ingress {
			if other, ok := owner[in.IP]; ok {
				return fmt.Errorf("%s was given to %s and %s", in.IP, other, list.Items[i].Name)
			}
			owner[in.IP] = list.Items[i].Name
		}
	}
	if len(owner) != services {
		return fmt.Errorf("%d addresses for %d Services", len(owner), services)
	}
	return nil
}

func (b *bed) clean(ctx context.Context) error {
	var list corev1.ServiceList
	if err := b.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing the Services: %w", err)
	}
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range list.Items {
		group.Go(func() error { return client.IgnoreNotFound(b.Delete(each, &list.Items[i])) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("deleting the Services: %w", err)
	}
	for _, object := range []client.Object{&v1beta1.IPAddressClaim{}, &v1beta1.IPAddressPool{}} {
		if err := b.DeleteAllOf(ctx, object); err != nil {
			return fmt.Errorf("deleting every %T: %w", object, err)
		}
	}
	return nil
}
