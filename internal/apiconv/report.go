package apiconv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// SpeakerReport reads a SpeakerState. It leaves out invalid addresses and prefixes.
func SpeakerReport(state *v1beta1.SpeakerState) reports.Report {
	r := reports.Report{Node: lb.NodeName(state.Name), Stopped: state.Status.Phase == v1beta1.SpeakerStopped}
	r.MissingBounded = len(state.Status.MissingSpeakers) == maxMissingSpeakers
	if c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent); c != nil {
		r.Ended, r.Confirmed = c.Reason == v1beta1.ReasonSpeakerEnded, c.Reason == v1beta1.ReasonSpeakerMissing
		r.Dead = r.Confirmed // the controller has already checked the Node and its kubelet
	}
	r.Isolated = state.Status.Phase == v1beta1.SpeakerIsolated
	if since := state.Status.MinoritySince; since != nil {
		r.MinoritySince = since.Time
	}
	for _, node := range state.Status.MissingSpeakers {
		r.Missing = append(r.Missing, lb.NodeName(node))
	}
	for _, a := range state.Status.Addresses {
		address, err := ParseAddress(a.Address)
		if err != nil {
			continue
		}
		owned := reports.OwnedAddress{Address: address, Node: r.Node, Since: a.Since.Time, Epoch: a.Epoch}
		for _, name := range a.Interfaces {
			owned.Interfaces = append(owned.Interfaces, string(name))
		}
		r.Owned = append(r.Owned, owned)
	}
	for _, c := range state.Status.Conflicts {
		if address, err := ParseAddress(c.Address); err == nil {
			r.Foreign = append(r.Foreign, reports.ForeignHost{
				Address: address, Node: r.Node, Interface: string(c.Interface), MAC: c.HardwareAddress, HostNode: lb.NodeName(c.HostNode), InUse: c.Announced, Since: c.Since.Time,
			})
		}
	}
	if r.Links, r.LinksBounded = SpeakerLinks(state); state.Status.Phase == "" {
		r.LinksBounded = true // the speaker has not written its state yet
	}
	if c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady); c != nil && c.Reason == v1beta1.ReasonStandby {
		r.Standby, _, _ = strings.Cut(c.Message, ":")
	} else if state.Status.Phase == v1beta1.SpeakerIsolated {
		r.Standby = "its speaker is isolated from other speakers and announces nothing"
	} else if state.Status.Phase == v1beta1.SpeakerDraining {
		r.Standby = "the node drains"
	}
	for i := range state.Status.BGPPeers {
		p := &state.Status.BGPPeers[i]
		s := reports.Session{
			Peer: bgp.PeerName(p.Name), Established: p.State == v1beta1.BGPEstablished, State: string(p.State), LastError: p.LastError, Flaps: int(p.Flaps),
			IPv4: slices.Contains(p.Families, lb.IPv4.String()), IPv6: slices.Contains(p.Families, lb.IPv6.String()), Retry: time.Duration(p.RetrySeconds) * time.Second,
		}
		if p.Problem != nil {
			s.Problem = bgp.Problem{Reason: bgp.ProblemReason(p.Problem.Reason), Message: p.Problem.Message}
		}
		r.Sessions = append(r.Sessions, s)
	}
	return r
}

// maxMissingSpeakers is the maximum number of missing speakers in a SpeakerState.
const maxMissingSpeakers = 256

// maxInterfaces is the maximum number of interfaces in a SpeakerState.
const maxInterfaces = 256

// SpeakerLinks reads the interfaces in a SpeakerState. bounded means that the list has the maximum
// length, so that the node may have further interfaces.
func SpeakerLinks(state *v1beta1.SpeakerState) (parsed []reports.Link, bounded bool) {
	list := state.Status.Interfaces
	for i := range list {
		l := reports.Link{Name: string(list[i].Name)}
		for _, family := range []lb.Family{lb.IPv4, lb.IPv6} {
			if slices.Contains(list[i].Families, family.String()) {
				l.Families = append(l.Families, family)
			}
		}
		for _, subnet := range list[i].Subnets {
			if p, err := netip.ParsePrefix(subnet); err == nil {
				l.Subnets = append(l.Subnets, p.Masked())
			}
		}
		parsed = append(parsed, l)
	}
	return parsed, len(list) >= maxInterfaces
}

// SpeakerRoutes reads a slice with routes that a node announces to routers. It leaves out invalid prefixes and
// routes without peers.
func SpeakerRoutes(slice *v1beta1.SpeakerRouteSlice) (lb.NodeName, []reports.Route) {
	var routes []reports.Route
	for _, listed := range slice.Routes {
		prefix, err := netip.ParsePrefix(listed.Prefix)
		if err != nil || len(listed.Peers) == 0 {
			continue
		}
		route := reports.Route{Prefix: prefix.Masked()}
		for _, name := range listed.Peers {
			route.Peers = append(route.Peers, bgp.PeerName(name))
		}
		if listed.Since != nil {
			route.Since = listed.Since.Time
		}
		slices.Sort(route.Peers)
		routes = append(routes, route)
	}
	return lb.NodeName(slice.Node), routes
}

// ParseForeignHost reads an item of status.foreign of a pool.
func ParseForeignHost(f v1beta1.ForeignAddress) (reports.ForeignHost, error) {
	address, err := ParseAddress(f.Address)
	if err != nil {
		return reports.ForeignHost{}, fmt.Errorf("status.foreign: %w", err)
	}
	return reports.ForeignHost{Address: address, Node: lb.NodeName(f.Node), Interface: string(f.Interface), MAC: f.HardwareAddress, HostNode: lb.NodeName(f.HostNode), InUse: f.Announced, Since: f.Since.Time}, nil
}
