package layer2

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/ownership"
)

// addressChanges are the changes of wanted addresses since the last round.
type addressChanges struct {
	whole  bool // the map wanted is complete: no other address is wanted any more
	wanted map[netip.Addr]wantedChange
}

// wantedChange is whether an address is wanted now, and the candidates that may own it.
type wantedChange struct {
	wanted     bool
	candidates []Candidate
}

// setWanted replaces what is wanted.
func (in *inbox) setWanted(s Snapshot) {
	in.addresses = addressChanges{whole: true}
	in.changeWanted(Change{Snapshot: s})
}

// changeWanted adds a change to the earlier changes. If two changes are about the same address, the later
// one counts.
func (in *inbox) changeWanted(c Change) {
	if in.addresses.wanted == nil {
		in.addresses.wanted = make(map[netip.Addr]wantedChange, len(c.Addresses)+len(c.Gone))
	}
	for _, address := range c.Gone {
		in.addresses.wanted[address] = wantedChange{}
	}
	for _, a := range c.Addresses {
		in.addresses.wanted[a.Address] = wantedChange{true, a.Candidates}
	}
	c.Addresses = nil
	in.want = &c.Snapshot
}

// apply applies the changes to the index of owners.
func (n addressChanges) apply(owners *ownership.Index) {
	if n.whole {
		for _, a := range owners.WantedAddresses() {
			if _, mentioned := n.wanted[a.Address]; !mentioned {
				owners.Unwant(a.Address)
			}
		}
	}
	for address, w := range n.wanted {
		candidates, was := owners.WantedCandidates(address)
		switch {
		case !w.wanted:
			owners.Unwant(address)
		case !was || !equalCandidates(candidates, w.candidates):
			owners.Want(AnnouncedAddress{Address: address, Candidates: w.candidates})
		}
	}
}

func equalCandidates(x, y []Candidate) bool {
	if len(x) > 0 && len(x) == len(y) && &x[0] == &y[0] {
		return true
	}
	return slices.EqualFunc(x, y, func(x, y Candidate) bool {
		return x.Node == y.Node && x.RequireSubnet == y.RequireSubnet && x.Preference == y.Preference && x.Requested == y.Requested && slices.Equal(x.Interfaces, y.Interfaces)
	})
}
