package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/internal/routes"
)

// Changes are the changes that applying a stack would cause.
type Changes struct {
	// OnHold is why the operator makes none of the changes now, and until when; empty if it makes them.
	OnHold string `json:"held,omitempty"`
	// Problems are objects that are not in effect after the change. Problems that exist before the change come last.
	Problems []Problem `json:"problems,omitempty"`
	// Services are the Services whose addresses change, sorted by name.
	Services []ServiceChange `json:"services,omitempty"`
	// Announcements are the changes for addresses that Services have both before and after the change. They
	// also include new addresses that no node may announce. They are sorted by address.
	Announcements []AnnouncementChange `json:"announcements,omitempty"`
	// Sessions are the sessions with routers that begin, end or begin anew, sorted by peer.
	Sessions []SessionChange `json:"sessions,omitempty"`
	// Items are the items that change in one of the plannedLists, sorted by list and name. Their effect is in
	// the fields above, as far as it can be planned.
	Items []ItemChange `json:"items,omitempty"`
	// Rollouts are the other fields of the spec that change, each as a phrase with the effect of its change.
	Rollouts []string `json:"rollouts,omitempty"`
}

// ServiceChange is the change of the addresses of a Service.
type ServiceChange struct {
	// Service is namespace/name.
	Service string `json:"service"`
	// Before and After are the addresses of the Service, sorted.
	Before []netip.Addr `json:"before"`
	After  []netip.Addr `json:"after"`
	// Why is the reason why the Service loses addresses; empty if it loses none.
	Why string `json:"why,omitempty"`
}

// AnnouncementChange is the change of the announcement of an address.
type AnnouncementChange struct {
	Address  netip.Addr `json:"address"`
	Services []string   `json:"services"`
	// What is the change on the local network or of the routes, as a phrase.
	What string `json:"what"`
}

// SessionChange is the change of the sessions with a router.
type SessionChange struct {
	Peer string `json:"peer"`
	What string `json:"what"`
}

// None reports whether nothing changes. Problems that exist before the change do not count.
func (c *Changes) None() bool {
	return !slices.ContainsFunc(c.Problems, func(p Problem) bool { return !p.Before }) &&
		len(c.Services)+len(c.Announcements)+len(c.Sessions)+len(c.Items)+len(c.Rollouts) == 0
}

// Plan returns what changes when a stack is applied. The snapshot must have all Services of type LoadBalancer with their
// EndpointSlices and namespaces. The plan uses the allocator of the controller. If several Services lose addresses at once,
// their new addresses depend on the order in which the Services are served. The plan serves them by name; the controller may
// serve them in another order.
func Plan(s *Snapshot, to *v1beta1.LoadBalancerStack) (Changes, error) {
	if to.Spec.ManagementState == v1beta1.StackRemoved {
		return Changes{}, errors.New("spec.managementState is Removed: the operator would remove everything that it has made for the stack, and no address would be announced")
	}
	after, err := s.withStack(to)
	if err != nil {
		return Changes{}, err
	}
	if err := checkRendering(to); err != nil {
		return Changes{}, err
	}
	c := Changes{OnHold: whyOnHold(to)}
	p := s.allocate(after)
	c.addServices(p)
	after.Claims = p.claimsAfter(s.Claims)
	c.addProblems(s, after)
	after.keepLastValid(s)
	c.addAnnouncements(s, after)
	c.addSessions(s, after)
	c.addSpecChanges(s.Stack, to)
	return c, nil
}

// checkRendering returns an error if the operator would refuse the spec. The operator refuses some specs that
// the API server accepts.
func checkRendering(to *v1beta1.LoadBalancerStack) error {
	_, err := manifests.Render(manifests.Options{Spec: to.Spec, ServiceMonitors: true})
	if err != nil {
		return fmt.Errorf("the operator would refuse the spec: %w", err)
	}
	return nil
}

// whyOnHold returns why the operator does not apply changes of a stack now, and until when; empty if it does.
func whyOnHold(to *v1beta1.LoadBalancerStack) string {
	switch {
	case apiconv.IsPaused(to):
		return "the annotation " + v1beta1.AnnotationPause + " is set: the changes are made when it is removed"
	case to.Spec.ManagementState == v1beta1.StackUnmanaged:
		return "spec.managementState is Unmanaged: the changes are made when it is Managed"
	}
	return ""
}

// allocationPlan computes the addresses of Services before and after a change of the pools. It has
// the same wait queue as controllers/allocations.
type allocationPlan struct {
	alloc         *ipam.Allocator
	requests      []ipam.Request                  // of Services that are served or have addresses, the oldest first
	refused       map[lb.ServiceKey]*ipam.Refusal // of invalid requests
	waiting       []ipam.Request                  // the wait queue, in the order in which requests entered it
	served        map[lb.ServiceKey]bool          // Services in the wait queue that now have all addresses that they ask for
	woken         []ipam.Request                  // requests to decide about
	before, after map[lb.ServiceKey][]netip.Addr
	why           map[lb.ServiceKey]string // why a Service loses an address or has none
	holders       map[lb.ServiceKey]v1beta1.ClaimHolder
}

// allocate decides about the requests of all Services twice. The first time, with the pools of this snapshot,
// it finds out which requests wait. The second time it uses the pools of the snapshot after the change
// (after). It then decides in the order of the controller: first about the requests that wait, then about all
// requests by the name of the Service.
func (s *Snapshot) allocate(after *Snapshot) *allocationPlan {
	p := &allocationPlan{
		alloc: s.newAllocator(), refused: map[lb.ServiceKey]*ipam.Refusal{}, why: map[lb.ServiceKey]string{}, served: map[lb.ServiceKey]bool{},
		before: map[lb.ServiceKey][]netip.Addr{}, after: map[lb.ServiceKey][]netip.Addr{}, holders: map[lb.ServiceKey]v1beta1.ClaimHolder{},
	}
	services := slices.SortedFunc(slices.Values(s.Services), func(x, y corev1.Service) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), apiconv.KeyOf(&x).Compare(apiconv.KeyOf(&y)))
	})
	for i := range services {
		svc := &services[i]
		key := apiconv.KeyOf(svc)
		if !svc.DeletionTimestamp.IsZero() || !apiconv.IsServedBy(svc, after.loadBalancerClass()) && len(p.alloc.HeldBy(key)) == 0 {
			continue
		}
		request, err := apiconv.ParseRequest(svc, s.NamespaceLabels[svc.Namespace])
		if err != nil {
			p.refused[key] = &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()}
		}
		p.requests = append(p.requests, request)
		p.holders[key] = v1beta1.ClaimHolder{Namespace: svc.Namespace, Name: svc.Name, UID: svc.UID}
		p.before[key] = p.heldAddresses(key)
	}
	for _, request := range p.requests { // Services that have what they ask for keep it unchanged
		p.wake(request)
	}
	p.decideWoken()
	pools, _ := after.allocatorPools()
	p.alloc.SetPools(pools)
	for _, request := range p.requests { // adopt the addresses in the status of Services before any new address is given, as a controller does when it starts
		p.alloc.AdoptShown(request)
	}
	for _, request := range p.waiting { // requests that wait get addresses of the new pools before others
		p.decide(request)
		p.wake(request)
	}
	for _, request := range slices.SortedFunc(slices.Values(p.requests), func(x, y ipam.Request) int { return x.Service.Compare(y.Service) }) {
		p.wake(request)
	}
	p.decideWoken()
	for _, request := range p.requests {
		p.after[request.Service] = p.heldAddresses(request.Service)
	}
	return p
}

// wake adds a request to woken if it is not there yet.
func (p *allocationPlan) wake(request ipam.Request) {
	if !slices.ContainsFunc(p.woken, func(r ipam.Request) bool { return r.Service == request.Service }) {
		p.woken = append(p.woken, request)
	}
}

// decideWoken decides about the woken requests one after the other, until there are none.
func (p *allocationPlan) decideWoken() {
	for len(p.woken) > 0 {
		request := p.woken[0]
		p.woken = p.woken[1:]
		d := p.decide(request)
		p.explain(request.Service, d)
		at := slices.IndexFunc(p.waiting, func(r ipam.Request) bool { return r.Service == request.Service })
		switch waits := (d.Refusal != nil || d.Missing != nil) && p.refused[request.Service] == nil; {
		case waits && at < 0:
			p.waiting = append(p.waiting, request)
		case !waits && at >= 0:
			p.waiting = slices.Delete(p.waiting, at, at+1)
		}
		delete(p.served, request.Service)
		for _, h := range d.Drop {
			p.alloc.Release(h.Address, h.Service)
			p.serveFreed(h)
		}
	}
}

// serveFreed decides about requests in the wait queue after a Service has released an address. It chooses the
// requests that can use this address, and those of the same namespace, since the address no longer counts for
// the quota of the namespace.
func (p *allocationPlan) serveFreed(h ipam.Holding) {
	for _, request := range p.waiting {
		quota := request.Service.Namespace == h.Service.Namespace // the address no longer counts for the quota of the namespace
		if p.served[request.Service] || !quota && !p.alloc.CanGet(request, h.Address) {
			continue
		}
		before := p.alloc.HeldBy(request.Service)
		d := p.decide(request)
		complete := d.Refusal == nil && d.Missing == nil
		if gains := slices.ContainsFunc(d.Keep, func(k ipam.Holding) bool { return !slices.Contains(before, k) }); gains || complete {
			p.served[request.Service] = complete
			p.wake(request)
		}
	}
}

// explain records why a Service loses an address or has none.
func (p *allocationPlan) explain(key lb.ServiceKey, d ipam.Decision) {
	for _, lost := range d.Lost {
		p.why[key] = fmt.Sprintf("%s: %s", lost.Address, lost.Why)
	}
	if d.Refusal != nil && len(d.Keep) == 0 {
		p.why[key] = cmp.Or(p.why[key], d.Refusal.Message)
	}
}

// decide decides about a request. A valid request first adopts the addresses in the status of its Service. An invalid one gets no
// new address.
func (p *allocationPlan) decide(request ipam.Request) ipam.Decision {
	if refusal := p.refused[request.Service]; refusal != nil {
		return p.alloc.DecideInvalid(request, refusal)
	}
	p.alloc.AdoptShown(request)
	return p.alloc.Assign(request)
}

// heldAddresses returns the addresses that a Service has, without those that are only reserved for it.
func (p *allocationPlan) heldAddresses(key lb.ServiceKey) []netip.Addr {
	list := []netip.Addr{}
	for _, h := range p.alloc.HeldBy(key) {
		if !p.alloc.IsReservedFor(h) {
			list = append(list, h.Address)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// claimsAfter returns the claims after the change: all existing ones, without holders that lose the
// address, and new ones for addresses without a claim.
func (p *allocationPlan) claimsAfter(before []v1beta1.IPAddressClaim) []v1beta1.IPAddressClaim {
	var after []v1beta1.IPAddressClaim
	known := map[netip.Addr]bool{}
	for _, claim := range before {
		address, err := apiconv.ClaimAddress(&claim)
		if err != nil {
			continue
		}
		known[address] = true
		claim.Spec.Holders = slices.DeleteFunc(slices.Clone(claim.Spec.Holders), func(h v1beta1.ClaimHolder) bool {
			_, served := p.after[apiconv.HolderKey(h)]
			return served && !slices.Contains(p.after[apiconv.HolderKey(h)], address)
		})
		after = append(after, claim)
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.after), lb.ServiceKey.Compare) {
		for _, h := range p.alloc.HeldBy(key) {
			if !known[h.Address] {
				claim := v1beta1.IPAddressClaim{}
				claim.Name = apiconv.ClaimName(h.Address)
				claim.Spec = v1beta1.IPAddressClaimSpec{Address: h.Address.String(), Pool: v1beta1.ObjectName(h.Pool), State: v1beta1.ClaimInUse, Holders: []v1beta1.ClaimHolder{p.holders[key]}}
				after = append(after, claim)
			}
		}
	}
	return after
}

func (c *Changes) addServices(p *allocationPlan) {
	for _, key := range slices.SortedFunc(maps.Keys(p.after), lb.ServiceKey.Compare) {
		if before, after := p.before[key], p.after[key]; !slices.Equal(before, after) {
			change := ServiceChange{Service: key.String(), Before: before, After: after}
			if lost := slices.ContainsFunc(before, func(a netip.Addr) bool { return !slices.Contains(after, a) }); lost {
				change.Why = p.why[key]
			}
			c.Services = append(c.Services, change)
		}
	}
}

// addAnnouncements compares, for each address that Services have after the change, the nodes that may
// announce it and its routes to routers before and after the change. For a new address it only adds a change
// if no node may announce the address.
func (c *Changes) addAnnouncements(before, after *Snapshot) {
	old, oldView := before.eligibleByAddress()
	now, nowView := after.eligibleByAddress()
	nodes := map[lb.NodeName]bool{} // that announce an address to routers before and after
	for address, y := range now {
		for _, node := range bothNodes(old[address].routed, y.routed) {
			nodes[node] = true
		}
	}
	oldRoutes, nowRoutes := planRoutes(oldView, before.internalPeers(), nodes), planRoutes(nowView, after.internalPeers(), nodes)
	deleteEqual(oldRoutes, nowRoutes)
	owners := map[netip.Addr]lb.NodeName{}
	for address, owner := range before.viewFor(nil).picture.Owners {
		owners[address] = owner.Node
	}
	for _, address := range slices.SortedFunc(maps.Keys(now), netip.Addr.Compare) {
		x, known := old[address]
		y := now[address]
		add := func(what string) {
			c.Announcements = append(c.Announcements, AnnouncementChange{Address: address, Services: y.services, What: what})
		}
		if !known {
			if len(y.local)+len(y.routed) == 0 {
				add("is not announced: " + y.why)
			}
			continue
		}
		if what := localChangePhrase(&x, &y, owners[address]); what != "" {
			add(what)
		}
		if what := routedNodesPhrase(&x, &y); what != "" {
			add(what)
		}
		for _, what := range routeChangePhrases(oldRoutes, nowRoutes, bothNodes(x.routed, y.routed), address) {
			add(what)
		}
	}
}

// localChangePhrase returns how the announcement of an address on the local network changes, as a phrase;
// empty if it does not. The parameter owner is the node that announces the address, or empty.
func localChangePhrase(before, after *eligibleNodes, owner lb.NodeName) string {
	switch {
	case len(before.local) > 0 && len(after.local) == 0:
		return strings.TrimSuffix("is no longer announced on the local network: "+after.why, ": ")
	case len(before.local) == 0 && len(after.local) > 0:
		if len(after.local) == 1 {
			return "is announced on the local network, by " + nodesPhrase(after.local)
		}
		return "is announced on the local network, by one of the " + nodesPhrase(after.local)
	case owner != "" && slices.Contains(before.local, owner) && !slices.Contains(after.local, owner):
		return fmt.Sprintf("moves on the local network: node %s may no longer announce it, but %s may", owner, nodesPhrase(after.local))
	}
	return ""
}

// routedNodesPhrase returns a phrase for the change of the set of nodes that announce an address to routers;
// empty if the set stays the same.
func routedNodesPhrase(before, after *eligibleNodes) string {
	var parts []string
	for _, part := range []struct {
		words string
		names []lb.NodeName
	}{{"no longer by", withoutNodes(before.routed, after.routed)}, {"now also by", withoutNodes(after.routed, before.routed)}} {
		if len(part.names) > 0 {
			parts = append(parts, part.words+" "+nodesPhrase(part.names))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "is announced to routers " + strings.Join(parts, ", and ")
}

// bothNodes returns the nodes that are in both lists.
func bothNodes(list, others []lb.NodeName) []lb.NodeName {
	return withoutNodes(list, withoutNodes(list, others))
}

func withoutNodes(list, others []lb.NodeName) []lb.NodeName {
	return slices.DeleteFunc(slices.Clone(list), func(n lb.NodeName) bool { return slices.Contains(others, n) })
}

// eligibleNodes are the nodes that may announce an address on the local network (local) and to routers (routed).
type eligibleNodes struct {
	local, routed []lb.NodeName
	services      []string // the Services that have the address, as namespace/name
	why           string   // why there are no nodes
}

// eligibleByAddress returns the nodes that may announce each address that a Service has. To announce an
// address to routers, a node also needs a session with a router to which an advertisement announces the
// address. The returned view is the input of planRoutes.
func (s *Snapshot) eligibleByAddress() (map[netip.Addr]eligibleNodes, *routes.View) {
	held := apiconv.HeldAddresses(s.Services, s.Claims)
	v := s.viewFor(held)
	routed := routes.Resolve(v.routed)
	all := map[netip.Addr]eligibleNodes{}
	for i, local := range eligibility.Resolve(v.l2) {
		e := eligibleNodes{local: nodesOf(local.Candidates), why: local.Why}
		if len(v.l2.Advertisements) == 0 || local.Reason == eligibility.NoAdvertisement && routed[i].Reason != eligibility.NoAdvertisement {
			e.why = routed[i].Why
		}
		if local.Reason == eligibility.NoAdvertisement && routed[i].Reason == eligibility.NoAdvertisement {
			e.why = eligibility.WhyNoneExists(held[i].Pool, eligibility.KindL2, eligibility.KindBGP)
		}
		for _, a := range routed[i].Announcers {
			e.routed = append(e.routed, a.Node)
		}
		for _, key := range held[i].Holders {
			e.services = append(e.services, key.String())
		}
		all[held[i].Address] = e
	}
	return all, &v.routed
}

// nodesPhrase returns a phrase with the names of nodes.
func nodesPhrase(names []lb.NodeName) string {
	if len(names) > 1 {
		return eligibility.Enumerate("nodes", names)
	}
	return eligibility.Enumerate("node", names)
}

func nodesOf(list []eligibility.Candidate) (names []lb.NodeName) {
	for _, c := range list {
		names = append(names, c.Node)
	}
	return names
}

// nodesWith returns the nodes that should have a session with a router, sorted.
func (s *Snapshot) nodesWith(object *v1beta1.BGPPeer) (names []lb.NodeName) {
	peer, err := apiconv.ParseBGPPeer(object)
	if err != nil {
		return nil
	}
	for i := range s.Nodes {
		if peer.SelectsNode(s.Nodes[i].Labels) {
			names = append(names, lb.NodeName(s.Nodes[i].Name))
		}
	}
	slices.Sort(names)
	return names
}

func (c *Changes) addSessions(before, after *Snapshot) {
	old := map[string]*v1beta1.BGPPeer{}
	for i := range before.Peers {
		old[before.Peers[i].Name] = &before.Peers[i]
	}
	add := func(peer, format string, args ...any) {
		c.Sessions = append(c.Sessions, SessionChange{Peer: peer, What: fmt.Sprintf(format, args...)})
	}
	for i := range after.Peers {
		y := &after.Peers[i]
		x := old[y.Name]
		delete(old, y.Name)
		if x == nil {
			x = &v1beta1.BGPPeer{}
		}
		had, has := before.nodesWith(x), after.nodesWith(y)
		if begin := withoutNodes(has, had); len(begin) > 0 {
			add(y.Name, "sessions begin on %s", nodesPhrase(begin))
		}
		if end := withoutNodes(had, has); len(end) > 0 {
			add(y.Name, "sessions end on %s", nodesPhrase(end))
		}
		both := withoutNodes(had, withoutNodes(had, has))
		if fields := bgp.ResettingFields(sessionConfig(x), sessionConfig(y)); len(both) > 0 && len(fields) > 0 {
			add(y.Name, "sessions begin anew on %s: %s", nodesPhrase(both), strings.Join(fields, ", "))
		}
	}
	for name, x := range old {
		if had := before.nodesWith(x); len(had) > 0 {
			add(name, "sessions end on %s", nodesPhrase(had))
		}
	}
	slices.SortStableFunc(c.Sessions, func(x, y SessionChange) int { return cmp.Compare(x.Peer, y.Peer) })
}

// sessionConfig returns the configuration with which a session begins. The name of the Secret
// stands for the password, which is not read: bgp.ResettingFields only compares whether there is
// one.
func sessionConfig(object *v1beta1.BGPPeer) bgp.Peer {
	peer, err := apiconv.ParseBGPPeer(object)
	if err != nil {
		return bgp.Peer{}
	}
	peer.Password = bgp.Password(peer.PasswordSecret)
	return peer.Peer
}
