package responder

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

const (
	// answerRate bounds the requests that a port answers in a second. Without the bound, a flood of requests
	// would delay the heartbeats of the mesh, and the node would send as many frames as it receives.
	answerRate = 2000
	// answerBurst bounds the requests that a port answers at once. It is enough for the requests that 1000
	// clients send at the same time after this node has taken addresses over.
	answerBurst = 4000
)

// servedAddress is an address for which requests are answered, and where they are answered.
type servedAddress struct {
	*addressEntry
	places []servedLink
}

// servedLink is a link on which requests for an address are answered.
type servedLink struct {
	link string
	// mac is the hardware address in the answers; zero: that of the link.
	mac packet.MAC
}

// readPort handles the messages that arrive on a port, until it is closed or fails.
func (r *Responder) readPort(p *port) {
	defer p.close()
	counts := r.metrics.family(p.v6)
	for {
		m, ok, err := p.conn.Read()
		switch {
		case err != nil:
			r.handleFailure(p, err)
			return
		case !ok:
			counts.malformed.Inc()
			continue
		}
		if m.Asks.IsValid() {
			counts.received.Inc()
			if r.answer(p, m) {
				counts.answered.Inc()
			} else {
				counts.ignored.Inc()
			}
		}
		r.receiveMessage(p, m)
	}
}

func (r *Responder) handleFailure(p *port, err error) {
	if p.closed.Load() {
		return
	}
	p.close()
	r.log.Error(err, "receiving on an interface failed; the interface is opened again", "link", p.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scheduleReopen()
}

// answer answers a request if its address is served on the port, and reports whether an answer was sent.
func (r *Responder) answer(p *port, m packet.Message) bool {
	p.answering.Add(1)
	defer p.answering.Add(1)
	s, ok := (*r.services.Load())[m.Asks]
	if !ok || s.silent.Load() || r.isAnnouncement(m) {
		return false
	}
	mac, ok := s.answerMAC(p)
	if !ok || !r.mayAnswer() || !p.answers.Allow() {
		return false
	}
	if err := p.conn.Answer(m, mac); err != nil {
		r.log.V(1).Info("an answer was not sent", "link", p.Name, "address", m.Asks, "error", err.Error())
		return false
	}
	return true
}

// isAnnouncement reports whether a message is an announcement of a node rather than a request. An
// announcement of a foreign host counts as a request and is answered: some old systems announce an address to
// find out whether another host has it.
func (r *Responder) isAnnouncement(m packet.Message) bool {
	return m.Claims == m.Asks && r.senderKindOf(m.Sender) != senderForeign
}

// answerMAC returns the hardware address in answers on a port; ok is false if requests are not
// answered there.
func (s *servedAddress) answerMAC(p *port) (mac packet.MAC, ok bool) {
	for i := range s.places {
		if s.places[i].link != p.Name {
			continue
		}
		if s.places[i].mac.IsZero() {
			return p.mac, true
		}
		return s.places[i].mac, true
	}
	return packet.MAC{}, false
}

// senderKind is what the sender of a message is to this node.
type senderKind int

const (
	senderSelf senderKind = iota
	senderNode
	senderForeign
)

// senderKindOf returns what the sender with a hardware address is. A message with the zero hardware
// address, which no host has, counts as a message of this node and is ignored.
func (r *Responder) senderKindOf(mac packet.MAC) senderKind {
	known := r.macs.Load()
	switch {
	case mac.IsZero() || known.own[mac]:
		return senderSelf
	case known.nodes[mac]:
		return senderNode
	}
	return senderForeign
}

// findServed returns the entry of an address that this node serves, or nil.
func (r *Responder) findServed(address netip.Addr) *servedAddress {
	if !address.IsValid() {
		return nil
	}
	return (*r.services.Load())[address]
}
