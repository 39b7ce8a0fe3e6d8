// Package arpwatch asks for IPv4 addresses by ARP all the time, and records which hosts answer: whether one
// host answers, two or none, and for how long.
package arpwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

const (
	// askEvery is how often a Watch asks for each address.
	askEvery = 20 * time.Millisecond
	// broken is the time without an answer after which a host counts as one
	// that stopped answering: several requests, so that a busy processor does not count.
	broken = 5 * askEvery
	// etherTypeARP is the EtherType of ARP; etherHeader is the length of an Ethernet header.
	etherTypeARP, etherHeader = 0x0806, 14
	// receiveBuffer of a socket, in bytes.
	receiveBuffer = 16 << 20
)

var (
	watcherMAC   = net.HardwareAddr{0x02, 0x00, 192, 168, 1, 199}
	broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// Watch sends an ARP request for each of some IPv4 addresses every 20 ms, and records all answers.
type Watch struct {
	socket *packet.Conn
	as     netip.Addr // source of the requests
	begun  time.Time
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	answers map[netip.Addr][]answer
}

// answer is one ARP reply.
type answer struct {
	at  time.Time
	mac string
}

// Answers has the hosts that answered for an address during the watch.
type Answers struct {
	// Owners are the MACs that answered, in the order of their first answers.
	Owners []string
	// Last is the MAC of the last answer.
	Last string
	// Silent is the longest time without an answer. It began at SilentSince, with an answer of the MAC SilentAfter (empty: none).
	Silent      time.Duration
	SilentSince time.Time
	SilentAfter string
	// Both is the longest time in which two hosts answered.
	Both time.Duration
}

// On begins to watch addresses, until Close. It opens a socket on an interface of the host in which in runs a
// function. The requests come from the address as, which no host has, so that the answers do not fill the
// neighbour table of the host.
func On(in func(func() error) error, on string, as netip.Addr, addresses ...string) (*Watch, error) {
	w := &Watch{as: as, begun: time.Now(), answers: map[netip.Addr][]answer{}}
	var questions [][]byte
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("watching an address: %w", err)
		}
		question, err := whoHas(as, address)
		if err != nil {
			return nil, err
		}
		questions, w.answers[address] = append(questions, question), nil
	}
	err := in(func() error {
		ifi, err := net.InterfaceByName(on)
		if err != nil {
			return err
		}
		if w.socket, err = packet.Listen(ifi, packet.Raw, etherTypeARP, nil); err != nil {
			return err
		}
		return errors.Join(w.socket.SetPromiscuous(true), SetReceiveBuffer(w.socket))
	})
	if err != nil {
		return nil, fmt.Errorf("watching on the client host: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.done.Go(func() { w.ask(ctx, questions) })
	w.done.Go(w.read)
	return w, nil
}

// SetReceiveBuffer sets a receive buffer for the announcements of a thousand addresses that move at once.
func SetReceiveBuffer(socket *packet.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	return errors.Join(err, failed)
}

// whoHas returns the frame of a request.
func whoHas(as, address netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(arp.OperationRequest, watcherMAC, as, net.HardwareAddr{0, 0, 0, 0, 0, 0}, address)
	if err != nil {
		return nil, fmt.Errorf("asking who has %s: %w", address, err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("asking who has %s: %w", address, err)
	}
	frame := slices.Concat(broadcastMAC, watcherMAC)
	frame = binary.BigEndian.AppendUint16(frame, etherTypeARP)
	return append(frame, payload...), nil
}

func (w *Watch) ask(ctx context.Context, questions [][]byte) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		for _, question := range questions {
			_, _ = w.socket.WriteTo(question, &packet.Addr{HardwareAddr: broadcastMAC}) // a request that is not sent has no answer
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *Watch) read() {
	buffer := make([]byte, 128)
	for {
		n, _, err := w.socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		p := new(arp.Packet)
		if n < etherHeader || p.UnmarshalBinary(buffer[etherHeader:n]) != nil || p.Operation != arp.OperationReply || p.TargetIP != w.as {
			continue
		}
		w.mu.Lock()
		if list, isWatched := w.answers[p.SenderIP]; isWatched {
			w.answers[p.SenderIP] = append(list, answer{time.Now(), p.SenderHardwareAddr.String()})
		}
		w.mu.Unlock()
	}
}

// Close ends the watch. The answers stay available.
func (w *Watch) Close() error {
	w.stop()
	err := w.socket.Close()
	w.done.Wait()
	return err
}

// Since returns the answers for an address from a time until now.
func (w *Watch) Since(from time.Time, address string) Answers {
	w.mu.Lock()
	list := slices.Clone(w.answers[netip.MustParseAddr(address)])
	w.mu.Unlock()
	list = slices.DeleteFunc(list, func(a answer) bool { return a.at.Before(from) })
	return summarize(list, from, time.Now())
}

// All returns the answers for an address since the watch began.
func (w *Watch) All(address string) Answers { return w.Since(w.begun, address) }

// period is a time in which a host answered without a break.
type period struct {
	mac         string
	first, last time.Time
}

func summarize(list []answer, from, to time.Time) Answers {
	var sum Answers
	last := from
	var periods []*period
	current := map[string]*period{}
	for _, a := range list {
		if silent := a.at.Sub(last); silent > sum.Silent {
			sum.Silent, sum.SilentSince, sum.SilentAfter = silent, last, sum.Last
		}
		last, sum.Last = a.at, a.mac
		if !slices.Contains(sum.Owners, a.mac) {
			sum.Owners = append(sum.Owners, a.mac)
		}
		if p := current[a.mac]; p == nil || a.at.Sub(p.last) > broken {
			current[a.mac] = &period{mac: a.mac, first: a.at}
			periods = append(periods, current[a.mac])
		}
		current[a.mac].last = a.at
	}
	if silent := to.Sub(last); silent > sum.Silent {
		sum.Silent, sum.SilentSince, sum.SilentAfter = silent, last, sum.Last
	}
	for i, p := range periods {
		for _, q := range periods[:i] {
			if p.mac != q.mac {
				sum.Both = max(sum.Both, min(p.last.Sub(p.first), p.last.Sub(q.first), q.last.Sub(q.first), q.last.Sub(p.first)))
			}
		}
	}
	return sum
}
