package apiconv

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// byValue compares what holds addresses, which have fields of their own.
var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func addrs(list ...string) (addresses []netip.Addr) {
	for _, s := range list {
		addresses = append(addresses, netip.MustParseAddr(s))
	}
	return addresses
}

func TestParseAddress(t *testing.T) {
	tests := []struct{ name, in, want, fail string }{
		{name: "IPv4", in: "192.168.1.240", want: "192.168.1.240"},
		{name: "IPv6 in any form", in: "2001:DB8:0:0::1", want: "2001:db8::1"},
		{name: "blanks around it do not matter", in: "\t10.0.0.1 ", want: "10.0.0.1"},
		{name: "IPv4 mapped into IPv6 is IPv4", in: "::ffff:10.0.0.1", want: "10.0.0.1"},
		{name: "a zone is refused", in: "fe80::1%eth0", fail: `"fe80::1%eth0": an address with a zone cannot be given out`},
		{name: "a name is refused", in: "web.example", fail: `"web.example" is not an IP address`},
		{name: "an octet with a leading zero is refused", in: "10.0.0.01", fail: `"10.0.0.01" is not an IP address`},
		{name: "a CIDR is refused", in: "10.0.0.0/8", fail: `"10.0.0.0/8" is not an IP address`},
		{name: "nothing is refused", in: "", fail: `"" is not an IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAddress(tt.in)
			if tt.fail != "" {
				if err == nil || err.Error() != tt.fail {
					t.Errorf("ParseAddress(%q): got %s, %v, want the error %s", tt.in, got, err, tt.fail)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseAddress(%q): got %s, %v, want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"10.0.0.1", " ::1 ", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4%x", "", "1.2.3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if a.IsValid() {
				t.Errorf("ParseAddress(%q): got %s together with %v, want no address", s, a, err)
			}
			return
		}
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Errorf("ParseAddress(%q) = %s, which cannot be given out", s, a)
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("ParseAddress(%q) = %s, which reads as %s, %v", s, a, again, err)
		}
	})
}

func TestParseRange(t *testing.T) {
	tests := []struct{ name, in, want, fail string }{
		{name: "a range", in: "192.168.1.240-192.168.1.250", want: "192.168.1.240-192.168.1.250"},
		{name: "a range with blanks", in: "10.0.0.1 - 10.0.0.2", want: "10.0.0.1-10.0.0.2"},
		{name: "a range of one address", in: "10.0.0.1-10.0.0.1", want: "10.0.0.1"},
		{name: "an IPv6 range", in: "2001:db8::a-2001:db8::f", want: "2001:db8::a-2001:db8::f"},
		{name: "a CIDR", in: "10.0.0.0/30", want: "10.0.0.0-10.0.0.3"},
		{name: "a CIDR with blanks around it", in: " 10.0.0.0/30\n", want: "10.0.0.0-10.0.0.3"},
		{name: "bits beyond the length do not matter", in: "10.0.0.2/30", want: "10.0.0.0-10.0.0.3"},
		{name: "an IPv6 CIDR", in: "2001:db8::/127", want: "2001:db8::-2001:db8::1"},
		{name: "one address", in: "10.0.0.7", want: "10.0.0.7"},
		{name: "a range that runs backwards", in: "10.0.0.2-10.0.0.1", fail: "10.0.0.2-10.0.0.1: the first address is after the last one"},
		{name: "a range across families", in: "10.0.0.1-::1", fail: "10.0.0.1-::1: the first address is IPv4 and the last one is IPv6"},
		{name: "a range that begins with nothing", in: "-10.0.0.1", fail: `range "-10.0.0.1": "" is not an IP address`},
		{name: "a range that ends with nothing", in: "10.0.0.1-", fail: `range "10.0.0.1-": "" is not an IP address`},
		{name: "a range of three", in: "10.0.0.1-10.0.0.2-10.0.0.3", fail: `range "10.0.0.1-10.0.0.2-10.0.0.3": "10.0.0.2-10.0.0.3" is not an IP address`},
		{name: "a CIDR that is too long", in: "10.0.0.0/33", fail: `"10.0.0.0/33" is not a CIDR`},
		{name: "an IPv4 CIDR mapped into IPv6", in: "::ffff:10.0.0.0/120", fail: `"::ffff:10.0.0.0/120" is not a CIDR`},
		{name: "an address with a zone", in: "fe80::1%eth0", fail: `"fe80::1%eth0": an address with a zone cannot be given out`},
		{name: "nothing", in: "", fail: `"" is not an IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRange(tt.in)
			if tt.fail != "" {
				if err == nil || err.Error() != tt.fail {
					t.Errorf("ParseRange(%q): got %s, %v, want the error %s", tt.in, r, err, tt.fail)
				}
				return
			}
			if err != nil || r.String() != tt.want {
				t.Errorf("ParseRange(%q): got %s, %v, want %s", tt.in, r, err, tt.want)
			}
		})
	}
}

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"10.0.0.1-10.0.0.2", "10.0.0.0/8", "::/0", "-", "/", "::1-::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if r.Last.Less(r.First) || r.Size().Sign() <= 0 || r.Family() == 0 {
			t.Errorf("ParseRange(%q) = %s, which is no range", s, r)
		}
		if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Errorf("ParseRange(%q) = %s, which reads as %s, %v", s, r, again, err)
		}
	})
}
