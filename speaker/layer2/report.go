package layer2

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Report is the state of the engine, for the status of the node's SpeakerState.
type Report struct {
	// Phase of the speaker: Active, Draining or Isolated; Active while the speaker restarts.
	Phase string
	// Owned are the addresses that this node owns, sorted.
	Owned []OwnedAddress
	// Links are the links that this node can announce on, sorted by name. Links to its own pods are
	// included only if an advertisement names them.
	Links []Link
	// Live is the number of speakers that are alive, this one included.
	Live int
	// Missing are nodes, by name, whose speakers should be there and are not alive.
	Missing []lb.NodeName
	// Lost are nodes, by name, from whose speakers this speaker receives nothing, although other speakers report
	// that they are alive.
	Lost []lb.NodeName
	// MinoritySince is when the minority of this speaker began, in full seconds; zero: the speaker is in no
	// minority.
	MinoritySince time.Time
	// Alone: the speaker is in a minority, all missing speakers are on nodes that the API server reports as
	// NotReady, and nothing shows that one of the missing speakers runs.
	Alone bool
	// Unreached are nodes, by name, whose speakers are alive and receive nothing from this one. It
	// is set only if this speaker announces nothing because of them.
	Unreached []lb.NodeName
	// Silent are links, by name, on which the speaker announces nothing in a minority, since it
	// receives nothing from them.
	Silent []string
	// InUse is set in a minority. It has the addresses that this node does not take, or does not announce on
	// additional links, since other hosts answer for them.
	InUse UsedAddresses
	// Conceded is set in the majority. It has the addresses that this node owns or would take, and does not
	// announce since another host answers for them. The other host is, or may be, a node whose speaker has never
	// sent a message to this speaker.
	Conceded UsedAddresses
	// Partitioned: the controller reports that this speaker is cut off from a larger group, and
	// this speaker gives way to that group.
	Partitioned bool
	// Covered are nodes, by name, that do not announce addresses which they own: this node answers
	// for these addresses.
	Covered []CoveredNode
	// Conflicts are addresses that other hosts use as well, sorted.
	Conflicts []Conflict
	// Unserved are links, sorted by name, that exist and on which addresses cannot be announced.
	Unserved []UnservedLink
	// Problems is Snapshot.Problems.
	Problems []string
	// Standby is Snapshot.Standby.
	Standby string
	// Unselected is Snapshot.Unselected.
	Unselected bool
}

// maxListedUses bounds the addresses that UsedAddresses lists.
const maxListedUses = 3

// UsedAddresses are addresses for which hosts answer: their number, and the first maxListedUses of them,
// sorted.
type UsedAddresses struct {
	Count int
	First []AddressUse
}

// AddressUse is a host that answers for an address.
type AddressUse struct {
	Address netip.Addr
	// Interface is the interface on which the host answers.
	Interface string
	// Hardware is the hardware address of the host.
	Hardware net.HardwareAddr
	// Node is the node of a missing speaker that has the hardware address; empty: no such node is known.
	Node lb.NodeName
}

// OwnedAddress is an address that this node owns, and how this node serves it.
type OwnedAddress struct {
	Serving
	// Address is the owned address.
	Address netip.Addr
	// Since is when the node took it.
	Since time.Time
	// Epoch is the number of this ownership: each new owner of an address has a higher one.
	Epoch uint64
}

// sendReport calls Config.Report if the report differs from the last one.
func (e *Engine) sendReport(v *roundView) {
	r := e.buildReport(v)
	if e.sent.report != nil && reflect.DeepEqual(*e.sent.report, r) {
		return
	}
	e.sent.report = &r
	e.Report(r)
}

func (e *Engine) buildReport(v *roundView) Report {
	r := Report{Phase: v.phase.String(), Owned: e.sent.owned, Live: 1 + len(v.in.view.Peers), Unserved: v.in.unserved, Problems: v.in.want.Problems,
		Conceded: e.concededAddresses(v), Partitioned: v.partitioned, Covered: e.coveredNodes(v.now), Standby: v.in.want.Standby, Unselected: v.in.want.Unselected}
	if e.isMinorityMode() {
		r.MinoritySince, r.Alone = truncateToSecond(e.minority.since), isAlone(*v.in.view, v.in.want.Down)
		r.Silent, r.InUse = e.silentLinks(v.now, v.in), e.addressesInUse(v)
	}
	if e.isMinorityMode() && isMissed(*v.in.view) {
		r.Unreached = v.in.view.Unreached
	}
	if v.phase == ownership.Restarting {
		r.Phase = ownership.Active.String()
	}
	for _, m := range v.in.view.Missing {
		r.Missing = append(r.Missing, m.Node)
	}
	for i := range v.in.view.Peers {
		if p := &v.in.view.Peers[i]; p.Lost {
			r.Lost = append(r.Lost, p.Node)
		}
	}
	for _, c := range v.in.conflicts {
		if _, owned := e.claims[c.Address]; owned && !c.Unconfirmed {
			r.Conflicts = append(r.Conflicts, c)
		}
	}
	r.Silent = slices.DeleteFunc(r.Silent, func(name string) bool {
		return !slices.ContainsFunc(v.in.usableLinks(), func(l Link) bool { return l.Name == name && announcesOn(l, v.in.want.Interfaces) })
	})
	for _, link := range v.in.usableLinks() {
		if announcesOn(link, v.in.want.Interfaces) {
			r.Links = append(r.Links, link)
		}
	}
	return r
}

// announcesOn reports whether this node announces on a link. A link that leads to its own pods is used only
// if an advertisement names it.
func announcesOn(l Link, named []string) bool {
	return !l.Internal || slices.Contains(named, l.Name)
}

// stallReportTime is how long an address is still reported as announced after this process stood still, while
// the segment is asked about it. The answers arrive within that time.
const stallReportTime = time.Second

// noteOwned updates the given addresses, which are sorted, in the list of owned addresses. It makes
// a new list: a list that was reported is never changed.
func (e *Engine) noteOwned(about []netip.Addr, at time.Time) {
	before := e.sent.owned
	now := make([]OwnedAddress, 0, len(before)+len(about))
	for _, address := range about {
		index, listed := slices.BinarySearchFunc(before, address, func(o OwnedAddress, a netip.Addr) int { return o.Address.Compare(a) })
		now = append(now, before[:index]...)
		owned := e.served[address]
		if before = before[index:]; listed {
			// While the segment is asked because this process stood still, the report does not change.
			if q, asked := e.minority.queries[address]; asked && at.Sub(q.since) < stallReportTime {
				owned = before[0].Serving
			}
			before = before[1:]
		}
		if epoch, owns := e.claims[address]; owns {
			now = append(now, OwnedAddress{Serving: owned, Address: address, Since: e.taken[address].since, Epoch: uint64(epoch)})
		}
	}
	if e.sent.owned = append(now, before...); len(e.sent.owned) == 0 {
		e.sent.owned = nil // so that reflect.DeepEqual finds no difference to a report from before any address was owned
	}
}
