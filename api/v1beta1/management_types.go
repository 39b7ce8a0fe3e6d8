package v1beta1

// Annotations of a LoadBalancerStack, which are requests to the operator.
const (
	// AnnotationPause makes the operator write nothing but the status of the stack, as
	// managementState Unmanaged does, with any value but "false". It is meant for a repair by hand,
	// where the spec is managed by another tool.
	AnnotationPause = "lbstack.io/pause"
	// AnnotationReconcile requests a pass over all objects at once: at each new value the
	// operator looks each object up and applies it, and sets status.lastHandledReconcile to the
	// value.
	AnnotationReconcile = "lbstack.io/reconcile"
	// AnnotationAllowDowngrade permits a version of the operator, which is its value, to work
	// although a newer version ran (status.version). Without it the stack is DowngradeRefused.
	AnnotationAllowDowngrade = "lbstack.io/allow-downgrade"
)

// ManagementState is what the operator does with the installation.
// +kubebuilder:validation:Enum=Managed;Unmanaged;Removed
type ManagementState string

// The management states.
const (
	// Managed: the operator installs, restores and updates.
	Managed ManagementState = "Managed"
	// Unmanaged: the operator observes and reports.
	Unmanaged ManagementState = "Unmanaged"
	// Removed: the operator removes what it made, and the stack stays.
	Removed ManagementState = "Removed"
)

// RemovalSpec says what the removal of lbstack leaves.
type RemovalSpec struct {
	// addresses is what becomes of the addresses that Services have. Keep (default): the
	// IPAddressClaims stay, and an installation after that gives each Service the addresses that it
	// had. Release: the claims are deleted. In both cases no Service shows an address after the
	// removal. Claims go with the CustomResourceDefinitions at last.
	// +kubebuilder:default=Keep
	// +optional
	Addresses AddressRemoval `json:"addresses,omitempty"`
}

// AddressRemoval is what a removal does with the addresses of Services.
// +kubebuilder:validation:Enum=Keep;Release
type AddressRemoval string

// What a removal does with addresses.
const (
	// AddressesKeep leaves the IPAddressClaims.
	AddressesKeep AddressRemoval = "Keep"
	// AddressesRelease deletes the IPAddressClaims that the controller made.
	AddressesRelease AddressRemoval = "Release"
)

// Patch changes objects that the operator makes. Its author decides what runs on the
// nodes, with the rights of the components.
type Patch struct {
	// target selects the objects.
	Target PatchTarget `json:"target"`

	// patch is a strategic merge patch (an object) or a JSON patch of RFC 6902 (a list of
	// operations), as YAML or JSON. It cannot change name, namespace, selector, update strategy,
	// ServiceAccount and labels that lbstack sets. 1 to 16384 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Patch string `json:"patch"`
}

// PatchTarget selects objects that the operator makes.
type PatchTarget struct {
	// kind of the objects: Deployment, DaemonSet or PodDisruptionBudget.
	// +kubebuilder:validation:Enum=Deployment;DaemonSet;PodDisruptionBudget
	Kind string `json:"kind"`

	// name of the object. Default: all objects of the kind. At most 253 characters.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
}
