package netns

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// many returns a number of single addresses with the same attributes.
func many(n int) map[netip.Prefix]routes.Attributes {
	list := map[netip.Prefix]routes.Attributes{}
	for i := range n {
		list[netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)] = routes.Attributes{}
	}
	return list
}

func TestBGPAFrozenRouterDisturbsNobody(t *testing.T) {
	b := newBed(t, "node", "router", "other")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	other := b.frr("other", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("router", "192.168.1.2"), peer("other", "192.168.1.3")))
	s.establishes("router")
	since := s.establishes("other").Since
	has(t, other, "ipv4", first4)
	r.Freeze()
	// Many changes, so that many messages wait for the frozen router.
	list := many(5000)
	for i := range 5 {
		for p := range list {
			list[p] = routes.Attributes{MED: number(uint32(i))}
		}
		s.change(func(c *protocol.Config) {
			c.Routes = map[bgp.PeerName]map[netip.Prefix]routes.Attributes{"router": list, "other": list}
		})
	}
	one := fmt.Sprintf("198.18.0.%d/32", 7)
	changed := time.Now()
	shows(t, other, one, "path 64512, IGP, MED 4, pref -, communities , large ")
	t.Logf("the other router had the last change %s after it", time.Since(changed))
	s.becomes("router", soon, "down", func(status status) bool { return !established(status) })
	s.stays("other", since, time.Second)
	r.Thaw()
	s.establishes("router")
	shows(t, r, one, "path 64512, IGP, MED 4, pref -, communities , large ")
}

// fourRouters are FRRs, and a speaker with sessions with all of them.
func fourRouters(t *testing.T, frr func(b *bed, host string) *router.Router, more ...func(*bgp.Peer)) (s *speaking, peers []bgp.Peer, routers map[string]*router.Router) {
	t.Helper()
	hosts := []string{"first", "second", "third", "fourth"}
	b := newBed(t, append([]string{"node"}, hosts...)...)
	routers = map[string]*router.Router{}
	for i, host := range hosts {
		routers[host] = frr(b, host)
		peers = append(peers, peer(bgp.PeerName(host), fmt.Sprintf("192.168.1.%d", i+2), more...))
	}
	s = b.speaker("node")
	s.set(toAll(nil, peers...))
	return s, peers, routers
}

func TestBGPAThousandRoutesToFourRouters(t *testing.T) {
	s, peers, routers := fourRouters(t, func(b *bed, host string) *router.Router {
		return b.frr(host, "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	})
	for _, p := range peers {
		s.establishes(p.Name)
	}
	began := time.Now()
	s.set(toAll(many(1000), peers...))
	for _, p := range peers {
		s.becomes(p.Name, soon, "with 1000 routes sent", func(status status) bool { return status.Prefixes == 1000 })
	}
	sent := time.Since(began)
	haveAll(t, routers, 1000)
	t.Logf("1000 routes to 4 routers: written after %s, in the table of the last one after %s", sent, time.Since(began))
	for host := range routers {
		if n, err := neighbourOf(context.Background(), routers[host], "192.168.1.1"); err != nil || n.Messages.UpdatesReceived > 10 {
			t.Errorf("%s got %d updates (%v), want a few with many prefixes each", host, n.Messages.UpdatesReceived, err)
		}
	}
}

// haveAll waits until the routers have this number of routes.
func haveAll(t *testing.T, routers map[string]*router.Router, count int) {
	t.Helper()
	var all sync.WaitGroup
	errs := make(chan error, len(routers))
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	for host, r := range routers {
		all.Go(func() {
			errs <- eventually.Poll(ctx, func(ctx context.Context) error {
				found, err := table(ctx, r, "ipv4")
				if err == nil && len(found) != count {
					err = fmt.Errorf("%s has %d", host, len(found))
				}
				return err
			})
		})
	}
	all.Wait()
	for range routers {
		if err := <-errs; err != nil {
			t.Fatalf("waiting until the routers have %d routes: %v", count, err)
		}
	}
}

func TestBGPAThousandRoutesAgainAndAgainHoldUpNoBFD(t *testing.T) {
	s, peers, routers := fourRouters(t, func(b *bed, host string) *router.Router { return b.bfdFRR(host, watchedBy("")) }, withBFD)
	since := map[bgp.PeerName]time.Time{}
	for _, p := range peers {
		s.pathBecomes(p.Name, "up", pathUp)
		since[p.Name] = s.establishes(p.Name).Since
	}
	before, err := s.scrape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s.set(toAll(many(1000), peers...))
		haveAll(t, routers, 1000)
		s.set(toAll(nil, peers...))
		haveAll(t, routers, 0)
	}
	for _, p := range peers {
		s.stays(p.Name, since[p.Name], 0)
	}
	after, err := s.scrape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more := func(name string) float64 { return after[name] - before[name] }
	if flaps := more("bfd_flaps_total"); flaps != 0 {
		t.Errorf("BFD sessions that left Up: got %v, want none", flaps)
	}
	t.Logf("%v BFD packets were sent, %v of what was due was late, peers were given more time %v times", more("bfd_packets_sent_total"), more("bfd_late_ticks_total"), more("bfd_stalls_total"))
}
