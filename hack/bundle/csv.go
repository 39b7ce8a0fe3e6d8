package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// owned is what the ClusterServiceVersion has about one CRD.
type owned struct {
	Name              string           `json:"name"`
	Kind              string           `json:"kind"`
	Version           string           `json:"version"`
	DisplayName       string           `json:"displayName"`
	Description       string           `json:"description"`
	Resources         []map[string]any `json:"resources"`
	SpecDescriptors   []descriptor     `json:"specDescriptors,omitempty"`
	StatusDescriptors []descriptor     `json:"statusDescriptors,omitempty"`
}

// complete fills in what the ClusterServiceVersion has of the other objects: the image, and the
// descriptors of the fields of the CRDs. A descriptor in the base has a path only: the path is one that
// is shown before the others.
func complete(objects []*unstructured.Unstructured, image string) error {
	var csv *unstructured.Unstructured
	schemas := map[string]schema{}
	for _, object := range objects {
		switch object.GetKind() {
		case "ClusterServiceVersion":
			csv = object
		case "CustomResourceDefinition":
			found, err := servedSchema(object)
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
		return fmt.Errorf("CRD %s is not among the owned ones of the ClusterServiceVersion: add its displayName, description and resources to config/manifests/bases", name)
	}
	return unstructured.SetNestedSlice(csv.Object, items, path...)
}

// describeOwned adds the descriptors, and takes the schema out of those that are left.
func describeOwned(item any, schemas map[string]schema) (any, error) {
	var crd owned
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
	if crd.SpecDescriptors, err = ordered(crd.SpecDescriptors, of, spec); err == nil {
		crd.StatusDescriptors, err = ordered(crd.StatusDescriptors, of, status)
	}
	if err != nil {
		return nil, fmt.Errorf("owned CRD %s of the ClusterServiceVersion: %w", crd.Name, err)
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(&crd)
}

func ordered(base []descriptor, crd schema, p part) ([]descriptor, error) {
	of := crd.child("properties").child(string(p))
	var first []string
	for _, d := range base {
		if _, ok := of.child("properties")[d.Path]; !ok {
			return nil, fmt.Errorf("%s.%s: there is no such field", p, d.Path)
		}
		first = append(first, d.Path)
	}
	return describe(of, p, first), nil
}

// servedSchema is the schema of the version that is stored.
func servedSchema(crd *unstructured.Unstructured) (schema, error) {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(versions, func(v any) bool {
		version, _ := v.(map[string]any)
		return version["storage"] == true
	})
	if i < 0 {
		return nil, errors.New("no version is stored")
	}
	version, _ := versions[i].(map[string]any)
	return schema(version).child("schema").child("openAPIV3Schema"), nil
}
