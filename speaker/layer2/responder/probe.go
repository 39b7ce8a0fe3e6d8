package responder

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
)

// probeSeries are addresses of one family that are probed at the same time.
type probeSeries struct {
	schedule probeSchedule
	turns    []entryTurn
}

// beginProbes begins to probe addresses that are not announced: addresses that no node has announced before
// (phaseProbed), and held addresses (phaseHeld). The caller holds the lock.
func (r *Responder) beginProbes(entries []*addressEntry) {
	var families [2]probeSeries
	slices.SortFunc(entries, compareMoved)
	for _, e := range entries {
		e.turn++
		e.sent, e.probing, e.rival, e.claims = false, true, false, rivalClaims{}
		family := &families[0]
		if e.address.Is6() {
			family = &families[1]
		}
		family.schedule = probeScheduleOf(e.address)
		family.turns = append(family.turns, entryTurn{addressEntry: e, number: e.turn})
	}
	for _, f := range families {
		if len(f.turns) > 0 {
			go r.runProbes(f)
		}
	}
}

func (r *Responder) runProbes(p probeSeries) {
	if !r.sleep(rand.N(probeJitter)) {
		return
	}
	start := time.Now()
	for _, at := range p.schedule.probes {
		if !r.sleep(at-time.Since(start)) || !r.probeOnce(p) {
			return
		}
	}
	if r.sleep(p.schedule.end - time.Since(start)) {
		r.runBurst(r.concludeProbes(p))
	}
}

// probeOnce sends one probe for each address of the series, and reports whether the responder still runs.
func (r *Responder) probeOnce(p probeSeries) bool {
	for some := range slices.Chunk(p.turns, burstChunkSize) {
		if r.pace.WaitN(r.ctx, len(some)) != nil {
			return false
		}
		for _, t := range some {
			r.sendProbe(t)
		}
	}
	return true
}

func (r *Responder) sendProbe(t entryTurn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isCurrentProbe(t) && r.probeNow(t.addressEntry) {
		t.sent = true
	}
}

// probeNow sends a probe of an address on each of its links, and reports whether one was sent. The
// caller holds the lock.
func (r *Responder) probeNow(e *addressEntry) (sent bool) {
	if !r.mayAnswer() {
		return false
	}
	for _, p := range r.portsOf(e) {
		if err := p.conn.Probe(e.address); err != nil {
			r.log.V(1).Info("a probe was not sent", "link", p.Name, "address", e.address, "error", err.Error())
			continue
		}
		sent = true
		r.metrics.Probes.Inc()
	}
	return sent
}

// isCurrentProbe reports whether the turn is the current series of probes of its address. The caller
// holds the lock.
func (r *Responder) isCurrentProbe(t entryTurn) bool {
	return r.entries[t.address] == t.addressEntry && t.turn == t.number && t.probing
}

// concludeProbes ends a series of probes, and returns a burst of the addresses that can be announced. If an
// address could not be probed, since it has no link or since MayAnswer was false, checkAll probes it again.
func (r *Responder) concludeProbes(p probeSeries) *burst {
	r.mu.Lock()
	defer r.mu.Unlock()
	var free, again []*addressEntry
	now, proxyBinds := time.Now(), sync.OnceValue(r.proxyBinds)
	for _, t := range p.turns {
		if !r.isCurrentProbe(t) {
			continue
		}
		t.probing = false
		if !t.sent {
			t.answeredSince = time.Time{}
			continue
		}
		holds, unsure := r.noteKernelConflict(t.addressEntry, now, proxyBinds)
		switch {
		case unsure:
			again = append(again, t.addressEntry)
		case holds:
		case t.rival && t.retries < maxProbeRetries:
			t.retries++
			t.check = now.Add(retryWait + rand.N(retryWait))
		case t.phase == phaseHeld && t.quiet+1 < quietChecks:
			t.quiet++
			t.check = now.Add(r.timing.Check)
		default:
			r.releaseEntry(t.addressEntry)
			free = append(free, t.addressEntry)
		}
	}
	r.beginProbes(again)
	return r.beginBurst(free, nil)
}

// releaseEntry begins to answer for an address that was probed or held. The caller holds the lock,
// and has to announce the address.
func (r *Responder) releaseEntry(e *addressEntry) {
	r.count++
	e.phase, e.quiet, e.retries, e.moved = phaseAnnounced, 0, 0, r.count
	if r.detection != layer2.DetectionReportOnly && e.conflict != nil && !e.conflict.Announced {
		r.forgetConflict(e)
	}
	e.silent.Store(false)
}
