// Package ownership decides what a node owns, from what the cluster wants, which
// nodes live, and what they claim. Every node decides for itself; those that see
// the same decide the same, and where they do not, the claims settle it: of
// several claims for an address the highest epoch counts.
//
// An address stays with its owner as long as that one may own it. See
// docs/design/speaker.md for the rules.
package ownership

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// Phase is what a node's speaker is doing as a whole.
type Phase uint8

// The phases. The numbers are part of the protocol between speakers.
const (
	// Starting: it does not know yet what it owns.
	Starting Phase = iota
	// Active: it owns addresses, and may get more.
	Active
	// Draining: it owns addresses until others have taken them over.
	Draining
	// Restarting: it will be back in a moment and keeps what it owns; its node goes
	// on forwarding, and others answer for it.
	Restarting
	// Isolated: it has lost all others at once and is silent.
	Isolated
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case Starting:
		return "Starting"
	case Active:
		return "Active"
	case Draining:
		return "Draining"
	case Restarting:
		return "Restarting"
	case Isolated:
		return "Isolated"
	}
	return "unknown"
}

// Epoch numbers the owners of an address, one after the other. 0 means that it
// never had one.
type Epoch uint64

// Claims are the addresses that a node says it owns. They are never changed.
type Claims map[netip.Addr]Epoch

// Address is one that the cluster wants announced.
type Address struct {
	// Address to announce.
	Address netip.Addr
	// Candidates may own it, ordered by node. Addresses may share the slice.
	Candidates []Candidate
}

// Candidate is a node that may own an address.
type Candidate struct {
	// Node is its name.
	Node lb.NodeName
	// Interfaces to announce on there, in order; none means all that do not lead
	// to the node's own pods.
	Interfaces []string
	// RequireSubnet: only on interfaces of a subnet that the address is in.
	RequireSubnet bool
	// Preference is how much the node is preferred: those with the highest come
	// first.
	Preference int32
}

// Node is a node whose speaker is alive, or will be back in a moment.
type Node struct {
	// Name of the node.
	Name lb.NodeName
	// Phase of its speaker.
	Phase Phase
	// Drained: the cluster wants the node to hand over what it owns.
	Drained bool
	// Settled: it has been alive for long enough to be given what others have.
	Settled bool
	// Claims of the node.
	Claims Claims
	// Able says whether the node has a link to announce an address on.
	Able func(*Candidate, netip.Addr) bool
}

// takes says whether the node may be given addresses.
func (n *Node) takes() bool { return n.Phase == Active && !n.Drained }

// Input is all that a decision depends on.
type Input struct {
	// Self is the node that decides.
	Self lb.NodeName
	// Addresses that are wanted, ordered.
	Addresses []Address
	// Nodes that live, this one included, ordered by name.
	Nodes []Node
	// Epochs are the highest ever seen of the wanted addresses.
	Epochs map[netip.Addr]Epoch
	// Passed says how many nodes in a row were elected for an address and have not
	// claimed it in time.
	Passed map[netip.Addr]int
	// Released are addresses that a living node has just let go: it knows by now that
	// they are not wanted, or will say what it knows in a moment. Nobody takes them.
	Released map[netip.Addr]bool
	// MoveOne allows one address to move although nothing failed.
	MoveOne bool
	// Hold are addresses about which this node and their owner know different things
	// about the cluster: they are not taken from one that lives.
	Hold map[netip.Addr]bool
}

// Cause says why a node takes an address.
type Cause uint8

// The causes.
const (
	// Kept: it had it already.
	Kept Cause = iota
	// First: nobody ever had it.
	First
	// Failure: its owner is dead, or has let it go.
	Failure
	// HandOver: its owner lives and may not own it any more.
	HandOver
	// Failback: a better place for it.
	Failback
)

// String is the value of the label in metrics.
func (c Cause) String() string {
	return [...]string{"kept", "first", "failure", "handover", "failback"}[c]
}

// Claim is an address that this node owns.
type Claim struct {
	// Epoch of the ownership.
	Epoch Epoch
	// Cause of it, if it is new.
	Cause Cause
}

// Output is what a node decided.
type Output struct {
	// Own are the addresses that it owns.
	Own map[netip.Addr]Claim
	// Care are addresses of nodes that restart, and that this one answers for.
	Care map[netip.Addr]lb.NodeName
	// Unclaimed are wanted addresses that somebody else was elected for, and that
	// nobody has claimed yet.
	Unclaimed []netip.Addr
	// Contested are addresses that this node owns and another one claims as well.
	Contested []netip.Addr
	// Yielded are addresses that a node that lives took from this one, although it may
	// not own them as far as is known here: one of the two knows something old, and
	// that is no reason for a war.
	Yielded []netip.Addr
}

// holder is who has an address: the best of its claims.
type holder struct {
	node      int // index in Nodes
	epoch     Epoch
	contested bool
}

// Decide returns what Self owns.
func Decide(in Input) Output {
	d := decision{Input: in, out: Output{Own: map[netip.Addr]Claim{}, Care: map[netip.Addr]lb.NodeName{}}}
	d.prepare()
	for i := range in.Addresses {
		d.address(&in.Addresses[i])
	}
	if in.MoveOne && !d.moving {
		d.moveOne()
	}
	return d.out
}

// decision is one in the making.
type decision struct {
	Input
	out     Output
	index   map[lb.NodeName]int
	holders map[netip.Addr]holder
	loads   []int
	share   int
	moving  bool // something has no owner, or must get another one
	able    []election.Candidate
}

func (d *decision) prepare() {
	d.index = make(map[lb.NodeName]int, len(d.Nodes))
	d.holders = make(map[netip.Addr]holder, len(d.Addresses))
	d.loads = make([]int, len(d.Nodes))
	for i := range d.Nodes {
		d.index[d.Nodes[i].Name] = i
		for address, epoch := range d.Nodes[i].Claims {
			h, claimed := d.holders[address]
			if !claimed || better(address, d.Nodes[i].Name, epoch, d.Nodes[h.node].Name, h.epoch) {
				h.node, h.epoch = i, epoch
			}
			h.contested = claimed
			d.holders[address] = h
		}
	}
	takers := make([]bool, len(d.Nodes))
	wanted := 0
	for i := range d.Addresses {
		a := &d.Addresses[i]
		able := d.candidates(a)
		for _, c := range able {
			takers[d.index[c.Node]] = true
		}
		h, held := d.holders[a.Address]
		if held {
			d.loads[h.node]++
		}
		if held || len(able) > 0 {
			wanted++
		}
	}
	nodes := 0
	for _, t := range takers {
		if t {
			nodes++
		}
	}
	d.share = election.Share(wanted, nodes)
}

// Owners returns who has what, of all that say so.
func Owners(nodes []Node) map[netip.Addr]lb.NodeName {
	owners, epochs := map[netip.Addr]lb.NodeName{}, map[netip.Addr]Epoch{}
	for i := range nodes {
		for address, epoch := range nodes[i].Claims {
			if best, claimed := owners[address]; !claimed || better(address, nodes[i].Name, epoch, best, epochs[address]) {
				owners[address], epochs[address] = nodes[i].Name, epoch
			}
		}
	}
	return owners
}

// better says whether a claim of a node counts more than the best one so far.
func better(address netip.Addr, node lb.NodeName, epoch Epoch, best lb.NodeName, of Epoch) bool {
	if epoch != of {
		return epoch > of
	}
	return election.Before(address, node, best)
}

// counts says whether a node may be given an address. Those that start together share
// what nobody ever had.
func (d *decision) counts(a *Address, n *Node) bool {
	return n.takes() || n.Phase == Starting && !n.Drained && d.Epochs[a.Address] == 0
}

// candidates returns who is able to own an address. What it returns is good until
// it is called again.
func (d *decision) candidates(a *Address) []election.Candidate {
	d.able = d.able[:0]
	for j := range a.Candidates {
		c := &a.Candidates[j]
		i, lives := d.index[c.Node]
		if !lives || !d.counts(a, &d.Nodes[i]) || !d.Nodes[i].Able(c, a.Address) {
			continue
		}
		d.able = append(d.able, election.Candidate{Node: c.Node, Preference: c.Preference, Load: d.loads[i]})
	}
	return d.able
}

func (d *decision) address(a *Address) {
	able := d.candidates(a)
	h, held := d.holders[a.Address]
	switch {
	case !held && d.Released[a.Address]:
		d.expect(a, able)
	case !held:
		d.orphan(a, able)
	case d.Nodes[h.node].Phase == Restarting:
		d.restarting(a, able, h)
	case d.mayKeep(a, h):
		d.keep(a, h)
	default:
		d.handOver(a, able, h)
	}
}

// expect counts an address that was let go for the one who will have it: on its way from
// one node to another it has no owner for those who hear the old one first.
func (d *decision) expect(a *Address, able []election.Candidate) {
	if elected, ok := d.elect(a.Address, able); ok {
		d.loads[d.index[elected]]++
	}
}

// orphan gives an address that nobody has to the elected one.
func (d *decision) orphan(a *Address, able []election.Candidate) {
	elected, ok := d.elect(a.Address, able)
	if !ok {
		return
	}
	d.moving = true
	d.loads[d.index[elected]]++
	if elected != d.Self {
		d.out.Unclaimed = append(d.out.Unclaimed, a.Address)
		return
	}
	cause := Failure
	if d.Epochs[a.Address] == 0 {
		cause = First
	}
	d.out.Own[a.Address] = Claim{Epoch: d.Epochs[a.Address] + 1, Cause: cause}
}

// elect chooses among those who are able. When one who was elected did not act in
// time, the next ones in order are asked in turn.
func (d *decision) elect(address netip.Addr, able []election.Candidate) (lb.NodeName, bool) {
	elected, ok := election.Choose(address, able, d.share)
	for range min(d.Passed[address], len(able)-1) {
		for i := range able {
			if able[i].Node == elected {
				able[i], able = able[len(able)-1], able[:len(able)-1]
				break
			}
		}
		elected, ok = election.Choose(address, able, d.share)
	}
	return elected, ok
}

// restarting has the first in order answer for a node that will be back.
func (d *decision) restarting(a *Address, able []election.Candidate, h holder) {
	for i := range able {
		able[i].Load = 0
	}
	if carer, ok := election.Choose(a.Address, able, 1); ok && carer == d.Self {
		d.out.Care[a.Address] = d.Nodes[h.node].Name
	}
	if d.Nodes[h.node].Name == d.Self {
		d.out.Own[a.Address] = Claim{Epoch: h.epoch}
	}
}

// mayKeep says whether a holder may own what it has.
func (d *decision) mayKeep(a *Address, h holder) bool {
	n := &d.Nodes[h.node]
	return n.takes() && d.can(a, n)
}

// can says whether a node is a candidate with a link for the address.
func (d *decision) can(a *Address, n *Node) bool {
	for j := range a.Candidates {
		if c := &a.Candidates[j]; c.Node == n.Name {
			return n.Able(c, a.Address)
		}
	}
	return false
}

func (d *decision) keep(a *Address, h holder) {
	if d.Nodes[h.node].Name != d.Self {
		return
	}
	d.out.Own[a.Address] = Claim{Epoch: h.epoch}
	if h.contested {
		d.out.Contested = append(d.out.Contested, a.Address)
	}
}

// disputed says whether another node has an address and thinks that it may.
func (d *decision) disputed(a *Address, h holder) bool {
	n := &d.Nodes[h.node]
	return n.Name != d.Self && n.Phase == Active && !d.can(a, n)
}

// yields says whether this node has just lost an address about which there is a
// dispute.
func (d *decision) yields(a *Address, h holder) bool {
	_, had := d.Nodes[d.index[d.Self]].Claims[a.Address]
	return had && d.disputed(a, h)
}

// handOver has the elected one take an address from a holder that lives and may
// not own it; until then that one keeps it, if it can.
func (d *decision) handOver(a *Address, able []election.Candidate, h holder) {
	elected, ok := d.elect(a.Address, able)
	if !ok {
		// Nobody can take it: to be drained is no reason to drop it.
		if n := &d.Nodes[h.node]; n.Phase != Isolated && d.can(a, n) {
			d.keep(a, h)
		}
		return
	}
	d.moving = true
	d.loads[d.index[elected]]++
	d.loads[h.node]--
	switch {
	case elected == d.Self && d.yields(a, h):
		d.out.Yielded = append(d.out.Yielded, a.Address)
	case elected == d.Self && d.Hold[a.Address] && d.disputed(a, h):
	case elected == d.Self:
		d.out.Own[a.Address] = Claim{Epoch: max(h.epoch, d.Epochs[a.Address]) + 1, Cause: HandOver}
	case d.Nodes[h.node].Name == d.Self:
		d.keep(a, h)
	default:
		d.out.Unclaimed = append(d.out.Unclaimed, a.Address)
	}
}
