package netns

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// TestBGPWithBFDAndGracefulRestart documents what real routers do with the routes of a speaker
// that restarts. They watch the path with BFD, and BFD ends with the speaker.
func TestBGPWithBFDAndGracefulRestart(t *testing.T) {
	frr := func(more string) func(*bed) *router.Router {
		return func(b *bed) *router.Router { return b.bfdFRR("router", helps+watchedBy(more)) }
	}
	bird := func(bfd string) func(*bed) *router.Router {
		return func(b *bed) *router.Router { return b.bfdBIRD("router", bfd) }
	}
	stopped := func(s *speaking, _ *router.Router) { s.stop() }
	killed := func(s *speaking, _ *router.Router) { s.kill() }
	// A slow router finds that BGP and BFD have ended at the same time.
	unseen := func(s *speaking, r *router.Router) {
		r.Freeze()
		time.AfterFunc(200*time.Millisecond, r.Thaw)
		s.stop()
	}
	tests := []struct {
		name   string
		router func(*bed) *router.Router
		end    func(*speaking, *router.Router)
		keeps  bool
	}{
		{"FRR, the speaker is stopped", frr(""), stopped, true},
		{"FRR, it is killed", frr(""), killed, true},
		{"FRR that knows that BFD ends with the speaker, stopped", frr("neighbor 192.168.1.1 bfd check-control-plane-failure"), stopped, true},
		{"FRR that knows it, killed", frr("neighbor 192.168.1.1 bfd check-control-plane-failure"), killed, true},
		{"BIRD, stopped", bird("on"), stopped, false},
		{"BIRD, stopped while it does not look", bird("on"), unseen, false},
		{"BIRD, killed", bird("on"), killed, false},
		{"BIRD with bfd graceful, stopped", bird("graceful"), stopped, true},
		{"BIRD with bfd graceful, killed", bird("graceful"), killed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, "node", "router")
			r := tt.router(b)
			c := toAll(plain(first4), peer("router", "192.168.1.2", gracefully, withBFD))
			s := b.speaker("node")
			s.set(c)
			s.establishes("router")
			s.pathBecomes("router", "up", pathUp)
			b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
			time.Sleep(time.Second) // time for the router's BGP to use BFD
			k := b.watchRoute("router", "203.0.113.1")
			tt.end(s, r)
			time.Sleep(2 * time.Second)
			s = b.speaker("node")
			s.set(c)
			s.establishes("router")
			s.pathBecomes("router", "up", pathUp)
			b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
			time.Sleep(time.Second)
			looks, misses := k.stop()
			t.Logf("the route was missing %d times of %d", misses, looks)
			if keeps := misses == 0; keeps != tt.keeps {
				t.Errorf("the route was kept: %t, want %t", keeps, tt.keeps)
			}
		})
	}
}

// bfdBIRD is BIRD with BFD in its session with the node, with the profile of the speaker.
func (b *bed) bfdBIRD(host, bfd string) *router.Router {
	b.Helper()
	return router.BIRD(b.T, b.prefix+host, birdConfig(`
protocol bfd { interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; bfd `+bfd+`; ipv4 { import all; export none; }; }
`))
}

func TestBFDWatchesThePathOfAPeerThatIsRemovedUntilItsSessionEnds(t *testing.T) {
	b := newBed(t, "node", "router")
	bird := b.bfdBIRD("router", "on")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("router", "192.168.1.2", withBFD, func(p *bgp.Peer) { p.ShutdownWait = 2 * time.Second })))
	s.establishes("router")
	s.pathBecomes("router", "up", pathUp)
	b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
	s.set(protocol.Config{})
	eventually.Succeed(t, time.Second, "the route is marked", func(ctx context.Context) error {
		if out, err := bird.Ask(ctx, "show route all"); err != nil || !strings.Contains(out, "(65535,0)") {
			return fmt.Errorf("BIRD has %q (%v)", out, err)
		}
		return nil
	})
	eventually.Succeed(t, soon, "BIRD has the reason", func(ctx context.Context) error {
		if out, err := bird.Ask(ctx, "show protocols all v4"); err != nil || !strings.Contains(out, "Received: Peer de-configured") {
			return fmt.Errorf("BIRD shows %q (%v)", out, err)
		}
		return nil
	})
}
