package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// helps has lines with which FRR retains routes of restarting neighbours.
const helps = "bgp graceful-restart\n"

// kept polls the kernel's route on a host until the test ends or stop is called.
type kept struct {
	ended  atomic.Bool
	done   chan struct{}
	looks  int
	misses []time.Time
}

func (b *bed) watchRoute(host, prefix string) *kept {
	k := &kept{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for !k.ended.Load() {
			k.looks++
			if b.kernelRoute(host, prefix) == "" {
				k.misses = append(k.misses, time.Now())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return k
}

// stop returns the number of polls, and the number of polls without the route.
func (k *kept) stop() (looks, misses int) {
	k.ended.Store(true)
	<-k.done
	return k.looks, len(k.misses)
}

func TestBGPARouterThatRestartsGetsAllRoutesAgain(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	config := "neighbor 192.168.1.1 remote-as 64512"
	r := b.frr("router", config, "192.168.1.1")
	birds := birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; ipv4 { import all; export none; }; }
`)
	bird := router.BIRD(t, b.prefix+"bird", birds)
	s := b.speaker("node")
	s.set(toAll(plain(first4, "203.0.113.2/32"), peer("frr", "192.168.1.2"), peer("bird", "192.168.1.3")))
	has(t, r, "ipv4", first4, "203.0.113.2/32")
	since := s.establishes("bird").Since
	r.Kill()
	s.becomes("frr", time.Second, "down", func(status status) bool { return !established(status) })
	s.change(func(c *protocol.Config) { c.Routes["frr"] = plain(first4, "203.0.113.3/32") })
	r = b.frr("router", config, "192.168.1.1")
	started := time.Now()
	has(t, r, "ipv4", first4, "203.0.113.3/32")
	t.Logf("a router that was killed has all routes %s after its start", time.Since(started))
	s.stays("bird", since, 0)

	bird.Kill()
	bird = router.BIRD(t, b.prefix+"bird", birds)
	birdHas(t, bird, "v4", first4, "203.0.113.2/32")
	// A router that requests all routes again receives them.
	before := saw(t, r, "192.168.1.1", "established", func(n bgpNeighbour) bool { return n.State == "Established" })
	r.MustAsk("clear bgp ipv4 192.168.1.1 in")
	saw(t, r, "192.168.1.1", "more updates", func(n bgpNeighbour) bool {
		return n.State == "Established" && n.Messages.UpdatesReceived > before.Messages.UpdatesReceived && n.Dropped == before.Dropped
	})
	has(t, r, "ipv4", first4, "203.0.113.3/32")
}

func TestBGPRoutesStayWhileTheSpeakerRestarts(t *testing.T) {
	for name, end := range map[string]func(*speaking){"killed": (*speaking).kill, "stopped": (*speaking).stop} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "node", "router", "bird")
			r := b.frr("router", helps+"neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
			bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; ipv4 { import all; export none; }; }
`))
			c := toAll(plain(first4, "203.0.113.2/32"), peer("frr", "192.168.1.2", gracefully), peer("bird", "192.168.1.3", gracefully))
			s := b.speaker("node")
			s.set(c)
			has(t, r, "ipv4", first4, "203.0.113.2/32")
			birdHas(t, bird, "v4", first4, "203.0.113.2/32")
			b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
			b.forwards(t, "bird", "203.0.113.1", "via 192.168.1.1")
			frrRoute, birdRoute := b.watchRoute("router", "203.0.113.1"), b.watchRoute("bird", "203.0.113.1")
			end(s)
			time.Sleep(2 * time.Second)
			stale(t, r, first4, true)

			// The next speaker has one route less and one new route.
			s = b.speaker("node")
			c = toAll(plain(first4, "203.0.113.3/32"), c.Peers...)
			s.set(c)
			has(t, r, "ipv4", first4, "203.0.113.3/32")
			birdHas(t, bird, "v4", first4, "203.0.113.3/32")
			stale(t, r, first4, false)
			time.Sleep(time.Second)
			for host, k := range map[string]*kept{"router": frrRoute, "bird": birdRoute} {
				looks, misses := k.stop()
				t.Logf("%s was asked for its route %d times", host, looks)
				if misses > 0 || looks < 50 {
					t.Errorf("%s had no route %d times of %d", host, misses, looks)
				}
			}
			saw(t, r, "192.168.1.1", "it got the end of the routes", func(n bgpNeighbour) bool {
				return strings.Contains(fmt.Sprint(n.GracefulRestart), "endOfRibRecv:true")
			})
		})
	}
}

func TestBGPIPv6RoutesStayWhileTheSpeakerRestarts(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.frr("router", helps+"neighbor 2001:db8::1 remote-as 64512", "2001:db8::1")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v6 { local as 64513; neighbor 2001:db8::1 as 64512; ipv6 { import all; export none; }; }
`))
	c := toAll(plain(first6), peer("frr", "2001:db8::2", gracefully), peer("bird", "2001:db8::3", gracefully))
	s := b.speaker("node")
	s.set(c)
	has(t, r, "ipv6", first6)
	birdHas(t, bird, "v6", first6)
	address := netip.MustParsePrefix(first6).Addr().String()
	b.forwards(t, "router", address, "via")
	b.forwards(t, "bird", address, "via")
	stays := func(period time.Duration, what string) {
		t.Helper()
		eventually.Stays(t, period, what, func(context.Context) error {
			for _, host := range []string{"router", "bird"} {
				if b.kernelRoute(host, address) == "" {
					return fmt.Errorf("%s has no route", host)
				}
			}
			return nil
		})
	}
	watched := map[string]*kept{"router": b.watchRoute("router", address), "bird": b.watchRoute("bird", address)}
	s.kill()
	stays(2*time.Second, "the routers keep the route while there is no speaker")
	s = b.speaker("node")
	s.set(c)
	s.establishes("frr")
	s.establishes("bird")
	saw(t, r, "2001:db8::1", "it got the end of the routes", func(n bgpNeighbour) bool {
		return strings.Contains(fmt.Sprint(n.GracefulRestart), "endOfRibRecv:true")
	})
	stays(time.Second, "the routers keep the route after the end of the routes")
	for host, k := range watched {
		if looks, misses := k.stop(); misses > 0 || looks < 50 {
			t.Errorf("%s had no route %d times of %d", host, misses, looks)
		}
	}
}

// stale waits until FRR has a route that is stale, or is not.
func stale(t *testing.T, r *router.Router, prefix string, want bool) {
	t.Helper()
	eventually.Succeed(t, soon, fmt.Sprintf("the route %s is stale: %t", prefix, want), func(ctx context.Context) error {
		text, err := r.Ask(ctx, "show bgp ipv4 unicast "+prefix+" json")
		if err != nil {
			return err
		}
		var d detail
		if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Paths) != 1 || d.Paths[0].Stale != want {
			return fmt.Errorf("it is %s (%v)", text, err)
		}
		return nil
	})
}

func TestBGPRoutesGoAtOnceWithoutGracefulRestart(t *testing.T) {
	b := newBed(t, "node", "router")
	r := b.frr("router", helps+"neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("frr", "192.168.1.2")))
	has(t, r, "ipv4", first4)
	s.stop()
	hasWithin(t, 2*time.Second, r, "ipv4")
	saw(t, r, "192.168.1.1", "our speaker ends", func(n bgpNeighbour) bool {
		return strings.Contains(n.LastNotification, "Cease/Administrative Shutdown") && n.ShutdownText == "the speaker of this node ends"
	})
}

func TestBGPRoutesThatAreAboutToGoAreMarked(t *testing.T) {
	b := newBed(t, "node", "router", "inner")
	external := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	inner := router.FRR(t, b.prefix+"inner", strings.ReplaceAll(frrConfig("neighbor 192.168.1.1 remote-as 64512", "192.168.1.1"), "router bgp 64513", "router bgp 64512"), "bgpd")
	wait := func(p *protocol.Config) {
		for i := range p.Peers {
			p.Peers[i].ShutdownWait = 3 * time.Second
		}
	}
	c := toAll(plain(first4), peer("router", "192.168.1.2"), peer("inner", "192.168.1.3", internal))
	c.Routes["router"] = map[netip.Prefix]routes.Attributes{netip.MustParsePrefix(first4): {Communities: []routes.Community{64512<<16 | 7}}}
	wait(&c)
	s := b.speaker("node")
	s.set(c)
	since := s.establishes("router").Since
	s.establishes("inner")
	unmarked, marked := "path 64512, IGP, MED -, pref -, communities 64512:7, large ", "path 64512, IGP, MED -, pref 0, communities 64512:7 graceful-shutdown, large "
	shows(t, external, first4, unmarked)

	// The node is drained: routes are marked and then withdrawn, and the sessions stay.
	s.change(func(c *protocol.Config) { c.Draining = true })
	shows(t, external, first4, marked)
	shows(t, inner, first4, "path Local, IGP, MED -, pref 0, communities graceful-shutdown, large ")
	has(t, external, "ipv4")
	has(t, inner, "ipv4")
	s.stays("router", since, 0)
	s.change(func(c *protocol.Config) { c.Draining = false })
	shows(t, external, first4, unmarked)
	shows(t, inner, first4, "path Local, IGP, MED -, pref 100, communities , large ")

	// A drain that is cancelled in time withdraws nothing.
	s.change(func(c *protocol.Config) { c.Draining = true })
	shows(t, external, first4, marked)
	s.change(func(c *protocol.Config) { c.Draining = false })
	shows(t, external, first4, unmarked)
	eventually.Stays(t, 4*time.Second, "the route is there", func(ctx context.Context) error {
		if found, err := table(ctx, external, "ipv4"); err != nil || len(found) != 1 {
			return fmt.Errorf("there are %v (%v)", found, err)
		}
		return nil
	})

	// The speaker ends.
	s.terminate()
	shows(t, external, first4, marked)
	shows(t, inner, first4, "path Local, IGP, MED -, pref 0, communities graceful-shutdown, large ")
	has(t, external, "ipv4")
	<-s.ended
}

func TestBGPADrainedNodeThatStopsAnnouncesNothing(t *testing.T) {
	b := newBed(t, "node", "router")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	c := toAll(plain(first4), peer("frr", "192.168.1.2"), peer("nobody", "192.168.1.9"))
	for i := range c.Peers {
		c.Peers[i].ShutdownWait = time.Second
	}
	s.set(c)
	has(t, r, "ipv4", first4)
	s.change(func(c *protocol.Config) { c.Draining = true })
	has(t, r, "ipv4")
	before := saw(t, r, "192.168.1.1", "established", func(n bgpNeighbour) bool { return n.State == "Established" })
	stopped := time.Now()
	s.change(func(c *protocol.Config) {
		for i := range c.Peers {
			c.Peers[i].ShutdownWait = time.Minute // has no effect without a route
		}
	})
	s.stop()
	t.Logf("it ended after %s", time.Since(stopped))
	after := saw(t, r, "192.168.1.1", "not established", func(n bgpNeighbour) bool { return n.State != "Established" })
	if n := after.Messages.UpdatesReceived - before.Messages.UpdatesReceived; n > 0 {
		t.Errorf("the router got %d updates of a drained node that stopped", n)
	}
}

func TestBGPChangesDisturbOnlyTheirOwnSession(t *testing.T) {
	b := newBed(t, "node", "router", "other")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	other := b.frr("other", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("router", "192.168.1.2"), peer("other", "192.168.1.3")))
	since := s.establishes("router").Since
	sinceOther := s.establishes("other").Since
	has(t, other, "ipv4", first4)

	s.change(func(c *protocol.Config) { c.Peers[0].Hold = 15 * time.Second })
	changed := time.Now()
	saw(t, r, "192.168.1.1", "the configuration has changed", func(n bgpNeighbour) bool {
		return strings.Contains(n.LastNotification, "Cease/Other Configuration Change")
	})
	got := s.becomes("router", soon, "another one, with another hold time", func(status status) bool {
		return established(status) && !status.Since.Equal(since) && status.Negotiated.Hold == 15*time.Second
	})
	t.Logf("the session was back %s after the change", got.Since.Sub(changed))
	has(t, r, "ipv4", first4)
	s.change(func(c *protocol.Config) {
		c.Peers[0].ConnectRetry, c.Peers[0].ShutdownWait = 5*time.Second, time.Second
	})
	s.stays("router", got.Since, time.Second)

	// A BGPPeer is deleted.
	s.change(func(c *protocol.Config) { c.Peers = c.Peers[1:] })
	saw(t, r, "192.168.1.1", "the peer is de-configured", func(n bgpNeighbour) bool {
		return strings.Contains(n.LastNotification, "Cease/Peer De-configured")
	})
	has(t, r, "ipv4")
	s.stays("other", sinceOther, time.Second)
	if n, err := neighbourOf(context.Background(), other, "192.168.1.1"); err != nil || n.Dropped != 0 || n.Messages.UpdatesReceived > 2 {
		t.Errorf("the other router shows %+v (%v), want one session, one update and the end of them", n, err)
	}
}
