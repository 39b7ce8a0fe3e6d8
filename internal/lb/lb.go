// Package lb has the types that several packages use to decide about addresses of load balancers: names,
// address families, ranges and terms of sharing. It uses no Kubernetes types, sockets, clock or logger.
package lb

import (
	"cmp"
	"net/netip"
)

// ServiceKey is the namespace and the name of a Service.
type ServiceKey struct {
	Namespace, Name string
}

// String returns namespace/name.
func (k ServiceKey) String() string { return k.Namespace + "/" + k.Name }

// DescribeTo returns the words for the Service in a message to users of a namespace. They contain the
// name of the Service only if the Service is in that namespace. Users of other namespaces must not learn
// its name.
func (k ServiceKey) DescribeTo(namespace string) string {
	if k.Namespace != namespace {
		return "a Service of another namespace"
	}
	return "the Service " + k.String()
}

// Compare orders Services by namespace, then by name.
func (k ServiceKey) Compare(other ServiceKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name))
}

// PoolName is the name of an IPAddressPool.
type PoolName string

// NodeName is the name of a node of the cluster.
type NodeName string

// Family is an address family.
type Family uint8

// The families. The zero value is no family.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "IPv4", "IPv6" or, for the zero value, "no family".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return "no family"
}

// FamilyOf returns the family of an address. An IPv4 address that is mapped into IPv6 counts
// as IPv6: parsers of addresses have to unmap it.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return IPv4
	case a.Is6():
		return IPv6
	}
	return 0
}
