package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/session"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// The source ports (RFC 5881 section 4).
const firstSourcePort, lastSourcePort = 49152, 65535

// watchedSession is a BFD session, with the socket that it sends from.
type watchedSession struct {
	key     Key
	peer    netip.Addr // without zone
	class   PacketClass
	machine *session.Machine

	started        bool // its sockets were opened successfully at least once: the machine runs
	sender         Sender
	link           int // index of the interface that packets must arrive on; 0: any interface
	port           uint16
	problem        string
	ttl            int       // TTL of the last packet, if the packet was dropped because of its TTL; otherwise 0
	sendFailed     bool      // the last packet could not be sent; problem is why
	retry          time.Time // when to open the sockets again; zero: no attempt is planned
	failures       int       // how often opening a socket or sending has failed since a packet was sent
	adminDownsLeft int       // AdminDown packets that must still be sent before the session is removed; 0: the session is not ending
	nextAdminDown  time.Time

	reported    Status
	due, queued time.Time
	place       int // index in the queue; -1: not in it
}

func (e *Engine) newWatchedSession(key Key, p bfd.Profile, now time.Time) *watchedSession {
	number := rand.Uint32()
	for number == 0 || e.byDiscriminator[number] != nil {
		number = rand.Uint32()
	}
	peer := key.Peer.Unmap().WithZone("")
	w := &watchedSession{
		key: key, peer: peer, place: -1,
		class:   PacketClass{IPv6: peer.Is6(), Multihop: key.Multihop, VRF: key.VRF},
		machine: session.New(now, number, p, rand.Float64),
	}
	w.reported = w.status()
	return w
}

func (w *watchedSession) status() Status {
	s := Status{Status: w.machine.Status(), Problem: w.problem}
	// While the session is up, packets with a low TTL are not reported: they may come from another host. If
	// they come from the router, the session goes down soon, and then they are reported.
	if w.ttl != 0 && s.State != bfd.Up && s.Problem == "" {
		s.Problem = fmt.Sprintf("the speaker drops the router's BFD packets, since they arrive with TTL %d and minimumTTL of the BFDProfile is %d: lower minimumTTL, or make the router send with TTL 255 (BIRD sends with 64)",
			w.ttl, w.machine.Profile().MinimumTTL)
	}
	return s
}

// logValues returns keys and values that identify the session in the log.
func (w *watchedSession) logValues() []any {
	return []any{"peer", w.key.Peer.String(), "interface", w.key.Interface, "multihop", w.key.Multihop}
}

// nextDue returns when something is due for the session; due is false if nothing is.
func (w *watchedSession) nextDue() (at time.Time, due bool) {
	if w.started {
		at, due = w.machine.Next()
	}
	sooner := func(t time.Time) {
		if !due || t.Before(at) {
			at, due = t, true
		}
	}
	if !w.retry.IsZero() {
		sooner(w.retry)
	}
	if w.adminDownsLeft > 0 {
		sooner(w.nextAdminDown)
	}
	return at, due
}

// openSockets opens the socket to receive from, unless it is open, and a new socket to send from.
func (e *Engine) openSockets(ctx context.Context, w *watchedSession, now time.Time) {
	w.retry = time.Time{}
	err := e.listen(ctx, w.class)
	if err == nil {
		err = e.dial(w)
	}
	if err != nil {
		w.problem, w.sendFailed = err.Error(), false
		w.retryLater(now)
		return
	}
	w.started = true
	if !w.sendFailed {
		w.problem = ""
	}
}

// retryLater sets the time to open the sockets again. The wait grows with each failure.
func (w *watchedSession) retryLater(now time.Time) {
	w.failures++
	w.retry = now.Add(reopenBackoff.Wait(w.failures))
}

// dial closes the socket to send from and opens a new one. The source port stays the same unless
// another program has taken it meanwhile (RFC 5881 section 4).
func (e *Engine) dial(w *watchedSession) error {
	if w.sender != nil {
		w.sender.Close()
		w.sender = nil
	}
	for try := range 16 {
		if try > 0 || w.port == 0 {
			w.port = e.chooseSourcePort()
		}
		sender, err := e.options.Network.Dial(w.key, w.port)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return fmt.Errorf("opening a UDP socket to send BFD packets: %w", err)
		}
		w.sender, w.link = sender, sender.Interface()
		return nil
	}
	return fmt.Errorf("no free UDP port to send BFD packets from was found between %d and %d", firstSourcePort, lastSourcePort)
}

func (e *Engine) chooseSourcePort() uint16 {
	taken := map[uint16]bool{}
	for _, w := range e.sessions {
		taken[w.port] = true
	}
	for {
		if port := uint16(firstSourcePort + rand.IntN(lastSourcePort-firstSourcePort+1)); !taken[port] || len(taken) > (lastSourcePort-firstSourcePort)/2 {
			return port
		}
	}
}

// send sends packets. A packet that the kernel does not accept is lost, as any packet can be. Unless
// the reason was a full buffer, the socket is opened again later: the interface may have been created
// again with another index.
func (e *Engine) send(w *watchedSession, now time.Time, packets []wire.Packet) {
	for _, p := range packets {
		if w.sender == nil {
			return
		}
		err := w.sender.Send(wire.Encode(p))
		switch {
		case err == nil:
			e.options.Metrics.out.Inc()
			w.failures = 0
			if w.sendFailed {
				w.problem, w.sendFailed = "", false
			}
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOBUFS):
			e.options.Metrics.unsent.Inc()
		default:
			e.options.Metrics.unsent.Inc()
			w.sendFailed = true
			w.problem = fmt.Sprintf("sending BFD packets to %s failed: %v", w.key.Peer, err)
			if w.retry.IsZero() {
				w.retryLater(now)
			}
		}
	}
}
