package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"

	"github.com/lbstack/lbstack/test/arpwatch"
)

// clientInterface is the interface of the client host.
const clientInterface = "eth0"

// Announcement is a gratuitous ARP packet that the client host received.
type Announcement struct {
	// At is when the packet was received.
	At time.Time
	// Address that is announced, and the MAC that it is announced with.
	Address netip.Addr
	MAC     string
}

// Wire records the announcements that reach the client host.
type Wire struct {
	socket *packet.Conn

	mu   sync.Mutex
	seen []Announcement
}

// Listen records announcements until Close.
func (s *Scenario) Listen() (*Wire, error) {
	w := &Wire{}
	err := s.Cluster.RunInHost("client", func() error {
		ifi, err := net.InterfaceByName(clientInterface)
		if err != nil {
			return err
		}
		if w.socket, err = packet.Listen(ifi, packet.Datagram, 0x0806, nil); err != nil {
			return err
		}
		return arpwatch.SetReceiveBuffer(w.socket)
	})
	if err != nil {
		return nil, fmt.Errorf("listening on the client host: %w", err)
	}
	go w.read()
	return w, nil
}

// Missed returns how many packets the kernel dropped since the last call,
// because they arrived faster than they were read.
func (w *Wire) Missed() (uint32, error) {
	stats, err := w.socket.Stats()
	if err != nil {
		return 0, fmt.Errorf("asking what the client host has missed: %w", err)
	}
	return stats.Drops, nil
}

// Close ends the recording.
func (w *Wire) Close() error { return w.socket.Close() }

func (w *Wire) read() {
	buffer := make([]byte, 128)
	for {
		n, _, err := w.socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		at := time.Now()
		p := new(arp.Packet)
		if p.UnmarshalBinary(buffer[:n]) != nil || p.SenderIP != p.TargetIP {
			continue
		}
		w.mu.Lock()
		w.seen = append(w.seen, Announcement{at, p.SenderIP, p.SenderHardwareAddr.String()})
		w.mu.Unlock()
	}
}

// First returns, for each address, when it was first announced after a time by
// another host than the one with a MAC.
func (w *Wire) First(after time.Time, except string) map[netip.Addr]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := map[netip.Addr]time.Time{}
	for _, a := range w.seen {
		if _, known := first[a.Address]; !known && a.At.After(after) && a.MAC != except {
			first[a.Address] = a.At
		}
	}
	return first
}

// Of returns what the host with a MAC has announced after a time.
func (w *Wire) Of(after time.Time, mac string) (list []Announcement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.seen {
		if a.At.After(after) && a.MAC == mac {
			list = append(list, a)
		}
	}
	return list
}

// Fault is a way in which a node, or its speaker, is lost.
type Fault struct {
	// Name of it, for tables and tests.
	Name string
	// Hurt breaks a node in this way; Heal repairs the node.
	Hurt func(ctx context.Context, node string) error
	Heal func(ctx context.Context, node string) error
}

// Faults are the ways to lose the owner of an address.
func (s *Scenario) Faults() []Fault {
	return []Fault{
		{"link cut",
			func(_ context.Context, node string) error { return s.Cluster.SetLink(node, false) },
			func(_ context.Context, node string) error { return s.Cluster.SetLink(node, true) }},
		{"node frozen",
			func(_ context.Context, node string) error {
				return errors.Join(s.Cluster.Pause(node), s.Cluster.SetLink(node, false))
			},
			func(_ context.Context, node string) error {
				return errors.Join(s.Cluster.SetLink(node, true), s.Cluster.Resume(node))
			}},
		// The kernel of the node goes on forwarding.
		{"processes frozen",
			func(_ context.Context, node string) error { return s.Cluster.Pause(node) },
			func(_ context.Context, node string) error { return s.Cluster.Resume(node) }},
		{"speaker killed -9",
			func(ctx context.Context, node string) error {
				_, err := s.Cluster.Exec(ctx, node, "pkill", "-KILL", "-x", "speaker")
				return err
			},
			// A new pod starts at once. A container that died often does not.
			s.ReplaceSpeaker},
	}
}
