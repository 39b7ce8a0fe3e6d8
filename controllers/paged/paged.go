// Package paged reads objects of tenants from the API server, past the cache, a few at a
// time, and keeps of each what is read of it: a list of all at once would take memory without
// a bound. Who works from the cache has no need of it.
package paged

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// page is how many objects are read at once. Each can take some 15 MiB until it is trimmed.
const page = 10

// Services returns all Services of type LoadBalancer, trimmed; see apiconv.TrimService. They
// are those of one moment.
func Services(ctx context.Context, reader client.Reader) ([]corev1.Service, error) {
	ofType := client.MatchingFields{"spec.type": string(corev1.ServiceTypeLoadBalancer)}
	return services(ctx, reader, func(*corev1.Service) bool { return true }, ofType)
}

// ServicesWith returns the Services of any type that have a status condition, trimmed.
func ServicesWith(ctx context.Context, reader client.Reader, condition string) ([]corev1.Service, error) {
	return services(ctx, reader, func(svc *corev1.Service) bool {
		return meta.FindStatusCondition(svc.Status.Conditions, condition) != nil
	})
}

func services(ctx context.Context, reader client.Reader, wanted func(*corev1.Service) bool, selectors ...client.ListOption) (all []corev1.Service, err error) {
	options := client.ListOptions{Limit: page}
	for {
		var list corev1.ServiceList
		if err := reader.List(ctx, &list, append(selectors, &options)...); err != nil {
			return nil, fmt.Errorf("listing the Services: %w", err)
		}
		for i := range list.Items {
			if wanted(&list.Items[i]) {
				all = append(all, *apiconv.TrimService(&list.Items[i]))
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return all, nil
		}
	}
}
