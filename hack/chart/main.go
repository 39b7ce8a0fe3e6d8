// Command chart generates a part of the Helm chart from config/default: the CRDs, and a template for each
// other object. The values, their schema, the notes and the template of the stack are not generated: they are
// in charts/lbstack.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/hack/generated"
	"github.com/lbstack/lbstack/hack/manifests"
)

const chartFolder = "charts/lbstack"

// writtenPaths are the generated paths, relative to the chart.
var writtenPaths = []string{"Chart.yaml", "crds", "templates/generated"}

func main() {
	version := flag.String("version", "", "version of the chart and of lbstack, vMAJOR.MINOR.PATCH")
	digest := flag.String("digest", "", "digest of the image, sha256:...; empty: the chart refers to the image by its version")
	out := flag.String("out", "", "folder to write the whole chart to; empty: charts/lbstack")
	check := flag.Bool("check", false, "change nothing, and fail if the chart is not up to date")
	flag.Parse()
	if err := run(*version, *digest, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(version, digest, out string, check bool) error {
	objects, err := manifests.Render("config/default", "")
	if err != nil {
		return err
	}
	about, err := os.ReadFile(filepath.Join(chartFolder, "Chart.yaml"))
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	files, err := renderFiles(objects)
	if err != nil {
		return err
	}
	if files["Chart.yaml"], err = setVersion(string(about), version, digest); err != nil {
		return err
	}
	to := chartFolder
	if out != "" && !check {
		to = out
		if err := generated.Replace(chartFolder, out, "."); err != nil {
			return err
		}
	}
	return generated.Make("the Helm chart", "chart", to, check, func(dir string) error {
		for name, text := range files {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("making a folder for %s: %w", name, err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return fmt.Errorf("writing %s: %w", name, err)
			}
		}
		return nil
	}, writtenPaths...)
}

// renderFiles returns the content of the generated files, by path in the chart. It leaves out the Namespace, since
// Helm installs into a namespace that the user chooses.
func renderFiles(objects []*unstructured.Unstructured) (map[string]string, error) {
	files := map[string]string{}
	for _, object := range objects {
		switch object.GetKind() {
		case "Namespace":
			continue
		case "CustomResourceDefinition":
			text, err := yaml.Marshal(object.Object)
			if err != nil {
				return nil, fmt.Errorf("writing the CRD %s: %w", object.GetName(), err)
			}
			files["crds/"+object.GetName()+".yaml"] = string(text)
			continue
		}
		text, err := renderTemplate(object)
		if err != nil {
			return nil, fmt.Errorf("making a template of the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		files["templates/generated/"+strings.ToLower(object.GetKind())+"-"+object.GetName()+".yaml"] = text
	}
	return files, nil
}

// markPattern matches the marks «block» and «with». A mark is a placeholder in an object for an expression of
// the template. It is replaced after the object was encoded as YAML. The mark «expression» stands for a
// value. The mark «block expression» stands for a list or an object. The mark «with expression» stands for a
// list or an object that is left out if it is empty.
var markPattern = regexp.MustCompile(`(?m)^( *)([-\w./]+): «(block|with) (.+)»\n`)

// renderTemplate returns the Helm template of an object.
func renderTemplate(object *unstructured.Unstructured) (string, error) {
	if object.GetNamespace() != "" {
		object.SetNamespace("«.Release.Namespace»")
	}
	subjects, found, err := unstructured.NestedSlice(object.Object, "subjects")
	if err != nil {
		return "", err
	}
	if found {
		for _, subject := range subjects {
			if subject, ok := subject.(map[string]any); ok {
				subject["namespace"] = "«.Release.Namespace»"
			}
		}
		if err := unstructured.SetNestedSlice(object.Object, subjects, "subjects"); err != nil {
			return "", err
		}
	}
	if object.GetKind() == "Deployment" {
		if err := markDeployment(object); err != nil {
			return "", err
		}
	}
	raw, err := yaml.Marshal(object.Object)
	if err != nil {
		return "", err
	}
	text := string(raw)
	if strings.Contains(text, "{{") {
		return "", errors.New("the object contains {{, which Helm would take for the beginning of a template expression")
	}
	text = markPattern.ReplaceAllStringFunc(text, func(line string) string {
		part := markPattern.FindStringSubmatch(line)
		indent, key, form, expression := part[1], part[2], part[3], part[4]
		if form == "with" {
			return fmt.Sprintf("%[1]s{{- with %[2]s }}\n%[1]s%[3]s:\n%[1]s  {{- toYaml . | nindent %[4]d }}\n%[1]s{{- end }}\n", indent, expression, key, len(indent)+2)
		}
		return fmt.Sprintf("%[1]s%[2]s:\n%[1]s  {{- toYaml %[3]s | nindent %[4]d }}\n", indent, key, expression, len(indent)+2)
	})
	return strings.NewReplacer("«", "{{ ", "»", " }}").Replace(text), nil
}

// markDeployment puts marks into those fields of the operator's Deployment that have values in the chart.
func markDeployment(object *unstructured.Unstructured) error {
	pod := []string{"spec", "template", "spec"}
	containers, _, err := unstructured.NestedSlice(object.Object, append(pod, "containers")...)
	if err != nil {
		return err
	}
	if len(containers) != 1 {
		return fmt.Errorf("the Deployment has %d containers, but the chart has values for only one", len(containers))
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return errors.New("its container is not an object")
	}
	container["image"] = `«include "lbstack.image" .»`
	container["imagePullPolicy"] = "«.Values.image.pullPolicy»"
	container["resources"] = "«block .Values.resources»"
	container["args"] = []any{"--log-level=«.Values.logLevel»"}
	variables, _ := container["env"].([]any)
	for _, variable := range variables {
		if variable, ok := variable.(map[string]any); ok && variable["name"] == manifests.RelatedImageEnv {
			variable["value"] = `«include "lbstack.image" .»`
		}
	}
	if err := unstructured.SetNestedSlice(object.Object, containers, append(pod, "containers")...); err != nil {
		return err
	}
	for field, expression := range map[string]string{
		"affinity": "«with .Values.affinity»", "imagePullSecrets": "«with .Values.imagePullSecrets»", "nodeSelector": "«block .Values.nodeSelector»",
		"priorityClassName": "«.Values.priorityClassName»", "tolerations": "«with .Values.tolerations»",
	} {
		if err := unstructured.SetNestedField(object.Object, expression, append(pod, field)...); err != nil {
			return err
		}
	}
	if err := unstructured.SetNestedField(object.Object, "«with .Values.podAnnotations»", "spec", "template", "metadata", "annotations"); err != nil {
		return err
	}
	return unstructured.SetNestedField(object.Object, "«.Values.replicas»", "spec", "replicas")
}

var versionLines = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)

// setVersion sets both versions in Chart.yaml to the version of lbstack. It adds a digest as an annotation,
// which the templates read. This is possible at the end of the file, since the annotations are its last
// section.
func setVersion(about, version, digest string) (string, error) {
	if !strings.HasPrefix(version, "v") {
		return "", fmt.Errorf("version %q is not vMAJOR.MINOR.PATCH", version)
	}
	if len(versionLines.FindAllString(about, -1)) != 2 {
		return "", errors.New("the file Chart.yaml does not have exactly one line with version and one line with appVersion")
	}
	if digest != "" {
		about += "  lbstack.io/image-digest: " + digest + "\n"
	}
	return versionLines.ReplaceAllStringFunc(about, func(line string) string {
		if strings.HasPrefix(line, "appVersion") {
			return "appVersion: " + version
		}
		return "version: " + strings.TrimPrefix(version, "v")
	}), nil
}
