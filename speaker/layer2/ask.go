package layer2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/neighbour"
	"github.com/lbstack/lbstack/internal/segment"
)

// maxWitnesses bounds the witnesses of a link, and witnessesFor is how long a list of them
// is used.
const (
	maxWitnesses = 16
	witnessesFor = 5 * time.Second
)

// inquiry asks the segments of the links. The lock of the responder guards it.
type inquiry struct {
	machine   *segment.Machine
	addresses map[netip.Addr][]string // nil: nothing is asked
	witnesses map[string][]netip.Addr
	listed    time.Time // when the witnesses were
	running   bool
}

// Ask implements speaker.Announcer.
func (r *Responder) Ask(addresses map[netip.Addr][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asker.addresses = addresses
	r.askAnew(time.Now())
	if addresses != nil && !r.asker.running {
		r.asker.running = true
		go r.keepAsking()
	}
}

// askAnew has the machine ask what is to be asked now, and the ports receive the answers.
// The caller holds the lock.
func (r *Responder) askAnew(now time.Time) {
	a := &r.asker
	if a.addresses == nil {
		a.machine.Ask(segment.Questions{})
		a.witnesses, a.listed = nil, time.Time{}
		r.asking.Store(false)
		r.watch()
		return
	}
	if now.Sub(a.listed) >= witnessesFor {
		a.listed, a.witnesses = now, map[string][]netip.Addr{}
		for _, l := range r.wanted {
			if r.options.Witnesses != nil {
				all := r.options.Witnesses(l)
				a.witnesses[l.Name] = all[:min(len(all), maxWitnesses)]
			}
		}
	}
	a.machine.Ask(segment.Questions{Witnesses: a.witnesses, Addresses: a.addresses})
	r.asking.Store(true)
	r.watch()
}

// keepAsking sends what the machine asks, and reports what the answers mean, until nothing
// is asked any more.
func (r *Responder) keepAsking() {
	for r.askOnce(time.Now()) && r.sleep(segment.Interval) {
	}
}

func (r *Responder) askOnce(now time.Time) (more bool) {
	r.mu.Lock()
	if r.asker.addresses == nil {
		r.asker.running = false
		r.mu.Unlock()
		return false
	}
	if now.Sub(r.asker.listed) >= witnessesFor {
		r.askAnew(now)
	}
	for _, probe := range r.asker.machine.Step(now) {
		r.sendQuestion(probe)
	}
	changed, results := r.asker.machine.Changed(), segment.Results{}
	if changed {
		results = r.asker.machine.Results()
	}
	r.mu.Unlock()
	if changed && r.options.Segment != nil {
		r.options.Segment(results)
	}
	return true
}

// sendQuestion sends a probe on a link. The caller holds the lock.
func (r *Responder) sendQuestion(probe segment.Probe) {
	p := r.ports[portKey{link: probe.Link, v6: probe.Address.Is6()}]
	if p == nil || p.closed.Load() || !r.mayAnswer() {
		return
	}
	if err := p.conn.Probe(probe.Address); err != nil {
		r.log.V(1).Info("a question was not sent", "link", p.Name, "address", probe.Address, "why", err.Error())
		return
	}
	r.metrics.Probes.Inc()
}

// answered takes that another host said that an address is its own.
func (r *Responder) answered(p *port, m neighbour.Message) {
	if r.relation(m.Sender) == self {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asker.machine.Answer(time.Now(), p.Name, m.Claims, segment.Hardware(m.Sender))
}

// asked are the addresses that are asked about on a port. The caller holds the lock.
func (r *Responder) asked(p *port) (list []netip.Addr) {
	for address, links := range r.asker.addresses {
		if address.Is6() == p.v6 && slices.Contains(links, p.Name) {
			list = append(list, address)
		}
	}
	for _, address := range r.asker.witnesses[p.Name] {
		if address.Is6() == p.v6 {
			list = append(list, address)
		}
	}
	return list
}
