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

// Tenants can write any number of EndpointSlices, and most of these belong to no Service of type
// LoadBalancer. Caches therefore store an EndpointSlice in a packed form. The packed form has one entry
// of packedSize bytes for all ready or serving endpoints on a node: a hash of the node's name, and the
// flags. An endpoint thus costs at most 9 bytes, however long its names are. The slice does not have to
// be read again when its Service or its node becomes known later.
//
// A tenant who finds another name with the same 64-bit hash as the name of a node gains nothing: the
// tenant could write the name of the node instead. The hash therefore does not have to be cryptographic.
const (
	packedSize = 9
	// packedMark is the first byte of the packed form. No address of an endpoint begins with this byte.
	packedMark = "\x00"

	// packedReady and packedServing are the flags of an entry.
	packedReady, packedServing = 1, 2
)

// PackEndpoints returns the packed form of an EndpointSlice. A slice that is packed already stays unchanged.
func PackEndpoints(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	if _, is := packedEntries(slice); is {
		return slice
	}
	service := slice.Labels[discoveryv1.LabelServiceName]
	entries := packedMark
	if service != "" && sliceFamily(slice) != 0 {
		entries += packEntries(slice.Endpoints)
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

// packEntries returns the entries of endpoints, sorted, without packedMark. An endpoint that is neither ready nor
// serving has no entry.
func packEntries(endpoints []discoveryv1.Endpoint) string {
	flags := map[uint64]byte{}
	for i := range endpoints {
		node := hashNodeName("")
		if name := endpoints[i].NodeName; name != nil {
			node = hashNodeName(lb.NodeName(*name))
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

// packedEntries returns the entries of a packed slice; false: the slice is not packed.
func packedEntries(slice *discoveryv1.EndpointSlice) (entries string, is bool) {
	if len(slice.Endpoints) != 1 || len(slice.Endpoints[0].Addresses) != 1 {
		return "", false
	}
	return strings.CutPrefix(slice.Endpoints[0].Addresses[0], packedMark)
}

// forEachEntry calls take for each entry of a slice, packed or not.
func forEachEntry(slice *discoveryv1.EndpointSlice, take func(node uint64, flags byte)) {
	entries, _ := packedEntries(PackEndpoints(slice))
	for entry := range slices.Chunk([]byte(entries), packedSize) {
		take(binary.BigEndian.Uint64(entry), entry[packedSize-1])
	}
}

// HasEndpointOn reports whether an EndpointSlice has a ready or serving endpoint on a node.
func HasEndpointOn(slice *discoveryv1.EndpointSlice, node lb.NodeName) (has bool) {
	hash := hashNodeName(node)
	forEachEntry(slice, func(on uint64, _ byte) { has = has || on == hash })
	return has
}

// NodeNames has the names of nodes, by the hash that stands for the name in packed endpoints.
type NodeNames map[uint64]lb.NodeName

// Add adds a name.
func (n NodeNames) Add(name lb.NodeName) { n[hashNodeName(name)] = name }

// Remove removes a name.
func (n NodeNames) Remove(name lb.NodeName) { delete(n, hashNodeName(name)) }

// hashNodeName returns the 64-bit FNV-1a hash (RFC 9923) of a node's name.
func hashNodeName(name lb.NodeName) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(name) {
		hash = (hash ^ uint64(name[i])) * 1099511628211
	}
	return hash
}
