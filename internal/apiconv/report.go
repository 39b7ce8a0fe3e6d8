package apiconv

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// SpeakerReport reads what a speaker reports. What is no address or prefix is left out,
// and so are routes that no established session carries.
func SpeakerReport(state *v1beta1.SpeakerState) reports.Report {
	r := reports.Report{Node: lb.NodeName(state.Name), Stopped: state.Status.Phase == v1beta1.SpeakerStopped}
	for _, node := range state.Status.MissingSpeakers {
		r.Missing = append(r.Missing, lb.NodeName(node))
	}
	for _, a := range state.Status.Addresses {
		address, err := ParseAddress(a.Address)
		if err != nil {
			continue
		}
		owned := reports.Owned{Address: address, Node: r.Node, Since: a.Since.Time, Epoch: a.Epoch}
		for _, name := range a.Interfaces {
			owned.Interfaces = append(owned.Interfaces, string(name))
		}
		r.Owned = append(r.Owned, owned)
	}
	for _, c := range state.Status.Conflicts {
		if address, err := ParseAddress(c.Address); err == nil {
			r.Foreign = append(r.Foreign, reports.Foreign{
				Address: address, Node: r.Node, Interface: string(c.Interface), MAC: c.HardwareAddress, InUse: c.Announced, Since: c.Since.Time,
			})
		}
	}
	down := map[v1beta1.ObjectName]bool{}
	for i := range state.Status.BGPPeers {
		p := &state.Status.BGPPeers[i]
		s := reports.Session{Peer: bgp.PeerName(p.Name), Established: p.State == v1beta1.BGPEstablished, State: string(p.State), LastError: p.LastError}
		down[p.Name] = !s.Established
		r.Sessions = append(r.Sessions, s)
	}
	for _, route := range state.Status.BGPRoutes {
		prefix, err := netip.ParsePrefix(route.Prefix)
		if err != nil {
			continue
		}
		read := reports.Route{Prefix: prefix.Masked()}
		for _, name := range route.Peers {
			if !down[name] {
				read.Peers = append(read.Peers, bgp.PeerName(name))
			}
		}
		if len(read.Peers) > 0 {
			slices.Sort(read.Peers)
			r.Routes = append(r.Routes, read)
		}
	}
	return r
}

// ForeignAddress reads what a pool remembers of a foreign host.
func ForeignAddress(f v1beta1.ForeignAddress) (reports.Foreign, error) {
	address, err := ParseAddress(f.Address)
	if err != nil {
		return reports.Foreign{}, fmt.Errorf("status.foreign: %w", err)
	}
	return reports.Foreign{Address: address, Node: lb.NodeName(f.Node), Interface: string(f.Interface), MAC: f.HardwareAddress, InUse: f.Announced, Since: f.Since.Time}, nil
}
