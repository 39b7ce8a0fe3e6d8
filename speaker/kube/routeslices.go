package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// maxSlices bounds the slices of a node, and so do the admission policy of the speakers and
	// what the API server stores of one speaker. Routes beyond are announced and counted, and
	// listed nowhere.
	maxSlices = 512
	// maxPrefix bounds the part of a slice's name that is the node's: names of objects have at
	// most 253 characters. Of a longer name endLength characters at each end are used.
	maxPrefix, endLength = 249, 124
)

// routeSlices writes the SpeakerRouteSlices of this node; it is the only writer of them.
type routeSlices struct {
	client   client.Client
	self     lb.NodeName
	reported reportedRoutes
	// there are those that the API server has, by name, as they were read or written last;
	// nil: nobody has looked.
	there map[string]*v1beta1.SpeakerRouteSlice
	// written is how many were written last.
	written int
}

// sliceName returns the name of one of the slices of a node. The admission policy of the
// speakers makes the same names.
func sliceName(node lb.NodeName, number int) string {
	name := string(node)
	if len(name) > maxPrefix {
		name = name[:endLength] + "x" + name[len(name)-endLength:]
	}
	return fmt.Sprintf("%s-%d", name, number)
}

// look has everything compared with what the API server has, by the next write.
func (s *routeSlices) look() { s.there = nil }

// write writes the slices that have changed, and belong to the owner. One that cannot be
// written holds up no other.
func (s *routeSlices) write(ctx context.Context, owner []metav1.OwnerReference) error {
	s.written = 0
	if s.there == nil {
		if err := s.read(ctx); err != nil {
			return err
		}
	}
	var failed []error
	for _, i := range slices.Sorted(maps.Keys(s.reported.dirty)) {
		if i >= maxSlices {
			delete(s.reported.dirty, i)
			continue
		}
		if err := s.put(ctx, owner, sliceName(s.self, i), s.reported.routes(i)); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(s.reported.dirty, i)
	}
	if len(failed) > 0 {
		s.look() // what is there is another than was thought
	}
	return errors.Join(failed...)
}

// read finds out which slices there are, and deletes those that nobody wants. All others
// are compared.
func (s *routeSlices) read(ctx context.Context) error {
	var list v1beta1.SpeakerRouteSliceList
	if err := s.client.List(ctx, &list, client.MatchingFields{"node": string(s.self)}); err != nil {
		return fmt.Errorf("listing the SpeakerRouteSlices of %s: %w", s.self, err)
	}
	there, wanted := map[string]*v1beta1.SpeakerRouteSlice{}, map[string]bool{}
	for i := range min(len(s.reported.slices), maxSlices) {
		wanted[sliceName(s.self, i)] = true
	}
	for i := range list.Items {
		slice := &list.Items[i]
		there[slice.Name] = slice
		if wanted[slice.Name] {
			continue
		}
		if err := s.client.Delete(ctx, slice); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the SpeakerRouteSlice %s: %w", slice.Name, err)
		}
		delete(there, slice.Name)
	}
	s.there = there
	s.reported.all()
	return nil
}

// put makes one slice as it should be. The admission policy allows no labels, annotations or
// finalizers, so that an update removes those of others.
func (s *routeSlices) put(ctx context.Context, owner []metav1.OwnerReference, name string, routes []v1beta1.SpeakerBGPRoute) error {
	before := s.there[name]
	if before == nil && len(routes) == 0 || before != nil && equality.Semantic.DeepEqual(before.Routes, routes) {
		return nil
	}
	s.written++
	slice := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner}, Node: v1beta1.NodeName(s.self), Routes: routes}
	switch {
	case len(routes) == 0:
		if err := s.client.Delete(ctx, before); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the SpeakerRouteSlice %s: %w", name, err)
		}
		delete(s.there, name)
	case before == nil:
		if err := s.client.Create(ctx, slice); err != nil {
			return fmt.Errorf("creating the SpeakerRouteSlice %s: %w", name, err)
		}
		s.there[name] = slice
	default:
		slice.ResourceVersion = before.ResourceVersion
		if err := s.client.Update(ctx, slice); err != nil {
			return fmt.Errorf("updating the SpeakerRouteSlice %s: %w", name, err)
		}
		s.there[name] = slice
	}
	return nil
}
