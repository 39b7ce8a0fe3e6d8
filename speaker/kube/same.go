package kube

import (
	"maps"
	"slices"

	"github.com/lbstack/lbstack/speaker"
)

// same says whether two snapshots say the same. Lists of candidates that
// addresses share are compared once.
func same(x, y speaker.Snapshot) bool {
	if !maps.Equal(x.Draining, y.Draining) || !maps.Equal(x.Down, y.Down) || !slices.Equal(x.Problems, y.Problems) || !slices.Equal(x.Interfaces, y.Interfaces) {
		return false
	}
	known := map[[2]*speaker.Candidate]bool{}
	return slices.EqualFunc(x.Addresses, y.Addresses, func(a, b speaker.Announced) bool {
		return a.Address == b.Address && sameCandidates(a.Candidates, b.Candidates, known)
	})
}

func sameCandidates(x, y []speaker.Candidate, known map[[2]*speaker.Candidate]bool) bool {
	if len(x) != len(y) {
		return false
	}
	if len(x) == 0 {
		return true
	}
	pair := [2]*speaker.Candidate{&x[0], &y[0]}
	equal, compared := known[pair]
	if !compared {
		equal = slices.EqualFunc(x, y, sameCandidate)
		known[pair] = equal
	}
	return equal
}

func sameCandidate(x, y speaker.Candidate) bool {
	return x.Node == y.Node && x.RequireSubnet == y.RequireSubnet && x.Preference == y.Preference && slices.Equal(x.Interfaces, y.Interfaces)
}
