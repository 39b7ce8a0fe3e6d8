package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/paged"
)

// Adopter fills the view of allocations when the controller starts, before any new address is given. It reads
// the pools, the claims, and the addresses that Services have in their status without a claim. Then it
// decides which addresses the Services without an address get, the oldest Service first. It reads from the
// API server, since the cache may lack the last writes of the instance of the controller that ran before.
type Adopter struct {
	// Reader reads from the API server.
	Reader client.Reader
	// Pools reads the pools, and the ranges that they must not give.
	Pools func(context.Context, client.Reader) ([]ipam.Pool, error)
	// Allocations is the view to fill.
	Allocations *allocations.View
	// Class is the spec.loadBalancerClass of the Services that the controller serves; see apiconv.IsServedBy.
	Class string

	changes atomic.Int64 // number of changes of claims, counted by NoteClaimChange
	mu      sync.Mutex
	done    bool            // the view is filled
	holders []lb.ServiceKey // Services to enqueue, once enqueue is set
	enqueue func(lb.ServiceKey)
}

// SetEnqueue sets the function to which Load passes the Services that must be reconciled. The first are the
// holders of claims, since a Service may have been deleted while no controller ran. The others are the
// Services that had no address until Load gave or refused them one.
func (a *Adopter) SetEnqueue(enqueue func(lb.ServiceKey)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enqueue = enqueue
	a.enqueueHolders()
}

func (a *Adopter) enqueueHolders() {
	if a.enqueue == nil {
		return
	}
	for _, key := range a.holders {
		a.enqueue(key)
	}
	a.holders = nil
}

// Load fills the view. After it has succeeded, further calls do nothing. After an error the next call tries
// again.
func (a *Adopter) Load(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done {
		return nil
	}
	found, claimed, err := a.fillView(ctx)
	if err != nil {
		return err
	}
	for _, c := range claimed {
		for _, h := range c.Holders {
			a.holders = append(a.holders, h.Service)
		}
	}
	adopted := 0
	for _, svc := range found.services {
		req, _ := apiconv.ParseRequest(svc, found.namespaces[svc.Namespace]) // the reconcile of the Service reports the error
		adopted += a.Allocations.AdoptShown(req)
	}
	decided := 0
	for _, svc := range found.services {
		if has, _ := a.Allocations.HeldBy(apiconv.KeyOf(svc)); len(has) == 0 {
			decideService(a.Allocations, svc, found.namespaces[svc.Namespace])
			a.holders = append(a.holders, apiconv.KeyOf(svc))
			decided++
		}
	}
	for _, svc := range found.services {
		a.Allocations.RecordReadStatus(apiconv.KeyOf(svc), apiconv.StatusAddresses(svc))
	}
	a.done = true
	a.enqueueHolders()
	log.FromContext(ctx).Info("read the pools, claims and Services of the cluster", "pools", len(found.pools), "claims", len(claimed), "addressesWithoutClaim", adopted, "servicesWithoutAddress", decided)
	return nil
}

// maxClusterReads is how often fillView reads the cluster before it gives up because claims change during each read.
const maxClusterReads = 10

// fillView reads the cluster and fills the view with the result. If a claim changes during the read, the
// content that was read may be older than the change, and may have overwritten it in the view. fillView then
// reads everything again.
func (a *Adopter) fillView(ctx context.Context) (f clusterState, claimed []allocations.ClaimContent, err error) {
	for range maxClusterReads {
		changes := a.changes.Load()
		if f, err = a.readCluster(ctx); err != nil {
			return clusterState{}, nil, err
		}
		claimed = nil
		for i := range f.claims {
			c, err := parseClaim(&f.claims[i])
			if err != nil {
				log.FromContext(ctx).Info("ignoring an IPAddressClaim", "claim", f.claims[i].Name, "why", err.Error())
				continue
			}
			claimed = append(claimed, c)
		}
		a.Allocations.Load(f.pools, claimed)
		if a.changes.Load() == changes {
			return f, claimed, nil
		}
	}
	return clusterState{}, nil, fmt.Errorf("reading the IPAddressClaims: some of them changed during each of %d reads", maxClusterReads)
}

// NoteClaimChange records that a changed claim is about to be passed to the view.
func (a *Adopter) NoteClaimChange() { a.changes.Add(1) }

// clusterState has the objects that were read from the API server.
type clusterState struct {
	pools      []ipam.Pool
	claims     []v1beta1.IPAddressClaim
	services   []*corev1.Service            // the Services that the controller serves, the oldest first
	namespaces map[string]map[string]string // the labels of each namespace, by its name
}

func (a *Adopter) readCluster(ctx context.Context) (clusterState, error) {
	pools, err := a.Pools(ctx, a.Reader)
	if err != nil {
		return clusterState{}, fmt.Errorf("reading the pools and the addresses that they must not give: %w", err)
	}
	var claims v1beta1.IPAddressClaimList
	if err := a.Reader.List(ctx, &claims); err != nil {
		return clusterState{}, fmt.Errorf("listing the IPAddressClaims: %w", err)
	}
	services, err := paged.LoadBalancers(ctx, a.Reader)
	if err != nil {
		return clusterState{}, fmt.Errorf("reading the Services of type LoadBalancer: %w", err)
	}
	var namespaces corev1.NamespaceList
	if err := a.Reader.List(ctx, &namespaces); err != nil {
		return clusterState{}, fmt.Errorf("listing the namespaces: %w", err)
	}
	f := clusterState{pools: pools, claims: claims.Items, namespaces: map[string]map[string]string{}}
	for i := range namespaces.Items {
		f.namespaces[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	holders := map[types.UID]bool{} // UIDs of Services that hold a claim; the controller serves these whatever their class
	for i := range claims.Items {
		for _, h := range claims.Items[i].Spec.Holders {
			holders[h.UID] = h.UID != ""
		}
	}
	for i := range services {
		svc := &services[i]
		ours := apiconv.IsServedBy(svc, a.Class) || svc.Spec.Type == corev1.ServiceTypeLoadBalancer && holders[svc.UID]
		if svc.DeletionTimestamp.IsZero() && ours {
			f.services = append(f.services, svc)
		}
	}
	slices.SortFunc(f.services, func(x, y *corev1.Service) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), apiconv.KeyOf(x).Compare(apiconv.KeyOf(y)))
	})
	return f, nil
}
