package reports

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// maxEpoch is the highest epoch that is plausible. An epoch grows by one with each change of the owner,
// so no true epoch gets that high. A false epoch would take precedence over every true one for ever.
const maxEpoch = 1 << 40

// TrustRules decides which parts of reports to use: a speaker can be wrong, or its node compromised.
type TrustRules struct {
	// Now is the present time of the caller.
	Now time.Time
	// Exists reports whether the cluster has a node.
	Exists func(lb.NodeName) bool
	// MayAnnounce reports whether advertisements allow that a node announces an address. It does not
	// matter whether the node can do so at present.
	MayAnnounce func(lb.NodeName, netip.Addr) bool
	// Claimed reports whether an address has an IPAddressClaim. Speakers probe only claimed addresses, so
	// a report of a foreign host at any other address is not plausible.
	Claimed func(netip.Addr) bool
}

// TrustedParts returns the parts of the reports that can be trusted. It leaves out the reports of nodes
// that do not exist, parts that are not plausible, and parts about addresses that the node must not
// announce. The given reports are not changed.
func (t TrustRules) TrustedParts(list []Report) []Report {
	var trusted []Report
	for _, r := range list {
		if !t.Exists(r.Node) {
			continue
		}
		r = r.PlausibleParts(t.Now)
		r.Owned = slices.DeleteFunc(r.Owned, func(o OwnedAddress) bool { return !t.MayAnnounce(r.Node, o.Address) })
		r.Foreign = slices.DeleteFunc(r.Foreign, func(f ForeignHost) bool { return !t.Claimed(f.Address) || !t.MayAnnounce(r.Node, f.Address) })
		trusted = append(trusted, r)
	}
	return trusted
}

// PlausibleParts returns the report without parts that cannot be true: it replaces times after now by
// now, and leaves out addresses with an epoch below 0 or above maxEpoch. The lists of addresses are
// copies.
func (r Report) PlausibleParts(now time.Time) Report {
	r.Owned = slices.DeleteFunc(slices.Clone(r.Owned), func(o OwnedAddress) bool { return o.Epoch < 0 || o.Epoch > maxEpoch })
	for i := range r.Owned {
		r.Owned[i].Since = earlierTime(r.Owned[i].Since, now)
	}
	r.Foreign = slices.Clone(r.Foreign)
	for i := range r.Foreign {
		r.Foreign[i].Since = earlierTime(r.Foreign[i].Since, now)
	}
	return r
}

// PlausibleRoutes returns the routes with times after now replaced by now.
func PlausibleRoutes(list []Route, now time.Time) []Route {
	list = slices.Clone(list)
	for i := range list {
		list[i].Since = earlierTime(list[i].Since, now)
	}
	return list
}

func earlierTime(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
