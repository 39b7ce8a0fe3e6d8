package reports

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// maxEpoch bounds the epochs that count. An epoch grows by one with each change of the owner;
// what is beyond is no count of anything, and would outrank every true one for ever.
const maxEpoch = 1 << 40

// Trust limits what counts of reports. A speaker can be wrong, or its node taken over.
type Trust struct {
	// Now is the time of the reader.
	Now time.Time
	// Exists reports whether the cluster has a node.
	Exists func(lb.NodeName) bool
	// MayAnnounce reports whether a node may announce an address, whatever its state.
	MayAnnounce func(lb.NodeName, netip.Addr) bool
	// Claimed reports whether an address is claimed: nobody probes for another one.
	Claimed func(netip.Addr) bool
}

// Trusted returns of the reports what counts: those of nodes that exist, and in them what is
// plausible and about addresses that the node may announce. The reports stay as they are.
func (t Trust) Trusted(list []Report) []Report {
	var trusted []Report
	for _, r := range list {
		if !t.Exists(r.Node) {
			continue
		}
		r = r.Plausible(t.Now)
		r.Owned = slices.DeleteFunc(r.Owned, func(o Owned) bool { return !t.MayAnnounce(r.Node, o.Address) })
		r.Foreign = slices.DeleteFunc(r.Foreign, func(f Foreign) bool { return !t.Claimed(f.Address) || !t.MayAnnounce(r.Node, f.Address) })
		trusted = append(trusted, r)
	}
	return trusted
}

// Plausible returns the report as far as it can be true at a time: what is reported to be since a
// later time is since now, and an address with an epoch out of bounds is left out. The lists
// of addresses are copies.
func (r Report) Plausible(now time.Time) Report {
	r.Owned = slices.DeleteFunc(slices.Clone(r.Owned), func(o Owned) bool { return o.Epoch < 0 || o.Epoch > maxEpoch })
	for i := range r.Owned {
		r.Owned[i].Since = earlier(r.Owned[i].Since, now)
	}
	r.Foreign = slices.Clone(r.Foreign)
	for i := range r.Foreign {
		r.Foreign[i].Since = earlier(r.Foreign[i].Since, now)
	}
	return r
}

// PlausibleRoutes returns routes as far as they can be true at a time: none is since later.
func PlausibleRoutes(list []Route, now time.Time) []Route {
	list = slices.Clone(list)
	for i := range list {
		list[i].Since = earlier(list[i].Since, now)
	}
	return list
}

func earlier(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
