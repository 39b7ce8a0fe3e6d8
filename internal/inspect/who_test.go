package inspect

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

var update = flag.Bool("update", false, "write what testdata is to have")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

// several is announced() with a reserved address, one that routers have, one that is used by a foreign host, and one that
// is announced without a claim.
func several() *Snapshot {
	s := announced()
	s.Pools[0].Spec.Addresses = []v1beta1.AddressRange{"192.0.2.1-192.0.2.9"}
	routed := v1beta1.IPAddressPool{}
	routed.Name, routed.Spec.Addresses = "routed", []v1beta1.AddressRange{"2001:db8::/120"}
	s.Pools = append(s.Pools, routed)
	claim := func(address, pool string, state v1beta1.ClaimState, holders ...v1beta1.ClaimHolder) {
		c := v1beta1.IPAddressClaim{}
		c.Name = apiconv.ClaimName(netip.MustParseAddr(address))
		c.Spec = v1beta1.IPAddressClaimSpec{Address: address, Pool: v1beta1.ObjectName(pool), State: state, Holders: holders}
		s.Claims = append(s.Claims, c)
	}
	claim("192.0.2.3", "first", v1beta1.ClaimReserved)
	claim("2001:db8::1", "routed", v1beta1.ClaimInUse, v1beta1.ClaimHolder{Namespace: "shop", Name: "api"}, v1beta1.ClaimHolder{Namespace: "shop", Name: "admin"})
	s.States[0].Status.Addresses = []v1beta1.SpeakerAddress{{Address: "192.0.2.4", Interfaces: []v1beta1.InterfaceName{"eth0"}, Since: began, Epoch: 3}}
	s.States[1].Status.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.1", Interface: "eth0", HardwareAddress: "02:00:00:00:00:99", Since: began}}
	for _, node := range []v1beta1.NodeName{"node-3", "node-1"} {
		s.RouteSlices = append(s.RouteSlices, v1beta1.SpeakerRouteSlice{Node: node, Routes: []v1beta1.SpeakerBGPRoute{{Prefix: "2001:db8::1/128", Peers: []v1beta1.ObjectName{"tor-1", "tor-2"}}}})
	}
	return s
}

func TestWho_Golden(t *testing.T) {
	for name, subject := range map[string]string{
		"all": "", "address": "192.0.2.1", "service": "shop/api", "node": "node-1", "pool": "pool/first", "free": "192.0.2.8", "no-pool": "198.51.100.1", "service-without-address": "shop/none",
	} {
		t.Run(name, func(t *testing.T) {
			s := several()
			q, err := ParseSubject(s, subject, "shop")
			if err != nil {
				t.Fatal(err)
			}
			a := Who(s, q)
			var text strings.Builder
			for _, print := range []func() error{func() error { return a.Print(&text) }, func() error { return a.PrintWide(&text) }} {
				if err := print(); err != nil {
					t.Fatal(err)
				}
			}
			text.WriteString(strings.Join(a.Names(), "\n") + "\n")
			golden(t, "who-"+name+".txt", text.String())
			if want := !slices.Contains([]string{"free", "no-pool", "service-without-address"}, name); a.Found != want {
				t.Errorf("found: %v, want %v", a.Found, want)
			}
		})
	}
}

func TestParseSubject(t *testing.T) {
	tests := []struct {
		name, text string
		want       Subject
		err        string // empty: none
	}{
		{"nothing means all addresses", "", Subject{}, ""},
		{"an address", "192.0.2.1", Subject{Kind: OneAddress, Address: netip.MustParseAddr("192.0.2.1")}, ""},
		{"namespace and name", "web/front", Subject{Kind: OneService, Service: lb.ServiceKey{Namespace: "web", Name: "front"}}, ""},
		{"a Service of the namespace by kind", "svc/none", Subject{Kind: OneService, Service: lb.ServiceKey{Namespace: "shop", Name: "none"}}, ""},
		{"a Service of the namespace by name", "web", Subject{Kind: OneService, Service: lb.ServiceKey{Namespace: "shop", Name: "web"}}, ""},
		{"a node by kind", "node/any", Subject{Kind: OneNode, Name: "any"}, ""},
		{"a node by name", "node-2", Subject{Kind: OneNode, Name: "node-2"}, ""},
		{"a pool by name", "first", Subject{Kind: OnePool, Name: "first"}, ""},
		{"a name of two things", "both", Subject{}, "several objects have the name both: pass node/both or pool/both"},
		{"a name of nothing", "nothing", Subject{}, `"nothing" is not an address, a node with a speaker, a pool, or a Service in the namespace "shop" that has an address`},
		{"too many parts", "a/b/c", Subject{}, `"a/b/c" does not have one of the forms ADDRESS`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := announced()
			both, pool := v1beta1.SpeakerState{}, v1beta1.IPAddressPool{}
			both.Name, pool.Name = "both", "both"
			s.States, s.Pools = append(s.States, both), append(s.Pools, pool)
			got, err := ParseSubject(s, tt.text, "shop")
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
		})
	}
}
