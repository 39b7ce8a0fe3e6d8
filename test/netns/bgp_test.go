package netns

import (
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/router"
)

const (
	first4 = "203.0.113.1/32"
	first6 = "2001:db8:1::1/128"
)

func TestBGPBothFamiliesOverEitherTransport(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 2001:db8::1 remote-as 64512", "192.168.1.1", "2001:db8::1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
protocol bgp v6 { local as 64513; neighbor 2001:db8::1 as 64512; ipv4 { import all; export none; extended next hop; }; ipv6 { import all; export none; }; }
`))
	s := b.speaker("node")
	tests := []struct {
		name            string
		address, birds  string
		protocol        string
		edits           []func(*bgp.Peer)
		want4, want6    []string
		through4, show4 string
	}{
		{name: "IPv4", address: "192.168.1.2", birds: "192.168.1.3", protocol: "v4", want4: []string{first4}},
		{name: "IPv6", address: "2001:db8::2", birds: "2001:db8::3", protocol: "v6", want6: []string{first6}},
		{name: "both over IPv4", address: "192.168.1.2", birds: "192.168.1.3", protocol: "v4", edits: []func(*bgp.Peer){dualStack}, want4: []string{first4}, want6: []string{first6}},
		{name: "both over IPv6", address: "2001:db8::2", birds: "2001:db8::3", protocol: "v6", edits: []func(*bgp.Peer){dualStack}, want4: []string{first4}, want6: []string{first6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			s.set(toAll(plain(append(append([]string{}, tt.want4...), tt.want6...)...), peer("frr", tt.address, tt.edits...), peer("bird", tt.birds, tt.edits...)))
			s.establishes("frr")
			s.establishes("bird")
			has(t, r, "ipv4", tt.want4...)
			has(t, r, "ipv6", tt.want6...)
			birdHas(t, bird, tt.protocol, append(append([]string{}, tt.want4...), tt.want6...)...)
			for _, host := range []string{"router", "bird"} {
				if tt.want4 != nil {
					b.forwards(t, host, "203.0.113.1", "via 192.168.1.1")
				}
				if tt.want6 != nil {
					b.forwards(t, host, "2001:db8:1::1", "via ")
				}
			}
			s.set(protocol.Config{})
			has(t, r, "ipv4")
			has(t, r, "ipv6")
			birdHas(t, bird, tt.protocol)
		})
	}
}

func TestBGPRoutesWithNextHopsOfTheOtherFamily(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	for _, host := range []string{"node", "router", "bird"} {
		b.ip(host, "-4", "address", "flush", "dev", "eth0")
	}
	r := b.frr("router", "neighbor 2001:db8::1 remote-as 64512\nneighbor 2001:db8::1 capability extended-nexthop", "2001:db8::1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v6 { local as 64513; neighbor 2001:db8::1 as 64512; ipv4 { import all; export none; extended next hop; }; ipv6 { import all; export none; }; }
`))
	s := b.speaker("node")
	s.set(toAll(plain(first4, first6), peer("frr", "2001:db8::2", dualStack), peer("bird", "2001:db8::3", dualStack)))
	if got := s.establishes("frr"); !got.Negotiated.ExtendedNextHop {
		t.Errorf("negotiated is %+v, want extended next hops", got.Negotiated)
	}
	has(t, r, "ipv4", first4)
	birdHas(t, bird, "v6", first4, first6)
	b.forwards(t, "router", "203.0.113.1", "via inet6")
	b.forwards(t, "bird", "203.0.113.1", "via inet6 2001:db8::1")
}

func TestBGPUnnumbered(t *testing.T) {
	b := newBed(t, "node", "router")
	for _, host := range []string{"node", "router"} {
		b.ip(host, "-4", "address", "flush", "dev", "eth0")
		b.ip(host, "-6", "address", "flush", "dev", "eth0", "scope", "global")
	}
	r := b.frr("router", "neighbor eth0 interface remote-as external", "eth0")
	s := b.speaker("node")
	byInterface := func(p *bgp.Peer) { p.Interface, p.Remote = "eth0", bgp.RemoteASN{Kind: bgp.ExternalPeer} }
	s.set(toAll(plain(first4, first6), peer("frr", "", byInterface)))
	if got := s.establishes("frr"); got.Router.WithZone("") != b.linkLocal("router") || got.Negotiated.Remote.ASN != 64513 {
		t.Errorf("the session is %+v", got)
	}
	has(t, r, "ipv4", first4)
	has(t, r, "ipv6", first6)
	address := b.linkLocal("node").String()
	b.forwards(t, "router", "203.0.113.1", "via inet6 "+address)
	b.forwards(t, "router", "2001:db8:1::1", "via "+address)
}
