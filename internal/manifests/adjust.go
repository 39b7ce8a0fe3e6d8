package manifests

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
)

const (
	componentController = "controller"
	componentSpeaker    = "speaker"
)

// applySpec applies the spec to a workload, and sets the namespace of the components in a policy. It does not
// change other objects.
func applySpec(object *unstructured.Unstructured, o Options) error {
	var component v1beta1.ComponentSpec
	var account types.UID
	var arguments, capabilities []string
	var ports []any
	switch object.GetKind() {
	case "Deployment":
		component, account = o.Spec.Controller.ComponentSpec, o.Accounts[componentController]
		if class := o.Spec.LoadBalancerClass; class != "" {
			arguments = append(arguments, "--load-balancer-class="+class)
		}
		if replicas := o.Spec.Controller.Replicas; replicas != nil {
			if err := unstructured.SetNestedField(object.Object, int64(*replicas), "spec", "replicas"); err != nil {
				return err
			}
		}
	case "DaemonSet":
		component, account = o.Spec.Speaker.ComponentSpec, o.Accounts[componentSpeaker]
		arguments, capabilities = speakerArguments(o.Spec), speakerCapabilities(o.Spec)
		ports = declaredPorts(o.Spec)
	case "ValidatingAdmissionPolicy":
		return adjustPolicy(object, o.Namespace)
	default:
		return nil
	}
	level := component.LogLevel
	if level == "" {
		level = v1beta1.LogLevelInfo
	}
	arguments = append([]string{"--log-level=" + strings.ToLower(string(level))}, arguments...)

	pod, found, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
	if err != nil || !found {
		return errors.Join(err, errors.New("the manifest has no pod template"))
	}
	if err := adjustPodMetadata(object, component, account); err != nil {
		return err
	}
	if err := adjustPod(pod, component, o.Spec.Images); err != nil {
		return err
	}
	selector, _, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil {
		return err
	}
	if err := adjustPlacement(pod, component, selector); err != nil {
		return err
	}
	if err := adjustContainer(pod, component, o, arguments, capabilities, ports); err != nil {
		return err
	}
	return unstructured.SetNestedMap(object.Object, pod, "spec", "template", "spec")
}

// defaultNamespace is the namespace in the policies of the manifests.
const defaultNamespace = "lbstack-system"

// adjustPolicy replaces defaultNamespace in a policy by the namespace of the components. It returns an error
// if the policy does not contain defaultNamespace exactly once, since the policy would then restrict nobody.
func adjustPolicy(object *unstructured.Unstructured, namespace string) error {
	conditions, _, err := unstructured.NestedSlice(object.Object, "spec", "matchConditions")
	if err != nil {
		return err
	}
	named := 0
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		expression, _ := condition["expression"].(string)
		if count := strings.Count(expression, defaultNamespace); count > 0 {
			named += count
			condition["expression"] = strings.ReplaceAll(expression, defaultNamespace, namespace)
		}
	}
	if named != 1 {
		return fmt.Errorf("the match conditions of the policy contain the namespace %s %d times instead of once", defaultNamespace, named)
	}
	return unstructured.SetNestedSlice(object.Object, conditions, "spec", "matchConditions")
}
