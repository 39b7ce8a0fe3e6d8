package pool

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

const (
	// holdBackPeriod is how long a pool does not give an address after the last report that a foreign host
	// uses it. The host may still use the address: while no node owns the address, no speaker notices the
	// host.
	holdBackPeriod = 10 * time.Minute
	// maxForeignAddresses is the maximum number of entries in status.foreign.
	maxForeignAddresses = 256
)

// foreignHost is a host that uses an address, or used it within the last holdBackPeriod.
type foreignHost struct {
	reports.ForeignHost
	// until is when the pool gives the address again; zero while a speaker reports the host.
	until time.Time
	// reportedOnly means that the pool gives the address although the host uses it; see ipam.Losses.
	reportedOnly bool
}

// rememberHosts returns the foreign hosts by address: the hosts that the speakers report now and, for
// holdBackPeriod, the hosts that they reported before. A host that is no longer reported is dropped at once
// in one case: the node that reported it, or a later owner, announces the address without a conflict.
func rememberHosts(before map[netip.Addr]foreignHost, now reports.MergedReports, at time.Time) map[netip.Addr]foreignHost {
	next := map[netip.Addr]foreignHost{}
	for address, host := range now.Hosts {
		next[address] = foreignHost{ForeignHost: host}
	}
	for address, was := range before {
		owner, owned := now.Owners[address]
		quiet := owned && (owner.Node == was.Node || owner.Since.After(was.Since))
		if _, reported := next[address]; reported || quiet {
			continue
		}
		if was.until.IsZero() {
			was.until = at.Add(holdBackPeriod).Truncate(time.Second)
		}
		if was.until.After(at) {
			next[address] = was
		}
	}
	return next
}

// takenHostRanges returns the addresses of foreign hosts as ranges for validity.Pools, sorted by address.
func takenHostRanges(hosts map[netip.Addr]foreignHost) []ipam.TakenRange {
	var list []ipam.TakenRange
	for address, f := range hosts {
		list = append(list, ipam.TakenRange{Range: lb.Range{First: address, Last: address}, By: f.Describe(!f.until.IsZero()), Remedy: f.Remedy(), Foreign: true, InUse: f.InUse, ReportedOnly: f.reportedOnly})
	}
	slices.SortFunc(list, func(x, y ipam.TakenRange) int { return x.Range.First.Compare(y.Range.First) })
	return list
}

// foreignStatus returns status.foreign of a pool. It lists at most maxForeignAddresses of the pool's
// addresses that foreign hosts use.
func foreignStatus(p ipam.Pool, hosts map[netip.Addr]foreignHost) []v1beta1.ForeignAddress {
	var list []foreignHost
	for address := range p.Foreign {
		list = append(list, hosts[address])
	}
	slices.SortFunc(list, func(x, y foreignHost) int { return x.Address.Compare(y.Address) })
	var entries []v1beta1.ForeignAddress
	for _, f := range list[:min(maxForeignAddresses, len(list))] {
		entries = append(entries, statusOf(f))
	}
	return entries
}

func statusOf(f foreignHost) v1beta1.ForeignAddress {
	s := v1beta1.ForeignAddress{
		Address: f.Address.String(), HardwareAddress: f.MAC, HostNode: v1beta1.NodeName(f.HostNode), Node: string(f.Node), Interface: v1beta1.InterfaceName(f.Interface),
		Announced: f.InUse, ReportedOnly: f.reportedOnly, Since: metav1.NewTime(f.Since),
	}
	if !f.until.IsZero() {
		s.Until = &metav1.Time{Time: f.until}
	}
	return s
}

// hostsInPools returns the hosts that use an address of one of the pools.
func hostsInPools(hosts map[netip.Addr]foreignHost, pools []ipam.Pool) map[netip.Addr]foreignHost {
	kept := map[netip.Addr]foreignHost{}
	for _, p := range pools {
		for address := range p.Foreign {
			kept[address] = hosts[address]
		}
	}
	return kept
}

// storedHosts returns the foreign hosts in the status of the pools, which an earlier process of the
// controller wrote.
func storedHosts(pools []v1beta1.IPAddressPool) map[netip.Addr]foreignHost {
	known := map[netip.Addr]foreignHost{}
	for i := range pools {
		for _, s := range pools[i].Status.Foreign {
			host, err := apiconv.ParseForeignHost(s)
			if err != nil {
				continue // another writer has edited the status
			}
			f := foreignHost{ForeignHost: host, reportedOnly: s.ReportedOnly}
			if s.Until != nil {
				f.until = s.Until.Time
			}
			known[host.Address] = f
		}
	}
	return known
}

// limitLosses sets reportedOnly of the hosts. A pool loses an address when it stops giving the address
// because of a host. ipam.Losses limits how many addresses a pool may lose within an hour. Beyond this limit,
// the pool still gives the address, and its status only reports the host. Addresses that the pool lost
// earlier stay lost.
func limitLosses(hosts, before map[netip.Addr]foreignHost, pools []v1beta1.IPAddressPool, losses ipam.Losses, at time.Time) {
	parsed := make([]eligibility.Pool, 0, len(pools))
	for i := range pools {
		parsed = append(parsed, apiconv.AdvertisedPool(&pools[i]))
	}
	for _, address := range slices.SortedFunc(maps.Keys(hosts), netip.Addr.Compare) {
		f := hosts[address]
		was, known := before[address]
		switch {
		case f.InUse && f.until.IsZero():
			continue // the Service that has the address keeps it: the pool loses nothing
		case known && !was.reportedOnly && (!was.InUse || !was.until.IsZero()):
			continue
		}
		i := slices.IndexFunc(parsed, func(p eligibility.Pool) bool { return listsAddress(p, address) })
		if i < 0 {
			continue
		}
		f.reportedOnly = !losses.TakeLoss(parsed[i].Name, parsed[i].Listed, at)
		hosts[address] = f
	}
}

func listsAddress(p eligibility.Pool, address netip.Addr) bool {
	return rangesContain(p.Listed, address) && !rangesContain(p.Excluded, address)
}

// poolWithAddress returns the name of a pool that lists an address; empty if there is none.
func poolWithAddress(pools []v1beta1.IPAddressPool, address netip.Addr) lb.PoolName {
	for i := range pools {
		if p := apiconv.AdvertisedPool(&pools[i]); listsAddress(p, address) {
			return p.Name
		}
	}
	return ""
}

func rangesContain(ranges []lb.Range, address netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r lb.Range) bool { return r.Contains(address) })
}

// storedLosses reads from the status of the pools when they lost addresses. After an edit or because of a
// wrong clock, a time can be in the future: it is set to now, so that it does not count for longer than other
// losses.
func storedLosses(pools []v1beta1.IPAddressPool, now time.Time) ipam.Losses {
	losses := ipam.Losses{}
	for i := range pools {
		for _, at := range pools[i].Status.ForeignLosses {
			if at.After(now) {
				at.Time = now
			}
			losses.Restore(lb.PoolName(pools[i].Name), at.Time)
		}
	}
	return losses
}

// nextReturnTime returns the next time at which a pool gives an address again that it holds back for
// holdBackPeriod; zero: no pool holds an address back.
func nextReturnTime(hosts map[netip.Addr]foreignHost) time.Time {
	var next time.Time
	for _, f := range hosts {
		if !f.until.IsZero() && (next.IsZero() || f.until.Before(next)) {
			next = f.until
		}
	}
	return next
}
