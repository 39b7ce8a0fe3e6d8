// Package kube is the only part of the speaker that knows Kubernetes: it turns
// what the cluster says into snapshots for the engine, tells the mesh where the
// other speakers are, and writes this node's SpeakerState. When the API server
// is away, the last snapshot stays.
package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

// objects are what a snapshot is made of. They are those of the cache, and must
// not be changed.
type objects struct {
	services       []corev1.Service
	claims         []v1beta1.IPAddressClaim
	pools          []v1beta1.IPAddressPool
	advertisements []v1beta1.L2Advertisement
	nodes          []corev1.Node
	endpoints      []discoveryv1.EndpointSlice
}

// build returns what the cluster wants: every address that a Service shows, with
// those who may announce it. An advertisement that means nothing is left out,
// with a sentence.
func build(o objects, drain apiconv.DrainPolicy) speaker.Snapshot {
	in, problems := inputOf(o, drain)
	snapshot := speaker.Snapshot{Problems: problems, Draining: map[lb.NodeName]bool{}, Down: map[lb.NodeName]bool{}}
	for _, node := range in.Nodes {
		if node.Draining {
			snapshot.Draining[node.Name] = true
		}
		if node.Down {
			snapshot.Down[node.Name] = true
		}
	}
	for i := range in.Advertisements {
		snapshot.Interfaces = append(snapshot.Interfaces, in.Advertisements[i].Interfaces...)
	}
	slices.Sort(snapshot.Interfaces)
	snapshot.Interfaces = slices.Compact(snapshot.Interfaces)
	shared := map[*advertise.Candidate][]speaker.Candidate{}
	for _, r := range advertise.Resolve(in) {
		snapshot.Addresses = append(snapshot.Addresses, speaker.Announced{Address: r.Address, Candidates: candidates(r.Candidates, shared)})
	}
	return snapshot
}

// inputOf reads the objects, and says in sentences what means nothing.
func inputOf(o objects, drain apiconv.DrainPolicy) (in advertise.Input, problems []string) {
	for i := range o.advertisements {
		ad, err := apiconv.ParseAdvertisement(&o.advertisements[i])
		if err != nil {
			problems = append(problems, fmt.Sprintf("the L2Advertisement %q is ignored: %v", o.advertisements[i].Name, err))
			continue
		}
		in.Advertisements = append(in.Advertisements, ad)
	}
	slices.Sort(problems)
	for i := range o.pools {
		in.Pools = append(in.Pools, apiconv.AdvertisedPool(&o.pools[i]))
	}
	for i := range o.nodes {
		in.Nodes = append(in.Nodes, apiconv.ParseNode(&o.nodes[i], drain))
	}
	endpoints := apiconv.ParseEndpoints(o.endpoints)
	for i := range o.services {
		if svc := &o.services[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			in.Services = append(in.Services, apiconv.AdvertisedService(svc, endpoints))
		}
	}
	in.Addresses = apiconv.ShownAddresses(o.services, o.claims)
	return in, problems
}

// candidates returns them in the engine's words. What was shared stays shared.
func candidates(list []advertise.Candidate, shared map[*advertise.Candidate][]speaker.Candidate) []speaker.Candidate {
	if len(list) == 0 {
		return nil
	}
	if converted, known := shared[&list[0]]; known {
		return converted
	}
	converted := make([]speaker.Candidate, 0, len(list))
	for _, c := range list {
		converted = append(converted, speaker.Candidate(c))
	}
	shared[&list[0]] = converted
	return converted
}

// peers returns where the speakers on other nodes are. A node has one address,
// whichever of its pods tells it.
func peers(pods []corev1.Pod, self lb.NodeName) map[lb.NodeName]netip.Addr {
	found := map[lb.NodeName]netip.Addr{}
	for i := range pods {
		pod := &pods[i]
		node := lb.NodeName(pod.Spec.NodeName)
		if node == "" || node == self || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if a, err := apiconv.ParseAddress(cmp.Or(pod.Status.HostIP, pod.Status.PodIP)); err == nil {
			found[node] = a
		}
	}
	return found
}
