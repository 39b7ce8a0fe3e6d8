package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// detail is FRR's whole output for a route.
type detail struct {
	Paths []struct {
		ASPath struct {
			String string `json:"string"`
		} `json:"aspath"`
		Origin      string `json:"origin"`
		Med         *int   `json:"med"`
		MedMetric   *int   `json:"metric"`
		LocalPref   *int   `json:"locPrf"`
		Stale       bool   `json:"stale"`
		Communities struct {
			String string `json:"string"`
		} `json:"community"`
		Large struct {
			String string `json:"string"`
		} `json:"largeCommunity"`
	} `json:"paths"`
}

// shows waits until FRR has a route with the wanted attributes.
func shows(t *testing.T, r *router.Router, prefix, want string) {
	t.Helper()
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	eventually.Succeed(t, soon, "the router shows "+prefix+" with "+want, func(ctx context.Context) error {
		text, err := r.Ask(ctx, "show bgp "+family+" unicast "+prefix+" json")
		if err != nil {
			return err
		}
		var d detail
		if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Paths) != 1 {
			return fmt.Errorf("it shows %s (%v)", text, err)
		}
		p := d.Paths[0]
		number := func(n *int) string {
			if n == nil {
				return "-"
			}
			return fmt.Sprint(*n)
		}
		if got := fmt.Sprintf("path %s, %s, MED %s, pref %s, communities %s, large %s", p.ASPath.String, p.Origin, number(p.MedMetric), number(p.LocalPref), p.Communities.String, p.Large.String); got != want {
			return fmt.Errorf("it is %s; of %s", got, text)
		}
		return nil
	})
}

func number(n uint32) routes.OptionalNumber { return routes.OptionalNumber{Value: n, Set: true} }

func TestBGPAttributes(t *testing.T) {
	b := newBed(t, "node", "router", "inner")
	external := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	inner := router.FRR(t, b.prefix+"inner", strings.ReplaceAll(frrConfig("neighbor 192.168.1.1 remote-as 64512", "192.168.1.1"), "router bgp 64513", "router bgp 64512"), "bgpd")
	full := routes.Attributes{
		LocalPref: number(250), MED: number(30), Prepend: 2,
		Communities: []routes.Community{64512<<16 | 7, 0xFFFFFF01}, Large: []routes.LargeCommunity{{Global: 4200000000, Local1: 1, Local2: 2}},
	}
	list := plain(first4)
	list[netip.MustParsePrefix("203.0.113.0/28")] = full
	s := b.speaker("node")
	s.set(toAll(list, peer("router", "192.168.1.2"), peer("inner", "192.168.1.3", internal)))
	s.establishes("router")
	s.establishes("inner")
	shows(t, external, first4, "path 64512, IGP, MED -, pref -, communities , large ")
	shows(t, external, "203.0.113.0/28", "path 64512 64512 64512, IGP, MED 30, pref -, communities 64512:7 no-export, large 4200000000:1:2")
	shows(t, inner, first4, "path Local, IGP, MED -, pref 100, communities , large ")
	shows(t, inner, "203.0.113.0/28", "path Local, IGP, MED 30, pref 250, communities 64512:7 no-export, large 4200000000:1:2")

	// Only changed routes are sent.
	updates := func(r *router.Router) int {
		t.Helper()
		n, err := neighbourOf(context.Background(), r, "192.168.1.1")
		if err != nil {
			t.Fatal(err)
		}
		return n.Messages.UpdatesReceived
	}
	before, beforeInner := updates(external), updates(inner)
	changed := plain(first4)
	changed[netip.MustParsePrefix("203.0.113.0/28")] = routes.Attributes{MED: number(31)}
	c := toAll(list, peer("router", "192.168.1.2"), peer("inner", "192.168.1.3", internal))
	c.Routes["router"] = changed
	s.set(c)
	shows(t, external, "203.0.113.0/28", "path 64512, IGP, MED 31, pref -, communities , large ")
	if got := updates(external) - before; got != 1 {
		t.Errorf("the router got %d updates for one route that changed, want 1", got)
	}
	if got := updates(inner) - beforeInner; got != 0 {
		t.Errorf("the other router got %d updates, want none", got)
	}
	// An aggregate that is not wanted any more is withdrawn. So are all routes.
	c.Routes["router"] = plain(first4)
	s.set(c)
	has(t, external, "ipv4", first4)
	c.Routes["router"] = nil
	s.set(c)
	has(t, external, "ipv4")
	s.establishes("router")
	has(t, inner, "ipv4", first4, "203.0.113.0/28")
}

func TestBGPAutonomousSystems(t *testing.T) {
	b := newBed(t, "node", "router", "bird")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 4200000001\nneighbor 2001:db8::1 remote-as external", "192.168.1.1", "2001:db8::1")
	router.BIRD(t, b.prefix+"bird", birdConfig(`
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 external; ipv4 { import all; export none; }; }
`))
	s := b.speaker("node")
	long := func(p *bgp.Peer) { p.ASN = 4200000001 } // the peer's localASN
	any := func(k bgp.PeerKind) func(*bgp.Peer) {
		return func(p *bgp.Peer) { p.Remote = bgp.RemoteASN{Kind: k} }
	}
	s.set(toAll(plain(first4), peer("v4", "192.168.1.2", long), peer("v6", "2001:db8::2", any(bgp.ExternalPeer), dualStack), peer("bird", "192.168.1.3", any(bgp.ExternalPeer), long)))
	s.establishes("v4")
	if got := s.establishes("v6").Negotiated.Remote.ASN; got != 64513 {
		t.Errorf("the router is in AS %d", got)
	}
	s.establishes("bird")
	eventually.Succeed(t, soon, "the route has both paths", func(ctx context.Context) error {
		found, err := table(ctx, r, "ipv4")
		if err == nil && (len(found[first4]) != 2 || found[first4][0].Path+found[first4][1].Path != "420000000164512" && found[first4][0].Path+found[first4][1].Path != "645124200000001") {
			err = fmt.Errorf("it has %+v", found)
		}
		return err
	})

	// A wrong ASN is reported, with the ASN of the router; the side that refuses is
	// the router or the speaker.
	wrong := func(p *bgp.Peer) { p.Remote.ASN = 64999 }
	s.set(toAll(plain(first4), peer("v4", "192.168.1.2", long, wrong), peer("v6", "2001:db8::2", any(bgp.InternalPeer)), peer("bird", "192.168.1.3", wrong)))
	s.failsWith("v4", quickly, "the router has the ASN 64513, and peerASN is 64999")
	s.failsWith("v6", quickly, "the router has the ASN 64513 and the nodes have 64512")
	s.failsWith("bird", quickly, "the router has the ASN 64513, and peerASN is 64999")
	s.set(toAll(plain(first4), peer("v4", "192.168.1.2")))
	s.failsWith("v4", quickly, "bad peer AS")
	// After a while the router accepts connections again. The reported error is still the reason of the refusal.
	eventually.Stays(t, 3*time.Second, "the reason is reported", func(context.Context) error {
		if status, _ := s.status("v4"); !strings.Contains(status.LastError, "bad peer AS") {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
}
