package speaker

import (
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/delta"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// said is what was told last.
type said struct {
	state  *wire.State
	ours   []net.HardwareAddr
	report *Report
	want   *Snapshot // what was kept
	claims ownership.Claims
	held   []netip.Addr
	known  int // how many hardware addresses were
}

// contest is which addresses others claim as well, and since when.
type contest struct {
	addresses []netip.Addr
	at        time.Time
}

// act brings the network to what was decided, and then says so: who is to give an
// address up does it when the one who takes it has announced.
func (e *Engine) act(v *view, d decision) {
	e.noteMoves(v, d)
	e.Announcer.SetLinks(*v.in.links)
	e.setOurs(v)
	if !delta.Between(e.served, d.served, Owned.Same).Empty() {
		e.Announcer.SetOwned(d.served)
	}
	e.served, e.claims = d.served, d.claims
	e.publish(v)
	e.repeat(v, d)
	e.Mesh.Acted(*v.in.view)
	e.tellReport(v)
	e.keep(v)
}

// keep has kept what the next speaker on this node should know.
func (e *Engine) keep(v *view) {
	held := slices.SortedFunc(maps.Keys(e.doubted), netip.Addr.Compare)
	if e.Keep == nil || e.said.want == v.in.want && maps.Equal(e.said.claims, e.claims) && slices.Equal(e.said.held, held) && e.said.known == len(e.said.ours) {
		return
	}
	e.said.want, e.said.claims, e.said.held, e.said.known = v.in.want, e.claims, held, len(e.said.ours)
	e.Keep(Kept{Snapshot: *v.in.want, Claims: e.claims, Held: held, Ours: e.said.ours})
}

// holding returns what this node claims and does not announce.
func (e *Engine) holding() (held []netip.Addr) {
	for address := range e.claims {
		if e.doubted[address] {
			held = append(held, address)
		}
	}
	slices.SortFunc(held, netip.Addr.Compare)
	return held
}

// noteMoves notes what is taken and what is let go.
func (e *Engine) noteMoves(v *view, d decision) {
	now := ownership.Owners(v.input.Nodes)
	e.noteLost(v, now)
	for address, claim := range d.Own {
		if claim.Cause == ownership.Kept {
			continue
		}
		e.taken[address] = taken{since: v.now, first: d.served[address].First}
		if d.served[address].First {
			e.doubted[address] = true
		}
		e.Metrics.Moves.WithLabelValues(claim.Cause.String()).Inc()
		if claim.Cause == ownership.Failure {
			e.noteFailover(v, address)
		}
		e.Log.Info("this node owns an address now", "address", address, "cause", claim.Cause.String(), "epoch", claim.Epoch, "interfaces", d.served[address].Interfaces)
	}
	for address := range e.taken {
		if _, owned := d.Own[address]; !owned {
			delete(e.taken, address)
			e.Log.Info("this node owns an address no more", "address", address, "phase", v.phase.String())
		}
	}
	for _, address := range d.Yielded {
		e.hold[address] = v.now.Add(holdOff)
		e.Log.Info("another node took an address that it may not own, as far as is known here", "address", address)
	}
	if v.input.MoveOne {
		e.moved = v.now
	}
	unclaimed := make(map[netip.Addr]time.Time, len(d.Unclaimed))
	for _, address := range d.Unclaimed {
		since, ok := e.unclaimed[address]
		if !ok {
			since = v.now
		}
		unclaimed[address] = since
	}
	e.unclaimed = unclaimed
	e.owners = now
}

// noteLost notes when those were heard last who had what nobody has now.
func (e *Engine) noteLost(v *view, now map[netip.Addr]lb.NodeName) {
	heard := make(map[lb.NodeName]time.Time, len(v.in.view.Missing))
	for _, m := range v.in.view.Missing {
		if !m.Heard.IsZero() {
			heard[m.Node] = m.Heard
		}
	}
	for address, before := range e.owners {
		if at, gone := heard[before]; gone {
			e.lost[address] = at
		}
	}
	maps.DeleteFunc(e.lost, func(address netip.Addr, _ time.Time) bool {
		_, owned := now[address]
		_, wanted := v.index[address]
		return owned || !wanted
	})
}

// noteFailover measures from when the owner before was heard last. Others may have been
// elected meanwhile, and have let the address wait.
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
	// Those that are missing now are ours all the same.
	ours = append(append(ours, e.said.ours...), e.remembered...)
	slices.SortFunc(ours, func(x, y net.HardwareAddr) int { return slices.Compare(x, y) })
	ours = slices.CompactFunc(ours, func(x, y net.HardwareAddr) bool { return slices.Equal(x, y) })
	if len(ours) != len(e.said.ours) {
		e.said.ours = ours
		e.Announcer.SetOurs(ours)
	}
}

func (e *Engine) publish(v *view) {
	state := wire.State{Phase: v.phase, Links: v.links, Claims: e.claims, Held: e.holding()}
	if v.phase == ownership.Restarting {
		state.Back = v.in.restarting.Sub(v.now)
	}
	if before := e.said.state; before != nil {
		same := before.Phase == state.Phase && maps.Equal(before.Claims, state.Claims) && slices.Equal(before.Held, state.Held) && reflect.DeepEqual(before.Links, state.Links)
		if same {
			return
		}
	}
	e.said.state = &state
	e.Mesh.Publish(state)
}

// repeat announces again what somebody else claims or claimed as well, and
// everything when somebody is back: neighbours may have learned something else.
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
