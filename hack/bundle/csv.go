package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// ownedCRD is an item in the list spec.customresourcedefinitions.owned of a ClusterServiceVersion.
type ownedCRD struct {
	Name              string           `json:"name"`
	Kind              string           `json:"kind"`
	Version           string           `json:"version"`
	DisplayName       string           `json:"displayName"`
	Description       string           `json:"description"`
	Resources         []map[string]any `json:"resources"`
	SpecDescriptors   []descriptor     `json:"specDescriptors,omitempty"`
	StatusDescriptors []descriptor     `json:"statusDescriptors,omitempty"`
}

// completeCSV completes the ClusterServiceVersion in the objects: it adds the image, and a descriptor for
// each field of the CRDs. The base in config/manifests can have a descriptor with only a path, which moves
// the field to the front of the list.
func completeCSV(objects []*unstructured.Unstructured, image string) error {
	var csv *unstructured.Unstructured
	schemas := map[string]schema{}
	for _, object := range objects {
		switch object.GetKind() {
		case "ClusterServiceVersion":
			csv = object
		case "CustomResourceDefinition":
			found, err := storedSchema(object)
			if err != nil {
				return fmt.Errorf("CRD %s: %w", object.GetName(), err)
			}
			schemas[object.GetName()] = found
		}
	}
	if csv == nil {
		return errors.New("config/manifests has no ClusterServiceVersion")
	}
	annotations := csv.GetAnnotations()
	annotations["containerImage"] = image
	csv.SetAnnotations(annotations)

	path := []string{"spec", "customresourcedefinitions", "owned"}
	items, _, err := unstructured.NestedSlice(csv.Object, path...)
	if err != nil {
		return fmt.Errorf("reading the owned CRDs of the ClusterServiceVersion: %w", err)
	}
	for i, item := range items {
		if items[i], err = describeOwned(item, schemas); err != nil {
			return err
		}
	}
	for name := range schemas {
		return fmt.Errorf("CRD %s is missing in the owned CRDs of the ClusterServiceVersion: add it to config/manifests/bases, with displayName, description and resources", name)
	}
	return unstructured.SetNestedSlice(csv.Object, items, path...)
}

// describeOwned adds the descriptors to an owned CRD. It also removes the schema of the CRD from schemas.
// After the last owned CRD, schemas therefore has only the CRDs that are not owned.
func describeOwned(item any, schemas map[string]schema) (any, error) {
	var crd ownedCRD
	raw, err := json.Marshal(item)
	if err == nil {
		err = json.Unmarshal(raw, &crd)
	}
	if err != nil {
		return nil, fmt.Errorf("reading an owned CRD of the ClusterServiceVersion: %w", err)
	}
	of, ok := schemas[crd.Name]
	if !ok {
		return nil, fmt.Errorf("owned CRD %s of the ClusterServiceVersion does not exist", crd.Name)
	}
	delete(schemas, crd.Name)
	if crd.DisplayName == "" || crd.Description == "" || len(crd.Resources) == 0 {
		return nil, fmt.Errorf("owned CRD %s of the ClusterServiceVersion needs displayName, description and resources", crd.Name)
	}
	if crd.SpecDescriptors, err = orderDescriptors(crd.SpecDescriptors, of, spec); err == nil {
		crd.StatusDescriptors, err = orderDescriptors(crd.StatusDescriptors, of, status)
	}
	if err != nil {
		return nil, fmt.Errorf("owned CRD %s of the ClusterServiceVersion: %w", crd.Name, err)
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(&crd)
}

// orderDescriptors returns the descriptors for the fields in a part of a CRD. The fields with a descriptor in base
// come first.
func orderDescriptors(base []descriptor, crd schema, p objectPart) ([]descriptor, error) {
	of := crd.child("properties").child(string(p))
	var first []string
	for _, d := range base {
		if _, ok := of.child("properties")[d.Path]; !ok {
			return nil, fmt.Errorf("%s.%s: the CRD has no such field", p, d.Path)
		}
		first = append(first, d.Path)
	}
	return describeFields(of, p, first), nil
}

// storedSchema returns the schema of the storage version of a CRD.
func storedSchema(crd *unstructured.Unstructured) (schema, error) {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(versions, func(v any) bool {
		version, _ := v.(map[string]any)
		return version["storage"] == true
	})
	if i < 0 {
		return nil, errors.New("no version has storage: true")
	}
	version, _ := versions[i].(map[string]any)
	return schema(version).child("schema").child("openAPIV3Schema"), nil
}
