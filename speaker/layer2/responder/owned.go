package responder

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// phase of an address that this node owns.
type phase int

const (
	// announced: this node answers for the address and has announced it, or is about to.
	announced phase = iota
	// probed: the address is not announced before probes have shown that no foreign host has it.
	probed
	// held: a foreign host, or the kernel of a node, has the address; it is not announced.
	held
)

// entry is an address that this node owns, or answers for. The lock of the
// responder guards it.
type entry struct {
	address netip.Addr
	owned   layer2.Owned
	places  []place

	// silent means that requests are not answered: the address is lost, probed or held. It is
	// read without the lock.
	silent atomic.Bool

	phase phase
	moved uint64 // number of the take-over, counted over all addresses since the start
	turn  uint64 // grows with each burst and series of probes: earlier ones end then

	sent     bool      // a probe was sent since the turn began
	probing  bool      // a series of probes is under way
	rival    bool      // another host has probed too since the series began
	retries  int       // how often the series began again because of that
	quiet    int       // checks in a row in which the foreign host was silent
	check    time.Time // when the next check is due
	conflict *layer2.Conflict
	// Times at which something happened last.
	lastForeign time.Time // a message of the foreign host arrived
	noted       time.Time // the conflict was changed
	defended    time.Time // the address was announced again because of a foreign host
	contest     time.Time // the address was announced again because of another node
	rivaled     time.Time // another node was reported
	strange     time.Time // a host that is no node was reported

	claims  claims    // of other nodes
	proved  bool      // the node that this one covers for has announced the address
	awaited time.Time // since when that node should announce it
	asked   time.Time // when the address was probed last to find out whether it does
}

// covering reports whether this speaker answers on behalf of another node, which owns the address and
// whose speaker restarts.
func (e *entry) covering() bool { return len(e.owned.For) > 0 }

// work is what remains to be done after the owned addresses have changed.
type work struct {
	announce []*entry           // on all of their links
	extend   map[*port][]*entry // on links that were added
	probe    []*entry
	quiet    bool // entries have become silent
}

// SetOwned implements layer2.Announcer.
func (r *Responder) SetOwned(owned map[netip.Addr]layer2.Owned) {
	r.mu.Lock()
	w := r.replace(owned)
	// Multicast groups and filters come first: requests cannot arrive before they are set.
	r.watch()
	services := make(map[netip.Addr]*service, len(r.entries))
	for address, e := range r.entries {
		services[address] = &service{entry: e, places: e.places}
	}
	r.services.Store(&services)
	r.metrics.Owned.Set(float64(len(services)))
	bursts := []*burst{r.begin(w.announce, nil)}
	for p, entries := range w.extend {
		bursts = append(bursts, r.begin(entries, p))
	}
	r.probe(w.probe)
	if w.quiet {
		for _, p := range r.ports {
			p.settle()
		}
	}
	r.requestReport()
	r.mu.Unlock()
	for _, b := range bursts {
		if len(b.turns) > 0 {
			r.announceOnce(b)
			go r.follow(b)
		}
	}
}

// replace makes the entries match what is owned. Addresses that are lost are silent when it returns.
// The caller holds the lock.
func (r *Responder) replace(owned map[netip.Addr]layer2.Owned) work {
	w := work{extend: map[*port][]*entry{}}
	for address, e := range r.entries {
		if _, ok := owned[address]; !ok {
			e.silent.Store(true)
			delete(r.entries, address)
			w.quiet = true
		}
	}
	for address, o := range owned {
		e, known := r.entries[address]
		switch {
		case known && e.owned.Same(o):
		case known && e.covering() && e.owned.SameAnswers(o):
			e.owned, e.proved, e.awaited, e.asked = o, false, time.Now(), time.Time{}
		case known && !e.covering() && len(o.For) == 0:
			r.move(e, o, &w)
		default:
			if known {
				e.silent.Store(true)
				w.quiet = true
			}
			r.take(address, o, &w)
		}
	}
	return w
}

// take begins to serve an address.
func (r *Responder) take(address netip.Addr, o layer2.Owned, w *work) {
	r.count++
	e := &entry{address: address, owned: o, places: placesOf(o), moved: r.count, awaited: time.Now()}
	r.entries[address] = e
	switch {
	case e.covering():
	case o.First && r.detection != layer2.Off:
		e.phase = probed
		e.silent.Store(true)
		w.probe = append(w.probe, e)
	default:
		w.announce = append(w.announce, e)
	}
}

// move serves an address that stays owned on other interfaces than before.
func (r *Responder) move(e *entry, o layer2.Owned, w *work) {
	before := e.owned.Interfaces
	e.owned, e.places = o, placesOf(o)
	w.quiet = true
	if e.phase != announced {
		w.probe = append(w.probe, e)
		return
	}
	for _, name := range o.Interfaces {
		p, ok := r.ports[portKey{link: name, v6: e.address.Is6()}]
		if ok && !slices.Contains(before, name) {
			w.extend[p] = append(w.extend[p], e)
		}
	}
}

func placesOf(o layer2.Owned) []place {
	var places []place
	if len(o.For) == 0 {
		for _, name := range o.Interfaces {
			places = append(places, place{link: name})
		}
		return places
	}
	for name, hardware := range o.For {
		if mac, err := packet.ParseMAC(hardware); err == nil {
			places = append(places, place{link: name, mac: mac})
		}
	}
	return places
}
