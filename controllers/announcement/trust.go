package announcement

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// trustRules decides which nodes are trusted when they report that they announce an address. These are the
// nodes that an advertisement of the address's pool selects. Services, endpoints and taints make no
// difference: they change while an address moves, and the speakers act on such a change a little later.
// Reports are checked because a speaker can be faulty, or its node compromised.
type trustRules struct {
	layer2, bgp []eligibility.Scope
	pools       map[lb.PoolName]*eligibility.Pool
	labels      map[lb.NodeName]map[string]string // labels of the nodes that exist and report
}

// readTrustRules reads the objects that decide which nodes are trusted to announce these addresses.
func (r *Reconciler) readTrustRules(ctx context.Context, held []eligibility.Address) (*trustRules, error) {
	t := &trustRules{pools: map[lb.PoolName]*eligibility.Pool{}, labels: map[lb.NodeName]map[string]string{}}
	for _, a := range held {
		for _, name := range r.Reports.ReportingNodes(a.Address) {
			if _, known := t.labels[name]; known {
				continue
			}
			var node corev1.Node
			err := r.Client.Get(ctx, client.ObjectKey{Name: string(name)}, &node)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reading the node %s: %w", name, err)
			}
			t.labels[name] = node.Labels
		}
	}
	if len(t.labels) == 0 {
		return t, nil
	}
	return t, r.addScopes(ctx, t)
}

func (r *Reconciler) addScopes(ctx context.Context, t *trustRules) error {
	var layer2 v1beta1.L2AdvertisementList
	var bgp v1beta1.BGPAdvertisementList
	var communities v1beta1.CommunityList
	var pools v1beta1.IPAddressPoolList
	for _, list := range []client.ObjectList{&layer2, &bgp, &communities, &pools} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing the advertisements, Communities and IPAddressPools: %w", err)
		}
	}
	for i := range layer2.Items { // speakers ignore an invalid advertisement
		if ad, err := apiconv.ParseAdvertisement(&layer2.Items[i]); err == nil {
			t.layer2 = append(t.layer2, ad.Scope)
		}
	}
	aliases, _ := apiconv.ParseCommunities(communities.Items)
	for i := range bgp.Items {
		t.bgp = append(t.bgp, apiconv.BGPAdvertisementScope(&bgp.Items[i], aliases))
	}
	for i := range pools.Items {
		t.pools[lb.PoolName(pools.Items[i].Name)] = &eligibility.Pool{Name: lb.PoolName(pools.Items[i].Name), Labels: pools.Items[i].Labels}
	}
	return nil
}

// trustedNodes returns the nodes that are trusted to announce addresses of a pool.
func (t *trustRules) trustedNodes(pool lb.PoolName) TrustedNodes {
	among := func(scopes []eligibility.Scope) func(lb.NodeName) bool {
		return func(node lb.NodeName) bool {
			labels, exists := t.labels[node]
			return exists && slices.ContainsFunc(scopes, func(s eligibility.Scope) bool { return s.CoversPool(pool, t.pools[pool]) && s.CoversNode(labels) })
		}
	}
	return TrustedNodes{layer2: among(t.layer2), bgp: among(t.bgp)}
}
