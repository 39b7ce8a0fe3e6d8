package netns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// birdShows waits until BIRD's output for a route has all these lines.
func birdShows(t *testing.T, r *router.Router, prefix, protocol string, lines ...string) {
	t.Helper()
	eventually.Succeed(t, soon, "BIRD shows "+prefix+" from "+protocol, func(ctx context.Context) error {
		text, err := r.Ask(ctx, "show route "+prefix+" protocol "+protocol+" all")
		if err != nil {
			return err
		}
		var words []string
		for line := range strings.Lines(text) {
			words = append(words, strings.Join(strings.Fields(line), " "))
		}
		got := strings.Join(words, "\n") + "\n"
		for _, line := range lines {
			if !strings.Contains(got, line+"\n") {
				return fmt.Errorf("there is no %q in %s", line, text)
			}
		}
		return nil
	})
}

func TestBIRDReceivesAttributes(t *testing.T) {
	b := newBed(t, "node", "inner", "bird")
	bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp outer { local as 64513; neighbor 192.168.1.1 as 64512; ipv4 { import all; export none; }; }
`))
	inner := router.BIRD(t, b.prefix+"inner", birdConfig(`
protocol bgp inner { local 192.168.1.2 as 64512; neighbor 192.168.1.1 as 64512; direct; ipv4 { import all; export none; }; }
`))
	list := plain(first4)
	list[netip.MustParsePrefix("203.0.113.0/28")] = routes.Attributes{
		LocalPref: number(250), MED: number(30), Prepend: 2,
		Communities: []routes.Community{64512<<16 | 7, 0xFFFFFF01}, Large: []routes.LargeCommunity{{Global: 4200000000, Local1: 1, Local2: 2}},
	}
	s := b.speaker("node")
	s.set(toAll(list, peer("outer", "192.168.1.3"), peer("inner", "192.168.1.2", internal)))
	s.establishes("outer")
	s.establishes("inner")
	birdShows(t, bird, first4, "outer", "BGP.as_path: 64512", "BGP.next_hop: 192.168.1.1")
	same := []string{"BGP.origin: IGP", "BGP.med: 30", "BGP.community: (64512,7) (65535,65281)", "BGP.large_community: (4200000000, 1, 2)"}
	birdShows(t, bird, "203.0.113.0/28", "outer", append(same, "BGP.as_path: 64512 64512 64512")...)
	birdShows(t, inner, "203.0.113.0/28", "inner", append(same, "BGP.local_pref: 250")...)
}

func TestBIRDOverSeveralHops(t *testing.T) {
	for name, c := range map[string]struct {
		bird string
		edit func(*bgp.Peer)
	}{
		"ebgpMultiHop":      {"as 64513; neighbor 10.0.0.1 as 64512; multihop 2", func(p *bgp.Peer) { p.Multihop = true }},
		"ttlSecurityHops 2": {"as 64513; neighbor 10.0.0.1 as 64512; multihop 2; ttl security on", func(p *bgp.Peer) { p.SecurityHops = 2 }},
		"internal":          {"as 64512; neighbor 10.0.0.1 as 64512; multihop", internal},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "node", "between", "bird")
			b.throughRouter("node", "between", "bird")
			bird := router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bfd { multihop { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol bgp far { local 10.0.0.2 `+c.bird+`; bfd on; connect retry time 1; error wait time 1,2; ipv4 { import all; export none; }; }
`))
			s := b.speaker("node")
			far := tight
			far.MinimumTTL = 254
			watching := func(p *bgp.Peer) { p.BFD = &far }
			from := func(p *bgp.Peer) { p.Source = netip.MustParseAddr("10.0.0.1") }
			s.set(toAll(plain(first4), peer("far", "10.0.0.2", from, watching, c.edit)))
			s.establishes("far")
			s.pathBecomes("far", "not received from, with the reason", func(p speakerbfd.Status) bool { return strings.Contains(p.Problem, "TTL 63") })
			far.MinimumTTL = 63
			s.set(toAll(plain(first4), peer("far", "10.0.0.2", from, watching, c.edit)))
			birdHas(t, bird, "far", first4)
			s.pathBecomes("far", "up", pathUp)
			cut := time.Now()
			end := b.dropBFD("node")
			s.becomes("far", quickly, "ended by BFD, ours or the router's", func(status speakerbgp.Status) bool {
				// BIRD may end the session on the speaker's last BFD packet, before the speaker does.
				return status.LastErrorAt.After(cut) && (strings.Contains(status.LastError, "BFD") || strings.Contains(status.LastError, "the router ended the connection: cease"))
			})
			end()
			s.establishes("far")
		})
	}
}
