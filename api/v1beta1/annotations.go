package v1beta1

// Annotations of a Service that request something.
const (
	// AnnotationAddressPool names the pool that the address must come from.
	AnnotationAddressPool = "lbstack.io/address-pool"
	// AnnotationLoadBalancerIPs is the address that the Service requests, or several addresses
	// with commas between them. Setting spec.loadBalancerIP as well is an error.
	AnnotationLoadBalancerIPs = "lbstack.io/load-balancer-ips"

	// AnnotationAllowSharedIP is a key: Services with the same key can share an address if
	// they have no port in common and the same nodes serve them. Any Service of the namespace
	// (of any namespace, if the pool allows that) can join by setting the same key.
	AnnotationAllowSharedIP = "lbstack.io/allow-shared-ip"

	// AnnotationAddressPoolMetalLB is read when AnnotationAddressPool is not
	// set, so that MetalLB's manifests work as they are.
	AnnotationAddressPoolMetalLB = "metallb.io/address-pool"
	// AnnotationAddressPoolMetalLBOld is MetalLB's older name of AnnotationAddressPoolMetalLB.
	AnnotationAddressPoolMetalLBOld = "metallb.universe.tf/address-pool"
	// AnnotationLoadBalancerIPsMetalLB is read when AnnotationLoadBalancerIPs
	// is not set.
	AnnotationLoadBalancerIPsMetalLB = "metallb.io/loadBalancerIPs"
	// AnnotationLoadBalancerIPsMetalLBOld is MetalLB's older name of AnnotationLoadBalancerIPsMetalLB.
	AnnotationLoadBalancerIPsMetalLBOld = "metallb.universe.tf/loadBalancerIPs"
	// AnnotationAllowSharedIPMetalLB is read when AnnotationAllowSharedIP is not
	// set.
	AnnotationAllowSharedIPMetalLB = "metallb.io/allow-shared-ip"
	// AnnotationAllowSharedIPMetalLBOld is MetalLB's older name of AnnotationAllowSharedIPMetalLB.
	AnnotationAllowSharedIPMetalLBOld = "metallb.universe.tf/allow-shared-ip"
)

// AnnotationKeptAddresses lists the addresses that a Service had when lbstack was removed, with commas
// between them. When the next installation chooses an address for the Service, it prefers the first
// listed address that the Service would get by requesting it. The annotation is removed once the
// Service has all addresses that it asks for.
const AnnotationKeptAddresses = "lbstack.io/kept-addresses"

// AnnotationAllocatedFromPool lists the names of the pools that the addresses of a Service came from,
// with commas between them.
const AnnotationAllocatedFromPool = "lbstack.io/ip-allocated-from-pool"

// AnnotationAnnounceFrom on an IPAddressClaim names the node that announces the address on the local
// network while that node can. The address moves to the node, and back to it after an outage, without a
// gap. While the node cannot announce, other nodes announce the address. The annotation has no effect on
// BGP routes.
const AnnotationAnnounceFrom = "lbstack.io/announce-from"

// AnnotationRetry on the LoadBalancerStack requests another attempt at a failed revision each time
// that the value changes.
const AnnotationRetry = "lbstack.io/retry"

// Labels on objects that lbstack makes.
const (
	// LabelManagedBy is Kubernetes' recommended label for the tool that
	// manages an object.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedByOperator is the value of LabelManagedBy on everything that the
	// operator makes for a LoadBalancerStack.
	ManagedByOperator = "lbstack-operator"
	// ManagedByController is the value of LabelManagedBy on the IPAddressClaims that the controller
	// makes for Services. Claims without the label are written by administrators.
	ManagedByController = "lbstack-controller"
	// LabelComponent is Kubernetes' recommended label for the component that an object belongs to:
	// controller or speaker.
	LabelComponent = "app.kubernetes.io/component"
	// LabelRevision is on each pod of a component. Its value is the hash of the template
	// that the pod was made from.
	LabelRevision = "lbstack.io/revision"
)

// AnnotationServiceAccount on a pod of a component is the UID of the ServiceAccount for which the pod
// was made. When a ServiceAccount is deleted and created again under its name, the API server refuses
// the tokens of pods that were made for the former ServiceAccount.
const AnnotationServiceAccount = "lbstack.io/service-account-uid"
