package apiconv

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestParseRange(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a range", "192.168.1.240-192.168.1.250", "192.168.1.240-192.168.1.250"},
		{"a range with spaces", "10.0.0.1 - 10.0.0.2", "10.0.0.1-10.0.0.2"},
		{"a CIDR", "10.0.0.0/30", "10.0.0.0-10.0.0.3"},
		{"an IPv6 CIDR", "2001:db8::/127", "2001:db8::-2001:db8::1"},
		{"one address", "10.0.0.7", "10.0.0.7"},
		{"a range that runs backwards", "10.0.0.2-10.0.0.1", ""},
		{"a range across families", "10.0.0.1-::1", ""},
		{"a CIDR that is too long", "10.0.0.0/33", ""},
		{"an IPv4 CIDR mapped into IPv6", "::ffff:10.0.0.0/120", ""},
		{"an address with a zone", "fe80::1%eth0", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRange(tt.in)
			if got := r.String(); tt.want != "" && (err != nil || got != tt.want) {
				t.Errorf("ParseRange(%q): got %s, %v, want %s", tt.in, got, err, tt.want)
			}
			if tt.want == "" && err == nil {
				t.Errorf("ParseRange(%q): got %s, want an error", tt.in, r)
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

func TestClaimName(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"IPv4 as it is", "192.168.1.240", "192.168.1.240"},
		{"IPv6 in full", "2001:db8::1", "2001-0db8-0000-0000-0000-0000-0000-0001"},
		{"mapped IPv4 is IPv4", "::ffff:10.0.0.1", "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := netip.MustParseAddr(tt.address)
			got := ClaimName(a)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: got}, Spec: v1beta1.IPAddressClaimSpec{Address: tt.address}}
			if back, err := ClaimAddress(claim); err != nil || back != a.Unmap() {
				t.Errorf("and back: got %s, %v, want %s", back, err, a.Unmap())
			}
			claim.Name = "something-else"
			if _, err := ClaimAddress(claim); err == nil {
				t.Error("a claim under another name: got no error, want one")
			}
		})
	}
}

func TestParseServiceRequest(t *testing.T) {
	annotated := func(pairs ...string) *corev1.Service {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}}
		for i := 0; i < len(pairs); i += 2 {
			svc.Annotations[pairs[i]] = pairs[i+1]
		}
		return svc
	}
	dual := annotated()
	dual.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	both := annotated("lbstack.io/load-balancer-ips", "10.0.0.1")
	both.Spec.LoadBalancerIP = "10.0.0.1"
	field := annotated()
	field.Spec.LoadBalancerIP = "10.0.0.9"

	v4 := []lb.Family{lb.IPv4}
	tests := []struct {
		name string
		svc  *corev1.Service
		want ServiceRequest
		fail bool
	}{
		{name: "a plain Service wants any IPv4 address", svc: annotated(), want: ServiceRequest{Families: v4}},
		{name: "MetalLB's old annotation names the pool", svc: annotated("metallb.universe.tf/address-pool", "first-pool"), want: ServiceRequest{Pool: "first-pool", Families: v4}},
		{name: "our annotation wins over the aliases", svc: annotated("metallb.io/address-pool", "theirs", "lbstack.io/address-pool", "ours"), want: ServiceRequest{Pool: "ours", Families: v4}},
		{name: "the field asks for an address", svc: field, want: ServiceRequest{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, Families: v4}},
		{name: "an annotation asks for addresses", svc: annotated("metallb.io/loadBalancerIPs", "10.0.0.1, ::1"), want: ServiceRequest{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")}, Families: v4}},
		{name: "families keep their order", svc: dual, want: ServiceRequest{Families: []lb.Family{lb.IPv6, lb.IPv4}}},
		{name: "field and annotation together are refused", svc: both, fail: true},
		{name: "one address twice is refused", svc: annotated("lbstack.io/load-balancer-ips", "10.0.0.1,10.0.0.1"), fail: true},
		{name: "what is no address is refused", svc: annotated("lbstack.io/load-balancer-ips", "web.example"), fail: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseServiceRequest(tt.svc)
			if (err != nil) != tt.fail {
				t.Fatalf("error: got %v, want one: %v", err, tt.fail)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); !tt.fail && diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}
