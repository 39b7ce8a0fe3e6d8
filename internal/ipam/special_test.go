package ipam

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpecialAddressesAreHeldBack(t *testing.T) {
	tests := []struct{ name, listed, gives string }{
		{"all of IPv4", "0.0.0.0/0", "1.0.0.0-126.255.255.255 128.0.0.0-169.253.255.255 169.255.0.0-223.255.255.255"},
		{"loopback and unspecified", "::/126", "::2-::3"},
		{"IPv4 mapped into IPv6", "::fffe:ffff:ffff-::1:0:0:0", "::fffe:ffff:ffff ::1:0:0:0"},
		{"link-local", "fe7f:ffff::/32 fe80::/9 fec0::", "fe7f:ffff::-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"multicast", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"private and documentation addresses are fine", "10.0.0.0/8 192.168.0.0/16 2001:db8::/32 fd00::/8", "10.0.0.0/8 192.168.0.0/16 2001:db8::/32 fd00::/8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := pools(newPool("p", tt.listed))
			found := Resolve(list, SpecialRanges())
			if diff := cmp.Diff(rangesIn(tt.gives), list[0].Gives, byValue); diff != "" {
				t.Errorf("gives (-want +got):\n%s", diff)
			}
			if reported := len(found["p"]) > 0; reported != (tt.listed != tt.gives) {
				t.Errorf("conflicts: got %v, want them reported: %v", found["p"], tt.listed != tt.gives)
			}
			for _, c := range found["p"] {
				if c.With == "" {
					t.Errorf("conflict of %s: got no words, want some", c.Range)
				}
			}
		})
	}
}
