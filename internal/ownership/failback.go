package ownership

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
)

// moveOneAddress moves the lowest address for which a settled node (Node.Settled) is better than the
// owner. A better node has a higher preference, or the same preference and at least two addresses fewer.
// All nodes with the same information find the same address and node; only that node takes the address.
func (d *ownershipDecision) moveOneAddress() {
	for _, e := range d.inOrder() {
		if !e.holder.exists() || !d.mayKeep(e) || d.movesToRequested(e) {
			continue
		}
		to, ok := election.Choose(e.Address.Address, d.betterNodes(e), 0)
		if !ok {
			continue
		}
		if to == d.self && e.epoch < MaxEpoch {
			d.out.Own[e.Address.Address] = Claim{Epoch: max(e.holder.epoch, e.epoch) + 1, Cause: CauseFailback}
			d.noteLooked(e)
		}
		return
	}
}

// betterNodes returns the settled nodes that are better for an address than its owner.
func (d *ownershipDecision) betterNodes(e *addressEntry) []election.Candidate {
	able := d.candidates(e)
	var now election.Candidate
	for _, c := range able {
		if c.Node == d.nameOf(e.holder) {
			now = c
		}
	}
	better := able[:0]
	for _, c := range able {
		more := c.Preference > now.Preference || c.Preference == now.Preference && c.Load+2 <= now.Load
		if more && d.nodes[d.index[c.Node]].Settled {
			better = append(better, c)
		}
	}
	return better
}

// noteLooked adds an address to Output.Looked.
func (d *ownershipDecision) noteLooked(e *addressEntry) {
	at, was := slices.BinarySearchFunc(d.out.Looked, e.Address.Address, netip.Addr.Compare)
	if !was {
		d.out.Looked = slices.Insert(d.out.Looked, at, e.Address.Address)
	}
}
