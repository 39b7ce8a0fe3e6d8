package integration

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/apiserver"
)

// watchServices returns the Services that there are, and every change of them from then
// on. The API server ends a watch whose events are not taken soon enough, as on a machine
// that is busy: this one goes on where it was.
func (b *bed) watchServices() ([]corev1.Service, watch.Interface) {
	b.Helper()
	config, err := server.Config()
	if err != nil {
		b.Fatal(err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: apiserver.Scheme()})
	if err != nil {
		b.Fatal(err)
	}
	var now corev1.ServiceList
	if err := c.List(context.Background(), &now, client.InNamespace(b.namespace)); err != nil {
		b.Fatal(err)
	}
	services := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		return c.Watch(ctx, &corev1.ServiceList{}, client.InNamespace(b.namespace), &client.ListOptions{Raw: &options})
	}}
	watched, err := watchtools.NewRetryWatcherWithContext(context.Background(), now.ResourceVersion, services)
	if err != nil {
		b.Fatal(err)
	}
	return now.Items, watched
}
