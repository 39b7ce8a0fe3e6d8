package layer2

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Report is what the engine did, for the node's status.
type Report struct {
	// Phase of the speaker: Active, Draining or Isolated.
	Phase string
	// Owned addresses, ordered.
	Owned []OwnedSince
	// Links that this node can announce on, ordered by name. Those that lead to
	// its own pods are there only if an advertisement names them.
	Links []Link
	// Live speakers, this one included.
	Live int
	// Missing are nodes, by name, whose speakers should be there and are not heard.
	Missing []lb.NodeName
	// Lost are nodes, by name, whose speakers are heard over connections only.
	Lost []lb.NodeName
	// MinoritySince is when the speaker came to receive from at most half of the speakers that
	// should be there, in full seconds; zero: it receives from more.
	MinoritySince time.Time
	// Alone: it is in a minority, and the API server calls all nodes NotReady whose speakers are
	// missing.
	Alone bool
	// Unreached are nodes, by name, whose speakers this one receives from, and that receive nothing
	// from it, if it is silent because of that.
	Unreached []lb.NodeName
	// Silent are links, by name, on which no host answers, so that nothing is announced there in a
	// minority.
	Silent []string
	// InUse is what this node does not take in a minority since hosts answer for it.
	InUse InUse
	// Conceded is what this node has or takes, and does not announce in the majority, since nodes
	// whose speakers were never received from answer for it, or hosts that may be such nodes.
	Conceded InUse
	// Partitioned: the controller reports that it is cut from a larger group.
	Partitioned bool
	// Covered are nodes, by name, that do not announce what they have, so that this one answers for
	// them.
	Covered []Covered
	// Conflicts are addresses that foreign hosts use as well, ordered.
	Conflicts []Conflict
	// Unserved are links, ordered by name, that nothing can be announced on although they
	// are there.
	Unserved []Unserved
	// Problems of the snapshot.
	Problems []string
	// Standby and Unselected of the snapshot.
	Standby    string
	Unselected bool
}

// maxUses is how many addresses InUse lists.
const maxUses = 3

// InUse are addresses that hosts answer for: how many, and the first of them in order.
type InUse struct {
	Count int
	First []Use
}

// Use is a host that answers for an address.
type Use struct {
	Address netip.Addr
	// Interface that it answers on, and its hardware address.
	Interface string
	Hardware  net.HardwareAddr
	// Node that has the hardware address; empty: it is that of no node whose speaker is missed.
	Node lb.NodeName
}

// OwnedSince is an owned address and since when.
type OwnedSince struct {
	Owned
	// Address that is owned.
	Address netip.Addr
	// Since when the node has owned it.
	Since time.Time
	// Epoch of the ownership.
	Epoch uint64
}

// tellReport reports, if there is something new to say.
func (e *Engine) tellReport(v *view) {
	r := e.reportOf(v)
	if e.said.report != nil && reflect.DeepEqual(*e.said.report, r) {
		return
	}
	e.said.report = &r
	e.Report(r)
}

func (e *Engine) reportOf(v *view) Report {
	r := Report{Phase: v.phase.String(), Owned: e.said.owned, Live: 1 + len(v.in.view.Peers), Unserved: v.in.unserved, Problems: v.in.want.Problems,
		Conceded: e.conceded(v), Partitioned: v.partitioned, Covered: e.covered(v.now), Standby: v.in.want.Standby, Unselected: v.in.want.Unselected}
	if e.inMinority() {
		r.MinoritySince, r.Alone = second(e.minority.since), alone(*v.in.view, v.in.want.Down)
		r.Silent, r.InUse = e.silent(v.now, v.in), e.inUse(v)
	}
	if e.inMinority() && unheard(*v.in.view) {
		r.Unreached = v.in.view.Unreached
	}
	if v.phase == ownership.Restarting {
		r.Phase = ownership.Active.String()
	}
	for _, m := range v.in.view.Missing {
		r.Missing = append(r.Missing, m.Node)
	}
	for i := range v.in.view.Peers {
		if p := &v.in.view.Peers[i]; p.Lost {
			r.Lost = append(r.Lost, p.Node)
		}
	}
	for _, c := range v.in.conflicts {
		if _, owned := e.claims[c.Address]; owned {
			r.Conflicts = append(r.Conflicts, c)
		}
	}
	r.Silent = slices.DeleteFunc(r.Silent, func(name string) bool {
		return !slices.ContainsFunc(v.in.able(), func(l Link) bool { return l.Name == name && announces(l, v.in.want.Interfaces) })
	})
	for _, link := range v.in.able() {
		if announces(link, v.in.want.Interfaces) {
			r.Links = append(r.Links, link)
		}
	}
	return r
}

// announces returns whether this node announces on a link: one that leads to its own pods is used
// only if an advertisement names it.
func announces(l Link, named []string) bool {
	return !l.Internal || slices.Contains(named, l.Name)
}

// noteOwned brings the list of what this node owns up to date about some addresses, which
// are ordered. A list that was reported is never changed.
func (e *Engine) noteOwned(about []netip.Addr) {
	before := e.said.owned
	now := make([]OwnedSince, 0, len(before)+len(about))
	for _, address := range about {
		at, listed := slices.BinarySearchFunc(before, address, func(o OwnedSince, a netip.Addr) int { return o.Address.Compare(a) })
		now = append(now, before[:at]...)
		if before = before[at:]; listed {
			before = before[1:]
		}
		if epoch, owned := e.claims[address]; owned {
			now = append(now, OwnedSince{Owned: e.served[address], Address: address, Since: e.taken[address].since, Epoch: uint64(epoch)})
		}
	}
	if e.said.owned = append(now, before...); len(e.said.owned) == 0 {
		e.said.owned = nil // as when nothing was ever owned
	}
}
