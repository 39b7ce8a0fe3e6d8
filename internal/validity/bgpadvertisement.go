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

// BGPAdvertisements returns the result for each advertisement, by name.
func BGPAdvertisements(o *Objects) map[string]Result {
	in, wrong := newBGPInput(o)
	results := in.check()
	for name, err := range wrong {
		results[name] = Result{Reason: err.Reason, Message: err.Error() + ": correct it; until then speakers announce by its last valid values, and speakers that start announce nothing by it"}
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
		read, _ := apiconv.ParsePool(&o.Pools[i]) // the addresses of a pool count even if other fields are invalid
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

// bgpInput is what the results of valid BGPAdvertisements depend on.
type bgpInput struct {
	// ads are those whose own fields are valid.
	ads   []routes.Advertisement
	pools []eligibility.Pool
	// listed are the addresses that each pool lists, including those that it does not give.
	listed map[lb.PoolName][]lb.Range
	// peers are all BGPPeers; an invalid one is nil.
	peers map[bgp.PeerName]*bgp.Peer
	nodes []eligibility.Node
	// services are the labels of Services and of their namespaces.
	services []eligibility.Service
}

// check returns the result for each of in.ads, by name.
func (in *bgpInput) check() map[string]Result {
	results := map[string]Result{}
	for i := range in.ads {
		ad := &in.ads[i]
		v := in.unknownReferences(ad)
		if v.Reason == "" {
			v = in.tooWideAggregate(ad)
		}
		if v.Reason == "" {
			v = in.localPrefConflict(ad)
		}
		if v.Reason == "" {
			v = Result{Ready: true, Reason: v1beta1.ReasonAdvertisementValid, Message: "the advertisement is in effect"}
			if ignored := in.ignoredAttributes(ad); ignored != "" {
				v.Reason = v1beta1.ReasonAttributeIgnored
				v.Message += "; " + ignored
			}
			v.Message += in.overhangWarning(ad)
		}
		results[ad.Name] = v
	}
	return results
}

// unknownReferences returns a result with a reason if the advertisement names pools or peers that do not exist,
// or its selectors select nothing.
func (in *bgpInput) unknownReferences(ad *routes.Advertisement) Result {
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
		return Result{Reason: v1beta1.ReasonUnknownPeer, Message: missingObjects("spec.peers", "BGPPeer", peers)}
	}
	return Result{}
}

// ignoredAttributes returns a sentence if none of the peers of an advertisement gets one of its attributes;
// empty: each attribute goes to some peer. LOCAL_PREF is sent only to routers of the own autonomous
// system, and the own ASN is only in the AS_PATH for others (RFC 4271 sections 5.1.5 and 5.1.2).
func (in *bgpInput) ignoredAttributes(ad *routes.Advertisement) string {
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
		what = "spec.localPref has no effect: routers of other autonomous systems get no LOCAL_PREF, and all peers of the advertisement are such: %s: remove it, or use med, asPathPrepend or communities"
	case ad.Attributes.Prepend > 0 && all(true):
		what = "spec.asPathPrepend has no effect: routers of the own autonomous system get an empty AS_PATH, and all peers of the advertisement are such: %s: remove it, or use localPref or med"
	default:
		return ""
	}
	return fmt.Sprintf(what, eligibility.Enumerate("BGPPeer", names))
}

// overhangWarning returns a warning, to append to the message, if the advertisement announces aggregates with
// addresses that no Service may have; empty: it does not.
func (in *bgpInput) overhangWarning(ad *routes.Advertisement) string {
	for i := range in.pools {
		p := &in.pools[i]
		if !ad.CoversPool(p.Name, p) {
			continue
		}
		if prefix, is := ad.AggregatePrefix(lb.Subtract(p.Listed, p.Excluded)); is {
			return fmt.Sprintf(
				"; packets to addresses of an aggregate, such as %s, that no Service has circle between routers and nodes unless the nodes drop them: see \"Packets that no Service takes\" in docs/routing.md", prefix)
		}
	}
	return ""
}

// tooWideAggregate returns a result with a reason if aggregates of a pool's addresses would contain addresses
// that the pool does not list. The planner of the speakers decides by the same ranges.
func (in *bgpInput) tooWideAggregate(ad *routes.Advertisement) Result {
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
				"%s %d makes %s of addresses of the pool %q, which does not list all of that: such addresses are announced as single routes: set a longer length, or add the rest to the pool",
				field, prefix.Bits(), prefix, p.Name)}
		}
	}
	return Result{}
}

// localPrefConflict returns a result with a reason if another advertisement sets a different localPref for
// routes that both announce. Such routes get the highest value. The message names the advertisement
// with the highest value.
func (in *bgpInput) localPrefConflict(ad *routes.Advertisement) Result {
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
		"spec.localPref is %d, and that of the BGPAdvertisement %q, which is about some of the same routes, is %d: such routes have %d; set both to the same",
		mine, worst.Name, theirs, max(mine, theirs))}
}

// localPrefsDiffer reports whether two advertisements set different values of localPref for routes that both
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

// sharesRoute reports whether both announce the addresses of a pool as prefixes of one length.
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
