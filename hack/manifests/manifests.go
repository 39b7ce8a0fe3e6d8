// Package manifests renders the kustomizations of config/. The plain manifest, the OLM bundle and the Helm
// chart are generated from its results.
package manifests

import (
	"bytes"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// RelatedImageEnv is the name of the operator's environment variable with the image of the components. The field
// images of a kustomization does not change that variable.
const RelatedImageEnv = "RELATED_IMAGE_LBSTACK"

// Render returns the objects of a kustomization, Namespaces and CRDs first. If image is not empty, Render
// sets it in the Deployments, as the image of the operator and of the components.
func Render(dir, image string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range resources.Resources() {
		raw, err := resource.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("reading the rendered %s: %w", resource.CurId(), err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("reading the rendered %s: %w", resource.CurId(), err)
		}
		if image != "" && object.GetKind() == "Deployment" {
			if err := setImage(object, image); err != nil {
				return nil, fmt.Errorf("setting the image of the Deployment %s: %w", object.GetName(), err)
			}
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// Encode returns the objects as one YAML file for `kubectl apply`.
func Encode(objects []*unstructured.Unstructured) ([]byte, error) {
	var all bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("writing the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		all.WriteString("---\n")
		all.Write(text)
	}
	return all.Bytes(), nil
}

// setImage sets the image in all containers of a Deployment, and in their environment variable RelatedImageEnv.
func setImage(deployment *unstructured.Unstructured, image string) error {
	path := []string{"spec", "template", "spec", "containers"}
	containers, found, err := unstructured.NestedSlice(deployment.Object, path...)
	if err != nil || !found {
		return errors.Join(err, errors.New("it has no containers"))
	}
	for _, item := range containers {
		container, ok := item.(map[string]any)
		if !ok {
			return errors.New("a container is not an object")
		}
		container["image"] = image
		variables, _, err := unstructured.NestedSlice(container, "env")
		if err != nil {
			return err
		}
		for _, variable := range variables {
			if variable, ok := variable.(map[string]any); ok && variable["name"] == RelatedImageEnv {
				variable["value"] = image
			}
		}
		container["env"] = variables
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, path...)
}
