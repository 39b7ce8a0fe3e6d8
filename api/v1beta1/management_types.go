package v1beta1

// Annotations of a LoadBalancerStack that request something from the operator.
const (
	// AnnotationPause, with any value but "false", has the effect of managementState Unmanaged: the
	// operator writes only the status of the stack. It is meant for repairs by hand where another
	// tool manages the spec.
	AnnotationPause = "lbstack.io/pause"
	// AnnotationReconcile requests a check of all objects at once: for each new value the
	// operator reads each object from the API server, applies it, and sets
	// status.lastHandledReconcile to the value.
	AnnotationReconcile = "lbstack.io/reconcile"
	// AnnotationAllowDowngrade allows the operator version in its value to manage the stack
	// although a newer version ran before (status.version). Without the annotation, Ready has the
	// reason DowngradeRefused.
	AnnotationAllowDowngrade = "lbstack.io/allow-downgrade"
)

// ManagementState is what the operator does with the installation.
// +kubebuilder:validation:Enum=Managed;Unmanaged;Removed
type ManagementState string

// The management states.
const (
	// StackManaged: the operator installs, restores and updates.
	StackManaged ManagementState = "Managed"
	// StackUnmanaged: the operator observes and reports, and changes nothing.
	StackUnmanaged ManagementState = "Unmanaged"
	// StackRemoved: the operator removes what it made, and the stack stays.
	StackRemoved ManagementState = "Removed"
)

// RemovalSpec decides what the removal of lbstack leaves in the cluster.
type RemovalSpec struct {
	// addresses decides what happens to the addresses of Services. Keep (default): the
	// IPAddressClaims stay, and a later installation gives each Service the same addresses again.
	// Release: the claims are deleted. In both cases no Service has an address in its status after
	// the removal. HandOver: the claims are deleted, and the addresses stay in the status of the
	// Services, for another load balancer that runs already and has taken them over. Deleting the
	// CustomResourceDefinitions deletes the claims as well. So with Keep, the addresses of each Service
	// are also in its annotation lbstack.io/kept-addresses.
	// +kubebuilder:default=Keep
	// +optional
	Addresses AddressRemoval `json:"addresses,omitempty"`
}

// AddressRemoval decides what a removal does with the addresses of Services.
// +kubebuilder:validation:Enum=Keep;Release;HandOver
type AddressRemoval string

// The values of AddressRemoval.
const (
	// AddressesKeep leaves the IPAddressClaims, and writes the addresses into the annotation
	// lbstack.io/kept-addresses of the Services.
	AddressesKeep AddressRemoval = "Keep"
	// AddressesRelease deletes the IPAddressClaims that the controller made.
	AddressesRelease AddressRemoval = "Release"
	// AddressesHandOver deletes the same claims, and leaves the addresses in the status of Services.
	AddressesHandOver AddressRemoval = "HandOver"
)

// Patch changes objects that the operator makes. A user who may write patches can run any program on
// the nodes, with the rights of the components.
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
