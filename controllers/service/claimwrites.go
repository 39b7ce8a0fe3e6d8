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

// claimWrite is the key of a write of a claim in Reconciler.claimWrites, which delays a write that another
// writer undoes again and again. Only the reconcile of the Service uses the key, so that no two goroutines
// use one key at the same time.
type claimWrite struct {
	claim   string
	service lb.ServiceKey // the Service for which the claim is written
	what    writeKind
}

// writeKind is the purpose of a write of a claim.
type writeKind string

const (
	kindAddHolder  writeKind = "name"     // add the Service to the holders
	kindLeaveClaim writeKind = "leave"    // remove the Service from the holders, or delete the claim
	kindGiveBack   writeKind = "giveBack" // restore the former holders, since the new ones do not exist
)

// errUndone means that another writer undoes each write of a claim.
type errUndone struct {
	claim string
	wait  time.Duration // the time until the next attempt
}

func (e *errUndone) Error() string {
	return fmt.Sprintf("another writer undoes each write of the IPAddressClaim %s; the next attempt is in %v", e.claim, e.wait)
}

// undoneWait returns the time until the next attempt if err is an errUndone, otherwise zero.
func undoneWait(err error) time.Duration {
	var undone *errUndone
	if errors.As(err, &undone) {
		return undone.wait
	}
	return 0
}

// writeClaim calls the function write, which changes a claim. The parameter wanted describes the claim after
// the change. If another writer has undone the same write before, writeClaim may return errUndone without
// calling write, see retry.RestoreLimiter. The parameter found is the claim before the write; nil: the claim
// does not exist.
func (r *Reconciler) writeClaim(key claimWrite, wanted string, found *v1beta1.IPAddressClaim, write func() error) error {
	undone := r.claimWrites.Compare(key, wanted, false, r.now())
	if undone.Is {
		by := anotherWriter
		if found != nil {
			by = writerOf(found.ManagedFields, "")
		}
		r.claimWrites.SetOverwriter(key, by)
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

// holderWrite returns the key of the write that adds the Service to the holders of the claim for an address.
func holderWrite(address netip.Addr, service lb.ServiceKey) claimWrite {
	return claimWrite{claim: apiconv.ClaimName(address), service: service, what: kindAddHolder}
}

// claimOverwrittenMessage returns a sentence if another writer deletes or changes the claim of one of these
// holdings again and again; empty: there is no such claim. calm is the time until the disagreement with that
// writer ends if no further write is undone.
func (r *Reconciler) claimOverwrittenMessage(holdings []ipam.Holding) (sentence string, calm time.Duration) {
	for _, h := range holdings {
		key := holderWrite(h.Address, h.Service)
		if by, left := r.claimWrites.Disagreement(key, r.now()); left > 0 {
			return fmt.Sprintf("%s deletes or changes the IPAddressClaim %s again and again; nodes announce %s only while the claim names the Service: turn that writer off",
				by, key.claim, h.Address), left
		}
	}
	return "", 0
}
