package layer2

import (
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// sentState is what was published, reported and written to the checkpoint last.
type sentState struct {
	state     *wire.State
	ours      []net.HardwareAddr // hardware addresses of nodes whose speakers have sent to this one, sorted
	nodes     []net.HardwareAddr // ours, and the hardware addresses in roundView.learned, sorted
	detection Detection
	report    *Report
	owned     []OwnedAddress // in the report, sorted
	want      *Snapshot      // in the checkpoint
	held      []netip.Addr   // in the checkpoint
	known     int            // number of hardware addresses in the checkpoint
	saved     time.Time      // when the checkpoint was written
	saveAt    time.Time      // when the checkpoint is written next; in the past or zero: no write is due
	// unpublished: the claims have changed since they were published.
	unpublished bool
	// unsaved: the claims have changed since the checkpoint was written.
	unsaved bool
}

// contestedClaims has the addresses of this node that other nodes claimed too, and when that was found.
type contestedClaims struct {
	addresses []netip.Addr
	at        time.Time
}

// act carries out the decision, and only then publishes the claims. Another node that has to give an address
// up does so when it receives the claim of this node. By then this node has announced the address.
func (e *Engine) act(v *roundView, d decision) {
	e.noteMoves(v, d)
	e.Announcer.SetLinks(*v.in.links)
	e.setNodeHardware(v)
	if next := v.in.want.Detection; next != e.sent.detection {
		e.sent.detection = next
		e.Announcer.SetDetection(next)
	}
	served := e.recordServed(d)
	if served {
		e.Announcer.SetServed(e.served)
	}
	if claimed := e.recordClaims(d); claimed || served {
		e.noteOwned(d.Looked, v.now)
	}
	e.publish(v)
	e.repeatAnnouncements(v, d)
	e.Mesh.Acted(*v.in.view)
	e.sendReport(v)
	e.saveCheckpoint(v)
}

// recordServed records how addresses are served from now on, and reports whether the announcer has to change
// anything.
func (e *Engine) recordServed(d decision) (changed bool) {
	for _, address := range d.Looked {
		before, was := e.served[address]
		now, is := d.served[address]
		switch {
		case is:
			e.served[address] = now
		case was:
			delete(e.served, address)
		}
		changed = changed || was != is || is && !now.IsSame(before)
	}
	return changed
}

// recordClaims records what this node claims from now on, and reports whether that changed.
func (e *Engine) recordClaims(d decision) (changed bool) {
	var next ownership.Claims
	for _, address := range d.Looked {
		before, had := e.claims[address]
		now, has := d.Own[address]
		if had == has && before == now.Epoch {
			continue
		}
		if next == nil {
			next = maps.Clone(e.claims)
		}
		if delete(next, address); has {
			next[address] = now.Epoch
		}
	}
	if next != nil {
		e.setClaims(next)
	}
	return next != nil
}

// setClaims replaces the claims. This round publishes them, and they are written to the next checkpoint.
func (e *Engine) setClaims(c ownership.Claims) {
	e.claims, e.sent.unpublished, e.sent.unsaved = c, true, true
}

// saveCheckpoint saves the checkpoint for the next speaker on this node if it changed: at most once in
// saveInterval, and without delay while this speaker restarts.
func (e *Engine) saveCheckpoint(v *roundView) {
	held := slices.SortedFunc(maps.Keys(e.doubted), netip.Addr.Compare)
	if e.Save == nil || e.sent.want == v.in.want && !e.sent.unsaved && slices.Equal(e.sent.held, held) && e.sent.known == len(e.sent.ours) {
		return
	}
	if e.sent.saveAt = e.sent.saved.Add(saveInterval); v.now.Before(e.sent.saveAt) && v.phase != ownership.Restarting {
		return
	}
	e.sent.want, e.sent.unsaved, e.sent.held, e.sent.known, e.sent.saved = v.in.want, false, held, len(e.sent.ours), v.now
	whole := *v.in.want
	whole.Addresses = e.owners.WantedAddresses()
	e.Save(Checkpoint{Snapshot: whole, Claims: e.claims, Held: held, Ours: e.sent.ours})
}

// withheldClaims returns the addresses that this node claims and does not announce. While this node
// restarts, no other node answers for these addresses.
func (e *Engine) withheldClaims() (held []netip.Addr) {
	add := func(address netip.Addr) {
		if _, claims := e.claims[address]; claims {
			held = append(held, address)
		}
	}
	for address := range e.doubted {
		add(address)
	}
	for address, s := range e.standoffs {
		if !s.conceded.IsZero() {
			add(address)
		}
	}
	slices.SortFunc(held, netip.Addr.Compare)
	held = slices.Compact(held)
	// The encoder leaves out others. If this node counted them, it would decide differently from other speakers.
	return held[:min(len(held), wire.MaxHeldAddresses)]
}

// noteMoves records which addresses this node takes, and which ones it gives up.
func (e *Engine) noteMoves(v *roundView, d decision) {
	e.noteLost(v)
	for _, address := range d.Looked {
		claim, owns := d.Own[address]
		_, had := e.taken[address]
		switch {
		case owns && claim.Cause != ownership.CauseKept:
			e.noteTaken(v, address, claim, d.served[address])
		case !owns && had:
			delete(e.taken, address)
			delete(e.asking, address)
			e.Log.Info("this node does not own an address any more", "address", address, "phase", v.phase.String())
		}
	}
	for _, address := range d.Yielded {
		e.hold[address] = v.now.Add(holdOffTime)
		e.Log.Info("another node took an address that, as far as this node knows, this node should own: this node gives the address up", "address", address)
	}
	if v.terms.MoveOne {
		e.moved = v.now
	}
	e.noteUnclaimed(v, d.Unclaimed)
	e.noteRequested(v, d.Looked)
}

// noteTaken records that this node owns an address from now on.
func (e *Engine) noteTaken(v *roundView, address netip.Addr, claim ownership.Claim, o Serving) {
	delete(e.asking, address)
	e.recordTaken(address, acquisition{since: v.now, first: o.First})
	if o.First {
		e.doubted[address] = true
	}
	e.Metrics.Moves.WithLabelValues(claim.Cause.String()).Inc()
	if claim.Cause == ownership.CauseFailure {
		e.noteFailover(v, address)
	}
	e.Log.Info("this node owns an address now", "address", address, "cause", claim.Cause.String(), "epoch", claim.Epoch, "interfaces", o.Interfaces)
}

// noteLost records which addresses have lost their owner because the owner's speaker is missing, and when
// the last message of that speaker arrived.
func (e *Engine) noteLost(v *roundView) {
	received := make(map[lb.NodeName]time.Time, len(v.in.view.Missing))
	for _, m := range v.in.view.Missing {
		if !m.Received.IsZero() {
			received[m.Node] = m.Received
		}
	}
	for _, m := range v.moved {
		if at, gone := received[m.From]; gone {
			e.lost[m.Address] = at
		}
	}
	maps.DeleteFunc(e.lost, func(address netip.Addr, _ time.Time) bool {
		return v.owners.Owner(address) != "" || !v.isWanted(address)
	})
}

// noteFailover measures the time since the last message of the previous owner. The time includes the waits
// for nodes that were elected before this one and did not take the address.
func (e *Engine) noteFailover(v *roundView, address netip.Addr) {
	if at, known := e.lost[address]; known {
		e.Metrics.Failover.Observe(v.now.Sub(at).Seconds())
	}
}

func (e *Engine) setNodeHardware(v *roundView) {
	var ours []net.HardwareAddr
	add := func(links []wire.Link) {
		for i := range links {
			ours = append(ours, slices.Clone(links[i].Hardware[:]))
		}
	}
	add(v.links)
	for i := range v.in.view.Peers {
		add(v.in.view.Peers[i].State.Links)
	}
	// Hardware addresses are never removed: a node whose speaker is missing is still no foreign host.
	ours = sortedHardware(append(append(ours, e.sent.ours...), e.remembered...))
	if len(ours) != len(e.sent.ours) {
		e.sent.ours = ours
	}
	e.updateNodeHardware(v)
}

// updateNodeHardware passes the hardware addresses of nodes to the announcer. A node whose hardware address
// was not known before may announce addresses that this node owns. So this node announces its addresses
// again, and the other node finds out that both announce them.
func (e *Engine) updateNodeHardware(v *roundView) {
	nodes, grew := slices.Clone(e.sent.ours), false
	for _, hardware := range v.learned {
		grew = grew || !e.wasKnownNode(hardware[:])
		nodes = append(nodes, slices.Clone(hardware[:]))
	}
	nodes = sortedHardware(nodes)
	if slices.EqualFunc(nodes, e.sent.nodes, slices.Equal[net.HardwareAddr]) {
		return
	}
	e.sent.nodes = nodes
	e.Announcer.SetNodeHardware(nodes)
	if grew && len(e.claims) > 0 {
		e.Announcer.Repeat()
	}
}

// sortedHardware returns the hardware addresses sorted, each once. It changes the given slice.
func sortedHardware(list []net.HardwareAddr) []net.HardwareAddr {
	slices.SortFunc(list, slices.Compare[net.HardwareAddr])
	return slices.CompactFunc(list, slices.Equal[net.HardwareAddr])
}

func (e *Engine) publish(v *roundView) {
	state := wire.State{Phase: v.phase, Links: v.links, Claims: e.claims, Held: e.withheldClaims()}
	if v.phase == ownership.Restarting {
		state.Back = v.in.restarting.Sub(v.now)
	}
	if before := e.sent.state; before != nil {
		same := before.Phase == state.Phase && !e.sent.unpublished && slices.Equal(before.Held, state.Held) && reflect.DeepEqual(before.Links, state.Links)
		if same {
			return
		}
	}
	e.sent.state, e.sent.unpublished = &state, false
	e.Mesh.Publish(state)
}

// repeatAnnouncements announces addresses again when other nodes begin or cease to claim them too. When
// another speaker is alive again, it announces all addresses of this node again. In both cases hosts on the
// network may have learned the hardware address of the other node.
func (e *Engine) repeatAnnouncements(v *roundView, d decision) {
	before := e.contested
	e.Metrics.Duplicate.Add(v.now.Sub(before.at).Seconds() * float64(len(before.addresses)))
	slices.SortFunc(d.Contested, netip.Addr.Compare)
	e.contested = contestedClaims{d.Contested, v.now}
	if !slices.Equal(before.addresses, d.Contested) {
		var again []netip.Addr
		for _, address := range append(slices.Clone(before.addresses), d.Contested...) {
			if _, owned := e.claims[address]; owned {
				again = append(again, address)
			}
		}
		if len(again) > 0 {
			e.Announcer.Repeat(again...)
		}
	}
	live := map[lb.NodeName]bool{}
	back := false
	for i := range v.in.view.Peers {
		node := v.in.view.Peers[i].Node
		live[node] = true
		back = back || e.running && !e.live[node]
	}
	e.live = live
	if back && len(e.claims) > 0 {
		e.Announcer.Repeat()
	}
}
