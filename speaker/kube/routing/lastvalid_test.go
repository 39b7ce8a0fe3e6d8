package routing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

func TestInvalidObjectHasItsLastValidConfigUntilValidOrDeleted(t *testing.T) {
	peers := func(specs ...string) (list []*v1beta1.BGPPeer) {
		for _, spec := range specs {
			name, address, _ := strings.Cut(spec, "=")
			list = append(list, peer(name, func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = address }))
		}
		return list
	}
	const one, two, three = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	var bgpPeers lastValid[*v1beta1.BGPPeer, apiconv.BGPPeer]
	for i, look := range []struct {
		peers []*v1beta1.BGPPeer
		means []string
		wrong []string
	}{
		{peers("x="+one, "y=a"), []string{one}, []string{`the BGPPeer "y" is ignored`}},
		{peers("x=a", "y="+two), []string{one, two}, []string{`the BGPPeer "x" stays in effect with its last valid spec`}},
		{peers("x=a", "y="+three), []string{one, three}, []string{`the BGPPeer "x" stays in effect with its last valid spec`}},
		{peers("x="+two, "y="+three), []string{two, three}, nil},
		{peers("y=" + three), []string{three}, nil},
		{peers("x=a", "y="+three), []string{three}, []string{`the BGPPeer "x" is ignored`}},
	} {
		var c routingConfig
		var means, wrong []string
		for _, p := range bgpPeers.read(look.peers, apiconv.ParseBGPPeer, c.recordInvalid("BGPPeer")) {
			means = append(means, p.Peer.Address.String())
		}
		for _, problem := range c.problems {
			sentence, _, _ := strings.Cut(problem, ": ")
			wrong = append(wrong, sentence)
		}
		if diff := cmp.Diff(look.means, means) + cmp.Diff(look.wrong, wrong); diff != "" {
			t.Errorf("look %d (-want +got):\n%s", i, diff)
		}
	}
}
