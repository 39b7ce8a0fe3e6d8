package responder

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// maxWitnesses bounds the witnesses of a link: see Options.Witnesses.
	maxWitnesses = 256
	// witnessLifetime is for how long a list of witnesses is used.
	witnessLifetime = 5 * time.Second
	// noticeRate bounds how many requests of hosts are recorded (reportRequest) in a second on a port.
	noticeRate = 20
)

// questionState is the state of the questions to the segments of the links. The lock of the responder
// guards it.
type questionState struct {
	machine   *segment.Machine
	about     *layer2.Questions       // nil: nothing is asked
	witnesses map[string][]netip.Addr // by link
	nodes     map[string][]netip.Addr // by the link in whose subnet they are
	listed    time.Time               // when the witnesses were listed
	running   bool                    // keepAsking runs
}

// SetQuestions implements layer2.Announcer.
func (r *Responder) SetQuestions(q *layer2.Questions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asker.about = q
	r.updateQuestions(time.Now())
	if q != nil && !r.asker.running {
		r.asker.running = true
		go r.keepAsking()
	}
}

// updateQuestions passes the current questions to the segment.Machine, and makes the ports receive the
// answers. The caller holds the lock.
func (r *Responder) updateQuestions(now time.Time) {
	a := &r.asker
	if a.about == nil {
		a.machine.SetQuestions(segment.Questions{})
		a.witnesses, a.nodes, a.listed = nil, nil, time.Time{}
		r.asking.Store(false)
		r.watchPorts()
		return
	}
	if now.Sub(a.listed) >= witnessLifetime {
		a.listed, a.witnesses = now, map[string][]netip.Addr{}
		for _, l := range r.wanted {
			a.witnesses[l.Name] = nil
			if r.options.Witnesses != nil {
				all := r.options.Witnesses(l)
				a.witnesses[l.Name] = all[:min(len(all), maxWitnesses)]
			}
		}
	}
	a.nodes = map[string][]netip.Addr{}
	for _, address := range a.about.Nodes {
		if at := slices.IndexFunc(r.wanted, func(l layer2.Link) bool { return l.CanAnnounce(address) && l.HasSubnetOf(address) }); at >= 0 {
			a.nodes[r.wanted[at].Name] = append(a.nodes[r.wanted[at].Name], address)
		}
	}
	a.machine.SetQuestions(segment.Questions{Witnesses: a.witnesses, Nodes: a.nodes, Addresses: a.about.Addresses})
	r.asking.Store(true)
	r.watchPorts()
}

// keepAsking sends the probes that the segment.Machine asks for and reports its results, until there are no
// questions.
func (r *Responder) keepAsking() {
	for r.askOnce(time.Now()) && r.sleep(segment.StepInterval) {
	}
}

func (r *Responder) askOnce(now time.Time) (more bool) {
	r.mu.Lock()
	if r.asker.about == nil {
		r.asker.running = false
		r.mu.Unlock()
		return false
	}
	if now.Sub(r.asker.listed) >= witnessLifetime {
		r.updateQuestions(now)
	}
	r.asker.machine.Step(now, r.sendQuestion)
	changed, results := r.asker.machine.TakeChanged(), segment.Results{}
	if changed {
		results = r.asker.machine.Results()
	}
	r.mu.Unlock()
	if changed && r.options.Segment != nil {
		r.options.Segment(results)
	}
	return true
}

// sendQuestion sends a probe on a link, and reports whether the probe was sent. The caller holds the lock.
func (r *Responder) sendQuestion(probe segment.Probe) bool {
	p := r.ports[portKey{link: probe.Link, v6: probe.Address.Is6()}]
	if p == nil || p.closed.Load() || !r.mayAnswer() {
		return false
	}
	if err := p.conn.Probe(probe.Address); err != nil {
		r.log.V(1).Info("a probe was not sent to the network segment", "link", p.Name, "address", probe.Address, "error", err.Error())
		return false
	}
	r.metrics.Probes.Inc()
	return true
}

// reportAnswer reports to the segment.Machine that another host claimed an address.
func (r *Responder) reportAnswer(p *port, m packet.Message) {
	if r.senderKindOf(m.Sender) == senderSelf {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asker.machine.NoteAnswer(time.Now(), p.Name, m.Claims, segment.Hardware(m.Sender))
}

// reportRequest reports to the segment.Machine that a host requested an address, at most noticeRate times a
// second on a port. Messages of cluster nodes do not count as a sign that this node receives from the
// segment: the message may be an announcement of a node that sends and does not receive. That node would not
// find out that this node announces the address too.
func (r *Responder) reportRequest(p *port, m packet.Message) {
	if r.senderKindOf(m.Sender) != senderForeign || !p.notices.Allow() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asker.machine.NoteRequest(time.Now(), p.Name, m.From) {
		r.watchPort(p)
	}
}

// questionAddresses returns the addresses about which a port has to receive messages because of the
// questions: the addresses that are asked about, witnesses, nodes, hosts that sent requests, and
// Questions.Awaited. The caller holds the lock.
func (r *Responder) questionAddresses(p *port) (list []netip.Addr) {
	if r.asker.about == nil {
		return nil
	}
	for address, links := range r.asker.about.Addresses {
		if address.Is6() == p.v6 && slices.Contains(links, p.Name) {
			list = append(list, address)
		}
	}
	for _, address := range slices.Concat(r.asker.witnesses[p.Name], r.asker.nodes[p.Name], r.asker.about.Awaited, r.asker.machine.FoundHosts(p.Name)) {
		if address.Is6() == p.v6 {
			list = append(list, address)
		}
	}
	return list
}
