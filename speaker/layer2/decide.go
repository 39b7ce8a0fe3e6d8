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

// view is all that a decision depends on.
type view struct {
	now   time.Time
	in    inbox
	links []wire.Link // of this node
	phase ownership.Phase
	book  *ownership.Index
	moved []ownership.Moved // since the round before
	lives map[lb.NodeName]bool
	peers map[lb.NodeName]*mesh.Peer // by name; see peer
	terms ownership.Terms
	// learned are hardware addresses that the segment has answered of nodes which were never
	// received from; unknown: there are such nodes of which it has not.
	learned map[lb.NodeName]segment.Hardware
	unknown bool
	// stranger: there are nodes whose speakers are missed and were never received from.
	stranger bool
	// partitioned: this speaker is cut from a larger group of speakers.
	partitioned bool
}

// gather puts together what is known. The book has what is wanted already.
func (e *Engine) gather(now time.Time, in inbox) *view {
	v := &view{now: now, in: in, links: told(e.reached(now, in)), phase: e.phase(now, in), book: e.book, lives: map[lb.NodeName]bool{e.Self: true}}
	e.noteLinks(v)
	e.learn(v)
	if !e.running {
		e.resume(v)
	}
	nodes := []ownership.Node{{
		Name: e.Self, Phase: v.phase, Drained: in.want.Draining[e.Self], Settled: now.Sub(e.begun) >= settled,
		Claims: e.claims, Able: usableOn(v.links, e.subnets.near), Links: e.linksNumber,
	}}
	for i := range in.view.Peers {
		p := &in.view.Peers[i]
		nodes = append(nodes, ownership.Node{
			Name: p.Node, Phase: p.State.Phase, Drained: in.want.Draining[p.Node], Settled: now.Sub(p.Since) >= settled,
			Claims: p.State.Claims, Able: usableOn(p.State.Links, e.subnets.near), Links: e.linksNumber,
		})
	}
	slices.SortFunc(nodes, func(x, y ownership.Node) int { return strings.Compare(string(x.Name), string(y.Name)) })
	v.moved = e.book.SetNodes(nodes)
	e.doubt(v)
	e.noteReturns(v)
	e.faceRivals(v)
	e.leavePartition(v)
	v.terms = ownership.Terms{Hold: e.held(now), Released: e.letGo(v), MoveOne: e.mayMoveOne(v)}
	v.terms.Passed, v.terms.Overdue = e.passed(now)
	v.terms.Unripe = e.unripe(v)
	return v
}

// mayMoveOne says whether an address may move although nothing failed. One that a
// living node gave up counts, wherever that was.
func (e *Engine) mayMoveOne(v *view) bool {
	if !e.Failback {
		return false
	}
	for _, m := range v.moved {
		if v.lives[m.From] {
			e.moved = v.now
		}
	}
	return v.now.Sub(e.moved) >= moveEvery
}

// phase returns what this speaker is doing as a whole.
func (e *Engine) phase(now time.Time, in inbox) ownership.Phase {
	switch {
	case e.isolated(now, in):
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
	claims := ownership.Claims{}
	for address, epoch := range e.Resume.Claims {
		if !v.wanted(address) {
			continue
		}
		e.book.Remember(address, epoch)
		claimed := slices.ContainsFunc(v.in.view.Peers, func(p mesh.Peer) bool { _, ok := p.State.Claims[address]; return ok })
		if !claimed && !e.isMinority() {
			claims[address] = epoch
			e.take(address, taken{since: v.now, first: e.doubted[address]})
		}
	}
	e.setClaims(claims)
}

// take notes how this node got an address.
func (e *Engine) take(address netip.Addr, t taken) {
	e.taken[address] = t
	if t.first {
		e.asking[address] = t.since
	}
}

func (v *view) wanted(address netip.Addr) bool {
	_, wanted := v.book.Wants(address)
	return wanted
}

// doubt notes which addresses are not announced by those who own them, since foreign hosts
// use them. That outlasts the owner: the next one asks again before it announces one.
// Of several who claim one, the last of them counts, and this node most.
func (e *Engine) doubt(v *view) {
	unsure := maps.Clone(e.doubted)
	for i := range v.in.view.Peers {
		for _, address := range v.in.view.Peers[i].State.Held {
			unsure[address] = true
		}
	}
	maps.DeleteFunc(e.asking, func(_ netip.Addr, since time.Time) bool { return v.now.Sub(since) >= probing })
	held := v.in.held()
	for _, address := range append(slices.Collect(maps.Keys(e.asking)), held...) {
		unsure[address] = true
	}
	for address := range unsure {
		for i := range v.in.view.Peers {
			s := &v.in.view.Peers[i].State
			if _, claims := s.Claims[address]; claims {
				e.setDoubt(address, slices.Contains(s.Held, address))
			}
		}
		if _, claims := e.claims[address]; claims && e.running {
			_, asks := e.asking[address]
			e.setDoubt(address, asks || slices.Contains(held, address))
		}
	}
	maps.DeleteFunc(e.doubted, func(address netip.Addr, _ bool) bool { return !v.wanted(address) })
}

// setDoubt notes whether somebody who owns an address does not announce it.
func (e *Engine) setDoubt(address netip.Addr, is bool) {
	if is {
		e.doubted[address] = true
	} else {
		delete(e.doubted, address)
	}
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
	for _, m := range v.moved {
		switch {
		case m.To != "":
			delete(e.released, m.Address)
		case m.From != e.Self && v.lives[m.From]:
			e.released[m.Address] = v.now
		}
	}
	just := map[netip.Addr]bool{}
	for address, at := range e.released {
		candidates, _ := v.book.Wants(address)
		if len(candidates) == 0 || v.now.Sub(at) >= releasedFor {
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

// decision is what this node does from now on about what was looked at.
type decision struct {
	ownership.Output
	// served are those of Looked that it answers for.
	served map[netip.Addr]Owned
}

// decide returns what this node owns and answers for.
func (e *Engine) decide(v *view) decision {
	d := decision{served: map[netip.Addr]Owned{}}
	if v.phase == ownership.Isolated {
		e.minority.queries = map[netip.Addr]query{}
		clear(e.standoffs)
		e.coverNobody()
		d.Looked = e.everything()
		return d
	}
	for address := range e.minority.queries {
		e.book.Look(address)
	}
	for address := range e.standoffs {
		e.book.Look(address)
	}
	d.Output = e.book.Decide(v.terms)
	withheld := e.askFirst(v, &d)
	if v.phase == ownership.Restarting { // no other node answers for what is still probed
		maps.DeleteFunc(d.Own, func(a netip.Addr, _ ownership.Claim) bool { return !e.asking[a].IsZero() })
	}
	for address, claim := range d.Own {
		_, found := e.minority.found[address] // there is no need to probe it once more
		first := (claim.Cause == ownership.First || e.doubted[address]) && !found
		if claim.Cause == ownership.Kept {
			first = e.taken[address].first
		}
		on := slices.DeleteFunc(e.interfaces(v, address), func(l string) bool { return slices.Contains(withheld[address], l) })
		d.served[address] = Owned{Interfaces: on, First: first}
	}
	e.goOnCaring(v, &d)
	for address, node := range d.Care {
		if e.doubted[address] {
			continue
		}
		if o := e.care(v, node, address); len(o.Interfaces) > 0 {
			d.served[address] = o
		}
	}
	return d
}

// everything returns what this node owns or answers for, ordered.
func (e *Engine) everything() []netip.Addr {
	all := slices.AppendSeq(slices.Collect(maps.Keys(e.served)), maps.Keys(e.taken))
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// interfaces returns where this node announces what it owns. What it may not announce
// any more, and keeps until somebody has taken it, is announced nowhere new.
func (e *Engine) interfaces(v *view, address netip.Addr) []string {
	c, is := v.candidate(e.Self, address)
	on := interfaces(v.links, c, address, e.subnets.near(address))
	if before, served := e.served[address]; served && !is {
		on = slices.DeleteFunc(on, func(name string) bool { return !slices.Contains(before.Interfaces, name) })
	}
	return on
}

// goOnCaring keeps answering for nodes that restart when somebody else was chosen to,
// who may not have begun yet: both say the same; and until a node whose restart is over announces
// what it has. What a node that restarts has is looked at each time, and so is what it had.
func (e *Engine) goOnCaring(v *view, d *decision) {
	for address, holder := range e.caredFor {
		_, chosen := d.Care[address]
		switch _, taken := d.Own[address]; {
		case taken:
			delete(e.returned, address)
		case !chosen && (v.holds(holder, address) || e.awaits(address)):
			d.Care[address] = holder
		case !chosen && v.wanted(address) && v.book.Owner(address) == "":
			e.uncovered[address] = v.now
		}
	}
	e.caredFor = d.Care
}

// holds says whether a node that restarts has the address, and nobody better.
func (v *view) holds(node lb.NodeName, address netip.Addr) bool {
	if !v.wanted(address) || v.book.Owner(address) != node {
		return false
	}
	p := v.peer(node)
	return p != nil && p.State.Phase == ownership.Restarting
}

// peer returns another node's speaker; nil: there is none that is alive. Only a speaker that covers for
// others asks, so that the index is made when it is asked first.
func (v *view) peer(node lb.NodeName) *mesh.Peer {
	if v.peers == nil {
		v.peers = make(map[lb.NodeName]*mesh.Peer, len(v.in.view.Peers))
		for i := range v.in.view.Peers {
			v.peers[v.in.view.Peers[i].Node] = &v.in.view.Peers[i]
		}
	}
	return v.peers[node]
}

// candidate returns what a node may do with an address, and whether it is a candidate
// at all.
func (v *view) candidate(node lb.NodeName, address netip.Addr) (c *ownership.Candidate, is bool) {
	candidates, _ := v.book.Wants(address)
	for i := range candidates {
		if candidates[i].Node == node {
			return &candidates[i], true
		}
	}
	return &ownership.Candidate{Node: node}, false
}

// care returns how an address of a node that restarts is answered for: with its
// own hardware address, so that traffic goes on going there.
func (e *Engine) care(v *view, holder lb.NodeName, address netip.Addr) Owned {
	near := e.subnets.near(address)
	o := Owned{For: map[string]net.HardwareAddr{}, Returned: e.awaits(address)}
	var theirs []wire.Link
	if p := v.peer(holder); p != nil {
		c, _ := v.candidate(holder, address)
		for j := range p.State.Links {
			if usable(&p.State.Links[j], c, address, near) {
				theirs = append(theirs, p.State.Links[j])
			}
		}
	}
	c, _ := v.candidate(e.Self, address)
	for i := range v.links {
		if !usable(&v.links[i], c, address, near) {
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
