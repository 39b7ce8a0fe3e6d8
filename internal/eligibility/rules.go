package eligibility

import (
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// CoversPool reports whether the advertisement selects addresses of a pool. pool is nil if
// the pool was deleted: the advertisement can still name it, but not select it by label.
func (s *Scope) CoversPool(name lb.PoolName, pool *Pool) bool {
	all := len(s.Pools)+len(s.PoolSelectors) == 0
	return all || slices.Contains(s.Pools, name) || (pool != nil && s.SelectsPool(pool.Labels))
}

// SelectsPool reports whether one of the PoolSelectors selects a pool with these labels.
func (s *Scope) SelectsPool(labels map[string]string) bool {
	return anyMatches(s.PoolSelectors, labels)
}

// SelectsServices reports whether the advertisement is restricted to some Services.
func (s *Scope) SelectsServices() bool { return len(s.ServiceSelectors)+len(s.NamespaceSelectors) > 0 }

// CoversHolders reports whether the advertisement selects an address that these Services hold,
// in the order of the claim. The first Service decides, since it has had the address longest. So a
// Service that joins later does not change where the address is announced.
func (s *Scope) CoversHolders(holders []*Service) bool {
	if !s.SelectsServices() {
		return true
	}
	return len(holders) > 0 && s.coversService(holders[0])
}

func (s *Scope) coversService(holder *Service) bool {
	return (len(s.ServiceSelectors) == 0 || anyMatches(s.ServiceSelectors, holder.Labels)) &&
		(len(s.NamespaceSelectors) == 0 || anyMatches(s.NamespaceSelectors, holder.NamespaceLabels))
}

// CoversNode reports whether the advertisement selects a node with these labels.
func (s *Scope) CoversNode(labels map[string]string) bool {
	return len(s.NodeSelectors) == 0 || anyMatches(s.NodeSelectors, labels)
}

func anyMatches(selectors []Selector, labels map[string]string) bool {
	return slices.ContainsFunc(selectors, func(s Selector) bool { return s(labels) })
}

// HasServingEndpoint reports whether at least one of these Services has an endpoint of the family.
func HasServingEndpoint(holders []*Service, family lb.Family) bool {
	return slices.ContainsFunc(holders, func(s *Service) bool { return s.Endpoints[family].Serving > 0 })
}

// IsServedAt reports whether the node may receive traffic to an address of the family that these
// Services share. It does not check whether there are endpoints at all, see HasServingEndpoint.
func IsServedAt(holders []*Service, family lb.Family, node lb.NodeName) bool {
	return localHolderOf(holders, family).serves(node)
}

// localHolderOf returns the Service with externalTrafficPolicy Local whose endpoints restrict the nodes
// that may announce an address of the family; nil: there is no restriction. The holders are in the
// order of the claim. The first holder with endpoints decides, since it has had the address longest.
// So a Service that joins or changes later cannot take the address away from a node.
func localHolderOf(holders []*Service, family lb.Family) *localHolder {
	for _, s := range holders {
		if e := s.Endpoints[family]; e.Serving > 0 {
			if !s.Local {
				return nil
			}
			return &localHolder{s.Key, e.Nodes}
		}
	}
	return nil
}

// localHolder is a Service with externalTrafficPolicy Local, and the nodes with its
// endpoints.
type localHolder struct {
	key   lb.ServiceKey
	nodes map[lb.NodeName]bool
}

// serves reports whether the node may receive the traffic. If the localHolder is nil, every node may.
func (h *localHolder) serves(node lb.NodeName) bool { return h == nil || h.nodes[node] }
