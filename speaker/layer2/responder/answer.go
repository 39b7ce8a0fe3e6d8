package responder

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// A port answers so many questions a second, and so many at once: a flood must not keep the
// processor from heartbeats, nor have as many frames sent as it has itself. A take-over by
// 1000 clients that all ask at once fits into the burst.
const (
	answerRate  = 2000
	answerBurst = 4000
)

// service is how an address is answered for.
type service struct {
	*entry
	places []place
}

// place is a link that an address is answered for on.
type place struct {
	link string
	// mac that is told; zero: that of the link.
	mac packet.MAC
}

// listen answers, and hears others, until the port is closed or fails.
func (r *Responder) listen(p *port) {
	defer p.close()
	counts := r.metrics.family(p.v6)
	for {
		m, ok, err := p.conn.Read()
		switch {
		case err != nil:
			r.failed(p, err)
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
		r.hear(p, m)
	}
}

func (r *Responder) failed(p *port, err error) {
	if p.closed.Load() {
		return
	}
	p.close()
	r.log.Error(err, "a link failed; opening it again", "link", p.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reopenSoon()
}

// answer answers a question if it is about what is served here.
func (r *Responder) answer(p *port, m packet.Message) bool {
	p.answering.Add(1)
	defer p.answering.Add(1)
	s, ok := (*r.services.Load())[m.Asks]
	if !ok || s.silent.Load() || r.announces(m) {
		return false
	}
	mac, ok := s.macOn(p)
	if !ok || !r.mayAnswer() || !p.answers.Allow() {
		return false
	}
	if err := p.conn.Answer(m, mac); err != nil {
		r.log.V(1).Info("an answer was not sent", "link", p.Name, "address", m.Asks, "why", err.Error())
		return false
	}
	return true
}

// announces says whether the question is none, but the announcement of another
// node. A foreign host that announces is answered: old ones look for a conflict
// in this way.
func (r *Responder) announces(m packet.Message) bool {
	return m.Claims == m.Asks && r.relation(m.Sender) != foreign
}

// macOn is what is told on a port; not ok: nothing.
func (s *service) macOn(p *port) (mac packet.MAC, ok bool) {
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

// relation is what another is to this node.
type relation int

const (
	self relation = iota
	node
	foreign
)

// relation says whose a hardware address is. Nobody has the zero one: who says so
// means nothing by it.
func (r *Responder) relation(mac packet.MAC) relation {
	known := r.macs.Load()
	switch {
	case mac.IsZero() || known.own[mac]:
		return self
	case known.nodes[mac]:
		return node
	}
	return foreign
}

// find returns how an address is served, or nil.
func (r *Responder) find(address netip.Addr) *service {
	if !address.IsValid() {
		return nil
	}
	return (*r.services.Load())[address]
}
