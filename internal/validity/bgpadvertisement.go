package validity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// BGPAdvertisementResults returns the result for each advertisement, by name.
func BGPAdvertisementResults(o *Objects) map[string]Result {
	in, wrong := newBGPInput(o)
	results := in.check()
	for name, err := range wrong {
		results[name] = Result{Reason: err.Reason, Message: err.Error() + ": correct the field; until then running speakers use the last valid values, and speakers that start ignore the advertisement"}
	}
	return results
}

// newBGPInput returns the input of check, and the errors of invalid advertisements by name.
func newBGPInput(o *Objects) (*bgpInput, map[string]*apiconv.SpecError) {
	in := &bgpInput{peers: map[bgp.PeerName]*bgp.Peer{}, listed: map[lb.PoolName][]lb.Range{}, nodes: o.Nodes, services: o.Services}
	aliases, _ := apiconv.ParseCommunities(o.Communities)
	wrong := map[string]*apiconv.SpecError{}
	for i := range o.BGPAdvertisements {
		object := &o.BGPAdvertisements[i]
		if ad, err := apiconv.ParseBGPAdvertisement(object, aliases); err != nil {
			wrong[object.Name] = err
		} else {
			in.ads = append(in.ads, ad)
		}
	}
	for i := range o.Pools {
		read, _ := apiconv.ParsePool(&o.Pools[i]) // the addresses of a pool are used even if other fields are invalid
		in.pools = append(in.pools, apiconv.AdvertisedPool(&o.Pools[i]))
		in.listed[read.Name] = read.Listed
	}
	for i := range o.Peers {
		name := bgp.PeerName(o.Peers[i].Name)
		in.peers[name] = nil
		if peer, err := apiconv.ParseBGPPeer(&o.Peers[i]); err == nil {
			in.peers[name] = &peer.Peer
		}
	}
	return in, wrong
}

// bgpInput has the objects on which the results of valid BGPAdvertisements depend.
type bgpInput struct {
	// ads are the advertisements whose own fields are valid.
	ads   []routes.Advertisement
	pools []eligibility.Pool
	// listed has the ranges that each pool lists, including ranges that the pool does not give.
	listed map[lb.PoolName][]lb.Range
	// peers has all BGPPeers; the entry of an invalid BGPPeer is nil.
	peers map[bgp.PeerName]*bgp.Peer
	nodes []eligibility.Node
	// services have the labels of Services and of their namespaces.
	services []eligibility.Service
}

// check returns the result for each advertisement in in.ads, by name.
func (in *bgpInput) check() map[string]Result {
	results := map[string]Result{}
	for i := range in.ads {
		ad := &in.ads[i]
		v := in.checkReferences(ad)
		if v.Reason == "" {
			v = in.checkAggregates(ad)
		}
		if v.Reason == "" {
			v = in.checkLocalPref(ad)
		}
		if v.Reason == "" {
			v = Result{Ready: true, Reason: v1beta1.ReasonAdvertisementValid, Message: "the advertisement is in effect"}
			if ignored := in.ignoredAttributesMessage(ad); ignored != "" {
				v.Reason = v1beta1.ReasonAttributeIgnored
				v.Message += "; " + ignored
			}
			v.Message += in.overhangWarning(ad)
		}
		results[ad.Name] = v
	}
	return results
}

// checkReferences returns a result with a reason if the advertisement names pools or peers that do not
// exist, or if one of its selectors selects no object.
func (in *bgpInput) checkReferences(ad *routes.Advertisement) Result {
	if v := checkScope(&ad.Scope, in.pools, in.nodes); v.Reason != "" {
		return v
	}
	var peers []string
	for _, name := range ad.Peers {
		if _, exists := in.peers[name]; !exists {
			peers = append(peers, string(name))
		}
	}
	if len(peers) > 0 {
		return Result{Reason: v1beta1.ReasonUnknownPeer, Message: missingObjectsMessage("spec.peers", "BGPPeer", peers)}
	}
	return Result{}
}

// ignoredAttributesMessage returns a sentence if an attribute of the advertisement is sent to none of
// its peers; empty: each attribute is sent to at least one peer. LOCAL_PREF is sent only to routers in
// the autonomous system of the nodes (RFC 4271 section 5.1.5). Only routers in other autonomous systems
// get an AS_PATH with the ASN of the nodes (section 5.1.2).
func (in *bgpInput) ignoredAttributesMessage(ad *routes.Advertisement) string {
	names := ad.Peers
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(in.peers))
	}
	all := func(internal bool) bool {
		return len(names) > 0 && !slices.ContainsFunc(names, func(name bgp.PeerName) bool { return in.peers[name] == nil || in.peers[name].IsInternal() != internal })
	}
	var what string
	switch {
	case ad.Attributes.LocalPref.Set && all(false):
		what = "spec.localPref has no effect: all peers of the advertisement (%s) are in other autonomous systems, to which LOCAL_PREF is not sent; remove the field, or use med, asPathPrepend or communities"
	case ad.Attributes.Prepend > 0 && all(true):
		what = "spec.asPathPrepend has no effect: all peers of the advertisement (%s) are in the same autonomous system as the nodes, and get an empty AS_PATH; remove the field, or use localPref or med"
	default:
		return ""
	}
	return fmt.Sprintf(what, eligibility.Enumerate("BGPPeer", names))
}

// overhangWarning returns a warning for the end of the message if the advertisement announces an
// aggregate, in which some addresses may have no Service; empty: it announces no aggregate.
func (in *bgpInput) overhangWarning(ad *routes.Advertisement) string {
	for i := range in.pools {
		p := &in.pools[i]
		if !ad.CoversPool(p.Name, p) {
			continue
		}
		if prefix, is := ad.AggregatePrefix(lb.Subtract(p.Listed, p.Excluded)); is {
			return fmt.Sprintf(
				"; packets to unused addresses of an aggregate such as %s loop between routers and nodes unless the nodes drop them: see \"Packets that no Service takes\" in docs/routing.md", prefix)
		}
	}
	return ""
}

// checkAggregates returns a result with a reason if an aggregate for a pool would contain addresses that the
// pool does not list. The route planner of the speakers uses the same ranges.
func (in *bgpInput) checkAggregates(ad *routes.Advertisement) Result {
	for i := range in.pools {
		p := &in.pools[i]
		if !ad.CoversPool(p.Name, p) {
			continue
		}
		if prefix, over := ad.OverhangingPrefix(lb.Subtract(p.Listed, p.Excluded)); over {
			field := "spec.aggregationLength"
			if prefix.Addr().Is6() {
				field += "V6"
			}
			return Result{Reason: v1beta1.ReasonAggregateTooWide, Message: fmt.Sprintf(
				"%s is %d, but the pool %[4]q does not list all addresses of the aggregate %[3]s. The pool's addresses in this aggregate are announced as single routes. Set a longer length, or add the missing addresses to the pool",
				field, prefix.Bits(), prefix, p.Name)}
		}
	}
	return Result{}
}

// checkLocalPref returns a result with a reason if another advertisement sets a different localPref for a
// route that both announce. Such a route gets the highest value. If there are several such advertisements,
// the message names the one with the highest value.
func (in *bgpInput) checkLocalPref(ad *routes.Advertisement) Result {
	var worst *routes.Advertisement
	for i := range in.ads {
		other := &in.ads[i]
		if other.Name == ad.Name || !in.localPrefsDiffer(ad, other) {
			continue
		}
		if worst == nil || cmp.Or(-cmp.Compare(other.Attributes.LocalPref.Value, worst.Attributes.LocalPref.Value), cmp.Compare(other.Name, worst.Name)) < 0 {
			worst = other
		}
	}
	if worst == nil {
		return Result{}
	}
	mine, theirs := ad.Attributes.LocalPref.Value, worst.Attributes.LocalPref.Value
	return Result{Reason: v1beta1.ReasonLocalPrefConflict, Message: fmt.Sprintf(
		"spec.localPref is %d, but the BGPAdvertisement %q sets localPref to %d for some of the same routes: these routes get %d; set both fields to the same value",
		mine, worst.Name, theirs, max(mine, theirs))}
}

// localPrefsDiffer reports whether two advertisements set different values of localPref for a route that both
// announce.
func (in *bgpInput) localPrefsDiffer(x, y *routes.Advertisement) bool {
	p, q := x.Attributes.LocalPref, y.Attributes.LocalPref
	return p.Set && q.Set && p.Value != q.Value && x.SharesPeer(y) && in.sharesNode(x, y) && in.sharesService(x, y) && in.sharesRoute(x, y)
}

func (in *bgpInput) sharesNode(x, y *routes.Advertisement) bool {
	return slices.ContainsFunc(in.nodes, func(n eligibility.Node) bool { return x.CoversNode(n.Labels) && y.CoversNode(n.Labels) })
}

func (in *bgpInput) sharesService(x, y *routes.Advertisement) bool {
	if !x.SelectsServices() && !y.SelectsServices() {
		return true
	}
	return slices.ContainsFunc(in.services, func(s eligibility.Service) bool {
		holder := []*eligibility.Service{&s}
		return x.CoversHolders(holder) && y.CoversHolders(holder)
	})
}

// sharesRoute reports whether both advertisements announce addresses of the same pool with the same prefix
// length.
func (in *bgpInput) sharesRoute(x, y *routes.Advertisement) bool {
	for i := range in.pools {
		p := &in.pools[i]
		if !x.CoversPool(p.Name, p) || !y.CoversPool(p.Name, p) {
			continue
		}
		if slices.ContainsFunc(in.listed[p.Name], func(r lb.Range) bool { return x.SharesLength(y, r.Family()) }) {
			return true
		}
	}
	return false
}
