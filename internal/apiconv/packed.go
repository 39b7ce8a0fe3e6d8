package apiconv

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/lb"
)

// EndpointSlices are written by tenants, in any number, and most of them are of no
// LoadBalancer. A cache keeps each as a packed slice: one entry of packedSize bytes for all
// endpoints on one node, which has a hash of the node's name in place of the name. So an
// endpoint costs 9 bytes at most, whatever it names, and nothing has to be read again when
// its Service or its node becomes known later. The hash is of 64 bits and need not resist
// anybody: who can choose a name that collides with a node's can write the node's name.
const (
	packedSize = 9
	// packedMark begins the packed form; no address of an endpoint begins so.
	packedMark = "\x00"

	packedReady, packedServing = 1, 2 // flags of an entry
)

// PackEndpoints returns what is read of an EndpointSlice, in its packed form. What is packed
// already is returned as it is.
func PackEndpoints(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	if _, is := packedEntries(slice); is {
		return slice
	}
	service := slice.Labels[discoveryv1.LabelServiceName]
	entries := packedMark
	if service != "" && sliceFamily(slice) != 0 {
		entries += pack(slice.Endpoints)
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID, ResourceVersion: slice.ResourceVersion,
			Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: slice.AddressType,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{entries}}},
	}
}

// pack returns the entries of endpoints, ordered, without the mark.
func pack(endpoints []discoveryv1.Endpoint) string {
	flags := map[uint64]byte{}
	for i := range endpoints {
		node := hashNode("")
		if name := endpoints[i].NodeName; name != nil {
			node = hashNode(lb.NodeName(*name))
		}
		switch c := endpoints[i].Conditions; {
		case isTrue(c.Ready, true):
			flags[node] |= packedReady
		case isTrue(c.Serving, false):
			flags[node] |= packedServing
		}
	}
	entries := make([]byte, 0, len(flags)*packedSize)
	for _, node := range slices.Sorted(maps.Keys(flags)) {
		entries = append(binary.BigEndian.AppendUint64(entries, node), flags[node])
	}
	return string(entries)
}

// packedEntries returns the entries of a packed slice; false: it is not packed.
func packedEntries(slice *discoveryv1.EndpointSlice) (entries string, is bool) {
	if len(slice.Endpoints) != 1 || len(slice.Endpoints[0].Addresses) != 1 {
		return "", false
	}
	return strings.CutPrefix(slice.Endpoints[0].Addresses[0], packedMark)
}

// eachEntry gives the entries of a slice, packed or not.
func eachEntry(slice *discoveryv1.EndpointSlice, take func(node uint64, flags byte)) {
	entries, _ := packedEntries(PackEndpoints(slice))
	for entry := range slices.Chunk([]byte(entries), packedSize) {
		take(binary.BigEndian.Uint64(entry), entry[packedSize-1])
	}
}

// HasEndpointOn reports whether an EndpointSlice has an endpoint on a node.
func HasEndpointOn(slice *discoveryv1.EndpointSlice, node lb.NodeName) (has bool) {
	hash := hashNode(node)
	eachEntry(slice, func(on uint64, _ byte) { has = has || on == hash })
	return has
}

// NodeNames find the names of nodes in packed endpoints. The zero value knows of none, and
// only Add makes it known.
type NodeNames map[uint64]lb.NodeName

// Add makes a name known.
func (n NodeNames) Add(name lb.NodeName) { n[hashNode(name)] = name }

// Remove forgets a name.
func (n NodeNames) Remove(name lb.NodeName) { delete(n, hashNode(name)) }

// hashNode is FNV-1a (RFC 9923).
func hashNode(name lb.NodeName) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(name) {
		hash = (hash ^ uint64(name[i])) * 1099511628211
	}
	return hash
}
