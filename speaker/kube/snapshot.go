// Package kube is the only part of the speaker that knows Kubernetes: it turns
// what the cluster says into snapshots for the engine, tells the mesh where the
// other speakers are, and writes this node's SpeakerState. When the API server
// is away, the last snapshot stays.
package kube

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

// objects are what a snapshot is made of.
type objects struct {
	services       []corev1.Service
	claims         []v1beta1.IPAddressClaim
	pools          []v1beta1.IPAddressPool
	advertisements []v1beta1.L2Advertisement
	nodes          []corev1.Node
}

// advertisement is an L2Advertisement, resolved: the pools and nodes that it is
// about.
type advertisement struct {
	pools      map[string]bool // nil: all
	nodes      map[lb.NodeName]bool
	interfaces []string
}

// build returns what the cluster wants. An advertisement that means nothing is
// left out, with a sentence.
func build(o objects) speaker.Snapshot {
	var snapshot speaker.Snapshot
	var ads []advertisement
	for i := range o.advertisements {
		ad, err := resolve(&o.advertisements[i], o)
		if err != nil {
			snapshot.Problems = append(snapshot.Problems, fmt.Sprintf("the L2Advertisement %q is ignored: %v", o.advertisements[i].Name, err))
			continue
		}
		ads = append(ads, ad)
	}
	slices.Sort(snapshot.Problems)
	told := addressesInUse(o.services)
	byPool := map[v1beta1.ObjectName][]speaker.Candidate{}
	for i := range o.claims {
		claim := &o.claims[i]
		address, err := apiconv.ClaimAddress(claim)
		if err != nil || !held(claim, address, told) {
			continue
		}
		candidates, known := byPool[claim.Spec.Pool]
		if !known {
			candidates = candidatesOf(string(claim.Spec.Pool), ads)
			byPool[claim.Spec.Pool] = candidates
		}
		if len(candidates) > 0 {
			snapshot.Addresses = append(snapshot.Addresses, speaker.Announced{Address: address, Candidates: candidates})
		}
	}
	slices.SortFunc(snapshot.Addresses, func(x, y speaker.Announced) int { return x.Address.Compare(y.Address) })
	return snapshot
}

// addressesInUse maps each Service of type LoadBalancer to the addresses that
// its status tells.
func addressesInUse(services []corev1.Service) map[lb.ServiceKey][]netip.Addr {
	told := map[lb.ServiceKey][]netip.Addr{}
	for i := range services {
		if svc := &services[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			told[apiconv.KeyOf(svc)] = apiconv.StatusAddresses(svc)
		}
	}
	return told
}

// held says whether a Service really uses a claimed address: kube-proxy serves
// what stands in the status, not what is claimed.
func held(claim *v1beta1.IPAddressClaim, address netip.Addr, told map[lb.ServiceKey][]netip.Addr) bool {
	return slices.ContainsFunc(claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool {
		return slices.Contains(told[apiconv.HolderKey(h)], address)
	})
}

// candidatesOf sums up the advertisements of a pool: every node of one of them
// is a candidate, on the interfaces of those that select it. One that names no
// interface means all.
func candidatesOf(pool string, ads []advertisement) []speaker.Candidate {
	everywhere := map[lb.NodeName]bool{}
	interfaces := map[lb.NodeName]map[string]bool{}
	for _, ad := range ads {
		if ad.pools != nil && !ad.pools[pool] {
			continue
		}
		for node := range ad.nodes {
			if interfaces[node] == nil {
				interfaces[node] = map[string]bool{}
			}
			everywhere[node] = everywhere[node] || len(ad.interfaces) == 0
			for _, name := range ad.interfaces {
				interfaces[node][name] = true
			}
		}
	}
	var candidates []speaker.Candidate
	for _, node := range slices.Sorted(maps.Keys(interfaces)) {
		c := speaker.Candidate{Node: node}
		if !everywhere[node] {
			c.Interfaces = slices.Sorted(maps.Keys(interfaces[node]))
		}
		candidates = append(candidates, c)
	}
	return candidates
}

func resolve(ad *v1beta1.L2Advertisement, o objects) (advertisement, error) {
	nodeSelectors, err := selectors(ad.Spec.NodeSelectors, "spec.nodeSelectors")
	if err != nil {
		return advertisement{}, err
	}
	poolSelectors, err := selectors(ad.Spec.IPAddressPoolSelectors, "spec.ipAddressPoolSelectors")
	if err != nil {
		return advertisement{}, err
	}
	result := advertisement{nodes: map[lb.NodeName]bool{}}
	for i := range o.nodes {
		if len(nodeSelectors) == 0 || matches(nodeSelectors, o.nodes[i].Labels) {
			result.nodes[lb.NodeName(o.nodes[i].Name)] = true
		}
	}
	for _, name := range ad.Spec.Interfaces {
		result.interfaces = append(result.interfaces, string(name))
	}
	if len(ad.Spec.IPAddressPools)+len(poolSelectors) == 0 {
		return result, nil
	}
	result.pools = map[string]bool{}
	for _, name := range ad.Spec.IPAddressPools {
		result.pools[string(name)] = true
	}
	for i := range o.pools {
		if matches(poolSelectors, o.pools[i].Labels) {
			result.pools[o.pools[i].Name] = true
		}
	}
	return result, nil
}

func selectors(list []metav1.LabelSelector, field string) ([]labels.Selector, error) {
	var parsed []labels.Selector
	for i := range list {
		s, err := metav1.LabelSelectorAsSelector(&list[i])
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		parsed = append(parsed, s)
	}
	return parsed, nil
}

func matches(list []labels.Selector, set map[string]string) bool {
	return slices.ContainsFunc(list, func(s labels.Selector) bool { return s.Matches(labels.Set(set)) })
}

// peers returns the addresses of the other speakers' pods, ordered.
func peers(pods []corev1.Pod, self lb.NodeName) []netip.Addr {
	var addresses []netip.Addr
	for i := range pods {
		pod := &pods[i]
		if pod.Spec.NodeName == string(self) || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if a, err := apiconv.ParseAddress(cmp.Or(pod.Status.HostIP, pod.Status.PodIP)); err == nil {
			addresses = append(addresses, a)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
