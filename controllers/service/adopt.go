package service

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/controllers/pool"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// Adopter fills the ledger with what the cluster holds, before anything new is
// given: pools, then claims, then the addresses in Service status that have no
// claim yet. It reads past the cache: another controller may have written a
// moment ago.
type Adopter struct {
	// Reader reads from the API server.
	Reader client.Reader
	// Ledger to fill.
	Ledger *ledger.Ledger
	// Class of the Services that are served; see apiconv.ServedBy.
	Class string

	mu      sync.Mutex
	done    bool
	holders []lb.ServiceKey // to look at, once there is a queue
	enqueue func(lb.ServiceKey)
}

// SetEnqueue names the queue for the Services that hold a claim: those that
// went away while no controller ran must let it go.
func (a *Adopter) SetEnqueue(enqueue func(lb.ServiceKey)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enqueue = enqueue
	a.flush()
}

func (a *Adopter) flush() {
	if a.enqueue == nil {
		return
	}
	for _, key := range a.holders {
		a.enqueue(key)
	}
	a.holders = nil
}

// Load fills the ledger once; later calls return at once. After an error the
// next call tries again.
func (a *Adopter) Load(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done {
		return nil
	}
	var pools v1beta1.IPAddressPoolList
	if err := a.Reader.List(ctx, &pools); err != nil {
		return fmt.Errorf("listing the IPAddressPools to adopt: %w", err)
	}
	var claims v1beta1.IPAddressClaimList
	if err := a.Reader.List(ctx, &claims); err != nil {
		return fmt.Errorf("listing the IPAddressClaims to adopt: %w", err)
	}
	var services corev1.ServiceList
	if err := a.Reader.List(ctx, &services); err != nil {
		return fmt.Errorf("listing the Services to adopt: %w", err)
	}
	planned, _ := pool.Plan(pools.Items)
	var claimed []ipam.Holding
	for i := range claims.Items {
		if h, ok := holdingOf(ctx, &claims.Items[i]); ok {
			claimed = append(claimed, h)
		}
		for _, holder := range claims.Items[i].Spec.Holders {
			a.holders = append(a.holders, apiconv.HolderKey(holder))
		}
	}
	a.Ledger.Load(planned, claimed)
	adopted := a.adoptServices(ctx, services.Items)
	a.done = true
	a.flush()
	log.FromContext(ctx).Info("adopted what the cluster holds", "pools", len(planned), "claims", len(claims.Items), "servicesWithoutClaim", adopted)
	return nil
}

// adoptServices records the addresses that Services have and no claim tells
// of. Of two Services with one address, the older one keeps it.
func (a *Adopter) adoptServices(ctx context.Context, services []corev1.Service) (adopted int) {
	slices.SortFunc(services, func(x, y corev1.Service) int {
		if c := x.CreationTimestamp.Compare(y.CreationTimestamp.Time); c != 0 {
			return c
		}
		return apiconv.KeyOf(&x).Compare(apiconv.KeyOf(&y))
	})
	for i := range services {
		svc := &services[i]
		if !apiconv.ServedBy(svc, a.Class) {
			continue
		}
		key := apiconv.KeyOf(svc)
		if len(a.Ledger.HeldBy(key)) > 0 {
			continue
		}
		for _, address := range apiconv.StatusAddresses(svc) {
			if a.Ledger.Adopt(address, key) {
				adopted++
			} else {
				log.FromContext(ctx).Info("not adopting an address that is in no pool or belongs to an older Service", "service", key.String(), "address", address.String())
			}
		}
	}
	return adopted
}

// holdingOf is what a claim says. A claim without a holder reserves its address;
// one whose name is not its address says nothing.
func holdingOf(ctx context.Context, claim *v1beta1.IPAddressClaim) (ipam.Holding, bool) {
	address, err := apiconv.ClaimAddress(claim)
	if err != nil {
		log.FromContext(ctx).Info("ignoring an IPAddressClaim", "claim", claim.Name, "why", err.Error())
		return ipam.Holding{}, false
	}
	h := ipam.Holding{Address: address, Pool: lb.PoolName(claim.Spec.Pool)}
	if len(claim.Spec.Holders) > 0 {
		h.Service = apiconv.HolderKey(claim.Spec.Holders[0])
	}
	return h, true
}
