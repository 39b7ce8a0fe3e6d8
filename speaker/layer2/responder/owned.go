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
	// announced: it is here, and everybody is told.
	announced phase = iota
	// probed: nobody is told before it is known that no foreign host has it.
	probed
	// held: a foreign host has it, or the kernel of a node.
	held
)

// entry is an address that this node owns, or answers for. The lock of the
// responder guards it.
type entry struct {
	address netip.Addr
	owned   layer2.Owned
	places  []place

	// silent says that nothing is answered: the address is lost, probed or held.
	// Answers read it without the lock.
	silent atomic.Bool

	phase phase
	moved uint64 // which take-over of all it was
	turn  uint64 // counts what was begun: a burst or probes of an earlier turn end

	sent     bool // probes left since the turn began
	probing  bool // probes are under way
	rival    bool // another host has probed too since they began
	retries  int  // how often they began again because of that
	quiet    int  // checks in a row in which the foreign host was silent
	check    time.Time
	conflict *layer2.Conflict
	heard    time.Time // when the foreign host was, last
	noted    time.Time // when the conflict was written down, last
	defended time.Time // when it was announced again because of him
	claims   claims    // of other nodes
	proved   bool      // the node that this one covers for has announced the address
	awaited  time.Time // when that node came to have to
	asked    time.Time // when it was asked for the address, last
	contest  time.Time // when it was because of another node
	rivaled  time.Time // when another node was reported, last
	strange  time.Time // when a host was that is no node, last
}

// caring says that another node owns the address and restarts.
func (e *entry) caring() bool { return len(e.owned.For) > 0 }

// work is what is to be done after what is owned has changed.
type work struct {
	announce []*entry           // everywhere
	extend   map[*port][]*entry // on links that were added
	probe    []*entry
	quiet    bool // somebody is to be silent
}

// SetOwned implements layer2.Announcer.
func (r *Responder) SetOwned(owned map[netip.Addr]layer2.Owned) {
	r.mu.Lock()
	w := r.replace(owned)
	// The network has to bring questions before they can be answered.
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
	r.newsToReport()
	r.mu.Unlock()
	for _, b := range bursts {
		if len(b.turns) > 0 {
			r.announceOnce(b)
			go r.follow(b)
		}
	}
}

// replace brings the entries to what is owned. What is lost is silent from here
// on. The caller holds the lock.
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
		case known && e.caring() && e.owned.SameAnswers(o):
			e.owned, e.proved, e.awaited, e.asked = o, false, time.Now(), time.Time{}
		case known && !e.caring() && len(o.For) == 0:
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
	case e.caring():
	case o.First && r.detection != layer2.Off:
		e.phase = probed
		e.silent.Store(true)
		w.probe = append(w.probe, e)
	default:
		w.announce = append(w.announce, e)
	}
}

// move serves an address on other interfaces than before. It was owned, and is.
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
