package eligibility

import (
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// CoversPool reports whether the advertisement is about addresses of the pool of that
// name. One that is gone, nil, can be named still, but has no labels to select.
func (s *Scope) CoversPool(name lb.PoolName, pool *Pool) bool {
	all := len(s.Pools)+len(s.PoolSelectors) == 0
	return all || slices.Contains(s.Pools, name) || (pool != nil && s.SelectsPool(pool.Labels))
}

// SelectsPool reports whether one of the PoolSelectors selects a pool with these labels.
func (s *Scope) SelectsPool(labels map[string]string) bool {
	return anyMatches(s.PoolSelectors, labels)
}

// SelectsServices reports whether the advertisement is about some Services only.
func (s *Scope) SelectsServices() bool { return len(s.ServiceSelectors)+len(s.NamespaceSelectors) > 0 }

// CoversHolders reports whether the advertisement is about addresses that these Services
// hold, in the order of the claim. The first one decides, which has had the address longest: a
// Service that joins it neither widens nor ends where the address is announced.
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

// CoversNode reports whether a node with these labels may announce by the
// advertisement.
func (s *Scope) CoversNode(labels map[string]string) bool {
	return len(s.NodeSelectors) == 0 || anyMatches(s.NodeSelectors, labels)
}

func anyMatches(selectors []Selector, labels map[string]string) bool {
	return slices.ContainsFunc(selectors, func(s Selector) bool { return s(labels) })
}

// Served reports whether traffic of the family to what these Services show goes
// anywhere at all.
func Served(holders []*Service, family lb.Family) bool {
	return slices.ContainsFunc(holders, func(s *Service) bool { return s.Endpoints[family].Serving > 0 })
}

// ServedAt reports whether traffic of the family to what these Services show, if it
// goes anywhere, may come in at the node.
func ServedAt(holders []*Service, family lb.Family, node lb.NodeName) bool {
	return localTo(holders, family).serves(node)
}

// localTo returns the Service that restricts where an address of the family is announced
// that these Services hold, in the order of the claim; nil: none does. Of those with
// endpoints the first one decides, which has had the address longest: a Service that joins
// it, or changes afterwards, takes the address of no other off a node.
func localTo(holders []*Service, family lb.Family) *localHolder {
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

// localHolder is a Service that is served only on these nodes.
type localHolder struct {
	key   lb.ServiceKey
	nodes map[lb.NodeName]bool
}

// serves reports whether the node may have the traffic; nil: every node may.
func (h *localHolder) serves(node lb.NodeName) bool { return h == nil || h.nodes[node] }
