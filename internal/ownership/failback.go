package ownership

import (
	"github.com/lbstack/lbstack/internal/election"
)

// moveOne moves the first address, in order, that has a better place: a node that
// is preferred more, or as much and owns at least two less than the one that has
// it. All nodes find the same one; the receiver takes it.
func (d *decision) moveOne() {
	for i := range d.Addresses {
		a := &d.Addresses[i]
		h, held := d.holders[a.Address]
		if !held || !d.mayKeep(a, h) {
			continue
		}
		able := d.candidates(a)
		var now election.Candidate
		for _, c := range able {
			if c.Node == d.Nodes[h.node].Name {
				now = c
			}
		}
		better := able[:0]
		for _, c := range able {
			more := c.Preference > now.Preference || c.Preference == now.Preference && c.Load+2 <= now.Load
			if more && d.Nodes[d.index[c.Node]].Settled {
				better = append(better, c)
			}
		}
		to, ok := election.Choose(a.Address, better, 0)
		if !ok {
			continue
		}
		if to == d.Self {
			d.out.Own[a.Address] = Claim{Epoch: max(h.epoch, d.Epochs[a.Address]) + 1, Cause: Failback}
		}
		return
	}
}
