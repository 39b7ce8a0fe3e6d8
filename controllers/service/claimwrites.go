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

// claimWrite is the key by which writes of a claim are counted: a write that another writer undoes
// again and again is repeated with a back-off. Only the reconcile of its Service uses a key, so that
// no two goroutines do at the same time.
type claimWrite struct {
	claim   string
	service lb.ServiceKey // the Service for which the claim is written
	what    writeKind
}

// writeKind is the kind of a write.
type writeKind string

const (
	addHolder     writeKind = "name"     // the claim names the Service as a holder
	leaveClaim    writeKind = "leave"    // the claim does not name the Service any more, or is deleted
	giveClaimBack writeKind = "giveBack" // the claim names its former holders again, since the Service does not exist
)

// errUndone means that another writer undoes a write each time. wait is the time until the next attempt.
type errUndone struct {
	claim string
	wait  time.Duration
}

func (e *errUndone) Error() string {
	return fmt.Sprintf("writing the IPAddressClaim %s: another writer undoes it: the next attempt is in %v", e.claim, e.wait)
}

// undoneWait returns the time until the next attempt if err is an errUndone, otherwise zero.
func undoneWait(err error) time.Duration {
	var undone *errUndone
	if errors.As(err, &undone) {
		return undone.wait
	}
	return 0
}

// writeClaim calls write, which changes a claim to the state that wanted describes. If another
// writer has undone the same write, it may return errUndone instead, see retry.RestoreLimiter. found is
// the claim that the write replaces, nil if there is none.
func (r *Reconciler) writeClaim(key claimWrite, wanted string, found *v1beta1.IPAddressClaim, write func() error) error {
	undone := r.claimWrites.Compare(key, wanted, false, r.now())
	if undone.Is {
		by := anotherWriter
		if found != nil {
			by = writerOf(found.ManagedFields, "")
		}
		r.claimWrites.SetBy(key, by)
	}
	if undone.Wait > 0 {
		return &errUndone{claim: key.claim, wait: undone.Wait}
	}
	if err := write(); err != nil {
		return err
	}
	r.claimWrites.NoteWrite(key, wanted)
	return nil
}

// holderWrite returns the key of the write by which a claim names the Service.
func holderWrite(address netip.Addr, service lb.ServiceKey) claimWrite {
	return claimWrite{claim: apiconv.ClaimName(address), service: service, what: addHolder}
}

// claimOverwritten returns a sentence about a claim of these holdings that another writer deletes or
// changes again and again, and how long the disagreement still lasts; empty: there is none.
func (r *Reconciler) claimOverwritten(holdings []ipam.Holding) (sentence string, calm time.Duration) {
	for _, h := range holdings {
		key := holderWrite(h.Address, h.Service)
		if by, left := r.claimWrites.Disagreement(key, r.now()); left > 0 {
			return fmt.Sprintf("the IPAddressClaim %s: %s deletes or changes it again and again: nodes announce %s only while the claim names the Service: turn that writer off",
				key.claim, by, h.Address), left
		}
	}
	return "", 0
}
