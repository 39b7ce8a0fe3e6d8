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
	// maxSlices bounds the SpeakerRouteSlices of a node. The admission policy of the speakers has the
	// same bound, so that one speaker cannot fill the API server. Further routes are announced and
	// counted, but not listed.
	maxSlices = 512
	// maxNamePrefix is how many characters of a slice's name come from the node at most: names of objects have
	// at most 253 characters.
	maxNamePrefix = 249
	// nameEndLength is how many characters of each end of a longer node name are in the name of a slice.
	nameEndLength = 124
)

// routeSliceWriter writes the SpeakerRouteSlices of this node. Nothing else writes them.
type routeSliceWriter struct {
	client   client.Client
	self     lb.NodeName
	reported reportedRoutes
	// stored has the slices on the API server by name, as they were read or written last; nil: the slices
	// have to be read again.
	stored map[string]*v1beta1.SpeakerRouteSlice
	// written is the number of slices that the last write changed.
	written int
}

// sliceName returns the name of a slice of a node. The admission policy for speakers computes the same names.
func sliceName(node lb.NodeName, number int) string {
	name := string(node)
	if len(name) > maxNamePrefix {
		name = name[:nameEndLength] + "x" + name[len(name)-nameEndLength:]
	}
	return fmt.Sprintf("%s-%d", name, number)
}

// invalidate makes the next write compare all slices with the slices on the API server.
func (s *routeSliceWriter) invalidate() { s.stored = nil }

// writeSlices writes the slices that have changed, with the given owner. A slice that cannot be written
// does not delay other slices.
func (s *routeSliceWriter) writeSlices(ctx context.Context, owner []metav1.OwnerReference) error {
	s.written = 0
	if s.stored == nil {
		if err := s.readSlices(ctx); err != nil {
			return err
		}
	}
	var failed []error
	for _, i := range slices.Sorted(maps.Keys(s.reported.dirty)) {
		if i >= maxSlices {
			delete(s.reported.dirty, i)
			continue
		}
		if err := s.putSlice(ctx, owner, sliceName(s.self, i), s.reported.routesOfSlice(i)); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(s.reported.dirty, i)
	}
	if len(failed) > 0 {
		s.invalidate() // the API server may have other slices than s.stored
	}
	return errors.Join(failed...)
}

// readSlices lists the slices of this node on the API server, and deletes those whose names this speaker does
// not use. It makes writeSlices compare all other slices with reported.
func (s *routeSliceWriter) readSlices(ctx context.Context) error {
	var list v1beta1.SpeakerRouteSliceList
	if err := s.client.List(ctx, &list, client.MatchingFields{"node": string(s.self)}); err != nil {
		return fmt.Errorf("listing the SpeakerRouteSlices of %s: %w", s.self, err)
	}
	stored, wanted := map[string]*v1beta1.SpeakerRouteSlice{}, map[string]bool{}
	for i := range min(len(s.reported.slices), maxSlices) {
		wanted[sliceName(s.self, i)] = true
	}
	for i := range list.Items {
		slice := &list.Items[i]
		stored[slice.Name] = slice
		if wanted[slice.Name] {
			continue
		}
		if err := s.client.Delete(ctx, slice); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the SpeakerRouteSlice %s: %w", slice.Name, err)
		}
		delete(stored, slice.Name)
	}
	s.stored = stored
	s.reported.markAll()
	return nil
}

// putSlice creates, updates or deletes one slice. The admission policy allows no labels, annotations or
// finalizers on slices, so an update removes those that another client has set.
func (s *routeSliceWriter) putSlice(ctx context.Context, owner []metav1.OwnerReference, name string, routes []v1beta1.SpeakerBGPRoute) error {
	before := s.stored[name]
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
		delete(s.stored, name)
	case before == nil:
		if err := s.client.Create(ctx, slice); err != nil {
			return fmt.Errorf("creating the SpeakerRouteSlice %s: %w", name, err)
		}
		s.stored[name] = slice
	default:
		slice.ResourceVersion = before.ResourceVersion
		if err := s.client.Update(ctx, slice); err != nil {
			return fmt.Errorf("updating the SpeakerRouteSlice %s: %w", name, err)
		}
		s.stored[name] = slice
	}
	return nil
}
