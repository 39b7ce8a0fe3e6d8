package inspect

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// itemEdits has a function for each item of a list of a stack, by the name of the item. The function changes
// the object with this name in the same way as the operator does.
type itemEdits[T any] map[v1beta1.ObjectName]func(*T)

// latestCreation is the creation time of objects that do not exist yet. It is later than the creation times
// of all existing objects.
var latestCreation = metav1.NewTime(time.Unix(1<<33, 0))

// withStack returns the snapshot after a stack has been applied in place of the current one. An item with the name of an object
// that does not belong to the current stack is an error: the operator would change nothing.
func (s *Snapshot) withStack(to *v1beta1.LoadBalancerStack) (*Snapshot, error) {
	from := &v1beta1.LoadBalancerStack{}
	if s.Stack != nil {
		from = s.Stack
	}
	after := *s
	after.Stack = to
	var foreign []string
	after.Pools = replaceItems("IPAddressPool", s.Pools, func(o *v1beta1.IPAddressPool) *metav1.ObjectMeta { return &o.ObjectMeta }, poolEdits(from, true), poolEdits(to, false), &foreign)
	after.L2Advertisements = replaceItems("L2Advertisement", s.L2Advertisements, func(o *v1beta1.L2Advertisement) *metav1.ObjectMeta { return &o.ObjectMeta }, l2Edits(from), l2Edits(to), &foreign)
	after.BGPAdvertisements = replaceItems("BGPAdvertisement", s.BGPAdvertisements, func(o *v1beta1.BGPAdvertisement) *metav1.ObjectMeta { return &o.ObjectMeta }, bgpEdits(from), bgpEdits(to), &foreign)
	after.Peers = replaceItems("BGPPeer", s.Peers, func(o *v1beta1.BGPPeer) *metav1.ObjectMeta { return &o.ObjectMeta }, peerEdits(from), peerEdits(to), &foreign)
	after.BFDProfiles = replaceItems("BFDProfile", s.BFDProfiles, func(o *v1beta1.BFDProfile) *metav1.ObjectMeta { return &o.ObjectMeta }, profileEdits(from), profileEdits(to), &foreign)
	after.Communities = replaceItems("Community", s.Communities, func(o *v1beta1.Community) *metav1.ObjectMeta { return &o.ObjectMeta }, communityEdits(from), communityEdits(to), &foreign)
	if len(foreign) > 0 {
		return nil, fmt.Errorf("the stack would not be Ready (ObjectNotOurs), and nothing would change: %s exists and does not belong to the stack: give the item another name, or delete the object", foreign[0])
	}
	return &after, nil
}

// replaceItems returns the objects of a kind after the items of a stack (from) have been replaced by those of
// another (to). Objects that neither stack has do not belong to the stack, and stay. If the second stack has
// an item for an existing object, but the first stack does not, the object is added to foreign.
func replaceItems[T any](kind string, have []T, meta func(*T) *metav1.ObjectMeta, from, to itemEdits[T], foreign *[]string) []T {
	all, seen := make([]T, 0, len(have)), map[v1beta1.ObjectName]bool{}
	for i := range have {
		object := have[i]
		name := v1beta1.ObjectName(meta(&object).Name)
		undo, ours := from[name]
		edit, stays := to[name]
		seen[name] = true
		switch {
		case stays && !ours:
			*foreign = append(*foreign, kind+" "+string(name))
		case ours && !stays:
			continue
		case stays:
			undo(&object)
			edit(&object)
		}
		all = append(all, object)
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if !seen[name] {
			var object T
			meta(&object).Name, meta(&object).CreationTimestamp = string(name), latestCreation
			to[name](&object)
			all = append(all, object)
		}
	}
	return all
}

// poolEdits returns edits that set the spec and the labels of pools. With undo they remove the labels that the stack has set,
// and no others.
func poolEdits(stack *v1beta1.LoadBalancerStack, undo bool) itemEdits[v1beta1.IPAddressPool] {
	all := itemEdits[v1beta1.IPAddressPool]{}
	for _, item := range stack.Spec.IPAddressPools {
		all[item.Name] = func(p *v1beta1.IPAddressPool) {
			labels := map[string]string{}
			maps.Copy(labels, p.Labels)
			for key, value := range item.Labels {
				if labels[key] = value; undo {
					delete(labels, key)
				}
			}
			p.Labels, p.Spec = labels, item.IPAddressPoolSpec
		}
	}
	return all
}

func l2Edits(stack *v1beta1.LoadBalancerStack) itemEdits[v1beta1.L2Advertisement] {
	all := itemEdits[v1beta1.L2Advertisement]{}
	for _, item := range stack.Spec.L2Advertisements {
		all[item.Name] = func(a *v1beta1.L2Advertisement) { a.Spec = item.L2AdvertisementSpec }
	}
	return all
}

func bgpEdits(stack *v1beta1.LoadBalancerStack) itemEdits[v1beta1.BGPAdvertisement] {
	all := itemEdits[v1beta1.BGPAdvertisement]{}
	for _, item := range stack.Spec.BGPAdvertisements {
		all[item.Name] = func(a *v1beta1.BGPAdvertisement) { a.Spec = item.BGPAdvertisementSpec }
	}
	return all
}

func peerEdits(stack *v1beta1.LoadBalancerStack) itemEdits[v1beta1.BGPPeer] {
	all := itemEdits[v1beta1.BGPPeer]{}
	for _, item := range stack.Spec.BGPPeers {
		all[item.Name] = func(p *v1beta1.BGPPeer) { p.Spec = item.BGPPeerSpec }
	}
	return all
}

func communityEdits(stack *v1beta1.LoadBalancerStack) itemEdits[v1beta1.Community] {
	all := itemEdits[v1beta1.Community]{}
	for _, item := range stack.Spec.Communities {
		all[item.Name] = func(c *v1beta1.Community) { c.Spec = item.CommunitySpec }
	}
	return all
}

func profileEdits(stack *v1beta1.LoadBalancerStack) itemEdits[v1beta1.BFDProfile] {
	all := itemEdits[v1beta1.BFDProfile]{}
	for _, item := range stack.Spec.BFDProfiles {
		all[item.Name] = func(p *v1beta1.BFDProfile) { p.Spec = item.BFDProfileSpec }
	}
	return all
}
