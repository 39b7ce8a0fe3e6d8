package bgp

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

func sentence(fields []string) string { return strings.Join(fields, ", ") }

func sessionConfig(p bgp.Peer, restarted bool, openWithin time.Duration) session.Config {
	c := session.Config{Peer: p, Restarted: restarted, OpenWithin: openWithin, Random: rand.Float64}
	c.IPv4, c.IPv6 = p.Families()
	return c
}
