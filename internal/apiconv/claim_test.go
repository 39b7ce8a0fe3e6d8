package apiconv

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

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
			if back, err := AddressFromClaimName(got); err != nil || back != a.Unmap() {
				t.Errorf("and back by the name alone: got %s, %v, want %s", back, err, a.Unmap())
			}
		})
	}
}

func TestANameThatIsNoClaimsNamesNoAddress(t *testing.T) {
	for _, name := range []string{"", "web", "2001-db8--1", "2001:db8::1", "10-0-0-1", "010.0.0.1", "10.0.0.1 ", "0000-0000-0000-0000-0000-ffff-0a00-0001"} {
		if got, err := AddressFromClaimName(name); err == nil {
			t.Errorf("%q: got %s, want an error", name, got)
		}
	}
}

func TestClaimWithoutAnAddressHasAReason(t *testing.T) {
	tests := []struct{ name, object, address, want string }{
		{"the name is of another address", "10.0.0.2", "10.0.0.1", "the claim for 10.0.0.1 must have the name 10.0.0.1"},
		{"the name is a short IPv6 address", "2001-db8--1", "2001:db8::1", "the claim for 2001:db8::1 must have the name 2001-0db8-0000-0000-0000-0000-0000-0001"},
		{"the address is none", "web", "web", `spec.address: "web" is not an IP address`},
		{"there is no address", "10.0.0.1", "", `spec.address: "" is not an IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: tt.object}, Spec: v1beta1.IPAddressClaimSpec{Address: tt.address}}
			if got, err := ClaimAddress(claim); err == nil || err.Error() != tt.want || got.IsValid() {
				t.Errorf("got %s, %v, want the error %s", got, err, tt.want)
			}
		})
	}
}

// FuzzClaimName looks for two addresses with one name, which would be a claim that
// cannot be written, and for one address with two, which could be given twice.
func FuzzClaimName(f *testing.F) {
	for _, seed := range []string{"\x0a\x00\x00\x01", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		name := ClaimName(a)
		if len(name) > 63 || strings.Trim(name, "0123456789abcdef.-") != "" {
			t.Errorf("the claim of %s has the name %q, which no object can have", a, name)
		}
		claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{Address: a.String()}}
		if back, err := ClaimAddress(claim); err != nil || back != a.Unmap() {
			t.Errorf("the claim %s of %s: got %s, %v", name, a, back, err)
		}
		// The name alone names the address, too.
		if back, err := ParseAddress(strings.ReplaceAll(name, "-", ":")); err != nil || back != a.Unmap() {
			t.Errorf("the name %s of %s reads as %s, %v", name, a, back, err)
		}
	})
}

func TestHolderTerms(t *testing.T) {
	port := func(n uint16, p lb.Protocol) lb.Port { return lb.Port{Number: n, Protocol: p} }
	tests := []struct {
		name   string
		key    string
		holder v1beta1.ClaimHolder
		want   lb.Sharing
		fail   string
	}{
		{name: "a claim without a key is shared with nobody", holder: v1beta1.ClaimHolder{Ports: []string{"80/TCP"}, TrafficPolicy: "app=web"}},
		{name: "and what its ports are does not matter", holder: v1beta1.ClaimHolder{Ports: []string{"nonsense"}}},
		{name: "key, ports and traffic are read", key: "k", holder: v1beta1.ClaimHolder{Ports: []string{"80/TCP", "53/UDP", "9/SCTP"}, TrafficPolicy: "app=web"},
			want: lb.Sharing{Key: "k", Traffic: "app=web", Ports: []lb.Port{port(9, "SCTP"), port(53, "UDP"), port(80, "TCP")}}},
		{name: "ports are sorted, each once", key: "k", holder: v1beta1.ClaimHolder{Ports: []string{"443/TCP", "80/UDP", "80/TCP", "0443/TCP"}},
			want: lb.Sharing{Key: "k", Ports: []lb.Port{port(80, "TCP"), port(80, "UDP"), port(443, "TCP")}}},
		{name: "a holder without ports uses none", key: "k", want: lb.Sharing{Key: "k"}},
		{name: "a port without protocol", key: "k", holder: v1beta1.ClaimHolder{Namespace: "n", Name: "s", Ports: []string{"80"}}, fail: `the holder n/s: "80" is not a port: write number/protocol, such as 443/TCP`},
		{name: "a protocol that nobody knows", key: "k", holder: v1beta1.ClaimHolder{Namespace: "n", Name: "s", Ports: []string{"80/TCP", "80/tcp"}}, fail: `the holder n/s: "80/tcp" is not a port: write number/protocol, such as 443/TCP`},
		{name: "a number that is too large", key: "k", holder: v1beta1.ClaimHolder{Namespace: "n", Name: "s", Ports: []string{"65536/TCP"}}, fail: `the holder n/s: "65536/TCP" is not a port: write number/protocol, such as 443/TCP`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := HolderTerms(&v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{SharingKey: tt.key}}, tt.holder)
			var fail string
			if err != nil {
				fail = err.Error()
			}
			if fail != tt.fail {
				t.Errorf("error: got %q, want %q", fail, tt.fail)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("terms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHolderOfAClaimIsReadAsItWasWritten(t *testing.T) {
	svc := sharing("k", corev1.ServiceExternalTrafficPolicyLocal, map[string]string{"app": "web"}, "443/TCP", "80/TCP", "53/UDP")
	svc.UID = "uid"
	terms, err := SharingTerms(svc)
	if err != nil {
		t.Fatal(err)
	}
	holder := ClaimHolderOf(svc, terms)
	want := v1beta1.ClaimHolder{Namespace: "n", Name: "s", UID: "uid", Ports: []string{"53/UDP", "80/TCP", "443/TCP"}, TrafficPolicy: terms.Traffic}
	if diff := cmp.Diff(want, holder); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
	if got, want := HolderKey(holder), (lb.ServiceKey{Namespace: "n", Name: "s"}); got != want {
		t.Errorf("key: got %s, want %s", got, want)
	}
	back, err := HolderTerms(&v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{SharingKey: terms.Key}}, holder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(terms, back); diff != "" {
		t.Errorf("terms, read again (-want +got):\n%s", diff)
	}
	alone := v1beta1.ClaimHolder{Namespace: "n", Name: "s", UID: "uid"}
	if diff := cmp.Diff(alone, ClaimHolderOf(svc, lb.Sharing{})); diff != "" {
		t.Errorf("one that shares with nobody (-want +got):\n%s", diff)
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, seed := range []string{"80/TCP", "80/TCP,80/TCP,443/TCP", "0/UDP", "65535/SCTP", "65536/TCP", "+1/TCP", "1/", "/TCP", "1/TCP/TCP"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := parsePorts(strings.Split(s, ","))
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(ports, lb.Port.Compare) || len(slices.Compact(slices.Clone(ports))) != len(ports) {
			t.Errorf("parsePorts(%q) = %v, want them sorted and each once", s, ports)
		}
		again, err := parsePorts(portStrings(ports))
		if diff := cmp.Diff(ports, again); err != nil || diff != "" {
			t.Errorf("parsePorts(%q) and again (-first +second), %v:\n%s", s, err, diff)
		}
	})
}
