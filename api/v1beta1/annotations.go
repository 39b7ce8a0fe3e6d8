package v1beta1

// Annotations that a Service carries to ask for something.
const (
	// AnnotationAddressPool names the pool that the address must come from.
	AnnotationAddressPool = "lbstack.io/address-pool"
	// AnnotationLoadBalancerIPs is the address that the Service wants, or
	// several with commas between them. Setting spec.loadBalancerIP as well is an error.
	AnnotationLoadBalancerIPs = "lbstack.io/load-balancer-ips"

	// AnnotationAllowSharedIP is a key: Services with the same one can share an
	// address, given that they have no port in common and that the same nodes serve
	// them. Any Service of the namespace (of any namespace, if the pool allows that) can join
	// by setting the same key.
	AnnotationAllowSharedIP = "lbstack.io/allow-shared-ip"

	// AnnotationAddressPoolMetalLB is read when AnnotationAddressPool is not
	// set, so that MetalLB's manifests work as they are.
	AnnotationAddressPoolMetalLB = "metallb.io/address-pool"
	// AnnotationAddressPoolMetalLBOld is MetalLB's older name for the same.
	AnnotationAddressPoolMetalLBOld = "metallb.universe.tf/address-pool"
	// AnnotationLoadBalancerIPsMetalLB is read when AnnotationLoadBalancerIPs
	// is not set.
	AnnotationLoadBalancerIPsMetalLB = "metallb.io/loadBalancerIPs"
	// AnnotationLoadBalancerIPsMetalLBOld is MetalLB's older name for the same.
	AnnotationLoadBalancerIPsMetalLBOld = "metallb.universe.tf/loadBalancerIPs"
	// AnnotationAllowSharedIPMetalLB is read when AnnotationAllowSharedIP is not
	// set.
	AnnotationAllowSharedIPMetalLB = "metallb.io/allow-shared-ip"
	// AnnotationAllowSharedIPMetalLBOld is MetalLB's older name for the same.
	AnnotationAllowSharedIPMetalLBOld = "metallb.universe.tf/allow-shared-ip"
)

// AnnotationAllocatedFromPool is written on a Service that has an address: the
// pool that it came from, or the pools with commas between them.
const AnnotationAllocatedFromPool = "lbstack.io/ip-allocated-from-pool"

// AnnotationAnnounceFrom on an IPAddressClaim names the node that announces the address on the local network while it can:
// the address moves there, and back there, without a gap. Without that node it is announced by others as ever. It has no
// effect on routes.
const AnnotationAnnounceFrom = "lbstack.io/announce-from"

// AnnotationRetry on the LoadBalancerStack requests another attempt at a revision that failed, each
// time that its value changes.
const AnnotationRetry = "lbstack.io/retry"

// Labels on what lbstack makes.
const (
	// LabelManagedBy is Kubernetes' recommended label for the tool that
	// manages an object.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedByOperator is the value of LabelManagedBy on everything that the
	// operator makes for a LoadBalancerStack.
	ManagedByOperator = "lbstack-operator"
	// ManagedByController is the value of LabelManagedBy on the IPAddressClaims
	// that the controller makes for Services. Administrators write the others.
	ManagedByController = "lbstack-controller"
	// LabelComponent is Kubernetes' recommended label for the part that an
	// object plays: controller or speaker.
	LabelComponent = "app.kubernetes.io/component"
	// LabelRevision is on each pod of a component, with the hash of the template that it was
	// made from.
	LabelRevision = "lbstack.io/revision"
)

// AnnotationServiceAccount on the pods of a component is the UID of the ServiceAccount that they were
// made for. The API server refuses the tokens that pods have of an earlier one of the same name.
const AnnotationServiceAccount = "lbstack.io/service-account-uid"
