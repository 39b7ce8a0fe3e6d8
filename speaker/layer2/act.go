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

// said is what was published, reported and written to the checkpoint last.
type said struct {
	state     *wire.State
	ours      []net.HardwareAddr // those of nodes whose speakers were received from, ordered
	nodes     []net.HardwareAddr // ours, and those of view.learned, ordered
	detection Detection
	report    *Report
	owned     []OwnedSince // in the report, ordered
	want      *Snapshot    // in the checkpoint, as held and known are
	held      []netip.Addr
	known     int       // number of hardware addresses
	kept      time.Time // when the checkpoint was written
	keepAt    time.Time // when it is written next; in the past or zero: nothing is waiting
	// The claims have changed since they were published, and since the checkpoint was written.
	unpublished, unkept bool
}

// contest is which addresses of this node others claim as well, as of a time.
type contest struct {
	addresses []netip.Addr
	at        time.Time
}

// act carries out what was decided, and only then publishes the claims: the node that has to give an address up
// does so once it receives the claim, and by then this one has announced the address.
func (e *Engine) act(v *view, d decision) {
	e.noteMoves(v, d)
	e.Announcer.SetLinks(*v.in.links)
	e.setOurs(v)
	if next := v.in.want.Detection; next != e.said.detection {
		e.said.detection = next
		e.Announcer.SetDetection(next)
	}
	served := e.serve(d)
	if served {
		e.Announcer.SetOwned(e.served)
	}
	if claimed := e.claim(d); claimed || served {
		e.noteOwned(d.Looked)
	}
	e.publish(v)
	e.repeat(v, d)
	e.Mesh.Acted(*v.in.view)
	e.tellReport(v)
	e.keep(v)
}

// serve records how addresses are served from now on, and reports whether any of it changed for the network.
func (e *Engine) serve(d decision) (news bool) {
	for _, address := range d.Looked {
		before, was := e.served[address]
		now, is := d.served[address]
		switch {
		case is:
			e.served[address] = now
		case was:
			delete(e.served, address)
		}
		news = news || was != is || is && !now.Same(before)
	}
	return news
}

// claim records what this node claims from now on, and reports whether that changed.
func (e *Engine) claim(d decision) (news bool) {
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

// setClaims replaces the claims, which are then to be published and written to the checkpoint.
func (e *Engine) setClaims(c ownership.Claims) {
	e.claims, e.said.unpublished, e.said.unkept = c, true, true
}

// keep passes on what the next speaker on this node should know, if it changed: at most once in keepEvery, but at once
// while this speaker restarts.
func (e *Engine) keep(v *view) {
	held := slices.SortedFunc(maps.Keys(e.doubted), netip.Addr.Compare)
	if e.Keep == nil || e.said.want == v.in.want && !e.said.unkept && slices.Equal(e.said.held, held) && e.said.known == len(e.said.ours) {
		return
	}
	if e.said.keepAt = e.said.kept.Add(keepEvery); v.now.Before(e.said.keepAt) && v.phase != ownership.Restarting {
		return
	}
	e.said.want, e.said.unkept, e.said.held, e.said.known, e.said.kept = v.in.want, false, held, len(e.said.ours), v.now
	whole := *v.in.want
	whole.Addresses = e.book.All()
	e.Keep(Kept{Snapshot: whole, Claims: e.claims, Held: held, Ours: e.said.ours})
}

// holding returns what this node claims and does not announce: no other node answers for it while
// this one restarts.
func (e *Engine) holding() (held []netip.Addr) {
	for address := range e.claims {
		if s := e.standoffs[address]; e.doubted[address] || !s.conceded.IsZero() {
			held = append(held, address)
		}
	}
	slices.SortFunc(held, netip.Addr.Compare)
	return held
}

// noteMoves records what this node takes and what it gives up.
func (e *Engine) noteMoves(v *view, d decision) {
	e.noteLost(v)
	for _, address := range d.Looked {
		claim, owns := d.Own[address]
		_, had := e.taken[address]
		switch {
		case owns && claim.Cause != ownership.Kept:
			e.noteTaken(v, address, claim, d.served[address])
		case !owns && had:
			delete(e.taken, address)
			delete(e.asking, address)
			e.Log.Info("this node owns an address no more", "address", address, "phase", v.phase.String())
		}
	}
	for _, address := range d.Yielded {
		e.hold[address] = v.now.Add(holdOff)
		e.Log.Info("another node took an address that it may not own, as far as is known here", "address", address)
	}
	if v.terms.MoveOne {
		e.moved = v.now
	}
	e.noteUnclaimed(v, d.Unclaimed)
	e.noteRequested(v, d.Looked)
}

// noteTaken records that this node owns an address from now on.
func (e *Engine) noteTaken(v *view, address netip.Addr, claim ownership.Claim, o Owned) {
	delete(e.asking, address)
	e.take(address, taken{since: v.now, first: o.First})
	if o.First {
		e.doubted[address] = true
	}
	e.Metrics.Moves.WithLabelValues(claim.Cause.String()).Inc()
	if claim.Cause == ownership.Failure {
		e.noteFailover(v, address)
	}
	e.Log.Info("this node owns an address now", "address", address, "cause", claim.Cause.String(), "epoch", claim.Epoch, "interfaces", o.Interfaces)
}

// noteLost records, for addresses that lost their owner because its speaker is missing, when the last message of that
// speaker came.
func (e *Engine) noteLost(v *view) {
	heard := make(map[lb.NodeName]time.Time, len(v.in.view.Missing))
	for _, m := range v.in.view.Missing {
		if !m.Received.IsZero() {
			heard[m.Node] = m.Received
		}
	}
	for _, m := range v.moved {
		if at, gone := heard[m.From]; gone {
			e.lost[m.Address] = at
		}
	}
	maps.DeleteFunc(e.lost, func(address netip.Addr, _ time.Time) bool { return v.book.Owner(address) != "" || !v.wanted(address) })
}

// noteFailover measures the time since the last message of the previous owner. It includes the time of nodes that were
// elected before this one and did not take the address.
func (e *Engine) noteFailover(v *view, address netip.Addr) {
	if at, known := e.lost[address]; known {
		e.Metrics.Failover.Observe(v.now.Sub(at).Seconds())
	}
}

func (e *Engine) setOurs(v *view) {
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
	// Hardware addresses are never removed: nodes whose speakers are missing now are no foreign hosts.
	ours = ordered(append(append(ours, e.said.ours...), e.remembered...))
	if len(ours) != len(e.said.ours) {
		e.said.ours = ours
	}
	e.setNodes(v)
}

// setNodes sets which hardware addresses are those of nodes. A node that becomes known by this may announce addresses
// of this one: they are announced again, so that it receives that this node has them.
func (e *Engine) setNodes(v *view) {
	nodes, news := slices.Clone(e.said.ours), false
	for _, hardware := range v.learned {
		news = news || !e.wasNode(hardware[:])
		nodes = append(nodes, slices.Clone(hardware[:]))
	}
	nodes = ordered(nodes)
	if slices.EqualFunc(nodes, e.said.nodes, slices.Equal[net.HardwareAddr]) {
		return
	}
	e.said.nodes = nodes
	e.Announcer.SetOurs(nodes)
	if news && len(e.claims) > 0 {
		e.Announcer.Repeat()
	}
}

// ordered sorts hardware addresses and returns each once. It changes list.
func ordered(list []net.HardwareAddr) []net.HardwareAddr {
	slices.SortFunc(list, slices.Compare[net.HardwareAddr])
	return slices.CompactFunc(list, slices.Equal[net.HardwareAddr])
}

func (e *Engine) publish(v *view) {
	state := wire.State{Phase: v.phase, Links: v.links, Claims: e.claims, Held: e.holding()}
	if v.phase == ownership.Restarting {
		state.Back = v.in.restarting.Sub(v.now)
	}
	if before := e.said.state; before != nil {
		same := before.Phase == state.Phase && !e.said.unpublished && slices.Equal(before.Held, state.Held) && reflect.DeepEqual(before.Links, state.Links)
		if same {
			return
		}
	}
	e.said.state, e.said.unpublished = &state, false
	e.Mesh.Publish(state)
}

// repeat announces addresses again when others begin or cease to claim them too, and all addresses when a speaker is
// back: hosts on the network may have learned another hardware address.
func (e *Engine) repeat(v *view, d decision) {
	before := e.contested
	e.Metrics.Duplicate.Add(v.now.Sub(before.at).Seconds() * float64(len(before.addresses)))
	slices.SortFunc(d.Contested, netip.Addr.Compare)
	e.contested = contest{d.Contested, v.now}
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
