package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// candidate returns a peer for 192.0.2.1 that was created in a given second.
func candidate(name PeerName, second int, edits ...func(*Peer)) PeerCandidate {
	p := Peer{Name: name, Address: netip.MustParseAddr("192.0.2.1"), Port: Port}
	for _, edit := range edits {
		edit(&p)
	}
	return PeerCandidate{Peer: p, Created: time.Unix(int64(second), 0)}
}

func at(address string) func(*Peer) {
	return func(p *Peer) { p.Address = netip.MustParseAddr(address) }
}

func from(address string) func(*Peer) {
	return func(p *Peer) { p.Source = netip.MustParseAddr(address) }
}

func port(n uint16) func(*Peer)   { return func(p *Peer) { p.Port = n } }
func vrf(name string) func(*Peer) { return func(p *Peer) { p.VRF = name } }
func passive(p *Peer)             { p.Passive = true }

func on(device string) func(*Peer) {
	return func(p *Peer) { p.Address, p.Interface = netip.Addr{}, device }
}

func TestSelectPeers(t *testing.T) {
	for _, tt := range []struct {
		name       string
		candidates []PeerCandidate
		inEffect   []PeerCandidate
		selected   []PeerName
		duplicates map[PeerName]PeerName
	}{
		{"two routers", []PeerCandidate{candidate("b", 1), candidate("a", 2, at("192.0.2.2"))}, nil, []PeerName{"a", "b"}, nil},
		{"the older peer is in effect", []PeerCandidate{candidate("a", 2), candidate("b", 1)}, nil, []PeerName{"b"}, map[PeerName]PeerName{"a": "b"}},
		{"of equal age the first by name is in effect", []PeerCandidate{candidate("b", 1), candidate("a", 1), candidate("c", 1)}, nil, []PeerName{"a"}, map[PeerName]PeerName{"b": "a", "c": "a"}},
		{"a peer in effect stays", []PeerCandidate{candidate("a", 1), candidate("b", 2)}, []PeerCandidate{candidate("b", 2)}, []PeerName{"b"}, map[PeerName]PeerName{"a": "b"}},
		{"a peer that moves to the router of another one does not displace it", []PeerCandidate{candidate("a", 1), candidate("b", 2)},
			[]PeerCandidate{candidate("a", 1, at("192.0.2.9")), candidate("b", 2)}, []PeerName{"b"}, map[PeerName]PeerName{"a": "b"}},
		{"two that move to one router together", []PeerCandidate{candidate("b", 2), candidate("a", 1)},
			[]PeerCandidate{candidate("a", 1, at("192.0.2.8")), candidate("b", 2, at("192.0.2.9"))}, []PeerName{"a"}, map[PeerName]PeerName{"b": "a"}},
		{"a new session parameter keeps a peer in effect", []PeerCandidate{candidate("a", 1), candidate("b", 2, func(p *Peer) { p.ASN = 7 })},
			[]PeerCandidate{candidate("b", 2)}, []PeerName{"b"}, map[PeerName]PeerName{"a": "b"}},
		{"IPv4 and IPv6 of one router", []PeerCandidate{candidate("a", 1), candidate("b", 1, at("2001:db8::1"))}, nil, []PeerName{"a", "b"}, nil},
		{"one address in two VRFs", []PeerCandidate{candidate("a", 1), candidate("b", 1, vrf("red"))}, nil, []PeerName{"a", "b"}, nil},
		{"two source addresses", []PeerCandidate{candidate("a", 1, from("192.0.2.11")), candidate("b", 1, from("192.0.2.12"))}, nil, []PeerName{"a", "b"}, nil},
		{"two ports that this side connects to", []PeerCandidate{candidate("a", 1), candidate("b", 1, port(1179))}, nil, []PeerName{"a", "b"}, nil},
		{"two ports, and one router connects", []PeerCandidate{candidate("a", 1, passive), candidate("b", 1, port(1179))}, nil, []PeerName{"a"}, map[PeerName]PeerName{"b": "a"}},
		{"a passive and an active peer of one router", []PeerCandidate{candidate("a", 1), candidate("b", 1, passive)}, nil, []PeerName{"a"}, map[PeerName]PeerName{"b": "a"}},
		{"one interface twice", []PeerCandidate{candidate("a", 1, on("eth1")), candidate("b", 1, on("eth1"), port(1179))}, nil, []PeerName{"a"}, map[PeerName]PeerName{"b": "a"}},
		{"two interfaces", []PeerCandidate{candidate("a", 1, on("eth1")), candidate("b", 1, on("eth2"))}, nil, []PeerName{"a", "b"}, nil},
		{"unnumbered and numbered on one link", []PeerCandidate{candidate("a", 1, on("eth1")), candidate("b", 1)}, nil, []PeerName{"a", "b"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inEffect := map[PeerName]Peer{}
			for _, p := range tt.inEffect {
				inEffect[p.Name] = p.Peer
			}
			selected, duplicates := SelectPeers(tt.candidates, inEffect)
			var names []PeerName
			for _, p := range selected {
				names = append(names, p.Name)
			}
			if tt.duplicates == nil {
				tt.duplicates = map[PeerName]PeerName{}
			}
			if diff := cmp.Diff(tt.selected, names) + cmp.Diff(tt.duplicates, duplicates); diff != "" {
				t.Errorf("selected peers and duplicates (-want +got):\n%s", diff)
			}
		})
	}
}
