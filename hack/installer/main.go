// Command installer writes the manifests of the repository as one file: the
// installation of the operator with a given image, or any kustomization.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// relatedImage is the variable of the operator that names the components'
// image. Kustomize's images do not reach it.
const relatedImage = "RELATED_IMAGE_LBSTACK"

func main() {
	image := flag.String("image", "", "image of the operator and the components; empty: as in the manifests")
	out := flag.String("out", "", "file to write; empty: standard output")
	dir := flag.String("dir", "config/default", "kustomization to render")
	flag.Parse()
	if err := run(*dir, *image, *out); err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func run(dir, image, out string) error {
	options := krusty.MakeDefaultOptions()
	// Namespaces and CRDs come first: the file can be applied as it is.
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return fmt.Errorf("rendering %s: %w", dir, err)
	}
	var all bytes.Buffer
	for _, resource := range resources.Resources() {
		raw, err := resource.MarshalJSON()
		if err != nil {
			return fmt.Errorf("reading the rendered %s: %w", resource.CurId(), err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("reading the rendered %s: %w", resource.CurId(), err)
		}
		if image != "" && object.GetKind() == "Deployment" {
			if err := setImage(object, image); err != nil {
				return fmt.Errorf("setting the image of the Deployment %s: %w", object.GetName(), err)
			}
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("writing %s: %w", resource.CurId(), err)
		}
		all.WriteString("---\n")
		all.Write(text)
	}
	if out == "" {
		_, err = os.Stdout.Write(all.Bytes())
		return err
	}
	return os.WriteFile(out, all.Bytes(), 0o644)
}

// setImage sets the image of the containers, and tells the operator that it is
// the components' too.
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
			if variable, ok := variable.(map[string]any); ok && variable["name"] == relatedImage {
				variable["value"] = image
			}
		}
		container["env"] = variables
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, path...)
}
