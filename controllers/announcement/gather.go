package announcement

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	core "github.com/lbstack/lbstack/internal/routes"
)

// gatherFacts returns the facts about the addresses that a Service holds. It computes which nodes may
// announce an address only if no working node announces it, or if its owner is down or on standby. A thousand
// Services that move at once therefore cost no such computation.
func (r *Reconciler) gatherFacts(ctx context.Context, svc *corev1.Service) ([]addressFacts, error) {
	held, err := r.heldAddresses(ctx, svc)
	if err != nil {
		return nil, err
	}
	var list []addressFacts
	var open []eligibility.Address
	down := map[lb.NodeName]bool{}
	trust, err := r.readTrustRules(ctx, held)
	if err != nil {
		return nil, err
	}
	for _, a := range held {
		f := addressFacts{AddressReport: r.Reports.ReportOnAddress(a.Address, trust.trustedNodes(a.Pool)), address: a.Address}
		if err := r.noteDown(ctx, f.AddressReport, down); err != nil {
			return nil, err
		}
		f.ownerDown = f.Owned && down[f.Owner.Node]
		f.onStandby = f.Owned && f.Standby != ""
		f.routed = bgpAnnouncementOf(f.Paths, down)
		if f.ownerDown || f.onStandby || (!f.Owned && !f.routed.exists()) {
			open = append(open, a)
		}
		list = append(list, f)
	}
	if len(open) == 0 {
		return list, nil
	}
	return list, r.addCandidates(ctx, list, open)
}

// heldAddresses returns the addresses that the Service holds, each with all Services that hold it. It reads
// them from the claims and not from the status of the Service, since the speakers announce claimed addresses.
func (r *Reconciler) heldAddresses(ctx context.Context, svc *corev1.Service) ([]eligibility.Address, error) {
	key := apiconv.KeyOf(svc)
	claims, err := r.claimsOf(ctx, key)
	if err != nil {
		return nil, err
	}
	if !apiconv.IsServedBy(svc, r.Class) {
		// Only the claims with the UID of the Service count. A claim with its name but another UID or none is
		// reserved for the Service, or is from an earlier Service of that name.
		claims = slices.DeleteFunc(slices.Clone(claims), func(c v1beta1.IPAddressClaim) bool {
			return !slices.ContainsFunc(c.Spec.Holders, func(h v1beta1.ClaimHolder) bool { return apiconv.HolderKey(h) == key && h.UID == svc.UID })
		})
	}
	services := []corev1.Service{*svc}
	for i := range claims {
		for _, h := range claims[i].Spec.Holders {
			other := apiconv.HolderKey(h)
			if slices.ContainsFunc(services, func(s corev1.Service) bool { return apiconv.KeyOf(&s) == other }) {
				continue
			}
			var object corev1.Service
			err := r.Client.Get(ctx, client.ObjectKey{Namespace: other.Namespace, Name: other.Name}, &object)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reading the Service %s: %w", other, err)
			}
			services = append(services, object)
		}
	}
	held := apiconv.HeldAddresses(services, claims)
	return slices.DeleteFunc(held, func(a eligibility.Address) bool { return !slices.Contains(a.Holders, key) }), nil
}

// claimsOf returns the claims that name a Service.
func (r *Reconciler) claimsOf(ctx context.Context, key lb.ServiceKey) ([]v1beta1.IPAddressClaim, error) {
	var claims v1beta1.IPAddressClaimList
	if err := r.Client.List(ctx, &claims, client.MatchingFields{holderIndex: key.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the IPAddressClaims that name the Service %s: %w", key, err)
	}
	return claims.Items, nil
}

// noteDown records in the map known whether each node that announces the address is down.
func (r *Reconciler) noteDown(ctx context.Context, report AddressReport, known map[lb.NodeName]bool) error {
	var nodes []lb.NodeName
	if report.Owned {
		nodes = append(nodes, report.Owner.Node)
	}
	for _, p := range report.Paths {
		nodes = append(nodes, p.Node)
	}
	for _, node := range nodes {
		if _, ok := known[node]; ok {
			continue
		}
		is, err := r.isDown(ctx, node)
		if err != nil {
			return err
		}
		known[node] = is
	}
	return nil
}

// isDown reports whether a node is not ready, is deleted, or has a silent speaker.
func (r *Reconciler) isDown(ctx context.Context, name lb.NodeName) (bool, error) {
	if r.Reports.IsSilent(name) {
		return true, nil
	}
	var node corev1.Node
	err := r.Client.Get(ctx, client.ObjectKey{Name: string(name)}, &node)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the node %s: %w", name, err)
	}
	return apiconv.ParseNode(&node, apiconv.DrainPolicy{}).Down, nil
}

// addCandidates adds, to the facts about each open address, the nodes that may announce it. An address is open if
// no working node announces it, or if its owner is down or on standby.
func (r *Reconciler) addCandidates(ctx context.Context, list []addressFacts, open []eligibility.Address) error {
	in := eligibility.Input{Addresses: open}
	broken, err := r.addConfigObjects(ctx, &in)
	if err != nil {
		return err
	}
	if err := r.addServices(ctx, &in); err != nil {
		return err
	}
	routing, err := r.readBGPObjects(ctx, in)
	if err != nil {
		return err
	}
	byBGP := core.Resolve(routing.view)
	for at, result := range eligibility.Resolve(in) {
		i := slices.IndexFunc(list, func(f addressFacts) bool { return f.address == result.Address })
		f := &list[i]
		f.plan, f.invalid, f.unavailable = result, broken, map[lb.NodeName]string{}
		f.unable, f.noSpeaker = map[lb.NodeName]string{}, !r.Reports.HasRunningSpeaker()
		for i := range result.Candidates {
			r.noteUnavailable(in.Nodes, result.Candidates[i].Node, f.unavailable)
		}
		near := slices.ContainsFunc(result.Candidates, func(c eligibility.Candidate) bool { return r.hasNearLink(&c, f) })
		for i := range result.Candidates {
			r.noteUnable(&result.Candidates[i], f, near)
		}
		f.router = r.bgpFactsOf(in.Nodes, byBGP[at], &routing)
		f.mergeReasons(open[at].Pool, len(in.Advertisements) > 0, len(routing.view.Advertisements) > 0)
	}
	return nil
}

// addServices adds the Services that hold the addresses to the input, with their endpoints. Only endpoints on
// the nodes that the input already has count.
func (r *Reconciler) addServices(ctx context.Context, in *eligibility.Input) error {
	nodes := apiconv.NodeNames{}
	for i := range in.Nodes {
		nodes.Add(in.Nodes[i].Name)
	}
	seen := map[lb.ServiceKey]bool{}
	for _, address := range in.Addresses {
		for _, key := range address.Holders {
			if seen[key] {
				continue
			}
			seen[key] = true
			var svc corev1.Service
			err := r.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, &svc)
			if apierrors.IsNotFound(err) {
				continue // the Service was deleted meanwhile
			}
			if err != nil {
				return fmt.Errorf("reading the Service %s: %w", key, err)
			}
			var endpoints discoveryv1.EndpointSliceList
			if err := r.Client.List(ctx, &endpoints, client.InNamespace(key.Namespace), client.MatchingFields{serviceIndex: key.Name}, client.UnsafeDisableDeepCopy); err != nil {
				return fmt.Errorf("listing the EndpointSlices of the Service %s: %w", key, err)
			}
			namespace := &metav1.PartialObjectMetadata{}
			namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
			if err := r.Client.Get(ctx, client.ObjectKey{Name: key.Namespace}, namespace); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading the labels of the namespace %s: %w", key.Namespace, err)
			}
			in.Services = append(in.Services, apiconv.AdvertisedService(&svc, namespace.Labels, apiconv.ParseEndpoints(endpoints.Items, nodes)))
		}
	}
	return nil
}

// addConfigObjects adds the L2Advertisements, pools and nodes to the input. It returns a message for each
// advertisement that is invalid.
func (r *Reconciler) addConfigObjects(ctx context.Context, in *eligibility.Input) (broken []string, err error) {
	var ads v1beta1.L2AdvertisementList
	var pools v1beta1.IPAddressPoolList
	for _, list := range []client.ObjectList{&ads, &pools} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing the L2Advertisements and the IPAddressPools: %w", err)
		}
	}
	for i := range ads.Items {
		ad, err := apiconv.ParseAdvertisement(&ads.Items[i])
		if err != nil {
			broken = append(broken, fmt.Sprintf("the L2Advertisement %q, which is invalid (%s)", ads.Items[i].Name, err))
			continue
		}
		in.Advertisements = append(in.Advertisements, ad)
	}
	for i := range pools.Items {
		in.Pools = append(in.Pools, apiconv.AdvertisedPool(&pools.Items[i]))
	}
	if in.Nodes, err = config.ReadNodes(ctx, r.Client); err != nil {
		return nil, err
	}
	slices.Sort(broken)
	return broken, nil
}

// hasNearLink reports whether the speaker of a candidate runs and announces by default on an interface whose
// subnet contains the address. If one candidate has such an interface, all candidates use only such
// interfaces.
func (r *Reconciler) hasNearLink(c *eligibility.Candidate, f *addressFacts) bool {
	report, reported := r.Reports.ReportOf(c.Node)
	return reported && f.unavailable[c.Node] == "" && report.HasNearLink(c, f.address)
}

// noteUnable records why a candidate whose speaker runs cannot announce the address: in unavailable if the
// node accepts no addresses, in unable if it has no interface for this address.
func (r *Reconciler) noteUnable(c *eligibility.Candidate, f *addressFacts, near bool) {
	report, reported := r.Reports.ReportOf(c.Node)
	if !reported || f.unavailable[c.Node] != "" {
		return
	}
	if report.Standby != "" {
		f.unavailable[c.Node] = report.Standby
	} else if why := report.WhyUnable(c, f.address, near); why != "" {
		f.unable[c.Node] = why
	}
}

// noteUnavailable records why a node cannot announce addresses now: it is not ready, or its speaker does not run.
func (r *Reconciler) noteUnavailable(nodes []eligibility.Node, node lb.NodeName, why map[lb.NodeName]string) {
	i := slices.IndexFunc(nodes, func(n eligibility.Node) bool { return n.Name == node })
	switch {
	case nodes[i].Down:
		why[node] = "not ready"
	case !r.Reports.HasReported(node):
		why[node] = "its speaker has not reported"
	case r.Reports.isStopped(node):
		why[node] = "its speaker was stopped"
	case r.Reports.IsSilent(node):
		why[node] = "its speaker does not run, according to the other speakers or the kubelet"
	}
}
