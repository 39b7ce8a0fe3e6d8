package netns

import (
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/router"
)

// TestBGPWithBFDAndGracefulRestart says what real routers do with the routes of a speaker
// that restarts, when they watch the path with BFD, which ends with the speaker.
func TestBGPWithBFDAndGracefulRestart(t *testing.T) {
	frr := func(more string) func(*bed) *router.Router {
		return func(b *bed) *router.Router { return b.bfdFRR("router", helps+watchedBy(more)) }
	}
	bird := func(bfd string) func(*bed) *router.Router {
		return func(b *bed) *router.Router {
			return router.BIRD(b.T, b.prefix+"router", birdConfig(`
protocol bfd { interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol bgp v4 { local as 64513; neighbor 192.168.1.1 as 64512; bfd `+bfd+`; ipv4 { import all; export none; }; }
`))
		}
	}
	stopped, killed := (*speaking).stop, (*speaking).kill
	tests := []struct {
		name   string
		router func(*bed) *router.Router
		end    func(*speaking)
		keeps  bool
	}{
		{"FRR, the speaker is stopped", frr(""), stopped, true},
		{"FRR, it is killed", frr(""), killed, true},
		{"FRR that knows that BFD ends with the speaker, stopped", frr("neighbor 192.168.1.1 bfd check-control-plane-failure"), stopped, true},
		{"FRR that knows it, killed", frr("neighbor 192.168.1.1 bfd check-control-plane-failure"), killed, true},
		{"BIRD, stopped", bird("on"), stopped, false},
		{"BIRD, killed", bird("on"), killed, false},
		{"BIRD with bfd graceful, stopped", bird("graceful"), stopped, true},
		{"BIRD with bfd graceful, killed", bird("graceful"), killed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, "node", "router")
			tt.router(b)
			c := toAll(plain(first4), peer("router", "192.168.1.2", gracefully, withBFD))
			s := b.speaker("node")
			s.set(c)
			s.establishes("router")
			s.pathBecomes("router", "up", pathUp)
			b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
			time.Sleep(time.Second) // the router's BGP takes up that BFD is up
			k := b.watchRoute("router", "203.0.113.1")
			tt.end(s)
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
