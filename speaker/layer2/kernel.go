package layer2

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// AnswerSource returns the node that sent an answer for an address, given the hardware address in the answer.
// If the result kernel is true, the kernel of that node sent the answer, and not its speaker. This is so if
// the node is this one, or if the messages of its speaker arrive and do not claim the address. If kernel is
// false, no node is known to have the hardware address, or the speaker of the node may have answered.
// AnswerSource is safe for concurrent use; the announcer calls it.
func (e *Engine) AnswerSource(address netip.Addr, hardware net.HardwareAddr) (node lb.NodeName, kernel bool) {
	e.mu.Lock()
	links, view := e.inbox.links, e.inbox.view
	e.mu.Unlock()
	if links == nil || view == nil {
		return "", false
	}
	for i := range *links {
		if bytes.Equal((*links)[i].Hardware, hardware) {
			return e.Self, true
		}
	}
	for i := range view.Peers {
		if p := &view.Peers[i]; hasHardware(p.State.Links, hardware) {
			_, claims := p.State.Claims[address]
			return p.Node, !claims && !p.Lost && !p.Late
		}
	}
	return "", false
}

func hasHardware(links []wire.Link, hardware net.HardwareAddr) bool {
	for i := range links {
		if bytes.Equal(links[i].Hardware[:], hardware) {
			return true
		}
	}
	return false
}
