// Package inspect answers questions about an installation from a snapshot of its objects. Status shows the
// state of the installation, Why shows why a Service is or is not announced, and Who shows which Services and
// nodes have an address. Plan shows what a change of the stack would do. Doctor checks the requirements of
// lbstack. CompareProbe compares the answers of hosts on the local network with the reports of the speakers.
// The package decides with the same packages as the controller and the speakers (internal/ipam,
// internal/eligibility, internal/routes, internal/reports). It also shows the conditions that the controller
// and the speakers have written. It is pure: objects in, answers out; the kubectl plugin reads the objects.
package inspect

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/validity"
)

// Snapshot holds the objects of an installation, all read at about the same time.
type Snapshot struct {
	// Stack is nil if the cluster has none.
	Stack             *v1beta1.LoadBalancerStack
	Pools             []v1beta1.IPAddressPool
	Claims            []v1beta1.IPAddressClaim
	L2Advertisements  []v1beta1.L2Advertisement
	BGPAdvertisements []v1beta1.BGPAdvertisement
	Communities       []v1beta1.Community
	Peers             []v1beta1.BGPPeer
	// BFDProfiles and ServiceCIDRs are needed for Plan only. Clusters before Kubernetes 1.33 have no ServiceCIDRs.
	BFDProfiles  []v1beta1.BFDProfile
	ServiceCIDRs []networkingv1.ServiceCIDR
	States       []v1beta1.SpeakerState
	RouteSlices  []v1beta1.SpeakerRouteSlice
	Nodes        []corev1.Node
	// Services are all Services of type LoadBalancer for Status and Plan. For Why, the first one is the Service in
	// question, and the others share an address with it.
	Services []corev1.Service
	// EndpointSlices are the EndpointSlices of Services, and NamespaceLabels are the labels of the Services'
	// namespaces, by the name of the namespace. Both are needed for Why and Plan only.
	EndpointSlices  []discoveryv1.EndpointSlice
	NamespaceLabels map[string]map[string]string
}

// loadBalancerClass returns the load balancer class of the Services that the installation serves.
func (s *Snapshot) loadBalancerClass() string {
	if s.Stack == nil {
		return ""
	}
	return s.Stack.Spec.LoadBalancerClass
}

// speakerReports returns the reports of the speakers, by node.
func (s *Snapshot) speakerReports() map[lb.NodeName]reports.Report {
	all := make(map[lb.NodeName]reports.Report, len(s.States))
	for i := range s.States {
		r := apiconv.SpeakerReport(&s.States[i])
		all[r.Node] = r
	}
	return all
}

// allocatorPools returns the pools as the allocator of the controller has them, and the validation
// result of each pool.
func (s *Snapshot) allocatorPools() ([]ipam.Pool, map[lb.PoolName]validity.PoolResult) {
	var taken []ipam.TakenRange
	for i := range s.Pools {
		for _, f := range s.Pools[i].Status.Foreign {
			host, err := apiconv.ParseForeignHost(f)
			if err != nil {
				continue
			}
			if r, err := lb.NewRange(host.Address, host.Address); err == nil {
				taken = append(taken, ipam.TakenRange{Range: r, By: host.Describe(f.Until != nil), Remedy: host.Remedy(), Foreign: true, InUse: f.Announced, ReportedOnly: f.ReportedOnly})
			}
		}
	}
	states := map[string]*v1beta1.SpeakerState{}
	for i := range s.States {
		states[s.States[i].Name] = &s.States[i]
	}
	nodes := make([]ipam.Node, 0, len(s.Nodes))
	for i := range s.Nodes {
		nodes = append(nodes, apiconv.NodeNetworks(&s.Nodes[i], states[s.Nodes[i].Name]))
	}
	return validity.Pools(s.Pools, slices.Concat(taken, ipam.NodeRanges(nodes), apiconv.ServiceNetworks(s.ServiceCIDRs)))
}

// newAllocator returns an allocator with the same pools, holders and reservations as that of the controller.
func (s *Snapshot) newAllocator() *ipam.Allocator {
	allocator := ipam.New()
	pools, _ := s.allocatorPools()
	allocator.SetPools(pools)
	for i := range s.Claims {
		claim := &s.Claims[i]
		address, err := apiconv.ClaimAddress(claim)
		if err != nil {
			continue
		}
		for _, h := range claim.Spec.Holders {
			if terms, err := apiconv.HolderTerms(claim, h); err == nil {
				allocator.Hold(ipam.Holding{Address: address, Pool: lb.PoolName(claim.Spec.Pool), Service: apiconv.HolderKey(h)}, terms)
				if h.UID == "" { // the address is reserved for a Service that does not use it yet
					allocator.ReserveFor(address, apiconv.HolderKey(h))
				}
			}
		}
		if len(claim.Spec.Holders) == 0 {
			allocator.Reserve(address, lb.PoolName(claim.Spec.Pool))
		}
	}
	return allocator
}

// currentCondition returns a condition if it was written for the current generation of the object,
// and otherwise nil.
func currentCondition(list []metav1.Condition, name string, generation int64) *metav1.Condition {
	c := meta.FindStatusCondition(list, name)
	if c == nil || c.ObservedGeneration < generation {
		return nil
	}
	return c
}
