package responder

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// entryPhase is the phase of an address that this node owns.
type entryPhase int

const (
	// phaseAnnounced: this node answers for the address and has announced it, or is about to.
	phaseAnnounced entryPhase = iota
	// phaseProbed: probes have to show that no foreign host has the address before it is announced.
	phaseProbed
	// phaseHeld: a foreign host, or the kernel of a node, has the address; it is not announced.
	phaseHeld
)

// addressEntry is an address that this node owns, or answers for. The lock of the
// responder guards it.
type addressEntry struct {
	address netip.Addr
	owned   layer2.Serving
	places  []servedLink

	// silent means that requests are not answered: this node does not own the address any more, or the address
	// is probed or held. It is read without the lock.
	silent atomic.Bool

	phase entryPhase
	moved uint64 // number of the take-over, counted over all addresses since the start
	turn  uint64 // number of the latest burst or series of probes of the address: all earlier ones are over

	sent     bool      // a probe was sent since the turn began
	probing  bool      // a series of probes is under way
	rival    bool      // another host has probed for the address too since the series began
	retries  int       // how often the series began again because another host had probed too
	quiet    int       // series of probes in a row that the foreign host did not answer
	check    time.Time // when the next check is due
	conflict *layer2.Conflict
	// When each of the following happened last.
	lastForeign time.Time // a message of the foreign host arrived
	noted       time.Time // the conflict was changed
	defended    time.Time // the address was announced again because of a foreign host
	contest     time.Time // the address was announced again because of another node
	rivaled     time.Time // another node was reported
	strange     time.Time // a host that is no node was reported

	claims rivalClaims // of other nodes
	// answeredSince is when the first answer came, if kernels of nodes have answered every series of probes since
	// then; zero: no node answered the last series.
	answeredSince time.Time
	proved        bool      // the covered node has announced the address
	awaited       time.Time // since when the covered node should announce the address
	asked         time.Time // when the address was probed last to find out whether the covered node answers
}

// isCovering reports whether this speaker answers on behalf of another node, which owns the address and whose
// speaker restarts or has restarted.
func (e *addressEntry) isCovering() bool { return len(e.owned.For) > 0 }

// pendingWork is what remains to be done after the owned addresses have changed.
type pendingWork struct {
	announce []*addressEntry           // on all of their links
	extend   map[*port][]*addressEntry // on links that were added
	probe    []*addressEntry
	quiet    bool // requests for some addresses are no longer answered
}

// SetServed implements layer2.Announcer.
func (r *Responder) SetServed(owned map[netip.Addr]layer2.Serving) {
	r.mu.Lock()
	w := r.replaceEntries(owned)
	// Multicast groups and filters come first: requests cannot arrive before they are set.
	r.watchPorts()
	services := make(map[netip.Addr]*servedAddress, len(r.entries))
	for address, e := range r.entries {
		services[address] = &servedAddress{addressEntry: e, places: e.places}
	}
	r.services.Store(&services)
	r.metrics.Owned.Set(float64(len(services)))
	bursts := []*burst{r.beginBurst(w.announce, nil)}
	for p, entries := range w.extend {
		bursts = append(bursts, r.beginBurst(entries, p))
	}
	r.beginProbes(w.probe)
	if w.quiet {
		for _, p := range r.ports {
			p.waitForAnswer()
		}
	}
	r.requestReport()
	r.mu.Unlock()
	for _, b := range bursts {
		if len(b.turns) > 0 {
			r.announceOnce(b)
			go r.runLaterRounds(b)
		}
	}
}

// replaceEntries makes the entries match the owned addresses. When it returns, requests for addresses that
// this node no longer owns are not answered any more. The caller holds the lock.
func (r *Responder) replaceEntries(owned map[netip.Addr]layer2.Serving) pendingWork {
	w := pendingWork{extend: map[*port][]*addressEntry{}}
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
		case known && e.owned.IsSame(o):
		case known && e.isCovering() && e.owned.HasSameAnswers(o):
			e.owned, e.proved, e.awaited, e.asked = o, false, time.Now(), time.Time{}
		case known && !e.isCovering() && len(o.For) == 0:
			r.moveEntry(e, o, &w)
		default:
			if known {
				e.silent.Store(true)
				w.quiet = true
			}
			r.addEntry(address, o, &w)
		}
	}
	return w
}

// addEntry begins to serve an address.
func (r *Responder) addEntry(address netip.Addr, o layer2.Serving, w *pendingWork) {
	r.count++
	e := &addressEntry{address: address, owned: o, places: servedLinksOf(o), moved: r.count, awaited: time.Now()}
	r.entries[address] = e
	switch {
	case e.isCovering():
	case o.First && r.detection != layer2.DetectionOff:
		e.phase = phaseProbed
		e.silent.Store(true)
		w.probe = append(w.probe, e)
	default:
		w.announce = append(w.announce, e)
	}
}

// moveEntry serves an address, which stays owned, on a new set of interfaces.
func (r *Responder) moveEntry(e *addressEntry, o layer2.Serving, w *pendingWork) {
	before := e.owned.Interfaces
	e.owned, e.places = o, servedLinksOf(o)
	w.quiet = true
	if e.phase != phaseAnnounced {
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

func servedLinksOf(o layer2.Serving) []servedLink {
	var places []servedLink
	if len(o.For) == 0 {
		for _, name := range o.Interfaces {
			places = append(places, servedLink{link: name})
		}
		return places
	}
	for name, hardware := range o.For {
		if mac, err := packet.ToMAC(hardware); err == nil {
			places = append(places, servedLink{link: name, mac: mac})
		}
	}
	return places
}
