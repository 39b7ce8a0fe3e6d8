package netns

import (
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/router"
)

// The kernel of the test bed has no VRFs. A socket is bound to a VRF as to any other device
// (Documentation/networking/vrf.rst), so that the test shows this: the speaker connects and listens
// on that device only, and reports a missing device.
func TestBGPSessionsAreBoundToTheDeviceOfTheirVRF(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 timers connect 1", "192.168.1.1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; passive; ipv4 { import all; export none; }; }
`))
	in := func(vrf string) func(*bgp.Peer) { return func(p *bgp.Peer) { p.VRF = vrf } }
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("called", "192.168.1.3", in("eth0")), peer("calls", "192.168.1.2", passive, in("eth0")), peer("nowhere", "192.168.1.9", in("blue"))))
	s.establishes("calls")
	s.establishes("called")
	birdHas(t, bird, "v4", first4)
	s.failsWith("nowhere", quickly, "this node does not have the device blue")
	// On another device the speaker neither connects nor accepts a connection.
	s.set(toAll(plain(first4), peer("called", "192.168.1.3", in("lo")), peer("calls", "192.168.1.2", passive, in("lo"))))
	s.becomes("called", soon, "down", func(status status) bool { return !established(status) })
	s.becomes("calls", soon, "down", func(status status) bool { return !established(status) })
	s.set(toAll(plain(first4), peer("called", "192.168.1.3", in("eth0")), peer("calls", "192.168.1.2", passive, in("eth0"))))
	s.establishes("called")
	s.establishes("calls")
}
