// Package paged reads objects of tenants from the API server, past the cache, a few at a
// time, and keeps of each what is read of it: a list of all at once would take memory without
// a bound. Who works from the cache has no need of it.
package paged

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// page is how many objects are read at once. Each can take some 15 MiB until it is trimmed.
const page = 10

// Services returns all Services of type LoadBalancer, trimmed; see apiconv.TrimService. They
// are those of one moment.
func Services(ctx context.Context, reader client.Reader) (all []corev1.Service, err error) {
	options := client.ListOptions{Limit: page}
	ofType := client.MatchingFields{"spec.type": string(corev1.ServiceTypeLoadBalancer)}
	for {
		var list corev1.ServiceList
		if err := reader.List(ctx, &list, ofType, &options); err != nil {
			return nil, fmt.Errorf("listing the Services: %w", err)
		}
		for i := range list.Items {
			all = append(all, *apiconv.TrimService(&list.Items[i]))
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return all, nil
		}
	}
}
