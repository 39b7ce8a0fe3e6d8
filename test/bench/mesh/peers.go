package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
)

// settle is how long the cluster is quiet before the real speaker is measured.
const settle = 20 * time.Second

// idleAmong has a real speaker take the place of node 0. A thousand machines that run beside it
// need more than one processor, are late, suspect each other, and send the suspicions to the real speaker
// as well. Therefore their messages to node 0 in a quiet cluster are recorded first, and their sessions
// send the recording at its times. The machines of the others only answer the real speaker.
func (n *network) idleAmong(ctx context.Context, speaker string, during time.Duration) (i idle, err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM) // the API server must be stopped
	defer stop()
	c, err := newCluster(ctx, len(n.nodes))
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, c.server.Stop()) }()
	n.run(nextInterval(n.now).Sub(n.now))
	begun := n.now
	n.recording = true
	n.run((settle + during).Truncate(standard.Interval))
	n.recording = false
	length := n.now.Sub(begun)

	arrived := make(chan datagram, 1<<16)
	sockets := make([]*net.UDPConn, len(n.nodes))
	defer func() {
		for _, s := range sockets[1:] {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	for at := 1; at < len(sockets); at++ {
		if sockets[at], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(address(at))); err != nil {
			return i, fmt.Errorf("listening for %s: %w", n.names[at], err)
		}
		go read(sockets[at], at, arrived)
	}
	n.nodes[0].dead, n.flying = true, nil
	n.outside = func(from int, data []byte) {
		// Refused while the speaker has not started: it is greeted again.
		_, _ = sockets[from].WriteToUDPAddrPort(data, address(0))
	}
	done := make(chan error, 1)
	go func() { var wrong error; i, wrong = c.measureSpeaker(ctx, speaker, during); done <- wrong }()
	return i, errors.Join(n.play(begun, length, arrived, done), err)
}

// nextInterval returns when the next heartbeats are sent.
func nextInterval(now time.Time) time.Time {
	return now.Truncate(standard.Interval).Add(standard.Interval)
}

func read(s *net.UDPConn, to int, arrived chan<- datagram) {
	for {
		buffer := make([]byte, session.MaxDatagramBytes)
		size, _, err := s.ReadFromUDPAddrPort(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			arrived <- datagram{to: to, data: buffer[:size]}
		}
	}
}

// play sends the recording from a time on, in a loop, until the measurement ends. The time of
// the network passes as the clock does. Nodes whose clocks agree send at the same moments.
func (n *network) play(from time.Time, length time.Duration, arrived <-chan datagram, done <-chan error) error {
	begun, base := nextInterval(time.Now()), nextInterval(n.now).Add(standard.Interval)
	var late time.Duration
	defer func() { fmt.Fprintf(os.Stderr, "the simulated nodes were at most %s late\n", late) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for next := 0; ; {
		at := begun.Add(length * time.Duration(next/len(n.recorded))).Add(n.recorded[next%len(n.recorded)].at.Sub(from))
		due := time.NewTimer(time.Until(at))
		select {
		case err := <-done:
			return err
		case d := <-arrived:
			n.now = base.Add(time.Since(begun))
			n.receive(d)
		case <-tick.C:
			n.advance(base.Add(time.Since(begun)))
		case <-due.C:
			n.now = base.Add(time.Since(begun))
			r := n.recorded[next%len(n.recorded)]
			n.act(r.from, []machine.OutgoingMessage{{To: n.names[0], Message: r.message}})
			if next++; time.Since(begun) > settle {
				late = max(late, time.Since(at))
			}
		}
		due.Stop()
	}
}
