package ownership

import (
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// Decide returns which addresses the node of the index owns. It examines only addresses for which the
// decision can differ from the previous decision; with DecisionTerms.MoveOne it may examine all.
func (b *Index) Decide(t DecisionTerms) Output {
	// A map that was large stays slow to iterate over, so an empty one is replaced.
	looked := b.touched
	b.touched = map[netip.Addr]struct{}{}
	if len(b.open) == 0 {
		b.open = map[netip.Addr]*addressEntry{}
	}
	for address := range b.open {
		looked[address] = struct{}{}
	}
	d := ownershipDecision{Index: b, DecisionTerms: t, loads: slices.Clone(b.loads), share: b.fairShare(), out: Output{
		Looked: slices.SortedFunc(maps.Keys(looked), netip.Addr.Compare), Own: map[netip.Addr]Claim{}, Care: map[netip.Addr]lb.NodeName{},
	}}
	for _, address := range d.out.Looked {
		if e := b.entries[address]; e != nil && e.wanted {
			d.decideAddress(e)
		}
	}
	if t.MoveOne && !d.moving {
		d.moveOneAddress()
	}
	return d.out
}

// ownershipDecision is the state of one call of Decide.
type ownershipDecision struct {
	*Index
	DecisionTerms
	out    Output
	loads  []int // number of addresses of each node, including the decisions so far
	share  int
	moving bool // an address has no owner, or must get another one
	able   []election.Candidate
}

// candidates returns the nodes that can be given an address. The result is valid until the
// next call.
func (d *ownershipDecision) candidates(e *addressEntry) []election.Candidate {
	d.able = d.able[:0]
	if e.able == nil {
		return d.able
	}
	for j := range e.Candidates {
		c := &e.Candidates[j]
		i, lives := d.index[c.Node]
		if _, is := slices.BinarySearch(e.able.nodes, i); lives && is {
			preference := c.Preference
			if c.Requested && d.holderPhase(e) != Restarting {
				preference = math.MaxInt32
			}
			d.able = append(d.able, election.Candidate{Node: c.Node, Preference: preference, Load: d.loads[i]})
		}
	}
	return d.able
}

// holderPhase returns the phase of the node that has an address. If no node has it, it returns Isolated.
func (d *ownershipDecision) holderPhase(e *addressEntry) Phase {
	if !e.holder.exists() {
		return Isolated
	}
	return d.nodes[e.holder.node].Phase
}

func (d *ownershipDecision) decideAddress(e *addressEntry) {
	able := d.candidates(e)
	held := e.holder.exists()
	switch {
	case !held && d.Released[e.Address.Address]:
		d.expectOwner(e, able)
	case !held:
		d.assignOrphan(e, able)
	case d.nodes[e.holder.node].Phase == Restarting && (d.canBeCovered(e) || len(able) == 0):
		d.coverRestarting(e, able)
	case d.mayKeep(e) && d.movesToRequested(e):
		d.takeRequested(e)
	case d.mayKeep(e):
		d.keepAddress(e)
	default:
		d.handOver(e, able)
	}
}

// expectOwner counts a released address as an address of the node that would be elected. While an
// address moves to that node, the report of the old owner may arrive before the report of the new owner.
// In between, the address seems to have no owner.
func (d *ownershipDecision) expectOwner(e *addressEntry, able []election.Candidate) {
	if elected, ok := d.elect(e.Address.Address, able); ok {
		d.loads[d.index[elected]]++
	}
}

// assignOrphan gives an address without an owner to the elected node.
func (d *ownershipDecision) assignOrphan(e *addressEntry, able []election.Candidate) {
	elected, ok := d.elect(e.Address.Address, able)
	if !ok {
		return
	}
	d.moving = true
	d.loads[d.index[elected]]++
	if elected != d.self {
		d.reportUnclaimed(e, elected)
		return
	}
	cause := CauseFailure
	if e.epoch == 0 {
		cause = CauseFirst
	}
	epoch := e.epoch + 1
	if e.epoch >= MaxEpoch {
		epoch = 1
	}
	d.out.Own[e.Address.Address] = Claim{Epoch: epoch, Cause: cause}
}

// reportUnclaimed reports that another node was elected for the address.
func (d *ownershipDecision) reportUnclaimed(e *addressEntry, elected lb.NodeName) {
	d.out.Unclaimed = append(d.out.Unclaimed, UnclaimedAddress{Address: e.Address.Address, Elected: elected})
}

// elect chooses among the nodes that can be given an address. It leaves out nodes that were elected
// before and did not claim the address in time (DecisionTerms.Passed), unless there are no other nodes.
// It modifies the slice able.
func (d *ownershipDecision) elect(address netip.Addr, able []election.Candidate) (lb.NodeName, bool) {
	if d.Overdue[address] {
		able = d.withoutStarting(able)
	}
	if passed := d.Passed[address]; len(passed) > 0 {
		able = withoutSome(able, func(c election.Candidate) bool { return slices.Contains(passed, c.Node) })
	}
	return election.Choose(address, able, d.share)
}

// withoutStarting leaves out nodes whose speakers are starting, unless there are no other nodes.
func (d *ownershipDecision) withoutStarting(able []election.Candidate) []election.Candidate {
	return withoutSome(able, func(c election.Candidate) bool { return d.nodes[d.index[c.Node]].Phase == Starting })
}

// withoutSome removes the candidates that match a condition, unless all candidates match it.
func withoutSome(able []election.Candidate, some func(election.Candidate) bool) []election.Candidate {
	if !slices.ContainsFunc(able, func(c election.Candidate) bool { return !some(c) }) {
		return able
	}
	return slices.DeleteFunc(able, some)
}

// canBeCovered reports whether the holder of an address has a link for it. A node that covers for the holder
// answers with the hardware address of that link. The holder may lose its last such link while it
// restarts: when another node gets a link in the subnet of the address, or when the advertisement changes. A
// holder that is no candidate any more is covered as if no advertisement named links for it, until its restart is over.
func (d *ownershipDecision) canBeCovered(e *addressEntry) bool {
	n := &d.nodes[e.holder.node]
	c := e.candidateOf(n.Name)
	if c == nil {
		c = &Candidate{Node: n.Name}
	}
	return n.Able(c, e.Address.Address)
}

// coverRestarting makes one node cover for an owner that restarts: the first one in the order of
// election. It ignores how many addresses the nodes have.
func (d *ownershipDecision) coverRestarting(e *addressEntry, able []election.Candidate) {
	for i := range able {
		able[i].Load = 0
	}
	holder := d.nameOf(e.holder)
	if coverer, ok := election.Choose(e.Address.Address, able, 1); ok && coverer == d.self {
		d.out.Care[e.Address.Address] = holder
	}
	if holder == d.self {
		d.out.Own[e.Address.Address] = Claim{Epoch: e.holder.epoch}
	}
}

func (d *ownershipDecision) keepAddress(e *addressEntry) {
	if d.nameOf(e.holder) != d.self {
		return
	}
	d.out.Own[e.Address.Address] = Claim{Epoch: e.holder.epoch}
	if e.holder.contested {
		d.out.Contested = append(d.out.Contested, e.Address.Address)
	}
}

// takeRequested makes the requested node take an address from an owner that could keep it. The owner
// keeps the address until the requested node takes it, even if that takes long.
func (d *ownershipDecision) takeRequested(e *addressEntry) {
	address, to := e.Address.Address, &d.nodes[d.requestedNode(e)]
	_, had := to.Claims[address]
	switch {
	case to.Name != d.self || !to.Settled || d.Unripe[e.Address.Address] || e.epoch >= MaxEpoch:
		d.keepAddress(e)
	case had: // the holder took it from this node: it may have received a different request
		d.out.Yielded = append(d.out.Yielded, address)
	case !d.Hold[address]:
		d.out.Own[address] = Claim{Epoch: max(e.holder.epoch, e.epoch) + 1, Cause: CauseRequest}
	}
}

// isDisputed reports whether the owner of an address is another, active node which, according to the
// information of this node, must not own the address. The two nodes have then received different
// advertisements. There is no dispute with an owner that may use any interface. Such an owner took the
// address while no candidate had a link in the subnet of the address. It hands the address over as soon
// as a candidate has such a link.
func (d *ownershipDecision) isDisputed(e *addressEntry) bool {
	n := &d.nodes[e.holder.node]
	if n.Name == d.self || n.Phase != Active || e.canTake(n) {
		return false
	}
	c := e.candidateOf(n.Name)
	return c == nil || len(c.Interfaces) > 0 || c.RequireSubnet
}

// hasYielded reports whether this node has just lost a disputed address.
func (d *ownershipDecision) hasYielded(e *addressEntry) bool {
	_, had := d.nodes[d.index[d.self]].Claims[e.Address.Address]
	return had && d.isDisputed(e)
}

// handOver makes the elected node take an address from a holder that is alive but must not own the
// address, or that restarts and cannot be covered. The holder keeps it until the elected node takes it.
func (d *ownershipDecision) handOver(e *addressEntry, able []election.Candidate) {
	address := e.Address.Address
	elected, ok := d.elect(address, able)
	if !ok {
		// If no node can take the address, a draining holder keeps it.
		if n := &d.nodes[e.holder.node]; n.Phase != Isolated && e.canTake(n) {
			d.keepAddress(e)
		}
		return
	}
	d.moving = true
	d.loads[d.index[elected]]++
	d.loads[e.holder.node]--
	switch {
	// There is no higher epoch for a new owner: the holder must stop claiming the address first.
	case e.epoch >= MaxEpoch && (elected == d.self || d.nameOf(e.holder) == d.self):
	case elected == d.self && d.hasYielded(e):
		d.out.Yielded = append(d.out.Yielded, address)
	case elected == d.self && d.Hold[address] && d.isDisputed(e):
	case elected == d.self:
		d.out.Own[address] = Claim{Epoch: max(e.holder.epoch, e.epoch) + 1, Cause: CauseHandOver}
	case d.nameOf(e.holder) == d.self:
		d.keepAddress(e)
	default:
		d.reportUnclaimed(e, elected)
	}
}
