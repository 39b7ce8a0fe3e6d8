package lb

import (
	"net/netip"
	"testing"
)

func mustRange(t *testing.T, first, last string) Range {
	t.Helper()
	r, err := NewRange(netip.MustParseAddr(first), netip.MustParseAddr(last))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewRangeRefuses(t *testing.T) {
	tests := []struct{ name, first, last string }{
		{"a range that runs backwards", "10.0.0.2", "10.0.0.1"},
		{"a range across families", "10.0.0.1", "2001:db8::1"},
		{"an address with a zone", "fe80::1%eth0", "fe80::2%eth0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := NewRange(netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last)); err == nil {
				t.Errorf("NewRange(%s, %s): got %s, want an error", tt.first, tt.last, r)
			}
		})
	}
}

func TestRangeOf(t *testing.T) {
	tests := []struct{ name, prefix, want, size string }{
		{"a /30 has its first and last address", "10.0.0.0/30", "10.0.0.0-10.0.0.3", "4"},
		{"host bits do not matter", "10.0.0.7/29", "10.0.0.0-10.0.0.7", "8"},
		{"a /32 is one address", "10.0.0.9/32", "10.0.0.9", "1"},
		{"all of IPv6", "::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "340282366920938463463374607431768211456"},
		{"a /64", "2001:db8::/64", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff", "18446744073709551616"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := RangeOf(netip.MustParsePrefix(tt.prefix))
			if got := r.String(); got != tt.want {
				t.Errorf("range: got %s, want %s", got, tt.want)
			}
			if got := r.Size().String(); got != tt.size {
				t.Errorf("size: got %s, want %s", got, tt.size)
			}
		})
	}
}

func TestOverlapsAndContains(t *testing.T) {
	r := mustRange(t, "10.0.0.10", "10.0.0.20")
	tests := []struct {
		name, first, last string
		want              bool
	}{
		{"ranges that touch at one address overlap", "10.0.0.20", "10.0.0.30", true},
		{"neighbours do not overlap", "10.0.0.21", "10.0.0.30", false},
		{"a range inside overlaps", "10.0.0.12", "10.0.0.13", true},
		{"a range around overlaps", "10.0.0.1", "10.0.0.200", true},
		{"families never overlap", "::", "ffff::", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := mustRange(t, tt.first, tt.last)
			if got := r.Overlaps(other); got != tt.want {
				t.Errorf("%s overlaps %s: got %v, want %v", r, other, got, tt.want)
			}
			if got := other.Overlaps(r); got != tt.want {
				t.Errorf("%s overlaps %s: got %v, want %v", other, r, got, tt.want)
			}
		})
	}
	for addr, want := range map[string]bool{"10.0.0.9": false, "10.0.0.10": true, "10.0.0.20": true, "10.0.0.21": false, "::ffff:10.0.0.10": false} {
		if got := r.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s contains %s: got %v, want %v", r, addr, got, want)
		}
	}
}
