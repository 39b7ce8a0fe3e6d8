package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/routes"
)

// Why returns why the first Service of the snapshot is or is not announced.
func Why(s *Snapshot) Story {
	svc := &s.Services[0]
	story := Story{Service: apiconv.KeyOf(svc).String()}
	if reason, message := s.whyNotServed(svc); reason != "" {
		story.Reason, story.Message = reason, message
		return story
	}
	story.conclude(svc)
	request, err := apiconv.ParseRequest(svc, s.NamespaceLabels[svc.Namespace])
	lines := []string{requestLine(svc, request.Families)}
	if err != nil {
		lines = append(lines, "the request cannot be met: "+err.Error())
	}
	story.add("Request", lines...)
	held := s.heldAddresses(svc)
	if err == nil {
		allocator := s.newAllocator()
		var pools []string
		for _, family := range request.Families {
			for _, v := range allocator.Explain(request, family) {
				pools = append(pools, fmt.Sprintf("%s for a new %s address: %s", cmp.Or(string(v.Reason), "possible"), family, v.Why))
			}
		}
		story.add("Pools, in the order in which they are tried", pools...)
	}
	story.add("Addresses", s.claimLines(svc, held)...)
	view := s.viewFor(held)
	for i, result := range eligibility.Resolve(view.l2) {
		view.addAddressSteps(&story, held[i], &result)
	}
	story.add("Endpoints", s.endpointLines(svc)...)
	return story
}

// whyNotServed returns why lbstack does not serve a Service; empty if it does.
func (s *Snapshot) whyNotServed(svc *corev1.Service) (reason, message string) {
	switch {
	case svc.Spec.Type != corev1.ServiceTypeLoadBalancer:
		return "NotLoadBalancer", fmt.Sprintf("spec.type is %s: only Services of type LoadBalancer get addresses", svc.Spec.Type)
	case s.Stack == nil:
		return "NoStack", "the cluster has no LoadBalancerStack: create it"
	case apiconv.IsServedBy(svc, s.loadBalancerClass()):
		return "", ""
	case svc.Spec.LoadBalancerClass == nil:
		return "OtherClass", fmt.Sprintf("spec.loadBalancerClass is not set, and lbstack serves the class %s: create the Service again with this class", s.loadBalancerClass())
	case s.loadBalancerClass() == "":
		return "OtherClass", fmt.Sprintf("spec.loadBalancerClass is %s, and lbstack serves Services without a class: create the Service again without one", *svc.Spec.LoadBalancerClass)
	}
	return "OtherClass", fmt.Sprintf("spec.loadBalancerClass is %s, and lbstack serves the class %s", *svc.Spec.LoadBalancerClass, s.loadBalancerClass())
}

// conclude sets Announced, Reason and Message from the first condition of the Service that is missing, out of date or False. If
// there is none, it sets them from the condition Announced.
func (s *Story) conclude(svc *corev1.Service) {
	allocated := currentCondition(svc.Status.Conditions, v1beta1.ServiceAddressAllocated, svc.Generation)
	announced := currentCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced, svc.Generation)
	switch {
	case allocated == nil:
		s.Reason, s.Message = "NotObserved", "the controller has not processed the latest change of the Service yet: if this lasts, look at the pods of the controller (kubectl lbstack status)"
	case allocated.Status != metav1.ConditionTrue:
		s.Reason, s.Message = allocated.Reason, allocated.Message
	case announced == nil:
		s.Reason, s.Message = "NotObserved", "the Service has an address, but the controller has not checked yet which nodes announce it"
	default:
		s.Announced, s.Reason, s.Message = announced.Status == metav1.ConditionTrue, announced.Reason, announced.Message
	}
}

// requestLine returns a phrase for what a Service asks for.
func requestLine(svc *corev1.Service, families []lb.Family) string {
	policy := cmp.Or(svc.Spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	text := "any address"
	request, _ := apiconv.ParseRequest(svc, nil)
	if len(request.Addresses) > 0 {
		words := make([]string, 0, len(request.Addresses))
		for _, a := range request.Addresses {
			words = append(words, a.String())
		}
		text = "the address " + strings.Join(words, " and ")
	}
	if request.Pool != "" {
		text += fmt.Sprintf(" of the pool %q", request.Pool)
	}
	names := make([]string, 0, len(families))
	for _, f := range families {
		names = append(names, f.String())
	}
	return fmt.Sprintf("%s, %s, externalTrafficPolicy %s", text, strings.Join(names, " and "), policy)
}

// heldAddresses returns the addresses that a Service has, each with all Services that share it.
func (s *Snapshot) heldAddresses(svc *corev1.Service) []eligibility.Address {
	key := apiconv.KeyOf(svc)
	return slices.DeleteFunc(apiconv.HeldAddresses(s.Services, s.Claims), func(a eligibility.Address) bool { return !slices.Contains(a.Holders, key) })
}

func (s *Snapshot) claimLines(svc *corev1.Service, held []eligibility.Address) (lines []string) {
	for _, a := range held {
		line := fmt.Sprintf("%s of the pool %q (IPAddressClaim %s)", a.Address, a.Pool, apiconv.ClaimName(a.Address))
		if n := len(a.Holders) - 1; n > 0 {
			line += fmt.Sprintf(", shared with %d other Services", n)
		}
		if !slices.Contains(apiconv.StatusAddresses(svc), a.Address) {
			line += ", not in the status of the Service yet"
		}
		lines = append(lines, line)
	}
	return lines
}

func (s *Snapshot) endpointLines(svc *corev1.Service) (lines []string) {
	names := apiconv.NodeNames{}
	for i := range s.Nodes {
		names.Add(lb.NodeName(s.Nodes[i].Name))
	}
	found := apiconv.ParseEndpoints(s.EndpointSlices, names)[apiconv.KeyOf(svc)]
	for _, family := range []lb.Family{lb.IPv4, lb.IPv6} {
		if e, ok := found[family]; ok && e.Serving > 0 {
			nodes := make([]lb.NodeName, 0, len(e.Nodes))
			for name := range e.Nodes {
				nodes = append(nodes, name)
			}
			slices.Sort(nodes)
			lines = append(lines, fmt.Sprintf("%s: ready, on %s", family, eligibility.Enumerate("node", nodes)))
		}
	}
	if len(lines) == 0 {
		return []string{"no endpoint is ready: check whether the pods run, and whether spec.selector selects them"}
	}
	return lines
}

// decisionView has the input for decisions about announcements, on the local network (l2) and to
// routers (bgp), and the reports of the speakers.
type decisionView struct {
	l2      eligibility.Input
	bgp     eligibility.Input // also has invalid advertisements, whose last valid settings are in effect
	routed  routes.View
	states  map[lb.NodeName]reports.Report
	picture reports.MergedReports
	macs    map[lb.NodeName]map[string]string // MAC addresses by node and interface
	routes  []reports.BGPPath
}

// viewFor returns the view for decisions about the given addresses.
func (s *Snapshot) viewFor(held []eligibility.Address) *decisionView {
	v := &decisionView{states: s.speakerReports(), macs: map[lb.NodeName]map[string]string{}}
	v.l2.Addresses = held
	names, policy := apiconv.NodeNames{}, apiconv.ParseDrainPolicy(s.Stack)
	for i := range s.Nodes {
		v.l2.Nodes = append(v.l2.Nodes, apiconv.ParseNode(&s.Nodes[i], policy))
		names.Add(lb.NodeName(s.Nodes[i].Name))
	}
	slices.SortFunc(v.l2.Nodes, func(a, b eligibility.Node) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.Pools {
		v.l2.Pools = append(v.l2.Pools, apiconv.AdvertisedPool(&s.Pools[i]))
	}
	endpoints := apiconv.ParseEndpoints(s.EndpointSlices, names)
	for i := range s.Services {
		v.l2.Services = append(v.l2.Services, apiconv.AdvertisedService(&s.Services[i], s.NamespaceLabels[s.Services[i].Namespace], endpoints))
	}
	v.bgp = v.l2
	v.bgp.Kind = eligibility.KindBGP
	for i := range s.L2Advertisements {
		if ad, err := apiconv.ParseAdvertisement(&s.L2Advertisements[i]); err == nil {
			v.l2.Advertisements = append(v.l2.Advertisements, ad)
		}
	}
	aliases, _ := apiconv.ParseCommunities(s.Communities)
	for i := range s.BGPAdvertisements {
		v.bgp.Advertisements = append(v.bgp.Advertisements, eligibility.Advertisement{Scope: apiconv.BGPAdvertisementScope(&s.BGPAdvertisements[i], aliases)})
	}
	v.routed = s.routesView(&v.l2)
	v.addReports(s)
	return v
}

// addAddressSteps adds the steps on one address to the story: advertisements, nodes, routers, conflict.
func (v *decisionView) addAddressSteps(story *Story, a eligibility.Address, result *eligibility.Result) {
	title := a.Address.String()
	byBGP := v.routed
	byBGP.Addresses = []eligibility.Address{a}
	routed := routes.Resolve(byBGP)[0]
	story.add(title+": advertisements", append(v.advertisementLines(&v.l2, a), v.advertisementLines(&v.bgp, a)...)...)
	if result.Reason != eligibility.NoAdvertisement {
		lines := v.nodeLines(&v.l2, a, result)
		if result.Why != "" {
			lines = append(lines, "no node may announce the address: "+result.Why)
		}
		story.add(title+": nodes, on the local network", lines...)
	}
	if routed.Reason != eligibility.NoAdvertisement || v.hasRoute(a.Address) {
		story.add(title+": routers", v.routerLines(a.Address, &routed)...)
	}
	if host, ok := v.picture.Hosts[a.Address]; ok {
		story.add(title+": conflict", fmt.Sprintf("%s uses this address: %s", host.Describe(false), host.Remedy()))
	}
}

// advertisementLines returns a line for each advertisement: whether it applies to an address.
func (v *decisionView) advertisementLines(in *eligibility.Input, a eligibility.Address) (lines []string) {
	kind := cmp.Or(in.Kind, eligibility.KindL2)
	for i := range in.Advertisements {
		ad := &in.Advertisements[i]
		switch {
		case !v.coversAddress(in, ad, a):
			lines = append(lines, fmt.Sprintf("%s %s does not apply to this address: its selectors of pools or Services do not match", kind, ad.Name))
		default:
			lines = append(lines, fmt.Sprintf("%s %s applies to this address", kind, ad.Name))
		}
	}
	return lines
}

func (v *decisionView) coversAddress(in *eligibility.Input, ad *eligibility.Advertisement, a eligibility.Address) bool {
	var pool *eligibility.Pool
	for i := range in.Pools {
		if in.Pools[i].Name == a.Pool {
			pool = &in.Pools[i]
		}
	}
	return ad.CoversPool(a.Pool, pool) && ad.CoversHolders(v.holders(in, a))
}

// holders returns the Services that have an address, in the order of its claim.
func (v *decisionView) holders(in *eligibility.Input, a eligibility.Address) (holders []*eligibility.Service) {
	for _, key := range a.Holders {
		for i := range in.Services {
			if in.Services[i].Key == key {
				holders = append(holders, &in.Services[i])
			}
		}
	}
	return holders
}

// nodeLines returns a line for each node: whether it may announce an address, and why not.
func (v *decisionView) nodeLines(in *eligibility.Input, a eligibility.Address, result *eligibility.Result) (lines []string) {
	owner, owned := v.picture.Owners[a.Address]
	near := slices.ContainsFunc(result.Candidates, func(c eligibility.Candidate) bool { return v.states[c.Node].HasNearLink(&c, a.Address) })
	for i := range in.Nodes {
		node := &in.Nodes[i]
		state, word := v.nodeState(in, a, node, result, near)
		if owned && owner.Node == node.Name {
			links := make([]string, 0, len(owner.Interfaces))
			for _, name := range owner.Interfaces {
				links = append(links, strings.TrimSpace(name+" "+v.macs[node.Name][name]))
			}
			word = fmt.Sprintf("announces it, on %s, since %s", strings.Join(links, " and "), owner.Since.UTC().Format(time.RFC3339))
			if state != "" {
				word += "; it " + state
			}
		}
		if a.AnnounceFrom == node.Name {
			word += "; the IPAddressClaim asks for this node (kubectl lbstack move)"
		}
		lines = append(lines, fmt.Sprintf("%s %s", node.Name, word))
	}
	if asked := a.AnnounceFrom; asked != "" && !slices.ContainsFunc(in.Nodes, func(n eligibility.Node) bool { return n.Name == asked }) {
		lines = append(lines, fmt.Sprintf("the IPAddressClaim asks for %s, which is not a node of the cluster: run kubectl lbstack move %s --reset", asked, a.Address))
	}
	return lines
}

// nodeState returns why a node cannot announce an address, empty if it can, and the state of the node as a phrase.
func (v *decisionView) nodeState(in *eligibility.Input, a eligibility.Address, node *eligibility.Node, result *eligibility.Result, near bool) (why, word string) {
	at := slices.IndexFunc(result.Candidates, func(c eligibility.Candidate) bool { return c.Node == node.Name })
	report, reported := v.states[node.Name]
	switch {
	case at < 0:
		why = v.whyNotCandidate(in, a, node)
		return why, "may not announce it: it " + why
	case node.Down:
		why = "is not ready"
	case !reported || report.Stopped || report.Ended:
		why = "has no running speaker"
	case report.Standby != "":
		why = "takes no address: " + report.Standby
	default:
		why = report.WhyUnable(&result.Candidates[at], a.Address, near)
	}
	if why != "" {
		return why, "may announce it, but cannot: it " + why
	}
	return "", "may announce it"
}

// whyNotCandidate returns why a node is not a candidate for an address.
func (v *decisionView) whyNotCandidate(in *eligibility.Input, a eligibility.Address, node *eligibility.Node) string {
	if node.Excluded != "" {
		return node.Excluded
	}
	covered := slices.ContainsFunc(in.Advertisements, func(ad eligibility.Advertisement) bool {
		return v.coversAddress(in, &ad, a) && ad.CoversNode(node.Labels)
	})
	if !covered {
		return "is not selected by spec.nodeSelectors of the advertisements that apply to the address"
	}
	if holders := v.holders(in, a); !eligibility.HasServingEndpoint(holders, lb.FamilyOf(a.Address)) {
		return "would have nowhere to send traffic to: no endpoint is ready"
	}
	return "has no ready endpoint of the Service, whose externalTrafficPolicy is Local"
}

// hasRoute reports whether a speaker reports a route to an address.
func (v *decisionView) hasRoute(address netip.Addr) bool {
	return slices.ContainsFunc(v.routes, func(p reports.BGPPath) bool { return p.Prefix.Contains(address) })
}

// routerLines returns lines on the routers that have a route to an address, and on the sessions with routers.
func (v *decisionView) routerLines(address netip.Addr, result *routes.Result) (lines []string) {
	reported := map[lb.NodeName][]bgp.PeerName{}
	for _, p := range v.routes {
		if p.Prefix.Contains(address) {
			reported[p.Node] = append(reported[p.Node], p.Peers...)
			lines = append(lines, fmt.Sprintf("%s announces %s to %s", p.Node, p.Prefix, joinPeers(p.Peers)))
		}
	}
	slices.Sort(lines)
	if result.Why != "" && len(lines) == 0 { // speakers keep the last valid settings of an invalid object, which the snapshot does not have
		lines = append(lines, "no node may announce the address: "+result.Why)
	}
	for _, a := range result.Announcers {
		if missing := slices.DeleteFunc(slices.Clone(a.Peers), func(p bgp.PeerName) bool { return slices.Contains(reported[a.Node], p) }); len(missing) > 0 && !v.isIdle(a.Node) {
			lines = append(lines, fmt.Sprintf("%s may announce it to %s, but reports no route", a.Node, joinPeers(missing)))
		}
	}
	for _, node := range v.routed.Nodes {
		for _, session := range v.states[node.Name].Sessions {
			switch {
			case !session.Established:
				lines = append(lines, fmt.Sprintf("%s has no session with %s: %s", node.Name, session.Peer, session.WhyDown()))
			case !session.Carries(lb.FamilyOf(address)):
				lines = append(lines, fmt.Sprintf("%s has a session with %s that carries no %s routes", node.Name, session.Peer, lb.FamilyOf(address)))
			}
		}
	}
	return lines
}

// isIdle reports whether no reported routes are expected from a node, because it is drained or down.
func (v *decisionView) isIdle(name lb.NodeName) bool {
	return slices.ContainsFunc(v.routed.Nodes, func(n eligibility.Node) bool { return n.Name == name && (n.Draining || n.Down) })
}

func joinPeers(peers []bgp.PeerName) string {
	names := make([]string, 0, len(peers))
	for _, p := range peers {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
