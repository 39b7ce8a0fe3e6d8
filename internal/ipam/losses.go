package ipam

import (
	"math/big"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// LossPeriod is the period to which MaxLosses applies.
	LossPeriod = time.Hour
	// MaxLosses is how many addresses a pool may lose to foreign hosts within LossPeriod: the pool no
	// longer gives these addresses, because the hosts use them. A small pool may lose at most half of
	// the addresses that it lists, but always one. The limit keeps a host that answers for every address
	// from using up the pool.
	MaxLosses = 8
)

// Losses are the times at which pools lost addresses to foreign hosts.
type Losses map[lb.PoolName][]time.Time

// Restore adds a loss from the status of a pool.
func (l Losses) Restore(pool lb.PoolName, at time.Time) { l[pool] = append(l[pool], at) }

// TakeLoss reports whether a pool may lose one more address at the given time. If so, it also records
// the loss.
func (l Losses) TakeLoss(pool lb.PoolName, listed []lb.Range, at time.Time) bool {
	recent := l.Recent(pool, at)
	if len(recent) >= lossLimit(listed) {
		return false
	}
	l[pool] = append(recent, at)
	return true
}

// Recent returns the losses of a pool within the LossPeriod before the given time, and removes older
// losses.
func (l Losses) Recent(pool lb.PoolName, at time.Time) []time.Time {
	recent := slices.DeleteFunc(l[pool], func(t time.Time) bool { return at.Sub(t) >= LossPeriod })
	if len(recent) == 0 {
		delete(l, pool)
		return nil
	}
	l[pool] = recent
	return slices.Clone(recent)
}

// lossLimit returns how many addresses a pool that lists these ranges may lose.
func lossLimit(listed []lb.Range) int {
	size := new(big.Int)
	for _, r := range lb.Union(listed...) {
		size.Add(size, r.Size())
	}
	if half := size.Rsh(size, 1); half.IsInt64() && half.Int64() < MaxLosses {
		return max(1, int(half.Int64()))
	}
	return MaxLosses
}
