package layer2

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
)

// roundView is the input of one round. The decision of the round also depends on the state that the Engine
// has from earlier rounds.
type roundView struct {
	now    time.Time
	in     inbox
	links  []wire.Link // of this node
	phase  ownership.Phase
	owners *ownership.Index
	moved  []ownership.MovedAddress   // addresses whose owner has changed since the last round
	alive  map[lb.NodeName]bool       // nodes whose speakers are alive, this one included
	peers  map[lb.NodeName]*mesh.Peer // by name; nil until method peer is called
	terms  ownership.DecisionTerms
	// stranger: there are nodes whose speakers are missing and have never sent a message to this speaker.
	stranger bool
	// learned has the hardware addresses with which such nodes have answered on a segment of this node.
	learned map[lb.NodeName]segment.Hardware
	// unknown: at least one such node has not answered on any segment.
	unknown bool
	// partitioned: this speaker is cut off from a larger group of speakers, and gives way to it.
	partitioned bool
	// stalled: this process stood still at some time since the last round. Other nodes may have taken its
	// addresses.
	stalled bool
}

// buildView returns the view of a round, and updates the nodes in the index of owners. readInbox has
// already updated the wanted addresses in the index.
func (e *Engine) buildView(now time.Time, in inbox) *roundView {
	v := &roundView{now: now, in: in, links: wireLinks(e.reachedLinks(now, in)), phase: e.phase(now, in), owners: e.owners, alive: map[lb.NodeName]bool{e.Self: true}, stalled: in.view.Stalls != e.stalls}
	e.stalls = in.view.Stalls
	e.noteLinks(v)
	e.learnHardware(v)
	if !e.running {
		e.resumeClaims(v)
	}
	nodes := []ownership.Node{{
		Name: e.Self, Phase: v.phase, Drained: in.want.Draining[e.Self], Settled: now.Sub(e.begun) >= settleTime,
		Claims: e.claims, Held: e.withheldClaims(), Able: canAnnounceFunc(v.links, e.subnets.isNear), Links: e.linksNumber,
	}}
	for i := range in.view.Peers {
		p := &in.view.Peers[i]
		nodes = append(nodes, ownership.Node{
			Name: p.Node, Phase: p.State.Phase, Drained: in.want.Draining[p.Node], Settled: now.Sub(p.Since) >= settleTime,
			Claims: p.State.Claims, Held: p.State.Held, Able: canAnnounceFunc(p.State.Links, e.subnets.isNear), Links: e.linksNumber,
		})
	}
	slices.SortFunc(nodes, func(x, y ownership.Node) int { return strings.Compare(string(x.Name), string(y.Name)) })
	v.moved = e.owners.SetNodes(nodes)
	e.recordUnannounced(v)
	e.noteReturns(v)
	e.yieldToRivals(v)
	e.yieldToLargerGroup(v)
	v.terms = ownership.DecisionTerms{Hold: e.heldOffAddresses(now), Released: e.releasedAddresses(v), MoveOne: e.mayMoveOne(v)}
	v.terms.Passed, v.terms.Overdue = e.endTurns(now)
	v.terms.Unripe = e.unripeAddresses(v)
	return v
}

// mayMoveOne reports whether this node may take one address from a live node although nothing failed. At most
// one address of the cluster moves in this way in moveInterval. An address that a live node gave up counts as
// such a move.
func (e *Engine) mayMoveOne(v *roundView) bool {
	if !e.Failback {
		return false
	}
	for _, m := range v.moved {
		if v.alive[m.From] {
			e.moved = v.now
		}
	}
	return v.now.Sub(e.moved) >= moveInterval
}

// phase returns the phase of this speaker, apart from Starting, which method start publishes.
func (e *Engine) phase(now time.Time, in inbox) ownership.Phase {
	switch {
	case e.isIsolated(now, in):
		return ownership.Isolated
	case now.Before(in.restarting):
		return ownership.Restarting
	case in.want.Draining[e.Self]:
		return ownership.Draining
	}
	return ownership.Active
}

// resumeClaims claims the wanted addresses that the previous speaker on this node claimed, except those that
// other nodes have by now. In a minority this node claims none of them, but the index of owners still records
// their epochs.
func (e *Engine) resumeClaims(v *roundView) {
	claims := ownership.Claims{}
	for address, epoch := range e.Resume.Claims {
		if !v.isWanted(address) {
			continue
		}
		e.owners.RaiseEpoch(address, epoch)
		next, taken := e.resumedEpoch(v, address, epoch)
		if taken || e.isMinority() {
			continue
		}
		if next > epoch {
			e.doubted[address] = true
		}
		claims[address] = next
		e.recordTaken(address, acquisition{since: v.now, first: e.doubted[address]})
	}
	e.setClaims(claims)
}

// resumedEpoch returns the epoch with which this node claims an address that the previous speaker claimed, and
// whether another node has taken the address. A node has not taken it if it does not announce it and has no higher
// epoch: it has not received that this node had the address. If that node started at the same time, it still probes
// the address, and this node goes on announcing it. Otherwise another host may use the address, so that this node
// claims the address with the next epoch, and probes it first. An address that the previous speaker did not announce
// either is left to the other node.
func (e *Engine) resumedEpoch(v *roundView, address netip.Addr, epoch ownership.Epoch) (next ownership.Epoch, taken bool) {
	next = epoch
	for i := range v.in.view.Peers {
		p := &v.in.view.Peers[i]
		theirs, claims := p.State.Claims[address]
		switch {
		case !claims:
		case theirs > epoch, epoch >= ownership.MaxEpoch, e.doubted[address], !slices.Contains(p.State.Held, address):
			return 0, true
		case !e.together[p.Node]:
			next = epoch + 1
		}
	}
	return next, false
}

// recordTaken records how this node got an address.
func (e *Engine) recordTaken(address netip.Addr, t acquisition) {
	e.taken[address] = t
	if t.first {
		e.asking[address] = t.since
	}
}

func (v *roundView) isWanted(address netip.Addr) bool {
	_, wanted := v.owners.WantedCandidates(address)
	return wanted
}

// recordUnannounced records which addresses their owners do not announce because foreign hosts use them. The
// record stays when the owner is dead, so that the next owner probes the address before it announces it. If
// several nodes claim an address and this node is one of them, its own state counts. Otherwise the state of
// the claiming node with the last name counts.
func (e *Engine) recordUnannounced(v *roundView) {
	unsure := maps.Clone(e.doubted)
	for i := range v.in.view.Peers {
		for _, address := range v.in.view.Peers[i].State.Held {
			unsure[address] = true
		}
	}
	maps.DeleteFunc(e.asking, func(_ netip.Addr, since time.Time) bool { return v.now.Sub(since) >= probeDuration })
	held := v.in.unannouncedAddresses()
	for _, address := range append(slices.Collect(maps.Keys(e.asking)), held...) {
		unsure[address] = true
	}
	for address := range unsure {
		for i := range v.in.view.Peers {
			s := &v.in.view.Peers[i].State
			if _, claims := s.Claims[address]; claims {
				e.setUnannounced(address, slices.Contains(s.Held, address))
			}
		}
		if _, claims := e.claims[address]; claims {
			_, asks := e.asking[address]
			e.setUnannounced(address, asks || slices.Contains(held, address))
		}
	}
	maps.DeleteFunc(e.doubted, func(address netip.Addr, _ bool) bool { return !v.isWanted(address) })
}

// setUnannounced records whether the owner of an address does not announce it.
func (e *Engine) setUnannounced(address netip.Addr, is bool) {
	if is {
		e.doubted[address] = true
	} else {
		delete(e.doubted, address)
	}
}

// unannouncedAddresses returns the addresses that this node does not announce because other hosts use them.
func (in *inbox) unannouncedAddresses() (unannounced []netip.Addr) {
	for _, c := range in.conflicts {
		if !c.Announced {
			unannounced = append(unannounced, c.Address)
		}
	}
	return unannounced
}

// probedAgain returns the addresses that this node has just taken and probes again, since another node has
// answered for them.
func (in *inbox) probedAgain() (probed []netip.Addr) {
	for _, c := range in.conflicts {
		if c.Unconfirmed {
			probed = append(probed, c.Address)
		}
	}
	return probed
}

// releasedAddresses returns the addresses that other live nodes gave up less than releaseDelay ago, and that
// are still wanted, as far as this node knows.
func (e *Engine) releasedAddresses(v *roundView) map[netip.Addr]bool {
	for _, m := range v.moved {
		switch {
		case m.To != "":
			delete(e.released, m.Address)
		case m.From != e.Self && v.alive[m.From]:
			e.released[m.Address] = v.now
		}
	}
	just := map[netip.Addr]bool{}
	for address, at := range e.released {
		candidates, _ := v.owners.WantedCandidates(address)
		if len(candidates) == 0 || v.now.Sub(at) >= releaseDelay {
			delete(e.released, address)
			continue
		}
		just[address] = true
	}
	return just
}

// heldOffAddresses returns the addresses that this node does not take from other nodes yet: see holdOffTime.
func (e *Engine) heldOffAddresses(now time.Time) map[netip.Addr]bool {
	held := map[netip.Addr]bool{}
	for address, until := range e.hold {
		if !now.Before(until) {
			delete(e.hold, address)
			continue
		}
		held[address] = true
	}
	return held
}

// decision has the result for the addresses that the index of owners has examined (Output.Looked): which of
// them this node owns, and which of them it answers for.
type decision struct {
	ownership.Output
	// served are the examined addresses that this node answers for.
	served map[netip.Addr]Serving
}

// decide returns what this node owns and answers for.
func (e *Engine) decide(v *roundView) decision {
	d := decision{served: map[netip.Addr]Serving{}}
	if v.phase == ownership.Isolated {
		e.minority.queries = map[netip.Addr]addressQuery{}
		clear(e.standoffs)
		e.stopCovering()
		d.Looked = e.currentAddresses()
		return d
	}
	for address := range e.minority.queries {
		e.owners.Reexamine(address)
	}
	for address := range e.standoffs {
		e.owners.Reexamine(address)
	}
	if v.stalled {
		for address := range e.claims {
			e.owners.Reexamine(address)
		}
	}
	d.Output = e.owners.Decide(v.terms)
	withheld := e.askBeforeTaking(v, &d)
	// While this node restarts, no other node answers for an address that this node claims and still
	// probes. So this node gives the address up, and another node can take it.
	if v.phase == ownership.Restarting {
		probed := v.in.probedAgain()
		maps.DeleteFunc(d.Own, func(a netip.Addr, _ ownership.Claim) bool { return !e.asking[a].IsZero() || slices.Contains(probed, a) })
	}
	for address, claim := range d.Own {
		_, found := e.minority.found[address] // no host on the segment answered for the address: the announcer does not probe it again
		first := (claim.Cause == ownership.CauseFirst || e.doubted[address]) && !found
		if claim.Cause == ownership.CauseKept {
			first = e.taken[address].first
		}
		on := slices.DeleteFunc(e.announcingInterfaces(v, address), func(l string) bool { return slices.Contains(withheld[address], l) })
		d.served[address] = Serving{Interfaces: on, First: first}
	}
	e.continueCovering(v, &d)
	for address, node := range d.Care {
		if e.doubted[address] {
			continue
		}
		if o := e.coveringAnswers(v, node, address); len(o.Interfaces) > 0 {
			d.served[address] = o
		}
	}
	return d
}

// currentAddresses returns the addresses that this node owns or answers for, sorted.
func (e *Engine) currentAddresses() []netip.Addr {
	all := slices.AppendSeq(slices.Collect(maps.Keys(e.served)), maps.Keys(e.taken))
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// announcingInterfaces returns the interfaces on which this node announces an address that it owns. If this
// node is no candidate any more, it keeps the address until another node takes it, and announces it only on
// interfaces on which it has announced it before.
func (e *Engine) announcingInterfaces(v *roundView, address netip.Addr) []string {
	c, is := v.candidate(e.Self, address)
	on := candidateInterfaces(v.links, c, address, e.subnets.isNear(address))
	if before, served := e.served[address]; served && !is {
		on = slices.DeleteFunc(on, func(name string) bool { return !slices.Contains(before.Interfaces, name) })
	}
	return on
}

// continueCovering makes this node go on covering for a restarting node when another node was chosen to cover
// for it. The chosen node may not have begun yet, and both nodes give the same answers. This node also covers
// for a node whose restart is over, until that node announces the address. At the end, Output.Care replaces
// e.covering: every decision examines all addresses of restarting nodes and all addresses without an owner,
// so Care has all of them.
func (e *Engine) continueCovering(v *roundView, d *decision) {
	for address, holder := range e.covering {
		_, chosen := d.Care[address]
		switch _, taken := d.Own[address]; {
		case taken:
			delete(e.returned, address)
		case !chosen && (v.isRestartingOwner(holder, address) || e.awaits(address)):
			d.Care[address] = holder
		case !chosen && v.isWanted(address) && v.owners.Owner(address) == "":
			e.uncovered[address] = v.now
		}
	}
	e.covering = d.Care
}

// isRestartingOwner reports whether an address is wanted, and a node owns it and restarts.
func (v *roundView) isRestartingOwner(node lb.NodeName, address netip.Addr) bool {
	if !v.isWanted(address) || v.owners.Owner(address) != node {
		return false
	}
	p := v.peer(node)
	return p != nil && p.State.Phase == ownership.Restarting
}

// peer returns the speaker of another node; nil: it is not alive. The map by name is made on first use, since only a
// speaker that covers for others needs it.
func (v *roundView) peer(node lb.NodeName) *mesh.Peer {
	if v.peers == nil {
		v.peers = make(map[lb.NodeName]*mesh.Peer, len(v.in.view.Peers))
		for i := range v.in.view.Peers {
			v.peers[v.in.view.Peers[i].Node] = &v.in.view.Peers[i]
		}
	}
	return v.peers[node]
}

// candidate returns the entry of a node in the candidates of an address, and whether there is one. Without
// an entry it returns a candidate that has only the node's name.
func (v *roundView) candidate(node lb.NodeName, address netip.Addr) (c *ownership.Candidate, is bool) {
	candidates, _ := v.owners.WantedCandidates(address)
	for i := range candidates {
		if candidates[i].Node == node {
			return &candidates[i], true
		}
	}
	return &ownership.Candidate{Node: node}, false
}

// coveringAnswers returns how this node covers an address for its holder: it answers with the hardware address
// of the holder, so that traffic still goes to that node.
func (e *Engine) coveringAnswers(v *roundView, holder lb.NodeName, address netip.Addr) Serving {
	near := e.subnets.isNear(address)
	o := Serving{For: map[string]net.HardwareAddr{}, Returned: e.awaits(address)}
	var theirs []wire.Link
	if p := v.peer(holder); p != nil {
		c, _ := v.candidate(holder, address)
		for j := range p.State.Links {
			if isUsable(&p.State.Links[j], c, address, near) {
				theirs = append(theirs, p.State.Links[j])
			}
		}
	}
	c, _ := v.candidate(e.Self, address)
	for i := range v.links {
		if !isUsable(&v.links[i], c, address, near) {
			continue
		}
		if mac, ok := counterpart(&v.links[i], theirs); ok {
			o.Interfaces = append(o.Interfaces, v.links[i].Name)
			o.For[v.links[i].Name] = mac
		}
	}
	slices.Sort(o.Interfaces)
	return o
}
