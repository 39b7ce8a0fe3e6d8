package bgp

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// resetting names the fields of a BGPPeer that changed and that a session cannot follow
// while it is up: both sides agreed on them at its beginning.
func resetting(from, to bgp.Peer) []string {
	fields := []struct {
		name string
		same bool
	}{
		{"myASN or localASN", from.ASN == to.ASN}, {"peerASN or dynamicASN", from.Remote == to.Remote},
		{"peerAddress", from.Address == to.Address}, {"interface", from.Interface == to.Interface}, {"peerPort", from.Port == to.Port},
		{"sourceAddress", from.Source == to.Source}, {"routerID", from.RouterID == to.RouterID}, {"vrf", from.VRF == to.VRF},
		{"holdTimeSeconds", from.Hold == to.Hold}, {"keepaliveTimeSeconds", from.Keepalive == to.Keepalive},
		{"ebgpMultiHop", from.Multihop == to.Multihop}, {"ttlSecurityHops", from.SecurityHops == to.SecurityHops},
		{"passiveMode", from.Passive == to.Passive}, {"gracefulRestart", from.RestartTime == to.RestartTime},
		{"dualStackAddressFamily", from.DualStack == to.DualStack},
		{"passwordSecret", (from.Password == "") == (to.Password == "")},
	}
	var changed []string
	for _, f := range fields {
		if !f.same {
			changed = append(changed, f.name)
		}
	}
	return changed
}

func sentence(fields []string) string { return strings.Join(fields, ", ") }

func sessionConfig(p bgp.Peer, restarted bool, openWithin time.Duration) session.Config {
	c := session.Config{Peer: p, Restarted: restarted, OpenWithin: openWithin, Random: rand.Float64}
	c.IPv4, c.IPv6 = p.Families()
	return c
}
