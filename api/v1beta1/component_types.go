package v1beta1

import corev1 "k8s.io/api/core/v1"

// ComponentSpec adjusts how a component runs.
type ComponentSpec struct {
	// logLevel is how much the component logs: Error, Info (default) or Debug.
	// +kubebuilder:default=Info
	// +optional
	LogLevel LogLevel `json:"logLevel,omitempty"`

	// nodeSelector restricts the component to nodes with these labels.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations of the component's pods, in addition to those that lbstack sets. At most 32.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// resources of the component's container, in place of the defaults.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// affinity of the component's pods. Default: none. Required node affinity of the speaker
	// restricts the nodes that announce addresses, as nodeSelector does.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints of the component's pods, in place of the defaults: the
	// controllers are spread over nodes and zones where that is possible. A constraint without
	// labelSelector counts the pods of the component. At most 8.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName of the component's pods. At most 253 characters. Default:
	// system-cluster-critical for the controller, system-node-critical for the speaker.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// podAnnotations are added to the component's pods. At most 32. Keys of lbstack.io are
	// refused by the operator.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	PodAnnotations map[string]AnnotationValue `json:"podAnnotations,omitempty"`

	// podLabels are added to the component's pods. At most 32. Labels with which lbstack finds its
	// pods, and labels that Kubernetes sets, cannot be set. Keys of lbstack.io are refused by the
	// operator.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="!('app.kubernetes.io/name' in self) && !('app.kubernetes.io/component' in self) && !('app.kubernetes.io/managed-by' in self)",message="app.kubernetes.io/name, app.kubernetes.io/component and app.kubernetes.io/managed-by are set by lbstack, which finds its pods with them: use other labels"
	// +kubebuilder:validation:XValidation:rule="!('pod-template-hash' in self) && !('controller-revision-hash' in self) && !('pod-template-generation' in self)",message="pod-template-hash, controller-revision-hash and pod-template-generation are set by Kubernetes: use other labels"
	// +optional
	PodLabels map[string]LabelValue `json:"podLabels,omitempty"`

	// env are environment variables of the component's container, in addition to those that
	// lbstack sets. At most 32.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Env []EnvironmentVariable `json:"env,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`
type LabelValue string

// AnnotationValue is the value of an annotation of a pod.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// EnvironmentVariable is an environment variable of a container.
type EnvironmentVariable struct {
	// name of the variable: letters, digits and underscores, at most 253. POD_NAMESPACE,
	// NODE_NAME, NODE_IP and MEMORY_LIMIT cannot be set. Unique in the list.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['POD_NAMESPACE', 'NODE_NAME', 'NODE_IP', 'MEMORY_LIMIT'])",message="POD_NAMESPACE, NODE_NAME, NODE_IP and MEMORY_LIMIT are set by lbstack: use another name"
	Name string `json:"name"`

	// value of the variable. Do not put secrets here: everybody who may read Deployments and
	// DaemonSets can read the value. At most 4096 characters. Default: empty.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Value string `json:"value,omitempty"`
}
