package manifests

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// ownPrefix is the beginning of the keys of labels and annotations that lbstack defines.
const ownPrefix = "lbstack.io/"

// adjustPodMetadata adds labels and annotations to the pod template: those in the spec, and the annotation
// with the UID of the ServiceAccount. Labels and annotations that the template already has take precedence.
func adjustPodMetadata(object *unstructured.Unstructured, component v1beta1.ComponentSpec, account types.UID) error {
	annotations := stringValues(component.PodAnnotations)
	if account != "" {
		annotations[v1beta1.AnnotationServiceAccount] = string(account)
	}
	for field, add := range map[string]map[string]string{"labels": stringValues(component.PodLabels), "annotations": annotations} {
		if len(add) == 0 {
			continue
		}
		path := []string{"spec", "template", "metadata", field}
		own, _, err := unstructured.NestedStringMap(object.Object, path...)
		if err != nil {
			return err
		}
		maps.Copy(add, own)
		if err := unstructured.SetNestedStringMap(object.Object, add, path...); err != nil {
			return err
		}
	}
	return nil
}

// checkKeys returns an error for each label or annotation in the spec whose key is invalid or is used by
// lbstack itself. The schema of the CRD cannot check this. It cannot limit the length of the keys in a
// map, and a rule about keys of any length exceeds the cost limit of rules.
func checkKeys(spec v1beta1.LoadBalancerStackSpec) (invalid []*FieldError) {
	for _, component := range []struct {
		name string
		spec v1beta1.ComponentSpec
	}{{componentController, spec.Controller.ComponentSpec}, {componentSpeaker, spec.Speaker.ComponentSpec}} {
		invalid = append(invalid, checkMapKeys("spec."+component.name+".podLabels", component.spec.PodLabels)...)
		invalid = append(invalid, checkMapKeys("spec."+component.name+".podAnnotations", component.spec.PodAnnotations)...)
	}
	return invalid
}

func checkMapKeys[V ~string](path string, values map[string]V) (invalid []*FieldError) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if problems := validation.IsQualifiedName(strings.ToLower(key)); len(problems) > 0 {
			invalid = append(invalid, &FieldError{path, "the key " + quoteBounded(key) + " is invalid: " + problems[0], "correct the key"})
		} else if strings.HasPrefix(key, ownPrefix) || slices.Contains(ownLabels, key) {
			invalid = append(invalid, &FieldError{path, "the key " + quoteBounded(key) + " is reserved for lbstack", "use another key"})
		}
	}
	return invalid
}

// ownLabels are the keys of the labels by which lbstack finds its pods.
var ownLabels = []string{"app.kubernetes.io/name", v1beta1.LabelComponent, v1beta1.LabelManagedBy}

func stringValues[V ~string](values map[string]V) map[string]string {
	all := map[string]string{}
	for key, value := range values {
		all[key] = string(value)
	}
	return all
}

// adjustPlacement sets the affinity, the topology spread and the priority of a component's pods. The
// parameter selector is the default label selector of a topology spread constraint.
func adjustPlacement(pod map[string]any, component v1beta1.ComponentSpec, selector map[string]any) error {
	if component.PriorityClassName != "" {
		pod["priorityClassName"] = component.PriorityClassName
	}
	if component.Affinity != nil {
		affinity, err := runtime.DefaultUnstructuredConverter.ToUnstructured(component.Affinity)
		if err != nil {
			return err
		}
		pod["affinity"] = affinity
	}
	if len(component.TopologySpreadConstraints) == 0 {
		return nil
	}
	var constraints []any
	for i := range component.TopologySpreadConstraints {
		constraint, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&component.TopologySpreadConstraints[i])
		if err != nil {
			return err
		}
		if constraint["labelSelector"] == nil {
			constraint["labelSelector"] = selector
		}
		constraints = append(constraints, constraint)
	}
	pod["topologySpreadConstraints"] = constraints
	return nil
}

// withRegistry returns the name of an image with its registry replaced. If registry is empty, the name stays
// unchanged. As in container runtimes, the text before the first slash counts as a registry if it has a dot
// or a colon, or is localhost.
func withRegistry(name, registry string) string {
	if registry == "" {
		return name
	}
	first, rest, slash := strings.Cut(name, "/")
	if slash && (strings.ContainsAny(first, ".:") || first == "localhost") {
		name = rest
	}
	return registry + "/" + name
}

func adjustPod(pod map[string]any, component v1beta1.ComponentSpec, images v1beta1.ImagesSpec) error {
	for key, value := range component.NodeSelector {
		if err := unstructured.SetNestedField(pod, value, "nodeSelector", key); err != nil {
			return err
		}
	}
	tolerations, _, err := unstructured.NestedSlice(pod, "tolerations")
	if err != nil {
		return err
	}
	for i := range component.Tolerations {
		toleration, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&component.Tolerations[i])
		if err != nil {
			return err
		}
		tolerations = append(tolerations, toleration)
	}
	pod["tolerations"] = tolerations
	var secrets []any
	for _, secret := range images.PullSecrets {
		secrets = append(secrets, map[string]any{"name": secret.Name})
	}
	if len(secrets) > 0 {
		pod["imagePullSecrets"] = secrets
	}
	return nil
}

func adjustContainer(pod map[string]any, component v1beta1.ComponentSpec, o Options, arguments, capabilities []string, ports []any) error {
	containers, _, err := unstructured.NestedSlice(pod, "containers")
	if err != nil {
		return err
	}
	if len(containers) != 1 {
		return fmt.Errorf("the pod template has %d containers instead of one", len(containers))
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return errors.New("the container in the pod template is not an object")
	}
	container["image"] = withRegistry(o.Image, o.Spec.Images.Registry)
	if policy := o.Spec.Images.PullPolicy; policy != "" {
		container["imagePullPolicy"] = string(policy)
	}
	if err := unstructured.SetNestedStringSlice(container, arguments, "args"); err != nil {
		return err
	}
	if len(ports) > 0 {
		container["ports"] = ports
	}
	if len(capabilities) > 0 {
		path := []string{"securityContext", "capabilities", "add"}
		given, _, err := unstructured.NestedStringSlice(container, path...)
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedStringSlice(container, append(given, capabilities...), path...); err != nil {
			return err
		}
	}
	if component.Resources != nil {
		resources, err := runtime.DefaultUnstructuredConverter.ToUnstructured(component.Resources)
		if err != nil {
			return err
		}
		container["resources"] = resources
	}
	variables, _, err := unstructured.NestedSlice(container, "env")
	if err != nil {
		return err
	}
	for _, variable := range component.Env {
		variables = append(variables, map[string]any{"name": variable.Name, "value": variable.Value})
	}
	container["env"] = variables
	pod["containers"] = containers
	return nil
}
