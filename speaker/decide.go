package speaker

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
)

// view is all that a decision depends on.
type view struct {
	now   time.Time
	in    inbox
	links []wire.Link // of this node
	phase ownership.Phase
	index map[netip.Addr]int // of the wanted addresses
	input ownership.Input
}

// gather puts together what is known.
func (e *Engine) gather(now time.Time, in inbox) *view {
	v := &view{now: now, in: in, links: told(in.able()), phase: e.phase(now, in), index: make(map[netip.Addr]int, len(in.want.Addresses))}
	for i := range in.want.Addresses {
		v.index[in.want.Addresses[i].Address] = i
	}
	if !e.running {
		e.resume(v)
	}
	e.remember(v)
	e.doubt(v)
	v.input = ownership.Input{
		Self: e.Self, Hold: e.held(now), Addresses: in.want.Addresses, Epochs: e.epochs, Passed: e.passed(now), Released: e.letGo(v),
		Nodes: []ownership.Node{{
			Name: e.Self, Phase: v.phase, Drained: in.want.Draining[e.Self], Settled: now.Sub(e.begun) >= settled,
			Claims: e.claims, Able: able(v.links),
		}},
	}
	for i := range in.view.Peers {
		p := &in.view.Peers[i]
		v.input.Nodes = append(v.input.Nodes, ownership.Node{
			Name: p.Node, Phase: p.State.Phase, Drained: in.want.Draining[p.Node], Settled: now.Sub(p.Since) >= settled,
			Claims: p.State.Claims, Able: able(p.State.Links),
		})
	}
	slices.SortFunc(v.input.Nodes, func(x, y ownership.Node) int { return strings.Compare(string(x.Name), string(y.Name)) })
	v.input.MoveOne = e.mayMoveOne(v)
	return v
}

// mayMoveOne says whether an address may move although nothing failed. One that a
// living node gave up counts, wherever that was.
func (e *Engine) mayMoveOne(v *view) bool {
	if !e.Failback {
		return false
	}
	lives := make(map[lb.NodeName]bool, len(v.input.Nodes))
	for i := range v.input.Nodes {
		lives[v.input.Nodes[i].Name] = true
	}
	now := ownership.Owners(v.input.Nodes)
	for address, before := range e.owners {
		if lives[before] && now[address] != before {
			e.moved = v.now
		}
	}
	return v.now.Sub(e.moved) >= moveEvery
}

// phase returns what this speaker is doing as a whole. It is not cut off when the
// cluster says that those who are missing are down.
func (e *Engine) phase(now time.Time, in inbox) ownership.Phase {
	missing := func(m mesh.Missing) bool { return !in.want.Down[m.Node] }
	switch {
	case in.view.Isolated && slices.ContainsFunc(in.view.Missing, missing):
		return ownership.Isolated
	case now.Before(in.restarting):
		return ownership.Restarting
	case in.want.Draining[e.Self]:
		return ownership.Draining
	}
	return ownership.Active
}

// resume takes up what this node claimed when its last speaker ended, unless
// somebody else claims it by now.
func (e *Engine) resume(v *view) {
	e.claims = ownership.Claims{}
	for address, epoch := range e.Resume.Claims {
		if _, wanted := v.index[address]; !wanted {
			continue
		}
		e.epochs[address] = max(e.epochs[address], epoch)
		claimed := slices.ContainsFunc(v.in.view.Peers, func(p mesh.Peer) bool { _, ok := p.State.Claims[address]; return ok })
		if !claimed {
			e.claims[address] = epoch
			e.taken[address] = taken{since: v.now, first: e.doubted[address]}
		}
	}
}

// remember notes the highest epochs of what is wanted, and forgets the rest.
func (e *Engine) remember(v *view) {
	for address := range e.epochs {
		if _, wanted := v.index[address]; !wanted {
			delete(e.epochs, address)
		}
	}
	for address := range e.unclaimed {
		if _, wanted := v.index[address]; !wanted {
			delete(e.unclaimed, address)
		}
	}
	note := func(claims ownership.Claims) {
		for address, epoch := range claims {
			if _, wanted := v.index[address]; wanted && epoch > e.epochs[address] {
				e.epochs[address] = epoch
			}
		}
	}
	for i := range v.in.view.Peers {
		note(v.in.view.Peers[i].State.Claims)
	}
	note(e.claims)
}

// doubt notes which addresses are not announced by those who own them, since foreign hosts
// use them. That outlasts the owner: the next one asks again before it announces one.
func (e *Engine) doubt(v *view) {
	note := func(claims ownership.Claims, held func(netip.Addr) bool) {
		for address := range claims {
			if held(address) {
				e.doubted[address] = true
			} else {
				delete(e.doubted, address)
			}
		}
	}
	for i := range v.in.view.Peers {
		s := &v.in.view.Peers[i].State
		note(s.Claims, func(a netip.Addr) bool { return slices.Contains(s.Held, a) })
	}
	if e.running {
		held := v.in.held()
		note(e.claims, func(a netip.Addr) bool { return slices.Contains(held, a) || e.probes(a, v.now) })
	}
	for address := range e.doubted {
		if _, wanted := v.index[address]; !wanted {
			delete(e.doubted, address)
		}
	}
}

// probes says whether this node may still be asking whether a foreign host uses an address
// that it owns: who has it next must ask again.
func (e *Engine) probes(address netip.Addr, now time.Time) bool {
	t := e.taken[address]
	return t.first && now.Sub(t.since) < probing
}

// held are the addresses that are not announced here since foreign hosts use them.
func (in *inbox) held() (held []netip.Addr) {
	for _, c := range in.conflicts {
		if !c.Announced {
			held = append(held, c.Address)
		}
	}
	return held
}

// letGo returns what living nodes have let go a moment ago, although it is wanted
// here. What was not wanted here meanwhile is not among it.
func (e *Engine) letGo(v *view) map[netip.Addr]bool {
	lives := map[lb.NodeName]bool{}
	claimed := maps.Clone(e.claims)
	for i := range v.in.view.Peers {
		lives[v.in.view.Peers[i].Node] = true
		maps.Copy(claimed, v.in.view.Peers[i].State.Claims)
	}
	for address, owner := range e.owners {
		if _, has := claimed[address]; !has && lives[owner] {
			e.released[address] = v.now
		}
	}
	for address := range claimed {
		delete(e.released, address)
	}
	just := map[netip.Addr]bool{}
	for address, at := range e.released {
		i, wanted := v.index[address]
		if !wanted || len(v.in.want.Addresses[i].Candidates) == 0 || v.now.Sub(at) >= releasedFor {
			delete(e.released, address)
			continue
		}
		just[address] = true
	}
	return just
}

// held returns what is not taken from others for a while.
func (e *Engine) held(now time.Time) map[netip.Addr]bool {
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

// passed counts how many elected nodes have let an address wait.
func (e *Engine) passed(now time.Time) map[netip.Addr]int {
	passed := map[netip.Addr]int{}
	for address, since := range e.unclaimed {
		if turns := int(now.Sub(since) / actWithin); turns > 0 {
			passed[address] = turns
		}
	}
	return passed
}

// decision is what this node does from now on.
type decision struct {
	ownership.Output
	claims ownership.Claims
	served map[netip.Addr]Owned
}

// decide returns what this node owns and answers for.
func (e *Engine) decide(v *view) decision {
	d := decision{claims: ownership.Claims{}, served: map[netip.Addr]Owned{}}
	if v.phase == ownership.Isolated {
		return d
	}
	d.Output = ownership.Decide(v.input)
	for address, claim := range d.Own {
		d.claims[address] = claim.Epoch
		first := claim.Cause == ownership.First || e.doubted[address]
		if claim.Cause == ownership.Kept {
			first = e.taken[address].first
		}
		d.served[address] = Owned{Interfaces: e.interfaces(v, address), First: first}
	}
	e.goOnCaring(v, d.Care)
	for address, node := range d.Care {
		if e.doubted[address] {
			continue
		}
		if o := v.care(e.Self, node, address); len(o.Interfaces) > 0 {
			d.served[address] = o
		}
	}
	return d
}

// interfaces returns where this node announces what it owns. What it may not announce
// any more, and keeps until somebody has taken it, is announced nowhere new.
func (e *Engine) interfaces(v *view, address netip.Addr) []string {
	c, is := v.candidate(e.Self, address)
	on := interfaces(v.links, c, address)
	if before, served := e.served[address]; served && !is {
		on = slices.DeleteFunc(on, func(name string) bool { return !slices.Contains(before.Interfaces, name) })
	}
	return on
}

// goOnCaring keeps answering for nodes that restart when somebody else was chosen to,
// who may not have begun yet: both say the same.
func (e *Engine) goOnCaring(v *view, care map[netip.Addr]lb.NodeName) {
	for address, holder := range e.caredFor {
		if _, chosen := care[address]; !chosen && v.holds(holder, address) {
			care[address] = holder
		}
	}
	e.caredFor = care
}

// holds says whether a node that restarts has the address, and nobody better.
func (v *view) holds(node lb.NodeName, address netip.Addr) bool {
	var best *ownership.Node
	for i := range v.input.Nodes {
		n := &v.input.Nodes[i]
		if epoch, ok := n.Claims[address]; ok && (best == nil || epoch > best.Claims[address]) {
			best = n
		}
	}
	_, wanted := v.index[address]
	return wanted && best != nil && best.Name == node && best.Phase == ownership.Restarting
}

// candidate returns what a node may do with an address, and whether it is a candidate
// at all.
func (v *view) candidate(node lb.NodeName, address netip.Addr) (c *ownership.Candidate, is bool) {
	a := &v.in.want.Addresses[v.index[address]]
	for i := range a.Candidates {
		if a.Candidates[i].Node == node {
			return &a.Candidates[i], true
		}
	}
	return &ownership.Candidate{Node: node}, false
}

// care returns how an address of a node that restarts is answered for: with its
// own hardware address, so that traffic goes on going there.
func (v *view) care(self, holder lb.NodeName, address netip.Addr) Owned {
	o := Owned{For: map[string]net.HardwareAddr{}}
	var theirs []wire.Link
	for i := range v.in.view.Peers {
		if p := &v.in.view.Peers[i]; p.Node == holder {
			c, _ := v.candidate(holder, address)
			for j := range p.State.Links {
				if usable(&p.State.Links[j], c, address) {
					theirs = append(theirs, p.State.Links[j])
				}
			}
		}
	}
	c, _ := v.candidate(self, address)
	for i := range v.links {
		if !usable(&v.links[i], c, address) {
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
