package pool

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

const (
	// holdBack is for how long an address is not given after a foreign host was last
	// reported on it: once no node has the address, nobody listens.
	holdBack = 10 * time.Minute
	// maxForeign is the bound of status.foreign.
	maxForeign = 256
)

// foreign is a host that uses an address, or did so a moment ago.
type foreign struct {
	reports.Foreign
	// until when the address is held back; zero while the host is reported.
	until time.Time
}

// String says who it is, as part of a sentence.
func (f foreign) String() string {
	heard := "heard"
	if !f.until.IsZero() {
		heard = "last heard"
	}
	return fmt.Sprintf("a foreign host with the MAC %s (%s by the node %q on %s)", f.MAC, heard, f.Node, f.Interface)
}

// remember returns which addresses are foreign hosts', given those that were so far
// and what the speakers report now, at that time. One that is reported no more stays
// for some time, unless the node that reported it, or a later one, announces it.
func remember(before map[netip.Addr]foreign, now reports.Picture, at time.Time) map[netip.Addr]foreign {
	next := map[netip.Addr]foreign{}
	for address, host := range now.Hosts {
		next[address] = foreign{Foreign: host}
	}
	for address, was := range before {
		owner, owned := now.Owners[address]
		quiet := owned && (owner.Node == was.Node || owner.Since.After(was.Since))
		if _, reported := next[address]; reported || quiet {
			continue
		}
		if was.until.IsZero() {
			was.until = at.Add(holdBack).Truncate(time.Second)
		}
		if was.until.After(at) {
			next[address] = was
		}
	}
	return next
}

// takenBy turns them into what no pool can give, in the order of the addresses.
func takenBy(hosts map[netip.Addr]foreign) []ipam.Taken {
	var list []ipam.Taken
	for address, f := range hosts {
		list = append(list, ipam.Taken{Range: lb.Range{First: address, Last: address}, By: f.String(), Foreign: true, InUse: f.InUse})
	}
	slices.SortFunc(list, func(x, y ipam.Taken) int { return x.Range.First.Compare(y.Range.First) })
	return list
}

// listed is what a pool's status says of its addresses that foreign hosts use: the
// first ones.
func listed(p ipam.Pool, hosts map[netip.Addr]foreign) []v1beta1.ForeignAddress {
	var list []foreign
	for address := range p.Foreign {
		list = append(list, hosts[address])
	}
	slices.SortFunc(list, func(x, y foreign) int { return x.Address.Compare(y.Address) })
	var told []v1beta1.ForeignAddress
	for _, f := range list[:min(maxForeign, len(list))] {
		told = append(told, statusOf(f))
	}
	return told
}

func statusOf(f foreign) v1beta1.ForeignAddress {
	s := v1beta1.ForeignAddress{
		Address: f.Address.String(), HardwareAddress: f.MAC, Node: string(f.Node), Interface: v1beta1.InterfaceName(f.Interface),
		Announced: f.InUse, Since: metav1.NewTime(f.Since),
	}
	if !f.until.IsZero() {
		s.Until = &metav1.Time{Time: f.until}
	}
	return s
}

// only returns those that a pool has.
func only(hosts map[netip.Addr]foreign, pools []ipam.Pool) map[netip.Addr]foreign {
	kept := map[netip.Addr]foreign{}
	for _, p := range pools {
		for address := range p.Foreign {
			kept[address] = hosts[address]
		}
	}
	return kept
}

// remembered reads from the status of pools what a controller before this one knew.
func remembered(pools []v1beta1.IPAddressPool) map[netip.Addr]foreign {
	known := map[netip.Addr]foreign{}
	for i := range pools {
		for _, s := range pools[i].Status.Foreign {
			host, err := apiconv.ForeignAddress(s)
			if err != nil {
				continue // somebody edited it
			}
			f := foreign{Foreign: host}
			if s.Until != nil {
				f.until = s.Until.Time
			}
			known[host.Address] = f
		}
	}
	return known
}

// picture reads what the speakers report. Who has which address matters only if
// somebody is, or was, on an address of a pool.
func picture(ctx context.Context, reader client.Reader, known int) (reports.Picture, error) {
	var states v1beta1.SpeakerStateList
	if err := reader.List(ctx, &states, client.UnsafeDisableDeepCopy); err != nil {
		return reports.Picture{}, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	heard := slices.ContainsFunc(states.Items, func(s v1beta1.SpeakerState) bool { return len(s.Status.Conflicts) > 0 })
	if !heard && known == 0 {
		return reports.Picture{}, nil
	}
	list := make([]reports.Report, 0, len(states.Items))
	for i := range states.Items {
		list = append(list, apiconv.SpeakerReport(&states.Items[i]))
	}
	return reports.Together(list), nil
}

// nextEnd returns when the first address is given again, zero for never.
func nextEnd(hosts map[netip.Addr]foreign) time.Time {
	var next time.Time
	for _, f := range hosts {
		if !f.until.IsZero() && (next.IsZero() || f.until.Before(next)) {
			next = f.until
		}
	}
	return next
}
