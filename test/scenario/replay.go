package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sync/errgroup"
)

const (
	etherTypeIPv4 = 0x0800
	// etherHeader is the length of an Ethernet header.
	etherHeader = 14
	// recordedOfEach is how many datagrams of a node are recorded at each other node: several
	// seconds of heartbeats.
	recordedOfEach = 60
	// meshPort is the default of spec.speaker.ports.mesh.
	meshPort = 7575
)

// Recording has frames of the mesh as other nodes received them.
type Recording struct{ frames [][]byte }

// Record records the datagrams that a node, by its MAC, sends to others, until there are several
// seconds of frames at each node.
func (s *Scenario) Record(ctx context.Context, mac string, others ...string) (*Recording, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lists := make([][][]byte, len(others))
	work, ctx := errgroup.WithContext(ctx)
	for i, node := range others {
		work.Go(func() (err error) {
			lists[i], err = s.record(ctx, mac, node)
			if err != nil {
				return fmt.Errorf("recording what comes to %s: %w", node, err)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return &Recording{slices.Concat(lists...)}, nil
}

func (s *Scenario) record(ctx context.Context, mac, node string) (list [][]byte, err error) {
	socket, err := s.raw(node)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	deadline, _ := ctx.Deadline()
	if err := socket.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	buffer := make([]byte, 2048)
	for len(list) < recordedOfEach {
		n, _, err := socket.ReadFrom(buffer)
		if err != nil {
			return nil, fmt.Errorf("%d of %d datagrams: %w", len(list), recordedOfEach, err)
		}
		if frame := buffer[:n]; isMesh(frame) && net.HardwareAddr(frame[6:12]).String() == mac {
			list = append(list, slices.Clone(frame))
		}
	}
	return list, nil
}

// isMesh reports whether a frame has an IPv4 datagram for the mesh.
func isMesh(frame []byte) bool {
	const udp = 17
	if len(frame) < etherHeader+20 || frame[etherHeader+9] != udp {
		return false
	}
	header := etherHeader + int(frame[etherHeader]&0xf)*4
	return len(frame) >= header+8 && binary.BigEndian.Uint16(frame[header+2:]) == meshPort
}

// Replay sends the recorded frames from the client host, with the IP addresses of the node that
// sent it, again and again until the context ends. It returns how many frames it sent.
func (s *Scenario) Replay(ctx context.Context, r *Recording) (sent int, err error) {
	socket, err := s.raw("client")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	own := socket.LocalAddr().(*packet.Addr).HardwareAddr
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for ; ctx.Err() == nil; sent++ {
		frame := slices.Clone(r.frames[sent%len(r.frames)])
		copy(frame[6:12], own)
		if _, err := socket.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]}); err != nil {
			return sent, fmt.Errorf("sending recorded datagrams from the client host: %w", err)
		}
		<-ticker.C
	}
	return sent, nil
}

// raw opens a socket for frames with IPv4 on the network of the addresses.
func (s *Scenario) raw(host string) (socket *packet.Conn, err error) {
	err = s.Cluster.RunInHost(host, func() error {
		ifi, err := net.InterfaceByName(clientInterface)
		if err == nil {
			socket, err = packet.Listen(ifi, packet.Raw, etherTypeIPv4, nil)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a socket on %s: %w", host, err)
	}
	return socket, nil
}
