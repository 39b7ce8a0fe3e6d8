package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/internal/validity"
)

// maxConflicts is the largest number of conflicts of a pool that a plan lists.
const maxConflicts = 8

// Problem is an object that is not, or not fully, in effect after a change. It can also be a pool that no
// longer exists although its addresses are in use.
type Problem struct {
	// Kind and Name are the kind and the name of the object.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Before means that the problem exists before the change.
	Before bool `json:"before,omitempty"`
	// Reason and Message are those of the condition Ready of the object after the change. If the object
	// belongs to the stack, Message names the field of the stack in place of the field of the object.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Stack is the reason that the condition Ready of the stack gets because of this problem; empty if the
	// problem does not affect this condition.
	Stack string `json:"stack,omitempty"`
	// Services are the Services that have addresses of the pool, if the object is a pool. They keep these
	// addresses.
	Services []string `json:"services,omitempty"`
}

// String returns a line for people.
func (p Problem) String() string {
	verb := "becomes"
	if p.Before {
		verb = "stays"
	}
	text := fmt.Sprintf("%s %s %s %s", p.Kind, p.Name, verb, p.Reason)
	if p.Stack != "" {
		text += ", and the stack " + p.Stack
	}
	text += ": " + p.Message
	if len(p.Services) > 0 {
		text += "; Services with addresses of this pool: " + strings.Join(p.Services, ", ")
	}
	return text
}

// resultsByName are the validation results of objects of one kind, by name.
type resultsByName map[string]validity.Result

// readyKinds are the kinds that have a condition Ready, the most important ones first. The field stack is the
// reason of the condition Ready of the stack if an object of this kind in the stack is not Ready.
var readyKinds = []struct{ kind, stack string }{
	{"IPAddressPool", v1beta1.ReasonPoolNotReady},
	{"BGPPeer", v1beta1.ReasonPeerNotReady}, {"BFDProfile", v1beta1.ReasonPeerNotReady},
	{"L2Advertisement", v1beta1.ReasonAdvertisementNotReady}, {"BGPAdvertisement", v1beta1.ReasonAdvertisementNotReady},
	{"Community", v1beta1.ReasonAdvertisementNotReady},
}

// addProblems finds the objects that are not in effect after a change.
func (c *Changes) addProblems(before, after *Snapshot) {
	old, now := before.notInEffect(), after.notInEffect()
	holders := after.holdersByPool()
	for _, k := range readyKinds {
		for _, name := range slices.Sorted(maps.Keys(now[k.kind])) {
			r := now[k.kind][name]
			p := Problem{Kind: k.kind, Name: name, Reason: r.Reason, Message: r.Message, Before: old[k.kind][name] == r}
			field, path := manifests.FieldInSentence(after.Stack.Spec, k.kind, name, r.Message)
			if path != "" && field != "" {
				p.Message = strings.Replace(p.Message, field, path, 1)
			}
			if path != "" && !r.Ready {
				p.Stack = k.stack
			}
			if k.kind == "IPAddressPool" {
				p.Services = holders[lb.PoolName(name)]
			}
			c.Problems = append(c.Problems, p)
		}
	}
	c.Problems = append(c.Problems, after.orphanedPools(before)...)
	slices.SortStableFunc(c.Problems, func(x, y Problem) int { return cmp.Compare(problemWeight(x), problemWeight(y)) })
}

// problemWeight sorts new problems before those that exist before the change.
func problemWeight(p Problem) int {
	if p.Before {
		return 1
	}
	return 0
}

// notInEffect returns the validation results of objects that are not, or not fully, in effect, by kind and
// name.
func (s *Snapshot) notInEffect() map[string]resultsByName {
	o := s.validityObjects()
	found := map[string]resultsByName{"IPAddressPool": s.poolResults(o), "BFDProfile": {}}
	for i := range s.BFDProfiles {
		found["BFDProfile"][s.BFDProfiles[i].Name] = validity.BFDProfileResult(&s.BFDProfiles[i])
	}
	found["BGPPeer"], found["Community"] = validity.BGPPeerResults(o), validity.CommunityResults(s.Communities)
	found["L2Advertisement"], found["BGPAdvertisement"] = validity.L2AdvertisementResults(o), validity.BGPAdvertisementResults(o)
	good := []string{
		"", v1beta1.ReasonPoolReady, v1beta1.ReasonDraining, v1beta1.ReasonProfileValid, v1beta1.ReasonCommunityValid, v1beta1.ReasonAdvertisementValid,
	}
	for _, of := range found {
		maps.DeleteFunc(of, func(_ string, r validity.Result) bool { return slices.Contains(good, r.Reason) })
	}
	return found
}

// validityObjects returns the objects that validity depends on.
func (s *Snapshot) validityObjects() *validity.Objects {
	o := &validity.Objects{
		Pools: s.Pools, L2Advertisements: s.L2Advertisements, BGPAdvertisements: s.BGPAdvertisements, Communities: s.Communities,
		Peers: s.Peers, Profiles: s.BFDProfiles, States: s.States,
	}
	policy := apiconv.ParseDrainPolicy(s.Stack)
	for i := range s.Nodes {
		o.Nodes = append(o.Nodes, apiconv.ParseNode(&s.Nodes[i], policy))
	}
	for i := range s.Services {
		o.Services = append(o.Services, eligibility.Service{Labels: s.Services[i].Labels, NamespaceLabels: s.NamespaceLabels[s.Services[i].Namespace]})
	}
	return o
}

// poolResults returns the validation results of all pools, whether they are in effect or not.
func (s *Snapshot) poolResults(o *validity.Objects) resultsByName {
	found := resultsByName{}
	_, pools := s.allocatorPools()
	network := validity.NewNetwork(o)
	for i := range s.Pools {
		p := apiconv.AdvertisedPool(&s.Pools[i])
		v := pools[p.Name].WithSubnetWarning(network.UnreachedFamilies(&p))
		r := validity.Result{Ready: v.IsReady(), Reason: v.Reason, Message: v.Message}
		var conflicts []string
		for _, conflict := range v.Conflicts {
			if conflict.As == "" {
				conflicts = append(conflicts, conflict.String())
			}
		}
		if len(conflicts) > 0 {
			r.Message += ": " + bounded.List(conflicts, maxConflicts, "; ")
		}
		found[s.Pools[i].Name] = r
	}
	return found
}

// holdersByPool returns the Services that have addresses of each pool.
func (s *Snapshot) holdersByPool() map[lb.PoolName][]string {
	all := map[lb.PoolName][]string{}
	for i := range s.Claims {
		for _, h := range s.Claims[i].Spec.Holders {
			pool := lb.PoolName(s.Claims[i].Spec.Pool)
			if name := apiconv.HolderKey(h).String(); !slices.Contains(all[pool], name) {
				all[pool] = append(all[pool], name)
			}
		}
	}
	for _, names := range all {
		slices.Sort(names)
	}
	return all
}

// orphanedPools returns a problem for each pool that does not exist while addresses of it are in use.
func (s *Snapshot) orphanedPools(before *Snapshot) (list []Problem) {
	holders := s.holdersByPool()
	exists := func(s *Snapshot, name lb.PoolName) bool {
		return slices.ContainsFunc(s.Pools, func(p v1beta1.IPAddressPool) bool { return p.Name == string(name) })
	}
	for _, name := range slices.Sorted(maps.Keys(holders)) {
		if !exists(s, name) {
			list = append(list, Problem{
				Kind: "IPAddressPool", Name: string(name), Before: !exists(before, name), Reason: "NotFound", Stack: v1beta1.ReasonAddressesWithoutPool,
				Message: "addresses of this pool are in use, and their Services keep them: keep the pool (with spec.state Draining if it is to give no further addresses), or give these Services other addresses", Services: holders[name],
			})
		}
	}
	return list
}
