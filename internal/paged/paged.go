// Package paged reads from the API server objects that tenants have written. It reads a few at a time, and
// drops the fields that the program does not need. A list of all objects at once would take an unlimited
// amount of memory.
package paged

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// pageSize is how many objects are read at once. An object can have 1.5 MiB of labels, and then takes some 15
// MiB of memory until it is trimmed. This includes EndpointSlices, which copy the labels of their Service.
const pageSize = 4

// ListFunc lists one page of objects.
type ListFunc func(context.Context, metav1.ListOptions) (runtime.Object, error)

// ListAll calls list for one page after the other, and returns all objects, trimmed. All pages have the same,
// latest resource version. If any call fails, ListAll returns the error.
func ListAll(ctx context.Context, list ListFunc, options metav1.ListOptions, trim cache.TransformFunc) (*internalversion.List, error) {
	return listPages(options, func(options metav1.ListOptions) (*internalversion.List, error) {
		return readPage(ctx, list, options, trim)
	})
}

func listPages(options metav1.ListOptions, read func(metav1.ListOptions) (*internalversion.List, error)) (*internalversion.List, error) {
	// The API server ignores the limit if the resource version is 0.
	options.ResourceVersion, options.ResourceVersionMatch, options.Limit = "", "", pageSize
	all := &internalversion.List{}
	for {
		next, err := read(options)
		if err != nil {
			return nil, err
		}
		all.ListMeta, all.Items = next.ListMeta, append(all.Items, next.Items...)
		if options.Continue = next.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// readPage returns one page, trimmed. The result shares no memory with the decoded objects.
func readPage(ctx context.Context, list ListFunc, options metav1.ListOptions, trim cache.TransformFunc) (*internalversion.List, error) {
	decoded, err := list(ctx, options)
	if err != nil {
		return nil, err
	}
	from, err := meta.ListAccessor(decoded)
	if err != nil {
		return nil, fmt.Errorf("reading a %T: %w", decoded, err)
	}
	to := &internalversion.List{ListMeta: metav1.ListMeta{ResourceVersion: from.GetResourceVersion(), Continue: from.GetContinue()}}
	err = meta.EachListItemWithAlloc(decoded, func(object runtime.Object) error {
		trimmed, err := trim(object)
		if err != nil {
			return fmt.Errorf("trimming a %T: %w", object, err)
		}
		to.Items = append(to.Items, trimmed.(runtime.Object))
		return nil
	})
	return to, err
}

// LoadBalancers returns all Services of type LoadBalancer, trimmed; see apiconv.TrimService. The reader must
// read from the API server and not from a cache.
func LoadBalancers(ctx context.Context, reader client.Reader) ([]corev1.Service, error) {
	ofType := client.MatchingFields{"spec.type": string(corev1.ServiceTypeLoadBalancer)}
	return selectServices(ctx, reader, func(*corev1.Service) bool { return true }, ofType)
}

// ServicesWithCondition returns the Services of any type that have a condition of the given type, trimmed.
func ServicesWithCondition(ctx context.Context, reader client.Reader, condition string) ([]corev1.Service, error) {
	return selectServices(ctx, reader, func(svc *corev1.Service) bool {
		return meta.FindStatusCondition(svc.Status.Conditions, condition) != nil
	})
}

func selectServices(ctx context.Context, reader client.Reader, wanted func(*corev1.Service) bool, selectors ...client.ListOption) (found []corev1.Service, err error) {
	all, err := ListAll(ctx, func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		list := &corev1.ServiceList{}
		err := reader.List(ctx, list, append(selectors, &client.ListOptions{Limit: options.Limit, Continue: options.Continue})...)
		list.Items = slices.DeleteFunc(list.Items, func(svc corev1.Service) bool { return !wanted(&svc) })
		return list, err
	}, metav1.ListOptions{}, func(in any) (any, error) { return apiconv.TrimService(in.(*corev1.Service)), nil })
	if err != nil {
		return nil, fmt.Errorf("listing the Services: %w", err)
	}
	for _, svc := range all.Items {
		found = append(found, *svc.(*corev1.Service))
	}
	return found, nil
}
