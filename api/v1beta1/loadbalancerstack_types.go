package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LoadBalancerStackName is the only name that a LoadBalancerStack may have:
// a cluster has one stack.
const LoadBalancerStackName = "default"

// StackFinalizer keeps a deleted LoadBalancerStack until the operator has removed everything
// that it made for the stack.
const StackFinalizer = "lbstack.io/teardown"

// LoadBalancerStackSpec configures everything in one place: how the components run, which
// addresses Services get, and how the addresses are announced.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ipAddressPoolAccess) || self.ipAddressPoolAccess != 'Restricted' || !has(self.ipAddressPools) || self.ipAddressPools.all(p, has(p.serviceAllocation) && ((has(p.serviceAllocation.namespaces) && p.serviceAllocation.namespaces.size() > 0) || (has(p.serviceAllocation.namespaceSelectors) && p.serviceAllocation.namespaceSelectors.size() > 0)))",message="with ipAddressPoolAccess: Restricted each item of ipAddressPools needs serviceAllocation.namespaces or serviceAllocation.namespaceSelectors"
type LoadBalancerStackSpec struct {
	// managementState is what the operator does with the installation. Managed (default): it installs,
	// restores and updates. Unmanaged: it observes and reports, and writes only the status of the
	// stack. Removed: it removes everything that it made, as on deletion of the stack, but the stack
	// itself stays.
	// +kubebuilder:default=Managed
	// +optional
	ManagementState ManagementState `json:"managementState,omitempty"`

	// loadBalancerClass is the spec.loadBalancerClass of the Services that
	// lbstack serves. Unset: lbstack serves the Services that name no class.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	// +optional
	LoadBalancerClass string `json:"loadBalancerClass,omitempty"`

	// ipAddressPoolAccess decides which pools the list ipAddressPools can have. Open (default): also
	// pools for the Services of all namespaces. Restricted: only pools with
	// serviceAllocation.namespaces or serviceAllocation.namespaceSelectors. No namespace can then use
	// a pool before the item of the pool names or selects that namespace. IPAddressPools outside of
	// the stack are not affected.
	// +kubebuilder:default=Open
	// +optional
	IPAddressPoolAccess PoolAccess `json:"ipAddressPoolAccess,omitempty"`

	// The lists below may be null: server-side apply leaves null where it removes the last item of a
	// list and another manager had set a field of that item (kubernetes/kubernetes#134902).

	// ipAddressPools are the addresses that Services can get, by pool. Each
	// item becomes an IPAddressPool of the same name. At most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +nullable
	// +optional
	IPAddressPools []StackIPAddressPool `json:"ipAddressPools,omitempty"`

	// l2Advertisements select which addresses are announced on the local network, and
	// from which nodes: IPv4 addresses by ARP, IPv6 addresses by NDP. Each item becomes
	// an L2Advertisement of the same name. At most 128. Empty: the stack announces nothing
	// on the local network.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +nullable
	// +optional
	L2Advertisements []StackL2Advertisement `json:"l2Advertisements,omitempty"`

	// bgpPeers are the routers that addresses are announced to. Each item becomes a
	// BGPPeer of the same name. At most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +nullable
	// +optional
	BGPPeers []StackBGPPeer `json:"bgpPeers,omitempty"`

	// bgpAdvertisements select which addresses are announced to which routers, and with which
	// attributes. Each item becomes a BGPAdvertisement of the same name. At most 128. Empty: the
	// stack announces nothing to routers.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +nullable
	// +optional
	BGPAdvertisements []StackBGPAdvertisement `json:"bgpAdvertisements,omitempty"`

	// bfdProfiles configure how closely the paths to routers are watched, for bgpPeers that
	// name them. Each item becomes a BFDProfile of the same name. At most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +nullable
	// +optional
	BFDProfiles []StackBFDProfile `json:"bfdProfiles,omitempty"`

	// communities give names to BGP communities, for bgpAdvertisements. Each item
	// becomes a Community of the same name. At most 64.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +nullable
	// +optional
	Communities []StackCommunity `json:"communities,omitempty"`

	// layer2 adjusts how addresses are announced on the local network.
	// +optional
	Layer2 Layer2Spec `json:"layer2,omitempty,omitzero"`

	// drain selects the nodes that hand their addresses over to other nodes. A change takes
	// effect at once.
	// +optional
	Drain DrainSpec `json:"drain,omitempty,omitzero"`

	// nodes decides which nodes may announce addresses.
	// +optional
	Nodes NodesSpec `json:"nodes,omitempty,omitzero"`

	// controller adjusts the Deployment that gives Services their addresses.
	// +optional
	Controller ControllerSpec `json:"controller,omitempty,omitzero"`

	// speaker adjusts the DaemonSet that announces addresses from the nodes.
	// +optional
	Speaker SpeakerSpec `json:"speaker,omitempty,omitzero"`

	// removal decides what stays in the cluster when the stack is deleted or its
	// managementState is Removed.
	// +optional
	Removal RemovalSpec `json:"removal,omitempty,omitzero"`

	// images configures how nodes obtain the image of the components.
	// +optional
	Images ImagesSpec `json:"images,omitempty,omitzero"`

	// monitoring decides whether the operator creates a ServiceMonitor named lbstack in its namespace,
	// so that the Prometheus operator collects the metrics of all programs. Auto (default): the operator
	// creates a ServiceMonitor as soon as the API server has this kind. Disabled: it creates none.
	// +kubebuilder:default=Auto
	// +optional
	Monitoring Monitoring `json:"monitoring,omitempty"`

	// patches change the objects that the operator makes, in order, for settings that no other field
	// has. A patch is wrong if it matches no object, is invalid, or changes what lbstack depends on. Then
	// the condition Ready is False (SpecInvalid, with the path of the patch), and the operator changes
	// nothing before the patch is corrected. At most 16. Default: none.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Patches []Patch `json:"patches,omitempty"`
}

// PoolAccess decides which pools a stack can have.
// +kubebuilder:validation:Enum=Open;Restricted
type PoolAccess string

// The kinds of access.
const (
	// PoolAccessOpen allows pools for the Services of all namespaces.
	PoolAccessOpen PoolAccess = "Open"
	// PoolAccessRestricted allows pools for named or selected namespaces only.
	PoolAccessRestricted PoolAccess = "Restricted"
)

// StackIPAddressPool is an IPAddressPool inside a LoadBalancerStack.
type StackIPAddressPool struct {
	// name of the IPAddressPool. Services request the pool by this name in the annotation
	// lbstack.io/address-pool. Unique in the list.
	Name ObjectName `json:"name"`

	// labels are set on the IPAddressPool, for selectors in advertisements.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	IPAddressPoolSpec `json:",inline"`
}

// StackL2Advertisement is an L2Advertisement inside a LoadBalancerStack.
type StackL2Advertisement struct {
	// name of the L2Advertisement. Unique in the list.
	Name ObjectName `json:"name"`

	L2AdvertisementSpec `json:",inline"`
}

// StackBGPPeer is a BGPPeer inside a LoadBalancerStack.
type StackBGPPeer struct {
	// name of the BGPPeer. Unique in the list.
	Name ObjectName `json:"name"`

	BGPPeerSpec `json:",inline"`
}

// StackBGPAdvertisement is a BGPAdvertisement inside a LoadBalancerStack.
type StackBGPAdvertisement struct {
	// name of the BGPAdvertisement. Unique in the list.
	Name ObjectName `json:"name"`

	BGPAdvertisementSpec `json:",inline"`
}

// StackBFDProfile is a BFDProfile inside a LoadBalancerStack.
type StackBFDProfile struct {
	// name of the BFDProfile. Unique in the list.
	Name ObjectName `json:"name"`

	BFDProfileSpec `json:",inline"`
}

// StackCommunity is a Community inside a LoadBalancerStack.
type StackCommunity struct {
	// name of the Community. Unique in the list.
	Name ObjectName `json:"name"`

	CommunitySpec `json:",inline"`
}

// ObjectName is the name of a cluster-scoped object: a DNS label.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type ObjectName string

// LogLevel configures how much a program logs.
// +kubebuilder:validation:Enum=Error;Info;Debug
type LogLevel string

// The log levels. Each level includes the levels before it.
const (
	LogLevelError LogLevel = "Error"
	LogLevelInfo  LogLevel = "Info"
	LogLevelDebug LogLevel = "Debug"
)

// FailureDetection configures how soon the loss of a node is noticed.
// +kubebuilder:validation:Enum=Relaxed;Default;Fast
type FailureDetection string

// The profiles of failure detection.
const (
	// FailureDetectionRelaxed notices the loss within 1.5 s. It suits networks that lose
	// packets and nodes that are short of processor time.
	FailureDetectionRelaxed FailureDetection = "Relaxed"
	// FailureDetectionDefault notices the loss within 0.4 s.
	FailureDetectionDefault FailureDetection = "Default"
	// FailureDetectionFast notices the loss within 0.2 s; it costs more packets and processor
	// time.
	FailureDetectionFast FailureDetection = "Fast"
)

// Failback decides whether addresses move when nothing has failed.
// +kubebuilder:validation:Enum=Never;Gradual
type Failback string

// The kinds of failback.
const (
	// FailbackNever: a node that returns takes nothing back.
	FailbackNever Failback = "Never"
	// FailbackGradual: one address a second moves, towards preferred nodes and an
	// even spread.
	FailbackGradual Failback = "Gradual"
)

// Layer2Spec adjusts how addresses are announced on the local network.
type Layer2Spec struct {
	// failureDetection is how soon the loss of a node is noticed: Relaxed (within
	// 1.5 s), Default (0.4 s) or Fast (0.2 s).
	// +kubebuilder:default=Default
	// +optional
	FailureDetection FailureDetection `json:"failureDetection,omitempty"`

	// failback decides whether addresses move when nothing has failed: Never (the
	// default), or Gradual: one address a second moves, towards preferred nodes and an
	// even spread.
	// +kubebuilder:default=Never
	// +optional
	Failback Failback `json:"failback,omitempty"`

	// conflictDetection is what the speakers do about hosts outside of the cluster that use an
	// address of a Service. Enforce (the default): speakers probe an address before they begin
	// to announce it; while such a host uses the address, it is neither announced nor given to
	// other Services. Report: the address is announced, its Service keeps it, and the conflict
	// is reported. Off: speakers do not probe, and report no such host. A change takes effect
	// without a restart.
	// +kubebuilder:default=Enforce
	// +optional
	ConflictDetection ConflictDetection `json:"conflictDetection,omitempty"`
}

// ConflictDetection is what the speakers do about foreign hosts: hosts outside of the cluster
// that use an address of a Service.
// +kubebuilder:validation:Enum=Enforce;Report;Off
type ConflictDetection string

// What the speakers do about foreign hosts.
const (
	// ConflictDetectionEnforce: speakers do not begin to announce an address that a foreign host
	// uses.
	ConflictDetectionEnforce ConflictDetection = "Enforce"
	// ConflictDetectionReport: the address is announced, and the conflict is reported.
	ConflictDetectionReport ConflictDetection = "Report"
	// ConflictDetectionOff: speakers do not look for foreign hosts.
	ConflictDetectionOff ConflictDetection = "Off"
)

// DrainKey is the key of a taint, label or annotation of a node.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=317
// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
type DrainKey string

// DrainSpec selects the nodes that hand over their addresses, without a lost connection attempt, and
// get no new addresses. A node drains while it has one of the keys. A label or annotation with the
// value "false" does not count. Cordoning a node does not drain it.
type DrainSpec struct {
	// taints are keys of taints. Default: lbstack.io/drain. At most 16.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={"lbstack.io/drain"}
	// +optional
	Taints []DrainKey `json:"taints,omitempty"`

	// labels are keys of labels. Default: lbstack.io/drain. At most 16.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={"lbstack.io/drain"}
	// +optional
	Labels []DrainKey `json:"labels,omitempty"`

	// annotations are keys of annotations. Default: lbstack.io/drain. At most 16.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={"lbstack.io/drain"}
	// +optional
	Annotations []DrainKey `json:"annotations,omitempty"`
}

// NodesSpec decides which nodes may announce addresses.
type NodesSpec struct {
	// ignoreExcludeLabel: nodes with the label
	// node.kubernetes.io/exclude-from-external-load-balancers may announce addresses like other
	// nodes. kubeadm sets the label on control plane nodes: a cluster without other nodes
	// needs the value true. Default false. A change takes effect at once.
	// +optional
	IgnoreExcludeLabel bool `json:"ignoreExcludeLabel,omitempty"`
}

// ControllerSpec adjusts how the controller runs.
type ControllerSpec struct {
	ComponentSpec `json:",inline"`

	// replicas is how many controllers run; one leads, the others wait to
	// take over. 1 to 5, default 2.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
}

// SpeakerSpec adjusts how the speakers run.
type SpeakerSpec struct {
	ComponentSpec `json:",inline"`

	// ports are the ports on which each speaker listens, in the network of its node. A
	// change of a port replaces the speakers one after the other.
	// +optional
	Ports SpeakerPorts `json:"ports,omitempty,omitzero"`

	// rollout configures how changes of the speakers reach the nodes.
	// +optional
	Rollout RolloutSpec `json:"rollout,omitempty,omitzero"`

	// keyRotation requests a new key for the messages between speakers, which are encrypted:
	// each change to another non-empty text, for example 2026-11-29, makes the operator replace
	// the key once. Speakers accept both keys until all of them have the new key, for an hour at
	// most. No speaker restarts, and no address moves. The condition KeyRotation shows the
	// progress. A change during a rotation takes effect when the rotation has ended. At most 63
	// characters. Default: unset, the key stays.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.:+]*[A-Za-z0-9])?)?$`
	// +optional
	KeyRotation string `json:"keyRotation,omitempty"`
}

// The default ports of a speaker. They avoid ports that other programs use on nodes: 6800 to 7568
// (Ceph), 7472, 7473 and 7946 (MetalLB), 7946 (Docker Swarm).
const (
	DefaultHealthPort  int32 = 7573
	DefaultMetricsPort int32 = 7574
	DefaultMeshPort    int32 = 7575
)

// SpeakerPorts are the ports of a speaker. They must be free on every node that runs a speaker.
// Ports from 30000 on are refused: they can be node ports of Services, or source ports of
// outgoing connections.
//
// +kubebuilder:validation:XValidation:rule="self.mesh != self.health && self.mesh != self.metrics && self.health != self.metrics",message="mesh, health and metrics must be three different ports (defaults: 7575, 7573 and 7574)"
// +kubebuilder:validation:XValidation:rule="self.mesh != 3784 && self.mesh != 4784",message="mesh must not be 3784 or 4784: these are the ports of BFD"
type SpeakerPorts struct {
	// mesh is the UDP port, on the address of the node, for the messages between speakers.
	// Firewalls between the nodes have to allow it, and should not drop TCP to the same port: no
	// program listens on it, but the refusal by the kernel shows that a node is alive while its
	// speaker restarts. 1024 to 29999, default 7575. While a change is rolled out, speakers with
	// the former port and speakers with the new port do not receive each other's messages, and
	// addresses can move: change the port in a maintenance window.
	// +kubebuilder:default=7575
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=29999
	// +optional
	Mesh int32 `json:"mesh,omitempty"`

	// health is the TCP port, on 127.0.0.1, for the probes of the kubelet. 1024 to
	// 29999, default 7573.
	// +kubebuilder:default=7573
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=29999
	// +optional
	Health int32 `json:"health,omitempty"`

	// metrics is the TCP port, on the address of the node, that serves metrics over TLS to
	// users with the right to get /metrics. 1024 to 29999, default 7574.
	// +kubebuilder:default=7574
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=29999
	// +optional
	Metrics int32 `json:"metrics,omitempty"`
}

// ImagesSpec configures how nodes obtain the image of the components.
type ImagesSpec struct {
	// registry replaces the registry in the name of the image, for clusters that pull from a
	// mirror: a host with an optional port, and an optional path to put before the repository, such
	// as mirror.example:5000/ghcr. The repository and the tag or digest stay. At most 255
	// characters. Default: unset, the registry that the operator was installed with.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`
	// +optional
	Registry string `json:"registry,omitempty"`

	// pullPolicy of the components' containers. Default IfNotPresent.
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +kubebuilder:default=IfNotPresent
	// +optional
	PullPolicy corev1.PullPolicy `json:"pullPolicy,omitempty"`

	// pullSecrets are Secrets in the namespace of the operator with registry
	// credentials. At most 16.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	PullSecrets []PullSecret `json:"pullSecrets,omitempty"`
}

// PullSecret names a Secret with registry credentials.
type PullSecret struct {
	// name of the Secret in the namespace of the operator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// LoadBalancerStackStatus is what the operator found and did.
type LoadBalancerStackStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// version of lbstack that all components run. During a rollout it is the former version.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Version string `json:"version,omitempty"`

	// targetVersion is the version of lbstack that the rollout brings to the components. Unset:
	// no rollout is under way.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	TargetVersion string `json:"targetVersion,omitempty"`

	// rollout is the state of the last change of the components.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// summary is the reason of the condition Ready, such as Ready or PoolNotReady.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Summary string `json:"summary,omitempty"`

	// conditions: Ready, Available, Progressing, Degraded and ConfigurationValid, and also
	// Reconciling, Stalled and KeyRotation, which are present only while they are True.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// components are the workloads that the operator runs for this stack.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Components []ComponentStatus `json:"components,omitempty"`

	// unavailableNodes are the nodes that announce no address for a reason outside of lbstack:
	// nodes that are down, and nodes on which no speaker can run. Nodes that
	// spec.speaker.nodeSelector does not select are not listed. Nodes that are down come
	// first; each of the two groups is sorted by name. At most 64 are listed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	UnavailableNodes []UnavailableNode `json:"unavailableNodes,omitempty"`

	// lastHandledReconcile is the value of the annotation lbstack.io/reconcile for which the
	// operator last checked all objects. At most 128 characters.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	LastHandledReconcile string `json:"lastHandledReconcile,omitempty"`

	// inventory lists every object that the operator made for this stack. The operator deletes an
	// object of the inventory when the spec no longer needs it, and all objects of the inventory when
	// the stack is deleted. At most 2048.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2048
	// +optional
	Inventory []ObjectReference `json:"inventory,omitempty"`
}

// ComponentStatus is the state of one workload.
type ComponentStatus struct {
	// name of the component: controller or speaker.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// kind of the workload: Deployment or DaemonSet.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// desired is how many pods there should be.
	Desired int32 `json:"desired"`
	// updated is how many pods run the current template.
	Updated int32 `json:"updated"`
	// ready is how many pods are ready.
	Ready int32 `json:"ready"`
	// message is what is wrong with the workload, or what it waits for. Unset: nothing.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// UnavailableNode is a node from which no address is announced.
type UnavailableNode struct {
	// name of the node.
	Name NodeName `json:"name"`
	// reason why the node announces no address: NodeNotReady, SpeakerUnreachable,
	// OtherOperatingSystem or UntoleratedTaint.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// message describes the reason in a sentence.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// Reasons of an UnavailableNode, besides ReasonNodeNotReady (the node's condition Ready is not
// True). Such nodes do not stop a rollout, and the stack can be Ready.
const (
	// ReasonSpeakerUnreachable: the other running speakers receive nothing from the speaker of this
	// node, and the Node is still Ready: the node has just died, or the network to it has failed.
	ReasonSpeakerUnreachable = "SpeakerUnreachable"
	// ReasonOtherOperatingSystem: the node does not run Linux.
	ReasonOtherOperatingSystem = "OtherOperatingSystem"
	// ReasonUntoleratedTaint: the node has a taint that speakers do not tolerate.
	ReasonUntoleratedTaint = "UntoleratedTaint"
)

// ObjectReference names an object in the cluster.
type ObjectReference struct {
	// group of the kind; empty for the core group.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// version of the kind's API.
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version"`
	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// namespace of the object; empty for a cluster-scoped object.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name of the object.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// LoadBalancerStack gives a cluster load balancers: the operator installs, configures and watches
// everything that they need according to this one object. A cluster has one LoadBalancerStack, named
// "default".
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbs,categories=lbstack
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.status.targetVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Rollout",type=string,priority=1,JSONPath=`.status.rollout.message`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="a cluster has one LoadBalancerStack, and its name must be \"default\": edit the object with that name, or rename this object"
type LoadBalancerStack struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the administrator wants.
	// +kubebuilder:default={}
	// +optional
	Spec LoadBalancerStackSpec `json:"spec,omitempty"`

	// status is what the operator found and did.
	// +optional
	Status LoadBalancerStackStatus `json:"status,omitempty,omitzero"`
}

// LoadBalancerStackList is a list of LoadBalancerStacks.
//
// +kubebuilder:object:root=true
type LoadBalancerStackList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items of the list.
	Items []LoadBalancerStack `json:"items"`
}
