package pool

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// readForeignReports reads the reports of speakers about addresses that foreign hosts use, or used. It leaves
// out reports that do not count; see readTrustRules.
func readForeignReports(ctx context.Context, reader client.Reader, pools []v1beta1.IPAddressPool, known map[netip.Addr]foreignHost, at time.Time) (reports.MergedReports, error) {
	var states v1beta1.SpeakerStateList
	if err := reader.List(ctx, &states, client.UnsafeDisableDeepCopy); err != nil {
		return reports.MergedReports{}, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	about := map[netip.Addr]bool{}
	for address := range known {
		about[address] = true
	}
	list := make([]reports.Report, 0, len(states.Items))
	for i := range states.Items {
		list = append(list, apiconv.SpeakerReport(&states.Items[i]))
		for _, f := range list[i].Foreign {
			about[f.Address] = true
		}
	}
	if len(about) == 0 {
		return reports.MergedReports{}, nil
	}
	for i := range list {
		list[i].Owned = slices.DeleteFunc(list[i].Owned, func(o reports.OwnedAddress) bool { return !about[o.Address] })
	}
	trust, err := readTrustRules(ctx, reader, pools, about, at)
	if err != nil {
		return reports.MergedReports{}, err
	}
	return reports.Merge(trust.TrustedParts(list)), nil
}

// readTrustRules returns the rules that decide which reports about these addresses count. The Node of the
// report must exist, and an L2Advertisement must let it announce the address. A report of a conflict counts
// only if the address is claimed. The rules do not depend on Services and endpoints, which may change while a
// conflict lasts.
func readTrustRules(ctx context.Context, reader client.Reader, pools []v1beta1.IPAddressPool, about map[netip.Addr]bool, at time.Time) (reports.TrustRules, error) {
	var nodes corev1.NodeList
	var objects v1beta1.L2AdvertisementList
	for _, list := range []client.ObjectList{&nodes, &objects} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return reports.TrustRules{}, fmt.Errorf("listing the nodes and the L2Advertisements: %w", err)
		}
	}
	labels := map[lb.NodeName]map[string]string{}
	for i := range nodes.Items {
		labels[lb.NodeName(nodes.Items[i].Name)] = nodes.Items[i].Labels
	}
	var ads []eligibility.Advertisement
	for i := range objects.Items {
		if ad, err := apiconv.ParseAdvertisement(&objects.Items[i]); err == nil {
			ads = append(ads, ad)
		}
	}
	parsed := map[lb.PoolName]*eligibility.Pool{}
	for i := range pools {
		p := apiconv.AdvertisedPool(&pools[i])
		parsed[p.Name] = &p
	}
	from, claimed := map[netip.Addr]lb.PoolName{}, map[netip.Addr]bool{}
	for address := range about {
		var claim v1beta1.IPAddressClaim
		err := reader.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(address)}, &claim)
		switch {
		case apierrors.IsNotFound(err):
			if p := poolWithAddress(pools, address); p != "" {
				from[address] = p
			}
		case err != nil:
			return reports.TrustRules{}, fmt.Errorf("reading the IPAddressClaim of %s: %w", address, err)
		default:
			from[address], claimed[address] = lb.PoolName(claim.Spec.Pool), true
		}
	}
	return reports.TrustRules{
		Now:     at,
		Claimed: func(address netip.Addr) bool { return claimed[address] },
		Exists:  func(node lb.NodeName) bool { _, ok := labels[node]; return ok },
		MayAnnounce: func(node lb.NodeName, address netip.Addr) bool {
			pool, known := from[address]
			return known && slices.ContainsFunc(ads, func(ad eligibility.Advertisement) bool {
				return ad.CoversPool(pool, parsed[pool]) && ad.CoversNode(labels[node])
			})
		},
	}, nil
}
