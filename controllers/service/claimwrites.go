package service

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// claimWrite is what the writes of a claim are counted by: another writer that undoes the same
// write again and again is answered under a back-off. Writes of one key come from the reconcile
// of its Service.
type claimWrite struct {
	claim   string
	service lb.ServiceKey // on whose behalf
	what    correction
}

// correction is the kind of a write.
type correction string

const (
	nameHolder    correction = "name"     // the claim names the Service as a holder
	leaveClaim    correction = "leave"    // the claim names it no more, or is gone
	giveClaimBack correction = "giveBack" // it is not handed to a Service that does not exist
)

// errUndone means that another writer undoes a write each time, and when it is made again.
type errUndone struct {
	claim string
	wait  time.Duration
}

func (e *errUndone) Error() string {
	return fmt.Sprintf("writing the IPAddressClaim %s: another writer undoes it: the next attempt is in %v", e.claim, e.wait)
}

// undoneFor returns how long a write waits that another writer undoes, zero if err is something else.
func undoneFor(err error) time.Duration {
	var undone *errUndone
	if errors.As(err, &undone) {
		return undone.wait
	}
	return 0
}

// writeClaim makes a write that brings a claim to what wanted describes, unless another writer
// has undone the same one and it is not time yet. found is the claim that the write replaces,
// nil if there is none.
func (r *Reconciler) writeClaim(key claimWrite, wanted string, found *v1beta1.IPAddressClaim, write func() error) error {
	undone := r.claimWrites.Look(key, wanted, false, r.now())
	if undone.Is {
		by := anotherWriter
		if found != nil {
			by = lastWriter(found.ManagedFields, "")
		}
		r.claimWrites.SetBy(key, by)
	}
	if undone.Wait > 0 {
		return &errUndone{claim: key.claim, wait: undone.Wait}
	}
	if err := write(); err != nil {
		return err
	}
	r.claimWrites.Wrote(key, wanted)
	return nil
}

// nameWrite is the key of the write by which a claim names the Service.
func nameWrite(address netip.Addr, service lb.ServiceKey) claimWrite {
	return claimWrite{claim: apiconv.ClaimName(address), service: service, what: nameHolder}
}

// claimOverwritten returns which claim of these holdings another writer deletes or changes again
// and again, and for how long that counts; empty: none.
func (r *Reconciler) claimOverwritten(holdings []ipam.Holding) (sentence string, calm time.Duration) {
	for _, h := range holdings {
		key := nameWrite(h.Address, h.Service)
		if by, left := r.claimWrites.Disagreement(key, r.now()); left > 0 {
			return fmt.Sprintf("the IPAddressClaim %s: %s deletes or changes it again and again: nodes announce %s only while the claim names the Service: turn that writer off",
				key.claim, by, h.Address), left
		}
	}
	return "", 0
}
