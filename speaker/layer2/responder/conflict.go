package responder

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// MaxConflicts bounds the confirmed conflicts that are passed on. Unconfirmed ones are of addresses that this node
	// has just taken, and last for some seconds.
	MaxConflicts = 256
	// quietChecks is how many series of probes in a row a foreign host must leave unanswered before this node
	// announces the address: a silent host may only be restarting.
	quietChecks = 2
	// conflictRenoteInterval is the least time between two reports of a conflict that differ only in the hardware
	// address or the link.
	conflictRenoteInterval = time.Minute
	// rivalInterval is the least time between two reports that another node announces an address. It is
	// also the least time between two reports that a foreign host announces the address.
	rivalInterval = 20 * time.Millisecond
	// strangerRate bounds how many announcements of foreign hosts are reported in a second on a port. Each
	// report leads to a new decision of the engine, and any host can send announcements of any number of
	// addresses.
	strangerRate = 100
	// strangerBurst bounds how many of these reports are made at once. When two networks are joined, and the
	// speakers on both sides have never sent a message to each other, each node may find a thousand conflicts.
	strangerBurst = 1000
	// maxProbeRetries is how often an address is probed again because another host probed for it too.
	maxProbeRetries = 3
	// maxCoveredProbes bounds the addresses that are probed in one call of checkAll because this speaker covers
	// them.
	maxCoveredProbes = 100
	// eagerTime is how long an address that this speaker covers is probed in each call of checkAll, unless its
	// owner answers earlier.
	eagerTime = 10 * time.Second
	// slowInterval is the time between two probes of such an address after eagerTime.
	slowInterval = 30 * time.Second
	// tickInterval is the time between two calls of checkAll, unless a quarter of timing.Check is shorter.
	tickInterval = time.Second
)

// receiveMessage records what a message shows about addresses that this node serves or asks about.
func (r *Responder) receiveMessage(p *port, m packet.Message) {
	if r.asking.Load() {
		if m.Claims.IsValid() {
			r.reportAnswer(p, m)
		}
		if m.Asks.IsValid() {
			r.reportRequest(p, m)
		}
	}
	if m.Claims.IsValid() {
		if s := r.findServed(m.Claims); s != nil {
			r.receiveClaim(p, s.addressEntry, m)
		}
	}
	// A probe for an announced address is answered, so that its sender does not take the address.
	if m.Probe {
		if s := r.findServed(m.Asks); s != nil && s.silent.Load() {
			r.receiveProbe(p, s.addressEntry, m.Sender)
		}
	}
}

// receiveProbe records that another host probes for an address that this node is probing too. A probe does
// not show that a host uses the address: scanners and switches that track devices send probes all the time.
// RFC 5227 section 2.1.1 and RFC 4862 section 5.4.3 require a host that receives a probe of another host to
// choose another address. A speaker cannot do that. It probes again, up to maxProbeRetries times, so that the
// other host can finish its own probes and claim the address. Probes of other hosts do not matter for an
// address in phaseHeld, which is held because another host claimed it.
func (r *Responder) receiveProbe(p *port, e *addressEntry, sender packet.MAC) {
	if r.senderKindOf(sender) != senderForeign {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.address] != e || e.isCovering() || !p.servesEntry(e) || e.phase != phaseProbed || !e.probing || e.rival {
		return
	}
	e.rival = true
	if e.retries == 0 {
		r.log.Info("another host probes for an address that this node is about to announce: this node probes again before it announces the address", "address", e.address, "link", p.Name, "hardwareAddress", sender.String())
	}
}

// receiveClaim handles a message whose sender claims an address of this node.
func (r *Responder) receiveClaim(p *port, e *addressEntry, m packet.Message) {
	switch r.senderKindOf(m.Sender) {
	case senderSelf:
	case senderNode:
		r.reportReturned(p, e, m)
		r.noteNodeClaim(p, e, m.Sender)
	case senderForeign:
		r.reportStranger(p, e, m.Sender)
		r.noteForeignUse(p, e, m.Sender)
	}
}

// reportStranger reports that a host which is not known as a node announces the address. The host may be a
// node whose speaker has never sent a message to this speaker.
func (r *Responder) reportStranger(p *port, e *addressEntry, sender packet.MAC) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.address] == e && e.phase == phaseAnnounced && !e.isCovering() && time.Since(e.strange) >= rivalInterval && p.strangers.Allow() {
		r.reportRival(p, e, sender, &e.strange)
	}
}

// reportRival reports that another host announces the address, once in rivalInterval. The caller
// holds the lock.
func (r *Responder) reportRival(p *port, e *addressEntry, sender packet.MAC, last *time.Time) {
	if now := time.Now(); r.options.Rival != nil && now.Sub(*last) >= rivalInterval {
		*last = now
		r.options.Rival(e.address, sender.Hardware(), p.Hardware)
	}
}

// noteNodeClaim records that another node of the cluster sent an ARP or NDP message that claims the address.
// The sender may be the next owner, whose claim in the mesh has not arrived yet. It may also be a speaker
// whose messages do not arrive, or the kernel of a node: see rivalClaims. If this node still owns the address
// after timing.Settle, it announces the address again.
func (r *Responder) noteNodeClaim(p *port, e *addressEntry, sender packet.MAC) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.address] != e || e.isCovering() {
		return
	}
	now := time.Now()
	if r.options.AnswerSource != nil && r.detection != layer2.DetectionOff && p.servesEntry(e) {
		e.claims.add(now, p.Name, sender)
	}
	if e.phase != phaseAnnounced {
		return // concludeProbes uses e.claims
	}
	r.metrics.Duplicates.Inc()
	r.reportRival(p, e, sender, &e.rivaled)
	if now.Sub(e.contest) < r.timing.Contest {
		return
	}
	e.contest = now
	time.AfterFunc(r.timing.Settle, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.entries[e.address] == e && !p.closed.Load() && p.servesEntry(e) {
			r.announceOn(p, e.address)
		}
	})
}

// reportReturned reports that the node for which this speaker covers the address announces it, or answers for
// it. An answer that another speaker sends on behalf of that node does not count.
func (r *Responder) reportReturned(p *port, e *addressEntry, m packet.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	theirs, covers := e.owned.For[p.Name]
	if r.entries[e.address] != e || !covers || !e.owned.Returned || e.proved || !slices.Equal(theirs, m.Sender.Hardware()) {
		return
	}
	if !m.Via.IsZero() && r.senderKindOf(m.Via) != senderForeign {
		return
	}
	if e.proved = true; r.options.Announced != nil {
		r.options.Announced(e.address)
	}
}

// noteForeignUse records that a foreign host uses an address, or is about to.
func (r *Responder) noteForeignUse(p *port, e *addressEntry, sender packet.MAC) {
	if r.senderKindOf(sender) != senderForeign {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.detection == layer2.DetectionOff || r.entries[e.address] != e || e.isCovering() || !p.servesEntry(e) {
		return
	}
	now := time.Now()
	e.lastForeign = now
	r.noteConflict(e, layer2.Conflict{
		Address: e.address, Interface: p.Name, Hardware: sender.Hardware(), Announced: e.phase == phaseAnnounced || r.detection == layer2.DetectionReportOnly,
	})
	if e.phase == phaseAnnounced {
		r.defend(p, e, now)
		return
	}
	if r.detection == layer2.DetectionReportOnly {
		return
	}
	e.phase, e.quiet, e.probing = phaseHeld, 0, false
	e.check = now.Add(r.timing.Check)
}

// SetDetection implements layer2.Announcer.
func (r *Responder) SetDetection(d layer2.Detection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.detection = d
	var free []*addressEntry
	for _, e := range r.entries {
		if d == layer2.DetectionOff {
			r.forgetConflict(e)
		}
		if e.phase == phaseHeld && d != layer2.DetectionEnforce || e.phase == phaseProbed && d == layer2.DetectionOff {
			e.probing = false
			r.releaseEntry(e)
			free = append(free, e)
		}
		if e.conflict != nil && e.phase == phaseAnnounced && !e.conflict.Announced {
			next := *e.conflict
			next.Announced = true
			e.conflict = &next
			r.requestReport()
		}
	}
	if len(free) > 0 {
		go r.runBurst(r.beginBurst(free, nil))
	}
}

// noteConflict stores a conflict and requests its report. A change of only the hardware address or the link
// is reported once in conflictRenoteInterval, since a host that forges frames can change both with each
// frame. The caller holds the lock.
func (r *Responder) noteConflict(e *addressEntry, next layer2.Conflict) {
	next.Since = e.lastForeign
	if e.conflict != nil {
		next.Since = e.conflict.Since
	}
	if e.conflict == nil || e.conflict.Announced != next.Announced || e.conflict.Unconfirmed != next.Unconfirmed || !equalConflicts(*e.conflict, next) && e.lastForeign.Sub(e.noted) >= conflictRenoteInterval {
		e.noted = e.lastForeign
		message := "another host uses an address of this node"
		if next.Unconfirmed {
			message = "another node answers for an address that this node is about to announce: this node probes again, since that node may have just given the address up"
		}
		r.log.Info(message, "address", e.address, "link", next.Interface, "hardwareAddress", next.Hardware.String(), "node", next.Node, "announced", next.Announced)
		e.conflict = &next
		r.requestReport()
	}
}

// defend announces an address once more, at most once in timing.Defend. RFC 5227 section 2.4 (c) forbids an
// answer to each claim, since two hosts that never give up would flood the network. The caller holds the
// lock.
func (r *Responder) defend(p *port, e *addressEntry, now time.Time) {
	if now.Sub(e.defended) < r.timing.Defend {
		return
	}
	e.defended = now
	r.announceOn(p, e.address)
}

// forgetConflict removes the conflict of an address. The caller holds the lock.
func (r *Responder) forgetConflict(e *addressEntry) {
	if e.conflict != nil {
		r.log.Info("no other host uses an address of this node any more", "address", e.address)
		e.conflict = nil
		r.requestReport()
	}
}

// keepChecking calls checkAll at regular intervals until the responder is closed.
func (r *Responder) keepChecking() {
	for r.sleep(min(tickInterval, r.timing.Check/4)) {
		r.checkAll(time.Now())
	}
}

// checkAll probes again the addresses that are held or could not be probed, forgets foreign hosts
// that are silent, and probes the addresses that this speaker covers.
func (r *Responder) checkAll(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []*addressEntry
	asked := 0
	for _, e := range r.entries {
		switch {
		case e.isCovering():
			if due := now.Sub(e.awaited) < eagerTime || now.Sub(e.asked) >= slowInterval; due && e.owned.Returned && !e.proved && asked < maxCoveredProbes && r.probeNow(e) {
				e.asked = now
				asked++
			}
		case e.phase == phaseAnnounced:
			r.checkKernelConflict(e, now)
			if e.conflict != nil && now.Sub(e.lastForeign) >= r.timing.Forget {
				r.forgetConflict(e)
			}
		case e.probing || e.check.After(now) || len(r.portsOf(e)) == 0:
		default:
			due = append(due, e)
		}
	}
	r.beginProbes(due)
}

// requestReport wakes keepReporting.
func (r *Responder) requestReport() {
	select {
	case r.changed <- struct{}{}:
	default: // a report is pending already
	}
}

// keepReporting calls options.Conflicts when the conflicts have changed, and options.Unserved when the
// unserved links have changed. It has a goroutine of its own, because these functions may call the
// responder: a caller that holds the lock of the responder would wait for ever.
func (r *Responder) keepReporting() {
	var last []layer2.Conflict
	var without []layer2.UnservedLink
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.changed:
		}
		if unserved := r.unservedLinks(); !slices.Equal(unserved, without) {
			without = unserved
			if r.options.Unserved != nil {
				r.options.Unserved(slices.Clone(unserved))
			}
		}
		now := r.currentConflicts()
		if slices.EqualFunc(last, now, func(x, y layer2.Conflict) bool { return equalConflicts(x, y) && x.Since.Equal(y.Since) }) {
			continue
		}
		last = now
		if r.options.Conflicts != nil {
			r.options.Conflicts(slices.Clone(now))
		}
	}
}

func (r *Responder) currentConflicts() []layer2.Conflict {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[netip.Addr]layer2.Conflict{}
	for address, e := range r.entries {
		if e.conflict != nil {
			found[address] = *e.conflict
		}
	}
	var list []layer2.Conflict
	confirmed := 0
	for _, address := range slices.SortedFunc(maps.Keys(found), netip.Addr.Compare) {
		c := found[address]
		if !c.Unconfirmed {
			confirmed++
		}
		if c.Unconfirmed || confirmed <= MaxConflicts {
			list = append(list, c)
		}
	}
	r.metrics.Conflicts.Set(float64(confirmed))
	return list
}

// equalConflicts reports whether two conflicts are equal but for their time.
func equalConflicts(x, y layer2.Conflict) bool {
	return x.Address == y.Address && x.Interface == y.Interface && slices.Equal(x.Hardware, y.Hardware) && x.Node == y.Node && x.Announced == y.Announced && x.Unconfirmed == y.Unconfirmed
}
