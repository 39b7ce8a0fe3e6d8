package advertise

import (
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// CoversPool says whether the advertisement is about addresses of the pool of that
// name. One that is gone, nil, can be named still, but has no labels to select.
func (s *Scope) CoversPool(name lb.PoolName, pool *Pool) bool {
	all := len(s.Pools)+len(s.PoolSelectors) == 0
	return all || slices.Contains(s.Pools, name) || (pool != nil && s.SelectsPool(pool.Labels))
}

// SelectsPool says whether one of the PoolSelectors selects a pool with these labels.
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

// CoversNode says whether a node with these labels may announce by the
// advertisement.
func (s *Scope) CoversNode(labels map[string]string) bool {
	return len(s.NodeSelectors) == 0 || anyMatches(s.NodeSelectors, labels)
}

func anyMatches(selectors []Selector, labels map[string]string) bool {
	return slices.ContainsFunc(selectors, func(s Selector) bool { return s(labels) })
}

// Served says whether traffic of the family to what these Services show goes
// anywhere at all.
func Served(holders []*Service, family lb.Family) bool {
	return slices.ContainsFunc(holders, func(s *Service) bool { return s.Endpoints[family].Serving > 0 })
}

// ServedAt says whether traffic of the family to what these Services show, if it
// goes anywhere, may come in at the node: all that serve only where it does have an
// endpoint there.
func ServedAt(holders []*Service, family lb.Family, node lb.NodeName) bool {
	return !slices.ContainsFunc(holders, func(s *Service) bool { return s.restricts(family) && !s.Endpoints[family].Nodes[node] })
}

// restricts says whether the traffic of the Service is served only on the nodes
// that it reaches. One without any endpoint restricts nothing: it has no traffic
// that could be served elsewhere.
func (s *Service) restricts(family lb.Family) bool { return s.Local && s.Endpoints[family].Serving > 0 }

// localTo returns the holders whose traffic is served only on the nodes that it
// reaches.
func localTo(holders []*Service, family lb.Family) []localHolder {
	var local []localHolder
	for _, s := range holders {
		if s.restricts(family) {
			local = append(local, localHolder{s.Key, s.Endpoints[family].Nodes})
		}
	}
	return local
}

// localHolder is a Service that is served only on these nodes.
type localHolder struct {
	key   lb.ServiceKey
	nodes map[lb.NodeName]bool
}

func servesAll(local []localHolder, node lb.NodeName) bool {
	return !slices.ContainsFunc(local, func(h localHolder) bool { return !h.nodes[node] })
}
