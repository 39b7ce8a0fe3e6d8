package lb

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPortsAreInOrderAndInWords(t *testing.T) {
	ports := []Port{{"UDP", 443}, {"TCP", 8080}, {"TCP", 443}, {"SCTP", 80}}
	slices.SortFunc(ports, Port.Compare)
	var got []string
	for _, p := range ports {
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"80/SCTP", "443/TCP", "443/UDP", "8080/TCP"}, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if got := ports[0].Compare(ports[0]); got != 0 {
		t.Errorf("a port and itself: got %d, want 0", got)
	}
}

func TestServiceKeysAreInOrderAndInWords(t *testing.T) {
	keys := []ServiceKey{{"b", "a"}, {"a", "z"}, {"a", "b"}}
	slices.SortFunc(keys, ServiceKey.Compare)
	var got []string
	for _, k := range keys {
		got = append(got, k.String())
	}
	if diff := cmp.Diff([]string{"a/b", "a/z", "b/a"}, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestFamilies(t *testing.T) {
	for address, want := range map[string]string{"10.0.0.1": "IPv4", "::1": "IPv6", "::ffff:10.0.0.1": "IPv6"} {
		if got := FamilyOf(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("family of %s: got %s, want %s", address, got, want)
		}
	}
	if got := FamilyOf(netip.Addr{}).String(); got != "no family" {
		t.Errorf("family of no address: got %s, want no family", got)
	}
	if _, err := NewRange(netip.Addr{}, netip.MustParseAddr("::1")); err == nil {
		t.Error("a range without a first address: got no error, want one")
	}
	if _, err := NewRange(netip.MustParseAddr("::1"), netip.Addr{}); err == nil {
		t.Error("a range without a last address: got no error, want one")
	}
}
