package netns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	watched "github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// withBFD has BFD watch the path of a peer.
func withBFD(p *bgp.Peer) { p.BFD = &tight }

func strictly(p *bgp.Peer) {
	withBFD(p)
	p.StrictBFD = true
}

// watchedBy returns lines for FRR with the BFD profile of the speaker, and more lines about the
// neighbour's BFD.
func watchedBy(more string) string {
	return "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 bfd\nneighbor 192.168.1.1 bfd profile tight\n" + more
}

// bfdFRR is FRR with BFD in its session with the node.
func (b *bed) bfdFRR(host, neighbours string) *router.Router {
	b.Helper()
	return router.FRR(b.T, b.prefix+host, "bfd\n profile tight\n"+indent(asTight)+frrConfig(neighbours, "192.168.1.1"), "bfdd", "bgpd")
}

// dropBFD has a host drop BFD packets alone. The returned function
// ends the drop.
func (b *bed) dropBFD(host string) (end func()) {
	b.Helper()
	for _, line := range []string{"add table inet drops", "add chain inet drops in { type filter hook input priority 0; }", "add rule inet drops in udp dport { 3784, 4784 } drop"} {
		if out, err := b.try(host, append([]string{"nft"}, line)...); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return func() {
		if out, err := b.try(host, "nft", "delete table inet drops"); err != nil {
			b.Errorf("%v: %s", err, out)
		}
	}
}

// pathBecomes waits until BFD finds the path to a peer in a state.
func (s *speaking) pathBecomes(name bgp.PeerName, what string, is func(speakerbfd.Status) bool) {
	s.t.Helper()
	eventually.Succeed(s.t, soon, fmt.Sprintf("the path to %s is %s", name, what), func(context.Context) error {
		if _, path := s.status(name); !is(path) {
			return fmt.Errorf("it is %+v", path)
		}
		return nil
	})
}

func pathUp(s speakerbfd.Status) bool { return s.State == watched.Up }

func TestBGPEndsWithItsPath(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.bfdFRR("router", watchedBy(""))
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bfd { interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; bfd on; ipv4 { import all; export none; }; }
`))
	s := b.speaker("node")
	// Late enough to read the status while the sessions are down.
	retry := func(p *bgp.Peer) { p.ConnectRetry = 5 * time.Second }
	s.set(toAll(plain(first4), peer("frr", "192.168.1.2", withBFD, retry), peer("bird", "192.168.1.3", withBFD, retry)))
	since := s.establishes("frr").Since
	sinceBird := s.establishes("bird").Since
	s.pathBecomes("frr", "up", pathUp)
	s.pathBecomes("bird", "up", pathUp)
	has(t, r, "ipv4", first4)

	// The router takes BFD down on purpose, which ends no session.
	r.MustAsk("configure terminal\nbfd\nprofile tight\nshutdown")
	s.pathBecomes("frr", "taken down by the router", func(s speakerbfd.Status) bool { return s.State != watched.Up })
	s.stays("frr", since, time.Second)
	r.MustAsk("configure terminal\nbfd\nprofile tight\nno shutdown")
	s.pathBecomes("frr", "up", pathUp)

	// The speaker receives nothing from the router any more.
	_, before := s.status("frr")
	end := b.dropBFD("node")
	drop := time.Now()
	got := s.becomes("frr", 2*time.Second, "down", func(status status) bool { return !established(status) })
	took := got.Since.Sub(drop)
	t.Logf("the session ended %s after BFD was cut; the detection time is %s", took, before.Detection)
	if !strings.Contains(got.LastError, "BFD") || before.Detection != 3*interval || took > before.Detection+200*time.Millisecond {
		t.Errorf("after %s: %q, want BFD in it, and a detection time of 300 ms, not %s", took, got.LastError, before.Detection)
	}
	saw(t, r, "192.168.1.1", "BFD down", func(n bgpNeighbour) bool { return n.LastCode == "060A" })
	eventually.Succeed(t, soon, "BIRD shows the reason", func(ctx context.Context) error {
		text, err := bird.Ask(ctx, "show protocols all v4")
		// Our Cease (BIRD has no name for RFC 9384) and BFD's last packet leave together.
		if err == nil && !strings.Contains(text, "BFD") && !strings.Contains(text, "Received: Unknown error 6.10") {
			err = fmt.Errorf("BIRD shows %s", text)
		}
		return err
	})
	end()
	s.establishes("frr")
	s.pathBecomes("frr", "up", pathUp)
	has(t, r, "ipv4", first4)
	s.becomes("bird", 120*time.Second, "another one", func(status status) bool { return established(status) && !status.Since.Equal(sinceBird) })

	// The router receives nothing from the speaker, and ends the session.
	end = b.dropBFD("router")
	s.becomes("frr", 2*time.Second, "down", func(status status) bool { return !established(status) })
	end()
	s.establishes("frr")
}

func TestBGPThatIsStrictWaitsForBFD(t *testing.T) {
	b := newBed(t, "node", "router")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("frr", "192.168.1.2", strictly)))
	eventually.Stays(t, 3*time.Second, "there is no session", func(context.Context) error {
		if status, _ := s.status("frr"); established(status) || status.Since.IsZero() != (status.Peer == "") {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
	s.becomes("frr", soon, "waiting for BFD", func(status status) bool { return status.WaitsForBFD })
	r.MustAsk("configure terminal\nrouter bgp 64513\nneighbor 192.168.1.1 bfd")
	s.establishes("frr")
	has(t, r, "ipv4", first4)
	// Without strict mode there is a session without BFD.
	r.MustAsk("configure terminal\nrouter bgp 64513\nno neighbor 192.168.1.1 bfd")
	s.change(func(c *protocol.Config) { c.Peers[0].StrictBFD = false })
	s.pathBecomes("frr", "not up", func(s speakerbfd.Status) bool { return s.State != watched.Up })
	// The last packet of FRR's BFD, before FRR removes it, may end the session once.
	s.becomes("frr", soon, "established for a second", func(status status) bool {
		return established(status) && time.Since(status.Since) > time.Second
	})
	// A path that was up before does not count for a new session.
	r.MustAsk("configure terminal\nrouter bgp 64513\nneighbor 192.168.1.1 bfd")
	s.pathBecomes("frr", "up", pathUp)
	s.change(func(c *protocol.Config) { c.Peers[0].BFD = nil })
	r.MustAsk("configure terminal\nrouter bgp 64513\nno neighbor 192.168.1.1 bfd")
	s.establishes("frr")
	s.change(func(c *protocol.Config) { strictly(&c.Peers[0]); c.Peers[0].Hold += time.Second })
	s.becomes("frr", soon, "waiting for BFD", func(status status) bool { return status.WaitsForBFD && !established(status) })
}

// TestBGPWhenOurSideTakesBFDDown documents what routers do then: they should go on (RFC 5882
// section 4.2), and do not.
func TestBGPWhenOurSideTakesBFDDown(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	b.bfdFRR("router", watchedBy(""))
	router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bfd { interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; bfd on; error wait time 1,2; ipv4 { import all; export none; }; }
`))
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("frr", "192.168.1.2", withBFD), peer("bird", "192.168.1.3", withBFD)))
	since := map[bgp.PeerName]time.Time{"frr": s.establishes("frr").Since, "bird": s.establishes("bird").Since}
	for name := range since {
		s.pathBecomes(name, "up", pathUp)
	}
	s.change(func(c *protocol.Config) {
		for i := range c.Peers {
			c.Peers[i].BFD = nil
		}
	})
	for name := range since {
		got := s.becomes(name, soon, "another one", func(status status) bool { return established(status) && !status.Since.Equal(since[name]) })
		t.Logf("%s ended the session: %s", name, got.LastError)
	}
}

func TestBGPPathsOverSeveralHopsAreWatched(t *testing.T) {
	for name, c := range map[string]struct {
		frr  string
		edit func(*bgp.Peer)
	}{
		"ebgpMultiHop":                    {"remote-as 64512\nneighbor 10.0.0.1 ebgp-multihop 2", func(p *bgp.Peer) { p.Multihop = true }},
		"ttlSecurityHops 2":               {"remote-as 64512\nneighbor 10.0.0.1 ttl-security hops 2", func(p *bgp.Peer) { p.SecurityHops = 2 }},
		"internal, on no network of ours": {"remote-as 64513", func(p *bgp.Peer) { p.ASN = 64513 }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "node", "router", "between")
			b.throughRouter("node", "between", "router")
			router.FRR(t, b.prefix+"router", "bfd\n profile tight\n"+indent(asTight)+
				frrConfig("neighbor 10.0.0.1 "+c.frr+"\nneighbor 10.0.0.1 update-source 10.0.0.2\nneighbor 10.0.0.1 bfd\nneighbor 10.0.0.1 bfd profile tight", "10.0.0.1"), "bfdd", "bgpd")
			s := b.speaker("node")
			from := func(p *bgp.Peer) { p.Source = netip.MustParseAddr("10.0.0.1") }
			s.set(toAll(plain(first4), peer("far", "10.0.0.2", from, withBFD, c.edit)))
			s.establishes("far")
			s.pathBecomes("far", "up", pathUp)
			end := b.dropBFD("node")
			s.failsWith("far", quickly, "BFD")
			end()
			s.establishes("far")
		})
	}
}
