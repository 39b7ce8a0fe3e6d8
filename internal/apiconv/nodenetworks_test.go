package apiconv

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// The API server takes any text for an address of a node.
func TestNodeAddresses(t *testing.T) {
	const internal, external = corev1.NodeInternalIP, corev1.NodeExternalIP
	tests := []struct {
		name    string
		address corev1.NodeAddress
		want    string // empty: it counts for nothing
	}{
		{"an IPv4 address counts", corev1.NodeAddress{Type: internal, Address: "10.0.0.1"}, "10.0.0.1"},
		{"an IPv6 address counts", corev1.NodeAddress{Type: external, Address: "2001:db8::1"}, "2001:db8::1"},
		{"IPv4 mapped into IPv6 is IPv4", corev1.NodeAddress{Type: internal, Address: "::ffff:10.0.0.1"}, "10.0.0.1"},
		{"all of IPv4 is no address", corev1.NodeAddress{Type: external, Address: "0.0.0.0/0"}, ""},
		{"all of IPv6 is no address", corev1.NodeAddress{Type: internal, Address: "::/0"}, ""},
		{"a CIDR of one address is no address", corev1.NodeAddress{Type: internal, Address: "10.0.0.1/32"}, ""},
		{"a range is no address", corev1.NodeAddress{Type: internal, Address: "10.0.0.1-10.0.0.9"}, ""},
		{"a name is no address", corev1.NodeAddress{Type: internal, Address: "node1.example"}, ""},
		{"an address with a zone does not count", corev1.NodeAddress{Type: internal, Address: "fe80::1%eth0"}, ""},
		{"a host name does not count, whatever it is", corev1.NodeAddress{Type: corev1.NodeHostName, Address: "10.0.0.1"}, ""},
		{"a DNS name does not count, whatever it is", corev1.NodeAddress{Type: corev1.NodeInternalDNS, Address: "10.0.0.1"}, ""},
		{"an unknown type does not count", corev1.NodeAddress{Type: "Other", Address: "10.0.0.1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []netip.Addr
			if tt.want != "" {
				want = []netip.Addr{netip.MustParseAddr(tt.want)}
			}
			got := NodeAddresses(&corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{tt.address}}})
			if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodeNetworks_AddressesOfInterfaces(t *testing.T) {
	state := &v1beta1.SpeakerState{Status: v1beta1.SpeakerStateStatus{Interfaces: []v1beta1.SpeakerInterface{
		{Name: "eth0", Addresses: []string{"10.0.0.1", "10.0.0.9", "10.0.0.0/24", "node"}}, {Name: "eth1", Addresses: []string{"2001:db8::9"}},
	}}}
	var got []string
	for _, a := range NodeNetworks(&corev1.Node{}, state).Interfaces {
		got = append(got, a.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.1", "10.0.0.9", "2001:db8::9"}, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}
