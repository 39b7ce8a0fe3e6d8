package netns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// quickly is the time within which a failure is reported to the administrator.
const quickly = 6 * time.Second

// stays fails the test if the session with a peer ended and began anew.
func (s *speaking) stays(peer bgp.PeerName, since time.Time, period time.Duration) {
	s.t.Helper()
	eventually.Stays(s.t, period, "the session with "+string(peer)+" is the same", func(context.Context) error {
		if status, _ := s.status(peer); !established(status) || !status.Since.Equal(since) {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
}

func TestBGPPasswords(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 password secret\n"+
		"neighbor 2001:db8::1 remote-as 64512\nneighbor 2001:db8::1 password secret", "192.168.1.1", "2001:db8::1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; password "birds"; ipv4 { import all; export none; }; }
`))
	s := b.speaker("node")
	c := toAll(plain(first4, first6), peer("v4", "192.168.1.2"), peer("v6", "2001:db8::2"), peer("bird", "192.168.1.3"))
	c.Passwords = map[bgp.PeerName]string{"v4": "secret", "v6": "secret", "bird": "birds"}
	s.set(c)
	s.establishes("v4")
	since6, sinceBird := s.establishes("v6").Since, s.establishes("bird").Since
	has(t, r, "ipv4", first4)
	has(t, r, "ipv6", first6)
	birdHas(t, bird, "v4", first4)

	// A router with another password: the failure is reported, and the other sessions go on.
	r.MustAsk("configure terminal\nrouter bgp 64513\nneighbor 192.168.1.1 password another")
	s.failsWith("v4", 2*quickly, "that it has the same password")
	s.change(func(c *protocol.Config) {
		c.Passwords = maps.Clone(c.Passwords)
		c.Passwords["v4"] = "another"
	})
	s.establishes("v4")
	s.stays("v6", since6, time.Second)
	s.stays("bird", sinceBird, 0)

	// One side has no password.
	s.change(func(c *protocol.Config) { c.Passwords = map[bgp.PeerName]string{"v6": "secret", "bird": "birds"} })
	s.failsWith("v4", quickly, "whether it requires a password")
	s.stays("v6", since6, time.Second)
	if strings.Contains(s.printed(), "secret") {
		t.Error("a password is in the log")
	}
}

// Two speakers are the routers of each other. Real routers begin their session anew when
// their password changes.
func TestBGPPasswordIsRotatedWhileTheSessionStays(t *testing.T) {
	for _, address := range []string{"192.168.1.", "2001:db8::"} {
		t.Run(address, func(t *testing.T) {
			b := newBed(t, "node", "other")
			s, other := b.speaker("node"), b.speaker("other")
			c := toAll(plain(first4), peer("other", address+"2", dualStack))
			c.Passwords = map[bgp.PeerName]string{"other": "old"}
			s.set(c)
			d := toAll(nil, peer("node", address+"1", dualStack, passive, func(p *bgp.Peer) {
				p.ASN, p.Remote.ASN, p.RouterID = 64513, 64512, netip.MustParseAddr("192.0.2.2")
			}))
			d.Passwords = map[bgp.PeerName]string{"node": "old"}
			other.set(d)
			since, sinceOther := s.establishes("other").Since, other.establishes("node").Since
			s.change(func(c *protocol.Config) { c.Passwords = map[bgp.PeerName]string{"other": "new"} })
			time.Sleep(3 * time.Second) // the other side gets the password later; nothing is received meanwhile
			other.change(func(c *protocol.Config) { c.Passwords = map[bgp.PeerName]string{"node": "new"} })
			s.stays("other", since, 12*time.Second) // longer than the hold time
			other.stays("node", sinceOther, 0)
			// A new connection needs the new password as well.
			s.kill()
			s = b.speaker("node")
			c.Passwords["other"] = "new"
			s.set(c)
			s.establishes("other")
		})
	}
}

func TestBGPThroughAnotherRouter(t *testing.T) {
	b := newBed(t, "node", "router", "between")
	b.throughRouter("node", "between", "router")
	r := b.frr("router", "neighbor 10.0.0.1 remote-as 64512\nneighbor 10.0.0.1 ebgp-multihop 2\nneighbor 10.0.0.1 update-source 10.0.0.2", "10.0.0.1")
	s := b.speaker("node")
	from := func(p *bgp.Peer) { p.Source = netip.MustParseAddr("10.0.0.1") }
	s.set(toAll(plain(first4), peer("far", "10.0.0.2", from)))
	s.failsWith("far", quickly, "connecting to 10.0.0.2:179: ")
	s.set(toAll(plain(first4), peer("far", "10.0.0.2", from, func(p *bgp.Peer) { p.Multihop = true })))
	s.establishes("far")
	has(t, r, "ipv4", first4)
	b.forwards(t, "router", "203.0.113.1", "via 192.168.1.3")
}

func TestBGPHopsAreChecked(t *testing.T) {
	b := newBed(t, "node", "router", "between")
	b.throughRouter("node", "between", "router")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 ttl-security hops 1\n"+
		"neighbor 2001:db8::1 remote-as 64512\nneighbor 2001:db8::1 ttl-security hops 1\n"+
		"neighbor 10.0.0.1 remote-as 64512\nneighbor 10.0.0.1 ttl-security hops 2\nneighbor 10.0.0.1 update-source 10.0.0.2",
		"192.168.1.1", "2001:db8::1", "10.0.0.1")
	hops := func(n uint8) func(*bgp.Peer) { return func(p *bgp.Peer) { p.SecurityHops = n } }
	from := func(p *bgp.Peer) { p.Source = netip.MustParseAddr("10.0.0.1") }
	s := b.speaker("node")
	s.set(toAll(plain(first4, first6), peer("v4", "192.168.1.2", hops(1)), peer("v6", "2001:db8::2", hops(1)), peer("far", "10.0.0.2", from, hops(2))))
	for _, name := range []bgp.PeerName{"v4", "v6", "far"} {
		s.establishes(name)
	}
	has(t, r, "ipv4", first4)
	has(t, r, "ipv6", first6)
	// Packets from further away than allowed are dropped.
	s.set(toAll(plain(first4), peer("far", "10.0.0.2", from, hops(1))))
	s.failsWith("far", quickly, "no answer")
	// The router checks as well: it accepts nothing from a node that does not
	// send with the highest hop limit, whatever the node accepts itself.
	s.set(protocol.Config{})
	has(t, r, "ipv4")
	s.set(toAll(plain(first4, first6), peer("v4", "192.168.1.2"), peer("v6", "2001:db8::2")))
	eventually.Stays(t, 4*time.Second, "the router has no route", func(ctx context.Context) error {
		found4, err4 := table(ctx, r, "ipv4")
		found6, err6 := table(ctx, r, "ipv6")
		if err := errors.Join(err4, err6); err != nil || len(found4)+len(found6) > 0 {
			return fmt.Errorf("it has %v and %v (%w)", found4, found6, err)
		}
		return nil
	})
}

func TestBGPARouterThatConnects(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 timers connect 2\nneighbor 192.168.1.1 password secret\n"+
		"neighbor 2001:db8::1 remote-as 64512\nneighbor 2001:db8::1 timers connect 2\nneighbor 2001:db8::1 ttl-security hops 1", "192.168.1.1", "2001:db8::1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; connect delay time 1; connect retry time 1; error wait time 1,2; ipv4 { import all; export none; }; }
`))
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("other", "192.168.1.9")))
	on := func(want string) func(context.Context) error {
		return func(context.Context) error {
			var got []string
			out, err := b.try("node", "ss", "-Hltn")
			for line := range strings.Lines(out) {
				got = append(got, strings.Fields(line)[3])
			}
			if err != nil || strings.Join(got, " ") != want {
				return errors.New(out)
			}
			return nil
		}
	}
	listens := func(want string) {
		t.Helper()
		eventually.Succeed(t, soon, "the node listens on "+want, on(want))
	}
	eventually.Stays(t, time.Second, "the node listens on nothing", on(""))
	c := toAll(plain(first4, first6), peer("v4", "192.168.1.2", passive), peer("bird", "192.168.1.3", passive), peer("nobody", "192.168.1.9", passive))
	c.Passwords = map[bgp.PeerName]string{"v4": "secret"}
	s.set(c)
	listens("0.0.0.0:179")
	s.failsWith("nobody", quickly, "has not connected")
	s.establishes("v4")
	since := s.establishes("bird").Since
	has(t, r, "ipv4", first4)
	birdHas(t, bird, "v4", first4)

	// A new password does not disturb the other sessions.
	s.change(func(c *protocol.Config) {
		c.Peers = append(c.Peers, peer("v6", "2001:db8::2", passive, func(p *bgp.Peer) { p.SecurityHops = 1 }))
		c.Routes["v6"] = plain(first6)
		c.Passwords = map[bgp.PeerName]string{"v4": "another"}
	})
	listens("0.0.0.0:179 [::]:179")
	s.establishes("v6")
	has(t, r, "ipv6", first6)
	s.becomes("v4", 2*quickly, "down", func(status status) bool { return !established(status) })
	r.MustAsk("configure terminal\nrouter bgp 64513\nneighbor 192.168.1.1 password another")
	s.establishes("v4")
	s.stays("bird", since, 0)
	s.set(toAll(plain(first4), peer("bird", "192.168.1.3")))
	listens("")
	s.establishes("bird")
}
